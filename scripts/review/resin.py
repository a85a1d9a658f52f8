"""Resin around the specimen: before its first layer, beside it, and in columns without it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from scripts.review.suspects import RESIN, TISSUE

Row = Mapping[str, str]
LEAST_TISSUE = 3  # layers in a row: fewer are dust or charging, as fewer bare layers are no resin


def around(tiles: Iterable[Row]) -> set[str]:
    """Return the tiles of resin that lie around the specimen, by what the survey saw of images.

    A specimen is one body in a block of resin: in each column of tiles resin comes before it and
    after it. As long as imaging has just begun that may be all of a column, or half of the volume.
    Resin between layers of tissue is not among them, nor are layers at the end where no tile shows
    tissue: there the specimen has ended, or the signal was lost, and somebody should know.

    Parameters
    ----------
    tiles
        Rows of ``review/tiles.tsv``.

    Returns
    -------
    set of str
        Tile ids.
    """
    columns: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for tile in tiles:
        columns[tile["row"], tile["column"]].append(tile)
    alive = {tile["z"] for each in columns.values() for tile in each if _is(tile, TISSUE)}
    out: set[str] = set()
    for column in columns.values():
        ordered = sorted(column, key=lambda tile: float(tile["z"]))
        before = ordered[: _specimen(ordered)]
        behind = [tile for tile in ordered[::-1][: _specimen(ordered[::-1])] if tile["z"] in alive]
        out |= {tile["tile_id"] for tile in (*before, *behind) if _is(tile, RESIN)}
    return out


def _is(tile: Row, kind: str) -> bool:
    return tile.get("kind") == kind


def _specimen(column: Sequence[Row]) -> int:
    """Return the index of the first of `LEAST_TISSUE` tiles of tissue in a row, or the length."""
    run = 0
    for index, tile in enumerate(column):
        kind = tile.get("kind")
        # of a damaged tile nobody knows what it showed
        run = run + 1 if kind == TISSUE else 0 if kind == RESIN else run
        if run == LEAST_TISSUE:
            return index + 1 - LEAST_TISSUE
    return len(column)
