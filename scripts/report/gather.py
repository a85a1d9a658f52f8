"""Gather: everything the stages left in the working directory, as columns and plain JSON.

A file that is not there gives an empty table or None: the report tells how far a run has come.
"""

from __future__ import annotations

import csv
import itertools
import logging
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from scripts.lib import costs, files, truth
from scripts.lib.documents import Exported, ExportedTarget, Misalignment, Solve

log = logging.getLogger(__name__)

Column = NDArray[Any]
Kinds = Mapping[str, type]

TABLES: dict[str, tuple[str, Kinds]] = {
    "transfer": (
        "transfer/layers.tsv",
        {"layer_id": str, "tiles": int, "expected": int, "bad": int, "status": str, "message": str},
    ),
    "quarantine": (
        "transfer/quarantine.tsv",
        {"layer_id": str, "tile_key": str, "dat": str, "reason": str},
    ),
    "layers": (
        "ingest/layers.tsv",
        {"z": int, "layer_id": str, "tiles": int, "missing": str, "status": str}
        | {"gap_before_s": float, "declared": str},
    ),
    "restarts": ("ingest/restarts.tsv", {"z": int, "reason": str}),
    "missing_layers": (
        "ingest/missing_layers.tsv",
        {"z": int, "after": int, "layers": int, "after_id": str, "by": str, "evidence": str},
    ),
    "chunks": ("ingest/chunks.tsv", {"chunk": str, "z_first": int, "z_last": int}),
    "wide": (
        "match/wide/parts.tsv",
        {"z_first": int, "z_last": int, "cells": str, "tiles": int}
        | {"dx_px": int, "dy_px": int, "pairs": int},
    ),
    "decided": (
        "match/decisions.tsv",
        {"entry": str, "action": str, "became": str, "reason": str},
    ),
    "review": (
        "review/tiles.tsv",
        {"tile_id": str, "z": int, "row": int, "column": int, "cluster": int}
        | {"pairs_montage": int, "pairs_cross": int, "kind": str, "state": str, "reason": str},
    ),
    "edges": (
        "review/edges.tsv",
        {"row_a": int, "column_a": int, "row_b": int, "column_b": int}
        | {"z_first": int, "z_last": int, "layers": int},
    ),
    "solved": (
        "solve/tiles.tsv",
        {"tile_id": str, "z": int, "row": int, "column": int, "pairs": int, "rms_px": float}
        | {"scale_x": float, "scale_y": float, "rotation_mrad": float, "shear": float}
        | {"dx_px": float, "dy_px": float},
    ),
    "pairs": (
        "solve/pairs.tsv.gz",
        {"p_id": str, "q_id": str, "dz": int, "count": int, "rms_px": float, "weight": float},
    ),
}
TABLES["misalignment"] = (
    "solve/misalignment.tsv.gz",
    {"kind": str, "z": int, "other_z": int, "p_id": str, "q_id": str, "x": float, "y": float}
    | {"px": float, "error_px": float, "used": int, "tried": int},
)
TABLES["exported_seams"] = (
    "export/seams.tsv",
    {"z": int, "voxel_z": int, "p_id": str, "q_id": str, "px": float, "error_px": float}
    | {"used": int, "tried": int, "correlation": float},
)
RESULTS: Kinds = {
    "p_group": float,
    "p_id": str,
    "q_group": float,
    "q_id": str,
    "run": str,
    "dz": int,
    "stage": str,
    "saved": int,
    "count": int,
    "rms_px": float,
    "reason": str,
}
DOCUMENTS = {
    "metadata": "ingest/metadata.json",
    "clusters": "review/clusters.json",
    "gate": "review/gate.json",
    "proposals": "review/pictures.json",
    "thickness": "review/thickness.json",  # what the thickness hands back to the review
    "solve": "solve/solve.json",
    "misalignment": "solve/misalignment.json",
    "overlays": "solve/pictures.json",  # worst pairs and layers
    "qc": "zcorr/qc.json",
    "volume": "export/volume.json",
    "contrast": "export/contrast.json",  # where 16 bit are shown in 8
    "estimate": "estimate/history.json",
}
OPTIONAL = {"kind", "declared"}  # columns that older volumes do not have
LAST = {
    "transfer": "transfer/gate.json",
    "ingest": "ingest/chunks.tsv",
    "match": "match/summary.tsv",
    "review": "review/gate.json",
    "solve": "solve/solve.html",
    "zcorr": "zcorr/Zcoords.txt",
    "correct": "export/plan.json",  # made of the last correction, or of none
    "export": "export/volume.json",
}
Z_COORDS = "zcorr/Zcoords.txt"
TRANSFORMS = "solve/transforms.json.gz"
ROWS_AT_ONCE = 50_000
ABSENT = -1  # an integer cell that is empty


