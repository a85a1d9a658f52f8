"""Regions: a map of gain and offset for every region of the tiles of a layer, from their overlaps.

Layers are solved one by one (`balance.tile_maps`), with the overlaps of those around them. What all
of them share is the usual range of grey values (`Grey`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.correct import balance, overlaps
from scripts.correct.balance import Weights
from scripts.correct.evidence import Arrays
from scripts.lib.arrays import Array
from scripts.lib.service.records import TileSpec


@dataclass(frozen=True)
class Grey:
    """The usual range of grey values, as shares of the brightest: where it begins, how long it is.

    Four spreads about the mean of all overlaps, as of the 8-bit images: 16-bit values fill a small
    part of theirs, and maps are tied at both ends of the range.
    """

    black: float
    span: float

    @staticmethod
    def of(tables: Iterable[overlaps.Table]) -> Grey:
        """Find the range of all overlaps.

        Parameters
        ----------
        tables
            Tables of `overlaps.measure`, one after another.

        Returns
        -------
        Grey
            Of one that is not 0 long.
        """
        sums = np.zeros(3)
        for table in tables:
            sums += [
                2 * float(table["n"].sum()),
                float((table["p_sum"] + table["q_sum"]).sum()),
                float((table["p_squares"] + table["q_squares"]).sum()),
            ]
        n = max(1.0, sums[0])
        mean, squares = sums[1] / n, sums[2] / n
        span = max(8 * float(np.sqrt(max(squares - mean**2, 0.0))), 1e-3)
        return Grey(float(mean - span / 2), span)

    def within(self, table: overlaps.Table) -> overlaps.Table:
        """Return overlaps with this range as 0 to 1.

        Parameters
        ----------
        table
            Of `overlaps.measure`.

        Returns
        -------
        Table
            With other sums.
        """
        out = dict(table)
        for side in "pq":
            total, square = table[f"{side}_sum"], table[f"{side}_squares"]
            out[f"{side}_sum"] = (total - table["n"] * self.black) / self.span
            shifted = square - 2 * self.black * total + table["n"] * self.black**2
            out[f"{side}_squares"] = shifted / self.span**2
        return out


def balanced(
    tiles: Sequence[TileSpec], table: overlaps.Table, grey: Grey, settings: Mapping[str, Any]
) -> Arrays:
    """Solve for the maps of tiles.

    Parameters
    ----------
    tiles
        Of whole layers.
    table
        Overlaps of their layers and of ``window_layers`` before and after.
    grey
        Of all overlaps of the volume.
    settings
        Section ``correct.intensity``.

    Returns
    -------
    Arrays
        ``z``, ``row``, ``column`` (n,) of the tiles; ``maps`` (n, rows, columns, 2) gain and offset
        (share of the brightest value); ``squares`` (3,): number of overlaps, and the sums of the
        squared differences in them, before and after.
    """
    side, reach = settings["regions"], settings["window_layers"]
    weights = Weights(settings["smoothness"], settings["identity"], settings["shared"])
    order = np.argsort(table["z"], kind="stable")
    table = grey.within({name: column[order] for name, column in table.items()})
    maps, squares = np.empty((len(tiles), side, side, 2)), np.zeros(3)
    for z, numbers in _by_layer(tiles).items():
        cells = {tiles[number].cell: k for k, number in enumerate(numbers)}
        ends = np.searchsorted(table["z"], [z - reach, z + reach + 1])
        near = {name: column[slice(*ends)] for name, column in table.items()}
        links = _between(near, cells)
        own = balance.tile_maps(len(numbers), (side, side), links, weights)
        maps[numbers, ..., 0] = own[..., 0]
        maps[numbers, ..., 1] = grey.span * own[..., 1] + grey.black * (1 - own[..., 0])
        here = {name: column[links["z"] == z] for name, column in links.items()}
        left = [_differences(here, None), _differences(here, own)]
        squares += [len(left[0]), *(float((one**2).sum()) for one in left)]
    places = {name: [getattr(tile, name) for tile in tiles] for name in ("row", "column")}
    known = {name: np.array(value, np.int64) for name, value in places.items()}
    z_values = np.array([round(tile.z) for tile in tiles], np.int64)
    return {"z": z_values, **known, "maps": maps, "squares": squares}


def _between(table: overlaps.Table, cells: Mapping[tuple[int, int], int]) -> overlaps.Table:
    """Return the links whose two cells are there, with tile numbers as ``p`` and ``q``."""
    sides = {}
    for side in "pq":
        pairs = zip(table[f"{side}_row"].tolist(), table[f"{side}_column"].tolist(), strict=True)
        sides[side] = np.array([cells.get(pair, -1) for pair in pairs], np.int64)
    keep = (sides["p"] >= 0) & (sides["q"] >= 0)
    return {name: column[keep] for name, column in {**table, **sides}.items()}


def _by_layer(tiles: Sequence[TileSpec]) -> dict[int, list[int]]:
    out: dict[int, list[int]] = {}
    for number, tile in enumerate(tiles):
        out.setdefault(round(tile.z), []).append(number)
    return out


def _differences(links: overlaps.Table, maps: Array | None) -> Array:
    """Differences of the mean grey values (share of the range) of linked regions."""
    n = np.maximum(links["n"], 1)
    means = []
    for side in "pq":
        value = links[f"{side}_sum"] / n
        if maps is not None:
            own = maps.reshape(len(maps), -1, 2)[links[side], links[f"{side}_region"]]
            value = own[:, 0] * value + own[:, 1]
        means.append(value)
    return np.asarray(means[0] - means[1], float)
