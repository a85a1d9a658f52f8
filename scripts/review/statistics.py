"""Statistics: saved pairs by run and stage, distance, cell, edge and layer."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lib.arrays import Bool, Int64
from scripts.lib.files import open_table

COLUMNS = (
    "by", "run", "key", "planned", "saved", "saved_pct", "matches_median", "matches_low",
    "rms_px_median",
)  # fmt: skip
KINDS = {"dz": int, "saved": int, "count": int, "rms_px": float}
TEXTS = ("p_group", "p_id", "q_group", "q_id", "run", "p_cell", "q_cell", "stage")


@dataclass(frozen=True, eq=False)
class Pairs:
    """Columns of m attempted pairs; ``z`` (m,) is the lower layer, ``edge`` cells in text order."""

    columns: Mapping[str, NDArray[Any]]

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

    def __len__(self) -> int:
        return len(self.columns["dz"])

    def where(self, mask: Bool) -> Pairs:
        """Return the pairs of a selection.

        Parameters
        ----------
        mask
            (m,) bool.

        Returns
        -------
        Pairs
            Those where `mask` is true.
        """
        return Pairs({name: column[mask] for name, column in self.columns.items()})


def read(paths: Sequence[str | Path]) -> Pairs:
    """Read the columns of result tables.

    Parameters
    ----------
    paths
        Tables, of ``.tsv`` or ``.tsv.gz``; a column is a list at a time, not a dict per row.

    Returns
    -------
    Pairs
        All rows in order.
    """
    found: dict[str, list[str]] = {name: [] for name in (*TEXTS, *KINDS)}
    for path in paths:
        with open_table(path) as stream:
            rows = csv.reader(stream, delimiter="\t")
            header = next(rows)
            at = [(header.index(name), column.append) for name, column in found.items()]
            for row in rows:
                for i, append in at:
                    append(row[i])
    return of_columns(found)


def of_columns(found: Mapping[str, Sequence[str]]) -> Pairs:
    """Return the pairs of columns of text.

    Parameters
    ----------
    found
        Column name -> m texts: `TEXTS` and those of `KINDS`.

    Returns
    -------
    Pairs
        m pairs, with ``z`` and ``edge`` added.
    """
    out: dict[str, NDArray[Any]] = {name: np.array(found[name], dtype=object) for name in TEXTS}
    for name, kind in KINDS.items():
        number = np.array([float(cell) if cell else np.nan for cell in found[name]], float)
        out[name] = number if kind is float else np.nan_to_num(number).astype(np.int64)
    # p and q stand in text order ("10.0" before "9.0")
    z = [
        np.array([float(cell or "nan") for cell in found[name]]) for name in ("p_group", "q_group")
    ]
    out["z"] = np.minimum(*z)
    cells = zip(found["p_cell"], found["q_cell"], strict=True)
    out["edge"] = np.array(["–".join(sorted(pair)) for pair in cells], dtype=object)
    return Pairs(out)


def saved_counts(pairs: Pairs, gone: set[str]) -> dict[str, dict[str, int]]:
    """Count planned and saved pairs of tiles that stay.

    Parameters
    ----------
    pairs
        All pairs that were tried.
    gone
        Ids of tiles that are excluded.

    Returns
    -------
    dict
        ``montage``, ``dz1``, ``dz2`` ... -> planned, saved.
    """
    stays = np.array(
        [
            p not in gone and q not in gone
            for p, q in zip(pairs["p_id"], pairs["q_id"], strict=True)
        ],
        bool,
    )
    out = {}
    for dz in np.unique(pairs["dz"][stays]).tolist():
        here = stays & (pairs["dz"] == dz)
        name = f"dz{dz}" if dz else "montage"
        out[name] = {"planned": int(here.sum()), "saved": int((pairs["saved"][here] == 1).sum())}
    return dict(sorted(out.items()))


def table(pairs: Pairs) -> Iterator[dict[str, Any]]:
    """Return the counts by stage, dz, cell, edge and z, each within its run.

    A pair of two cells counts for both; a stage is the one that saved a pair or was tried last.

    Parameters
    ----------
    pairs
        All pairs that were tried.

    Yields
    ------
    dict
        Rows (`COLUMNS`).
    """
    both = Pairs(
        {
            "run": np.concatenate([pairs["run"], pairs["run"]]),
            "cell": np.concatenate([pairs["p_cell"], pairs["q_cell"]]),
            **{n: np.concatenate([pairs[n], pairs[n]]) for n in ("saved", "count", "rms_px", "dz")},
        }
    )
    montage = pairs.where(pairs["dz"] == 0)
    for by, rows, key in (
        ("stage", pairs, "stage"),
        ("dz", pairs, "dz"),
        ("cell", both, "cell"),
        ("edge", montage, "edge"),
        ("z", pairs, "z"),
    ):
        yield from _by(by, rows, key)


def _by(by: str, pairs: Pairs, key: str) -> Iterator[dict[str, Any]]:
    if not len(pairs):
        return
    runs, run = np.unique(pairs["run"].astype(str), return_inverse=True)
    value = pairs[key]
    names, kind = np.unique(
        value if value.dtype != object else value.astype(str), return_inverse=True
    )
    group = run * len(names) + kind
    order = np.argsort(group, kind="stable")
    found, starts = np.unique(group[order], return_index=True)
    for number, part in zip(found.tolist(), np.split(order, starts[1:]), strict=True):
        name = names[number % len(names)]
        text = f"{name:g}" if isinstance(name, (float, np.floating)) else str(name)
        yield {"by": by, "run": runs[number // len(names)], "key": text} | _figures(pairs, part)


def _figures(pairs: Pairs, part: Int64) -> dict[str, Any]:
    saved = part[pairs["saved"][part] == 1]
    count, rms = pairs["count"][saved], pairs["rms_px"][saved]
    rms = rms[np.isfinite(rms)]
    return {
        "planned": len(part),
        "saved": len(saved),
        "saved_pct": f"{100 * len(saved) / len(part):.1f}",
        "matches_median": f"{np.median(count):g}" if len(count) else None,
        "matches_low": f"{np.percentile(count, 5):g}" if len(count) else None,
        "rms_px_median": f"{np.median(rms):.3f}" if len(rms) else None,
    }
