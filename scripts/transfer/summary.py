"""What became of every layer and every bad tile, from the tables of all jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib.files import digest, grouped
from scripts.lib.layer_files import align_path, archive_path, raw_path
from scripts.lib.names import parse_layer
from scripts.transfer.layers import Grid

LAYER_COLUMNS = (
    *("layer_id", "scope", "stamp", "tiles", "expected", "bad", "status", "raw_h5", "align_h5"),
    *("copied", "converted", "verified", "archived", "message"),
)
QUARANTINE_COLUMNS = ("layer_id", "tile_key", "dat", "reason")
Row = Mapping[str, str]
YES, NO, NONE = "1", "0", "-"
SOURCE_DIGEST = "source_sha256"


def layer_rows(
    converted: Iterable[Row],
    grid: Grid,
    *,
    archived: Iterable[Row] = (),
    copied: Sequence[Row] | None = None,
    archive_root: Path | None = None,
    source: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Return one row per layer, in order of time.

    Parameters
    ----------
    converted
        One row per tile, of all conversion jobs.
    grid
        The tiles a layer should have.
    archived
        One row per layer, of all archive jobs.
    copied
        Rows of `transfer/copied.tsv`; None without a scope.
    archive_root
        The archive; None: there is none.
    source
        Section ``transfer.source``; None: ``.dat`` files.

    Returns
    -------
    list of dict
        Rows of `columns`.
    """
    tiles = grouped(converted, "layer_id")
    failed = (row for row in copied or () if row["status"] == "failed")
    faults = {i: [row["reason"] for row in mine] for i, mine in grouped(failed, "layer_id").items()}
    kept = {row["layer_id"]: row for row in archived}
    rows = []
    for layer_id in tiles.keys() | faults.keys():
        copying = None if copied is None else faults.get(layer_id, [])
        files = _files(layer_id, kept.get(layer_id), archive_root)
        mine = tiles.get(layer_id, [])
        row = _layer_row(layer_id, mine, grid, copying, files)
        rows.append(row if source is None else row | _of_source(mine, source, row))
    return sorted(rows, key=lambda row: (row["stamp"], row["scope"]))


def joined(converted: Sequence[Row], taken: Sequence[Row]) -> list[Row]:
    """Put the layers that are taken over among the others; one that is both is taken over.

    Parameters
    ----------
    converted, taken
        Rows of `LAYER_COLUMNS`.

    Returns
    -------
    list
        In order of time.
    """
    known = {row["layer_id"] for row in taken}
    others = [row for row in converted if row["layer_id"] not in known]
    return sorted([*others, *taken], key=lambda row: (row["stamp"], row["scope"]))


def columns(source: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the columns of the table of layers.

    Parameters
    ----------
    source
        Section ``transfer.source``; None: ``.dat`` files.

    Returns
    -------
    tuple of str
        With the digest of the source where there is one.
    """
    return LAYER_COLUMNS if source is None else (*LAYER_COLUMNS, SOURCE_DIGEST)


def with_columns(rows: Sequence[Row], source: Mapping[str, Any] | None) -> list[Row]:
    """Fill the columns that rows of layers that are taken over do not have.

    Parameters
    ----------
    rows
        Rows of `LAYER_COLUMNS`, or of `columns`.
    source
        Section ``transfer.source``; None: ``.dat`` files.

    Returns
    -------
    list
        Rows of `columns`.
    """
    return list(rows) if source is None else [{SOURCE_DIGEST: ""} | dict(row) for row in rows]


def _of_source(tiles: Sequence[Row], source: Mapping[str, Any], row: Row) -> dict[str, Any]:
    """Return what differs in a row of a layer of a foreign source."""
    digests = [(tile["tile_key"], tile["sha256"]) for tile in tiles if tile["status"] == "ok"]
    raw = row["raw_h5"] if source["keep_raw"] else ""
    return {"raw_h5": raw, SOURCE_DIGEST: digest(sorted(digests)) if digests else ""}


def _files(layer_id: str, archived: Row | None, archive_root: Path | None) -> dict[str, str]:
    """Return where the layer's HDF5 files are, and what archiving said."""
    name, state = parse_layer(layer_id), archived["archived"] if archived else NONE
    raw = str(raw_path(name))
    if state == YES and archive_root is not None:
        raw = str(archive_root / archive_path(name))
    return {
        "raw_h5": raw,
        "align_h5": str(align_path(name)),
        "archived": state,
        "fault": archived["reason"] if archived else "",
        "failed": YES if archived and archived["status"] == "failed" else NO,
    }


def _layer_row(
    layer_id: str,
    tiles: Sequence[Row],
    grid: Grid,
    copying: Sequence[str] | None,
    files: Mapping[str, str],
) -> dict[str, Any]:
    name = parse_layer(layer_id)
    good = [tile for tile in tiles if tile["status"] == "ok"]
    bad = [tile for tile in tiles if tile["status"] == "bad"]
    unconverted = len(tiles) > len(good) + len(bad)
    state = NO if unconverted else YES if good else NONE
    failed = unconverted or bool(copying) or files["failed"] == YES
    return {
        "layer_id": layer_id,
        "scope": name.scope,
        "stamp": name.stamp,
        "tiles": len(good),
        "expected": grid.count,
        "bad": len(bad),
        "status": "failed" if failed else _status(len(good), grid.count),
        "raw_h5": files["raw_h5"] if good else "",
        "align_h5": files["align_h5"] if good else "",
        "copied": NONE if copying is None else NO if copying else YES,
        "converted": state,
        "verified": state,  # what is published under its final name was read back before
        "archived": files["archived"] if good else NONE,
        "message": "; ".join(_notes(tiles, grid, [*(copying or ()), files["fault"]])),
    }


def _notes(tiles: Sequence[Row], grid: Grid, others: Sequence[str]) -> list[str]:
    absent = grid.missing(tile["tile_key"] for tile in tiles)
    notes = [
        # a failure is the layer's, reported on its first tile
        tile["reason"] if tile["status"] == "failed" else f"{tile['tile_key']}: {tile['reason']}"
        for tile in tiles
        if tile["reason"]
    ]
    return notes + [f"{key}: no .dat file" for key in absent] + [note for note in others if note]


def _status(found: int, expected: int) -> str:
    if found == 0:
        return "empty"
    return "ok" if found == expected else "partial"


def quarantine_rows(converted: Iterable[Row]) -> list[dict[str, str]]:
    """Return one row per tile that could not be read, in order of its layer and tile key.

    Parameters
    ----------
    converted
        One row per tile, of all conversion jobs.

    Returns
    -------
    list of dict
        Rows of `QUARANTINE_COLUMNS`.
    """
    bad = (row for row in converted if row["status"] == "bad")
    return sorted(
        ({name: row[name] for name in QUARANTINE_COLUMNS} for row in bad),
        key=lambda row: (parse_layer(row["layer_id"]).order, row["tile_key"]),
    )
