"""Statistics: saved pairs by run and stage, distance, cell, edge and layer."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lib.arrays import Array, Bool, Int64
from scripts.lib.files import read_cells
from scripts.lib.names import WIDE_RUN

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
    repeated: int = 0  # rows left out, of pairs that were tried again and have another one

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
        All rows in order; of a pair that failed and was saved by the wide search the latter.
    """
    once: dict[str, str] = {}  # millions of rows have few different texts, and keep each once
    names = (*TEXTS, *KINDS)
    parts = [of_columns({name: () for name in names})]
    for path in paths:
        columns = list(zip(*read_cells(path, names), strict=True)) or [()] * len(names)
        found: dict[str, Sequence[str]] = dict(zip(names, columns, strict=True))
        found |= {name: [once.setdefault(cell, cell) for cell in found[name]] for name in TEXTS}
        parts.append(of_columns(found))
    return once_each(
        Pairs({name: np.concatenate([part[name] for part in parts]) for name in parts[0].columns})
    )


def once_each(pairs: Pairs) -> Pairs:
    """Leave out failed pairs that the wide search saved in the end.

    Parameters
    ----------
    pairs
        m pairs.

    Returns
    -------
    Pairs
        At most as many, in order; ``repeated`` counts those left out.
    """
    again = (pairs["run"] == WIDE_RUN) & (pairs["saved"] == 1)
    if not again.any():
        return pairs
    ends = list(zip(pairs["p_id"], pairs["q_id"], strict=True))
    found = {ends[i] for i in np.flatnonzero(again)}
    stays = again | np.array([one not in found for one in ends], bool)
    return replace(pairs.where(stays), repeated=int((~stays).sum()))


def confirmed(pairs: Pairs, ids: Sequence[str], p: Int64, q: Int64) -> Pairs:
    """Count pairs as saved only where the collection has them: a person may have dropped some.

    Parameters
    ----------
    pairs
        m pairs.
    ids
        Ids of n tiles.
    p, q
        Pairs of the collection, as indices of tiles.

    Returns
    -------
    Pairs
        The same in order; those of tiles that are not among the n stay as they are.
    """
    number, n = {tile_id: k for k, tile_id in enumerate(ids)}, len(ids)

    def _codes(a: Int64, b: Int64) -> Int64:
        return np.minimum(a, b) * n + np.maximum(a, b)

    ends = [
        np.fromiter((number.get(i, -1) for i in pairs[name].tolist()), np.int64, len(pairs))
        for name in ("p_id", "q_id")
    ]
    lost = (np.minimum(*ends) >= 0) & ~np.isin(_codes(ends[0], ends[1]), _codes(p, q))
    return replace(pairs, columns={**pairs.columns, "saved": np.where(lost, 0, pairs["saved"])})


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
    edge = functools.cache(lambda pair: "–".join(sorted(pair)))
    out["edge"] = np.array([edge(pair) for pair in cells], dtype=object)
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


def in_words(kind: str) -> str:
    """Return what people call the pairs of a kind.

    Parameters
    ----------
    kind
        Of `saved_counts`.

    Returns
    -------
    str
        Plural.
    """
    if kind == "montage":
        return "montage pairs"
    far = kind.removeprefix("dz")
    return "pairs of adjacent layers" if far == "1" else f"pairs {far} layers apart"


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
    (runs, run), (names, kind) = _coded(pairs["run"]), _coded(pairs[key])
    groups, group = np.unique(run * len(names) + kind, return_inverse=True)
    planned = np.bincount(group)
    good = pairs["saved"] == 1
    saved = np.bincount(group[good], minlength=len(groups))
    middle, low = _quantiles(pairs["count"][good], group[good], len(groups), (0.5, 0.05))
    known = good & np.isfinite(pairs["rms_px"])
    (rms,) = _quantiles(pairs["rms_px"][known], group[known], len(groups), (0.5,))
    for k, number in enumerate(groups.tolist()):
        name = names[number % len(names)]
        text = f"{name:g}" if isinstance(name, (float, np.floating)) else str(name)
        yield {
            "by": by,
            "run": str(runs[number // len(names)]),
            "key": text,
            "planned": int(planned[k]),
            "saved": int(saved[k]),
            "saved_pct": f"{100 * saved[k] / planned[k]:.1f}",
            "matches_median": _text(middle[k], "g"),
            "matches_low": _text(low[k], "g"),
            "rms_px_median": _text(rms[k], ".3f"),
        }


def _text(value: float, form: str) -> str | None:
    return None if np.isnan(value) else format(float(value), form)


def _coded(values: NDArray[Any]) -> tuple[NDArray[Any], Int64]:
    """Return the distinct values, sorted, and the place of each value among them."""
    if values.dtype != object:
        names, at = np.unique(values, return_inverse=True)
        return names, at.astype(np.int64)
    # texts: to sort millions of them takes twenty times as long
    texts = sorted(set(values.tolist()))
    number = {text: k for k, text in enumerate(texts)}
    places = map(number.__getitem__, values.tolist())
    return np.array(texts), np.fromiter(places, np.int64, len(values))


def _quantiles(
    values: NDArray[Any], group: Int64, groups: int, shares: Sequence[float]
) -> list[Array]:
    """Return quantiles of the values of each group, (groups,) each; NaN where it has none."""
    ordered = values[np.lexsort((values, group))]
    n = np.bincount(group, minlength=groups)
    first, has, out = np.cumsum(n) - n, n > 0, []
    for share in shares:
        found = np.full(groups, np.nan)
        at = (n[has] - 1) * share
        low = np.floor(at).astype(np.int64)
        below, above = (
            ordered[first[has] + np.minimum(k, n[has] - 1)].astype(float) for k in (low, low + 1)
        )
        found[has] = below + (above - below) * (at - low)
        out.append(found)
    return out
