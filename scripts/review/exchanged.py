"""Tiles that show the image of another cell of their layer, as where files were renamed.

A damaged tile is like nothing. One whose file got another cell's name is like the other cell of the
layers around it, as much as these are like each other there, and unlike its own. Where two tiles
show each other's cell, both images are good, and only under the wrong name.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from scripts.lib.service.records import TileSpec
from scripts.review import likeness, survey
from scripts.review.likeness import LEAST_LIKE, LESS, Look
from scripts.review.survey import Read

MOST_LAYERS = 24  # that are looked at: the images of their tiles are read again
BY_FAR = 2.0  # times as like the other cell as its own
Cell = tuple[int, int]


def find(
    tiles: Sequence[TileSpec], suspects: Collection[str], *, read: Read = survey.read_pixels
) -> list[dict[str, Any]]:
    """Find cells that show each other's image.

    Parameters
    ----------
    tiles
        All tiles as acquired.
    suspects
        Ids of tiles that look damaged; others are not asked.
    read
        Gives a tile's pixels.

    Returns
    -------
    list of dict
        ``z``, ``cells`` (two texts, row and column), ``tiles`` (their ids), in order of z.
    """
    at: dict[float, dict[Cell, TileSpec]] = defaultdict(dict)
    asked: dict[float, list[TileSpec]] = defaultdict(list)
    for tile in tiles:
        at[tile.z][tile.cell] = tile
        if tile.tile_id in suspects:
            asked[tile.z].append(tile)
    several = sorted(z for z, found in asked.items() if len(found) > 1)[:MOST_LAYERS]
    return [row for z in several for row in _layer(at, z, asked[z], _Looks(read))]


class _Looks:
    """Tiles made ready to compare, each read once."""

    def __init__(self, read: Read) -> None:
        self._read, self._known = read, dict[str, Look]()

    def like(self, a: TileSpec, b: TileSpec) -> float:
        """Return the median local correlation of two tiles."""
        for tile in (a, b):
            if tile.tile_id not in self._known:
                self._known[tile.tile_id] = likeness.look(*self._read(tile))
        field = likeness.compare(self._known[a.tile_id], self._known[b.tile_id]).of_a
        return float(np.nanmedian(field)) if np.isfinite(field).any() else 0.0


def _layer(
    at: Mapping[float, Mapping[Cell, TileSpec]], z: float, asked: Sequence[TileSpec], looks: _Looks
) -> Iterator[dict[str, Any]]:
    """Yield the pairs of cells of a layer that show each other's image; a cell counts once."""
    done: set[Cell] = set()
    beside = [at[one] for one in (z - 1, z + 1) if one in at]
    for p, q in itertools.combinations(sorted(asked, key=lambda tile: tile.cell), 2):
        if done & {p.cell, q.cell} or (p.width, p.height) != (q.width, q.height):
            continue
        if _shows(p, q.cell, beside, looks) and _shows(q, p.cell, beside, looks):
            done |= {p.cell, q.cell}
            cells = [f"{row},{column}" for row, column in (p.cell, q.cell)]
            yield {"z": z, "cells": cells, "tiles": [p.tile_id, q.tile_id]}


def _shows(
    tile: TileSpec, cell: Cell, beside: Sequence[Mapping[Cell, TileSpec]], looks: _Looks
) -> bool:
    """Whether a tile is as like a cell of the layers beside it as these are, and not its own."""
    there = [layer[cell] for layer in beside if cell in layer]
    own = [layer[tile.cell] for layer in beside if tile.cell in layer]
    if not there:
        return False
    like = max(looks.like(tile, one) for one in there)
    usual = looks.like(*there) if len(there) == 2 else LEAST_LIKE
    least = max(LEAST_LIKE, LESS * usual)
    return like >= least and like > BY_FAR * max((looks.like(tile, one) for one in own), default=0)


def lines(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the section of the config that gives each tile its own image.

    Parameters
    ----------
    found
        Of `find`.

    Returns
    -------
    str
        YAML.
    """
    entries = [
        f'    - {{cells: ["{one["cells"][0]}", "{one["cells"][1]}"], z_first: {one["z"]:g},'
        f" z_last: {one['z']:g}, reason: images of each other}}\n"
        for one in found
    ]
    return f"ingest:\n  exchange:\n{''.join(entries)}"