@dataclass(frozen=True)
class Table:
    """Columns of equal length by name; `found` tells whether there was a file."""

    columns: Mapping[str, Column]
    found: bool = True

    def __getitem__(self, name: str) -> Column:
        return self.columns[name]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def where(self, mask: Column) -> Table:
        """Return the rows where `mask` is true.

        Parameters
        ----------
        mask
            (n,) boolean.

        Returns
        -------
        Table
            A copy.
        """
        return Table({name: column[mask] for name, column in self.columns.items()}, self.found)

    def rows(self) -> list[dict[str, Any]]:
        """Return one dict of plain values per row.

        Returns
        -------
        list of dict
            Numbers as Python's own.
        """
        lists = [column.tolist() for column in self.columns.values()]
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*lists, strict=True)]


class Documents(TypedDict):
    """The documents of `DOCUMENTS`; None = not there, or not yet."""

    metadata: Mapping[str, Any] | None
    clusters: Sequence[Mapping[str, Any]] | None
    gate: Mapping[str, Any] | None
    proposals: Any  # pictures, which the album reads
    thickness: Any
    overlays: Any
    solve: Solve | None
    misalignment: Misalignment | None
    qc: Mapping[str, Any] | None
    volume: Exported | None
    contrast: Mapping[str, Any] | None
    estimate: Any


@dataclass(frozen=True)
class Evidence:
    """What a run left: tables, documents, receipts, benchmark measures."""

    tables: Mapping[str, Table]
    documents: Documents
    results: Table  # one row per attempted pair
    stacks: Mapping[str, Any] = field(default_factory=dict)  # receipts by stack name
    corrections: Mapping[str, Any] = field(default_factory=dict)  # by step, in order
    z_coords: Mapping[int, float] = field(default_factory=dict)  # z -> corrected z
    costs: Mapping[str, list[dict[str, float]]] = field(
        default_factory=dict
    )  # by rule, one per job
    asked: Mapping[str, Any] = field(default_factory=dict)  # by rule: cores, mem_mb, runtime_min
    score: Mapping[str, Any] | None = None
    finished: frozenset[str] = frozenset()  # stages whose last file is there

    def __getitem__(self, name: str) -> Table:
        return self.tables[name]

    @property
    def exported(self) -> Sequence[ExportedTarget]:
        """Return the stored volumes.

        Returns
        -------
        sequence of ExportedTarget
            Empty before the export.
        """
        volume = self.documents["volume"]
        return [] if volume is None else volume["targets"]


def gather(
    root: Path,
    *,
    results: Sequence[str | Path],
    corrections: Sequence[str | Path] = (),
    stacks: Sequence[str | Path] = (),
    truth_path: Path | None = None,
    asked: Mapping[str, Any] | None = None,
) -> Evidence:
    """Read what a run has left in its working directory.

    Parameters
    ----------
    root
        The working directory.
    results
        Tables of matching, relative to `root`.
    corrections
        ``correct/<step>.json`` in the order of the steps, relative to `root`.
    stacks
        Receipts, relative to `root`.
    truth_path
        Truth of a simulated acquisition; None: no score.
    asked
        What the jobs of each rule ask for: cores, ``mem_mb``, ``runtime_min``.

    Returns
    -------
    Evidence
        Files that are not there are empty tables, or None.

    Raises
    ------
    ValueError
        When a table lacks a column or a cell is no number.
    """
    texts: dict[str, str] = {}  # ids of tiles and stages are the same in all tables
    tables = {
        name: read_columns(root / path, kinds, texts) for name, (path, kinds) in TABLES.items()
    }
    z_coords = root / Z_COORDS
    corrected = truth.read_z_coords(z_coords) if z_coords.exists() else {}
    return Evidence(
        tables=tables,
        documents=cast(
            "Documents", {name: _document(root / path) for name, path in DOCUMENTS.items()}
        ),
        results=_joined([read_columns(root / path, RESULTS, texts) for path in results]),
        stacks=_named(root, stacks),
        corrections=_named(root, corrections),
        z_coords=corrected,
        costs=read_costs(root / "benchmarks"),
        asked=asked or {},
        finished=frozenset(stage for stage, last in LAST.items() if (root / last).exists()),
        score=_score(root, truth_path, tables["layers"], corrected),
    )


