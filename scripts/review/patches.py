"""Patches: a damaged or missing tile is replaced by the same cell of an adjacent layer.

The tile that takes its place has the source's image and stage position, and the layer of the tile
it replaces. Up to three rounds: a patch that finds no match but to its own
source gives way to the next candidate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scripts.lib.geometry import TileId, section_id
from scripts.lib.service.records import PATCH, TileSpec

DISTANCES = (-1, 1, -2, 2)  # layers to the source
COLUMNS = (
    "z", "row", "column", "replaces", "tile_id", "source_id", "from", "further", "round",
    "score", "reason",
)  # fmt: skip
PAIR_COLUMNS = ("p_group", "p_id", "q_group", "q_id", "dz", "p_position", "q_position")
LABEL = PATCH
Cell = tuple[int, int]
Place = tuple[float, int, int]  # z, row, column
Row = Mapping[str, str]


@dataclass(frozen=True)
class Wanted:
    """A tile that should be replaced: where, why, and which layers could give theirs."""

    place: Place
    replaces: str  # tile id, "" when the tile is missing
    reason: str
    score: float
    sources: tuple[int, ...] = DISTANCES  # distances in layers to try, in order of liking


def places(tiles: Iterable[TileSpec]) -> dict[Place, TileSpec]:
    """Return tiles by z, row and column.

    Parameters
    ----------
    tiles
        The tiles.

    Returns
    -------
    dict
        Place -> tile.
    """
    return {(tile.z, *tile.cell): tile for tile in tiles}


def ranked(place: Place, at: Mapping[Place, TileSpec], quality: Mapping[str, float]) -> list[int]:
    """Return the distances of usable sources, best first.

    The nearer layer wins, of two alike the better one, then the one before.

    Parameters
    ----------
    place
        z, row, column of the tile to replace.
    at
        Tiles by place.
    quality
        Tile ids that may serve (tissue, joined, not damaged) -> likeness to the layers around them.

    Returns
    -------
    list of int
        Layers, of `DISTANCES`.
    """
    z, row, column = place
    found = []
    for order, d in enumerate(DISTANCES):
        tile = at.get((z + d, row, column))
        if tile is not None and tile.tile_id in quality:
            found.append((abs(d), -round(quality[tile.tile_id], 2), order, d))
    return [d for *_, d in sorted(found)]


def first_round(
    wanted: Iterable[Wanted], at: Mapping[Place, TileSpec], quality: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return the rows of the first round; what has no usable source is left out.

    Parameters
    ----------
    wanted
        What should be replaced.
    at
        Tiles by place.
    quality
        Tile ids that may serve -> likeness to the layers around them.

    Returns
    -------
    list of dict
        Rows (`COLUMNS`) in the order of places.
    """
    out = []
    for one in sorted(wanted, key=lambda one: one.place):
        usable = ranked(one.place, at, quality)
        sources = [d for d in usable if d in one.sources]
        if len(one.sources) == 1:  # chosen by a person: the picture need not please us
            sources = [d for d in one.sources if (one.place[0] + d, *one.place[1:]) in at]
        if sources:
            row = {"replaces": one.replaces, "score": f"{one.score:g}", "reason": one.reason}
            out.append(_row(one.place, row, at, sources, number=1))
    return out


def _row(
    place: Place, kept: Mapping[str, Any], at: Mapping[Place, TileSpec], sources: Sequence[int],
    *, number: int,
) -> dict[str, Any]:  # fmt: skip
    z, row, column = place
    source = at[z + sources[0], row, column]
    return {
        "z": f"{z:g}", "row": row, "column": column,
        "replaces": kept["replaces"],
        "tile_id": f"{source.tile_id.partition('.')[0]}.{LABEL}.{section_id(z)}",
        "source_id": source.tile_id,
        "from": sources[0],
        "further": ",".join(map(str, sources[1:])),
        "round": number,
        "score": kept["score"],
        "reason": kept["reason"],
    }  # fmt: skip


def place_of(row: Row) -> Place:
    """Return the place of a row of the patch table.

    Parameters
    ----------
    row
        A row (`COLUMNS`).

    Returns
    -------
    tuple
        z, row, column.
    """
    return float(row["z"]), int(row["row"]), int(row["column"])


def partners(saved: Iterable[Row]) -> dict[str, set[str]]:
    """Return which tiles each tile matches.

    Parameters
    ----------
    saved
        Rows of saved pairs.

    Returns
    -------
    dict
        Tile id -> ids of the others.
    """
    out: dict[str, set[str]] = defaultdict(set)
    for pair in saved:
        out[pair["p_id"]].add(pair["q_id"])
        out[pair["q_id"]].add(pair["p_id"])
    return out


