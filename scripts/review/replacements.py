"""Replacements: tiles that should be replaced, by verdicts, clusters and what a person says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any

import numpy as np

from scripts.lib.arrays import Bool, Int64
from scripts.lib.job import UserError
from scripts.lib.service.records import TileSpec
from scripts.review.clusters import Net, labels
from scripts.review.decisions import by_config
from scripts.review.likeness import LEAST_LIKE
from scripts.review.patches import DISTANCES, Place, Wanted, places
from scripts.review.suspects import DAMAGED, RESIN, TISSUE, Verdict

MOST_MISSING = 2  # layers in a row; a cell that is absent for longer was not acquired
Entries = Sequence[Mapping[str, Any]]


def wanted(
    net: Net, verdicts: Mapping[str, Verdict], *, exclude: Entries, keep: Entries
) -> tuple[list[Wanted], dict[str, float]]:
    """Return the tiles to replace, and those that may serve as sources.

    Damaged tiles; tissue that no match joins to the largest cluster, and that resembles no layer
    around it either (a tile that does is real: a copy would hide it); tiles missing between others.
    Not those where the tissue of a cell begins or ends (`beyond_tissue`).

    Parameters
    ----------
    net
        Tiles and their pairs.
    verdicts
        What tiles are, by id.
    exclude, keep
        Entries of the config.

    Returns
    -------
    found : list of Wanted
        What should be replaced.
    quality : dict
        Id of a tile that may serve -> likeness to the layers around it.
    """
    out_by_hand = by_config(net.tiles, exclude)
    kept = by_config(net.tiles, keep, key="keep")
    gone = np.array([bool(text) for text in out_by_hand], bool)
    label = labels(net, gone)
    beyond = beyond_tissue(net, label, verdicts)
    found: list[Wanted] = []
    quality: dict[str, float] = {}
    for i, tile in enumerate(net.tiles):
        verdict = verdicts.get(tile.tile_id)
        if verdict is None or gone[i]:
            continue
        if beyond[i]:
            continue
        if verdict.kind == DAMAGED and (verdict.is_dead or not kept[i]):
            place = (tile.z, *tile.cell)
            found.append(Wanted(place, tile.tile_id, verdict.words, verdict.score))
        elif label[i] == 1 and verdict.kind != RESIN:
            quality[tile.tile_id] = verdict.like
        elif verdict.kind == TISSUE and verdict.like < LEAST_LIKE and not kept[i]:
            place = (tile.z, *tile.cell)
            found.append(Wanted(place, tile.tile_id, "tissue without matches to the rest", 1.0))
    at = places(net.tiles)
    found += [Wanted(place, "", "the tile is missing", 1.0) for place in missing(at)]
    return found, quality


def beyond_tissue(net: Net, label: Int64, verdicts: Mapping[str, Verdict]) -> Bool:
    """Mark the tiles before the first and after the last one of their cell that has a match.

    Where one of them is resin, or where they are more than a patch bridges, a cell's tissue begins
    or ends there: what looks damaged may be resin that charges, and a copy, which would have tissue
    on one side alone, would make tissue up.

    Parameters
    ----------
    net
        n tiles.
    label
        (n,) number of each tile's cluster; 0: it has no match.
    verdicts
        What tiles are, by id.

    Returns
    -------
    array
        (n,) bool.
    """
    cells: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i in sorted(range(len(net.tiles)), key=lambda i: net.tiles[i].z):
        cells[net.tiles[i].cell].append(i)
    out = np.zeros(len(net.tiles), bool)
    for column in cells.values():
        for inward in (column, column[::-1]):
            run = list(takewhile(lambda i: label[i] == 0, inward))
            known = (verdicts.get(net.tiles[i].tile_id) for i in run)
            bare = any(one is not None and one.kind == RESIN for one in known)
            out[run] |= bare or len(run) > MOST_MISSING
    return out


def missing(at: Mapping[Place, TileSpec]) -> Iterator[Place]:
    """Return places without a tile in layers that have others, between tiles of the same cell.

    Parameters
    ----------
    at
        Tiles by place.

    Yields
    ------
    tuple
        z, row, column.
    """
    layers = np.unique([z for z, _, _ in at])
    cells: dict[tuple[int, int], list[float]] = defaultdict(list)
    for z, row, column in at:
        cells[row, column].append(z)
    for cell, z_values in sorted(cells.items()):
        have = np.array(sorted(z_values))
        for low, high in zip(have[:-1], have[1:], strict=True):
            if 1 < high - low <= MOST_MISSING + 1:
                first = np.searchsorted(layers, low, "right")
                between = layers[first : np.searchsorted(layers, high)]
                yield from ((float(z), *cell) for z in between)


def asked(entries: Entries, at: Mapping[Place, TileSpec]) -> list[Wanted]:
    """Return the patches that ``review.patch`` names.

    Parameters
    ----------
    entries
        Entries of ``review.patch``.
    at
        Tiles by place.

    Returns
    -------
    list of Wanted
        In the order of the entries.

    Raises
    ------
    UserError
        When there is no tile to take the image from.
    """
    out = []
    for number, entry in enumerate(entries):
        row, column = (int(n) for n in entry["cell"].split(","))
        place, source = (float(entry["z"]), row, column), entry.get("from")
        sources = DISTANCES if source is None else (int(source),)
        if not any((place[0] + d, row, column) in at for d in sources):
            raise UserError(
                f"review.patch[{number}]: there is no tile of cell {entry['cell']} in layer"
                f" {' or '.join(f'{place[0] + d:g}' for d in sources)} to take the image from"
            )
        replaces = at[place].tile_id if place in at else ""
        out.append(Wanted(place, replaces, str(entry["reason"]), 1.0, sources))
    return out


def merged(found: Sequence[Wanted], by_hand: Sequence[Wanted]) -> list[Wanted]:
    """Return one request per place; what a person asked for goes first.

    Parameters
    ----------
    found
        By the survey and the matches.
    by_hand
        By the config.

    Returns
    -------
    list of Wanted
        In the order of places.
    """
    out = {one.place: one for one in found}
    out |= {one.place: one for one in by_hand}
    return [out[place] for place in sorted(out)]


def entry_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of the patch table as an entry of ``review.patch``.

    Parameters
    ----------
    row
        A row of `patches.COLUMNS`.

    Returns
    -------
    dict
        cell, z, from, reason.
    """
    return {
        "cell": f"{row['row']},{row['column']}",
        "z": float(row["z"]),
        "from": int(row["from"]),
        "reason": str(row["reason"]),
    }