def few(root: Path, names: Collection[str]) -> Evidence:
    """Read some of the tables and documents that a run has left, and nothing else.

    Parameters
    ----------
    root
        The working directory.
    names
        Of `TABLES` and `DOCUMENTS`.

    Returns
    -------
    Evidence
        All others as if they were not there.
    """
    nowhere = Path(os.devnull, "none")
    tables = {
        name: read_columns(root / path if name in names else nowhere, kinds)
        for name, (path, kinds) in TABLES.items()
    }
    documents = {
        name: _document(root / path) if name in names else None for name, path in DOCUMENTS.items()
    }
    return Evidence(tables, cast("Documents", documents), results=_joined([]))


def read_columns(path: Path, kinds: Kinds, texts: dict[str, str] | None = None) -> Table:
    """Read columns of a table.

    Parameters
    ----------
    path
        TSV, unpacked when the name ends in ``.gz``.
    kinds
        Type by name of the column.
    texts
        Texts of other tables, each of which is kept once; those of this one are added.

    Returns
    -------
    Table
        Columns of float64 with NaN, int64 with `ABSENT`, or text; no rows when there is no file.

    Raises
    ------
    ValueError
        When a column is missing or a cell is no number; the message names file and column.
    """
    once = {} if texts is None else texts
    if not path.exists():
        return Table({name: _column([], kind, once) for name, kind in kinds.items()}, found=False)
    with files.open_table(path) as stream:
        reader = csv.reader(stream, delimiter="\t")
        header = next(reader, [])
        missing = sorted(set(kinds) - set(header) - OPTIONAL)
        if missing:
            raise ValueError(f"{path}: no column {', '.join(missing)}; found {', '.join(header)}")
        parts: dict[str, list[Column]] = {name: [] for name in kinds}
        while True:  # the texts of two million rows are not in memory at a time
            rows = list(itertools.islice(reader, ROWS_AT_ONCE))
            for name, kind in kinds.items():
                at = header.index(name) if name in header else None
                cells = [""] * len(rows) if at is None else [row[at] for row in rows]
                try:
                    parts[name].append(_column(cells, kind, once))
                except ValueError as error:
                    raise ValueError(f"{path}: column {name}: {error}") from error
            if len(rows) < ROWS_AT_ONCE:
                return Table({name: np.concatenate(some) for name, some in parts.items()})


def _column(cells: Sequence[str], kind: type, once: dict[str, str]) -> Column:
    if kind is str:  # millions of rows have few different texts
        return np.array([once.setdefault(cell, cell) for cell in cells], dtype=object)
    number = np.array([float(cell) if cell else np.nan for cell in cells], float)
    if kind is float:
        return number
    return np.where(np.isnan(number), ABSENT, np.rint(number)).astype(np.int64)


def _joined(parts: Iterable[Table]) -> Table:
    """Join result tables (equal columns)."""
    found = [part for part in parts if part.found]
    if not found:
        return Table({name: _column([], kind, {}) for name, kind in RESULTS.items()}, found=False)
    return Table({name: np.concatenate([part[name] for part in found]) for name in RESULTS})


def _document(path: Path) -> Any:  # noqa: ANN401 - any JSON value
    return files.read_json(path) if path.exists() else None


def _named(root: Path, paths: Sequence[str | Path]) -> dict[str, Any]:
    return {Path(p).stem: files.read_json(root / p) for p in paths if (root / p).exists()}


def read_costs(folder: Path) -> dict[str, list[dict[str, float]]]:
    """Read Snakemake's benchmark files: seconds, CPU seconds and MB of every job, by rule.

    A job that ends within a second or so has no measured memory ("NA" or "-"): NaN.

    Parameters
    ----------
    folder
        ``benchmarks`` of the working directory.

    Returns
    -------
    dict
        Of each job ``s`` and ``cpu_time`` in seconds and ``max_rss`` in MB, by rule.
    """
    out: dict[str, list[dict[str, float]]] = {}
    for job in costs.read(folder):
        measures = {"s": job.wall_s, "cpu_time": job.cpu_s, "max_rss": job.peak_mb}
        out.setdefault(job.rule, []).append(measures)
    return out


def _score(
    root: Path, truth_path: Path | None, layers: Table, corrected: Mapping[int, float]
) -> dict[str, Any] | None:
    solved = root / TRANSFORMS
    if truth_path is None or not solved.exists():
        return None
    log.info("scoring against %s", truth_path.name)
    numbered = list(zip(layers["z"].tolist(), layers["layer_id"].tolist(), strict=True))
    try:
        return truth.figures(
            truth.read_truth(truth_path),
            transforms=files.read_json(solved)["tiles"],
            layers=numbered,
            corrected=corrected,
        )
    except ValueError as error:
        # a truth of other tiles must not hide the report of the run
        log.warning("no score: %s", error)
        return None