def settled(row: Row, matched: Mapping[str, Collection[str]]) -> bool:
    """Tell whether a patch matches a tile that is not its own source.

    Parameters
    ----------
    row
        A row (`COLUMNS`).
    matched
        Of `partners`.

    Returns
    -------
    bool
        True when it holds.
    """
    return any(other != row["source_id"] for other in matched.get(row["tile_id"], ()))


def next_round(
    rows: Sequence[Row], results: Sequence[Row], at: Mapping[Place, TileSpec], *, number: int
) -> list[dict[str, Any]]:
    """Return the rows of a round: patches that hold stay, others take their next source.

    Parameters
    ----------
    rows
        Rows (`COLUMNS`) of the round before.
    results
        Rows of results of all rounds so far.
    at
        Tiles by place.
    number
        Number of the new round.

    Returns
    -------
    list of dict
        Rows (`COLUMNS`) in the same order.
    """
    matched = partners(row for row in results if row["saved"] == "1")
    out: list[dict[str, Any]] = []
    for row in rows:
        if settled(row, matched) or not row["further"]:
            out.append(dict(row))
        else:
            sources = [int(d) for d in row["further"].split(",")]
            out.append(_row(place_of(row), row, at, sources, number=number))
    return out


def _new_tile(row: Row, at: Mapping[Place, TileSpec]) -> TileSpec:
    """Return the spec of a patch: the source's image and position in the layer of `row`."""
    place = place_of(row)
    source = at[place[0] + int(row["from"]), place[1], place[2]]
    old = at.get(place)
    labels = {*source.labels, *(old.labels if old else ()), LABEL}
    return replace(
        source, tile_id=TileId(row["tile_id"]), z=place[0], labels=tuple(sorted(labels)),
        group_id=old.group_id if old else source.group_id,
    )  # fmt: skip


def patched(at: Mapping[Place, TileSpec], rows: Iterable[Row]) -> dict[Place, TileSpec]:
    """Return all tiles by place with the patches in the places of those they replace.

    Parameters
    ----------
    at
        Tiles by place.
    rows
        Rows (`COLUMNS`) of patches.

    Returns
    -------
    dict
        Place -> tile.
    """
    return {**at, **{place_of(row): _new_tile(row, at) for row in rows}}


# ---------------------------------------------------------------------------------------------
# pairs of a patch
# ---------------------------------------------------------------------------------------------

Step = tuple[int, int, int, str, str]  # row, column of the other, layers to it, both positions


def steps(plan: Iterable[Row], known: Mapping[str, TileSpec]) -> dict[Cell, set[Step]]:
    """Return what the plan of one run compares a tile of each cell with.

    Parameters
    ----------
    plan
        Rows of planned pairs.
    known
        Tiles by id.

    Returns
    -------
    dict
        Cell -> steps to the other cell and layer, with both positions.
    """
    out: dict[Cell, set[Step]] = defaultdict(set)
    for row in plan:
        p, q = known[row["p_id"]], known[row["q_id"]]
        dz, ends = round(q.z - p.z), (row["p_position"], row["q_position"])
        out[p.cell].add((*q.cell, dz, *ends))
        out[q.cell].add((*p.cell, -dz, *ends[::-1]))
    return out


def pairs(
    rows: Sequence[Row], now: Mapping[Place, TileSpec], plan: Mapping[Cell, set[Step]], *,
    number: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return the pairs of one run that touch a patch new in a round.

    Parameters
    ----------
    rows
        Rows (`COLUMNS`) of patches.
    now
        Tiles by place, patches in the places of those they replace.
    plan
        What each cell is compared with (`steps`).
    number
        Number of the round.

    Returns
    -------
    list of dict
        Rows (`PAIR_COLUMNS`) in the order of their ids.
    """
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in rows:
        if int(row["round"]) != number:
            continue
        place = place_of(row)
        mine = now[place]
        for other_row, other_column, dz, end, other_end in sorted(plan.get(mine.cell, ())):
            other = now.get((place[0] + dz, other_row, other_column))
            if other is None:
                continue
            one, two = (mine, end), (other, other_end)
            p, q = sorted((one, two), key=lambda side: (side[0].section_id, side[0].tile_id))
            values = (p[0].section_id, p[0].tile_id, q[0].section_id, q[0].tile_id)
            found[values] = dict(zip(PAIR_COLUMNS, (*values, abs(dz), p[1], q[1]), strict=True))
    return [found[key] for key in sorted(found)]
