"""Intensity: one map of gain and offset for every tile, from what overlaps and what follows.

Layers get gain and offset from the small pictures that zcorr drew, tiles a grid of both from their
overlaps (`balance`). The two are composed into one filter for each tile; the reference's two steps
act on an exported volume and always give 8 bit.

After step 16bit the layers' maps, which were measured on 8-bit pictures, are carried over by the
contrast range with which each layer was made 8-bit: they undo that layer's own stretch, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from scripts.correct import balance, overlaps
from scripts.correct.balance import LayerLinks, Weights
from scripts.correct.destreak import is_sixteen_bit
from scripts.correct.evidence import Evidence, Found, load_arrays
from scripts.lib.arrays import Array, Bytes
from scripts.lib.drawing import filters
from scripts.lib.numerics import robust
from scripts.lib.service.records import TileSet, TileSpec

_REACH = 2  # layers are compared with so many that follow
_PICTURE_PX = 256  # pictures are thinned to about this side: their moments stay
_LEAST_COMMON = 200  # pixels of a pair
_OUTLIER = 3.0  # sd of the difference of two layers
_DECIMALS = 6  # of gains and offsets: 0.004 of a 16-bit grey value at gain 1


def estimate(tiles: TileSet, settings: Mapping[str, Any], evidence: Evidence) -> Found:
    """Find the maps.

    Parameters
    ----------
    tiles
        Of the stack before the step.
    settings
        Section ``correct.intensity``.
    evidence
        Pictures of layers, overlaps of tiles, contrast ranges.

    Returns
    -------
    Found
        Arrays: ``z``, ``row``, ``column`` (n,) of each tile, ``maps`` (n, rows, columns, 2) gain
        and offset (share of the brightest value), ``layer_z``, ``layer_gain``,
        ``layer_offset_grey`` (8 bit).
    """
    deep = any(is_sixteen_bit(tile) for tile in tiles.tiles)
    top = 65535.0 if deep else 255.0
    z = sorted({round(tile.z) for tile in tiles.tiles})
    layer = layers_of(z, settings, evidence)
    scale = _carried(z, layer, evidence) if deep else np.array([[a, b / 255] for a, b in layer])
    inner, figures = _tiles(tiles, settings, evidence)
    number = {value: k for k, value in enumerate(z)}
    outer = scale[[number[round(tile.z)] for tile in tiles.tiles]][:, None, None, :]
    maps = np.stack(
        [outer[..., 0] * inner[..., 0], outer[..., 0] * inner[..., 1] + outer[..., 1]], axis=-1
    )
    arrays = {
        "z": np.array([round(tile.z) for tile in tiles.tiles]),
        "row": np.array([tile.row for tile in tiles.tiles]),
        "column": np.array([tile.column for tile in tiles.tiles]),
        "maps": np.round(maps, _DECIMALS),
        "layer_z": np.array(z),
        "layer_gain": layer[:, 0],
        "layer_offset_grey": layer[:, 1],
    }
    figures |= {"top": top, "layers": len(z)}
    for name in ("layer_gain", "layer_offset_grey"):
        figures[name] = [float(arrays[name].min()), float(arrays[name].max())]
    return Found(figures, arrays)


def apply(tiles: TileSet, found: Found) -> TileSet:
    """Append to each tile its map as a filter; the identity adds none.

    Parameters
    ----------
    tiles
        Of the stack before the step.
    found
        Of `estimate`.

    Returns
    -------
    TileSet
        Of the next stack.
    """
    columns = (found.arrays[name].tolist() for name in ("z", "row", "column"))
    maps = dict(zip(zip(*columns, strict=True), found.arrays["maps"], strict=True))

    def _mapped(tile: TileSpec) -> TileSpec:
        own = maps[round(tile.z), tile.row, tile.column]
        if (own[..., 0] == 1).all() and (own[..., 1] == 0).all():
            return tile
        return filters.appended(tile, filters.intensity(own, found.parameters["top"]))

    return replace(tiles, tiles=tuple(_mapped(tile) for tile in tiles.tiles))


# ---------------------------------------------------------------------------------------------
# layers
# ---------------------------------------------------------------------------------------------


def layers_of(z: Sequence[int], settings: Mapping[str, Any], evidence: Evidence) -> Array:
    """Find gain and offset of layers.

    Parameters
    ----------
    z
        The n layers.
    settings
        Section ``correct.intensity``.
    evidence
        Pictures of layers.

    Returns
    -------
    Array
        (n, 2) gain, and offset in 8-bit grey values; (1, 0) where nothing is known.
    """
    if settings["layers"] == "none" or not evidence.layers:
        return np.column_stack([np.ones(len(z)), np.zeros(len(z))])
    pictures = _pictures(evidence.layers)
    if settings["layers"] == "statistics":
        return _on(z, *statistics(pictures, settings["cutoff_share"]))
    return _on(z, *_neighbours(pictures, settings["hold_layers"]))


def _on(z: Sequence[int], known: Sequence[int], maps: Array) -> Array:
    found = dict(zip(known, maps.tolist(), strict=True))
    return np.array([found.get(value, [1.0, 0.0]) for value in z])


def _pictures(paths: Sequence[Path]) -> Iterator[tuple[int, Bytes]]:
    """Return z and the thinned picture of each layer, file by file."""
    for path in paths:
        stored = load_arrays(path)
        step = max(1, max(stored["pixels"].shape[1:]) // _PICTURE_PX)
        for value, pixels in zip(stored["z"].tolist(), stored["pixels"], strict=True):
            yield int(value), pixels[::step, ::step]


def _neighbours(
    pictures: Iterator[tuple[int, Bytes]], hold_layers: float
) -> tuple[list[int], Array]:
    """Compare each layer with those that follow, over the pixels that both have, and solve."""
    z: list[int] = []
    rows: list[tuple[float, ...]] = []
    held: list[tuple[int, Bytes]] = []
    for number, (value, picture) in enumerate(pictures):
        z.append(value)
        for other, before in held:
            found = _common_moments(before, picture)
            if found is not None:
                rows.append((other, number, *found))
        held = [*held, (number, picture)][-_REACH:]
    table = np.array(rows, float).reshape(len(rows), 6)
    links = LayerLinks(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), *table[:, 2:].T)
    return z, balance.layer_maps(len(z), links, hold_layers)


def _common_moments(p: Bytes, q: Bytes) -> tuple[float, float, float, float] | None:
    """Means and spreads (p mean, q mean, p spread, q spread) over pixels where both have data.

    Pixels that changed between the layers (the difference stands out once means and spreads are
    matched) are left out of both. None when too little is left.
    """
    both = (p > 0) & (q > 0)
    a, b = p[both].astype(float), q[both].astype(float)
    for _ in range(2):
        if len(a) < _LEAST_COMMON or a.std() == 0 or b.std() == 0:
            return None
        left = (a - a.mean()) / a.std() - (b - b.mean()) / b.std()
        usual = robust.usual(left, _OUTLIER, 1e-6)
        a, b = a[usual], b[usual]
    if len(a) < _LEAST_COMMON or a.std() == 0 or b.std() == 0:
        return None
    return float(a.mean()), float(b.mean()), float(a.std()), float(b.std())


def statistics(
    pictures: Iterator[tuple[int, Bytes]], cutoff_share: float
) -> tuple[list[int], Array]:
    """Bring mean and spread of each layer's own pixels to the median layer's.

    Parameters
    ----------
    pictures
        z and grey levels (h, w) of each layer, 0 = no data.
    cutoff_share
        Share of the lowest and of the highest non-zero pixels that are left out.

    Returns
    -------
    z : list
        Of the n layers.
    maps : Array
        (n, 2) gain and offset, grey levels; a layer without content keeps its values.
    """
    z, found = [], []
    for value, picture in pictures:
        z.append(value)
        grey = np.sort(picture[picture > 0].astype(float))
        cut = int(cutoff_share * len(grey))
        grey = grey[cut : len(grey) - cut]
        found.append((grey.mean(), grey.std()) if len(grey) >= _LEAST_COMMON else (0.0, 0.0))
    table = np.array(found).reshape(len(found), 2)
    full = table[:, 1] > 0
    out = np.column_stack([np.ones(len(z)), np.zeros(len(z))])
    if full.any():
        mean, spread = np.median(table[full], axis=0)
        out[full, 0] = spread / table[full, 1]
        out[full, 1] = mean - out[full, 0] * table[full, 0]
    return z, out


def _carried(z: Sequence[int], layer: Array, evidence: Evidence) -> Array:
    """Carry maps of 8-bit values over to 16-bit ones: (n, 2), offsets as shares of 65535.

    A 16-bit value is ``black + v (white - black) / 255`` of the 8-bit value v; after the map every
    layer has the median black and white. Without a contrast range a layer keeps its values.
    """
    out = np.column_stack([np.ones(len(z)), np.zeros(len(z))])
    if evidence.sixteen_bit is None:
        return out
    stored = load_arrays(evidence.sixteen_bit)
    found = {
        int(k): (black, white)
        for k, black, white in zip(*(stored[n] for n in ("z", "black", "white")), strict=True)
    }
    black, white = np.array([found.get(value, (np.nan, np.nan)) for value in z]).T
    known = np.isfinite(black) & np.isfinite(white) & (black != white)
    if not known.any():
        return out
    common_black, common_step = np.median(black[known]), np.median((white - black)[known] / 255)
    step = (white[known] - black[known]) / 255
    gain = common_step * layer[known, 0] / step
    out[known, 0] = gain
    out[known, 1] = (common_black + common_step * layer[known, 1] - gain * black[known]) / 65535
    return out


# ---------------------------------------------------------------------------------------------
# tiles
# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Window:
    """Links of the layers around one layer."""

    links: overlaps.Table

    def between(self, cells: Mapping[tuple[int, int], int]) -> overlaps.Table:
        """Return the links whose two cells are there, with tile numbers as ``p`` and ``q``."""
        table = self.links
        sides = {}
        for side in "pq":
            pairs = zip(
                table[f"{side}_row"].tolist(), table[f"{side}_column"].tolist(), strict=True
            )
            sides[side] = np.array([cells.get(pair, -1) for pair in pairs], np.int64)
        keep = (sides["p"] >= 0) & (sides["q"] >= 0)
        return {name: column[keep] for name, column in {**table, **sides}.items()}


def _tiles(
    tiles: TileSet, settings: Mapping[str, Any], evidence: Evidence
) -> tuple[Array, dict[str, Any]]:
    """Solve for the tiles' maps, (n, rows, columns, 2); also tells how well overlaps agree."""
    side = settings["regions"]
    if not settings["tiles"] or not evidence.overlaps:
        return np.tile([1.0, 0.0], (len(tiles.tiles), 1, 1, 1)), {}
    table = overlaps.joined(load_arrays(path) for path in evidence.overlaps)
    order = np.argsort(table["z"], kind="stable")
    table = {name: column[order] for name, column in table.items()}
    table, black, span = _normal(table)
    weights = Weights(settings["smoothness"], settings["identity"], settings["shared"])
    out = np.empty((len(tiles.tiles), side, side, 2))
    before, after = [], []
    for z, numbers in _by_layer(tiles).items():
        cells = {tiles.tiles[number].cell: k for k, number in enumerate(numbers)}
        reach = settings["window_layers"]
        ends = np.searchsorted(table["z"], [z - reach, z + reach + 1])
        near = _Window({name: column[slice(*ends)] for name, column in table.items()})
        links = near.between(cells)
        maps = balance.tile_maps(len(numbers), (side, side), links, weights)
        out[numbers, ..., 0] = maps[..., 0]
        out[numbers, ..., 1] = span * maps[..., 1] + black * (1 - maps[..., 0])
        own = {name: column[links["z"] == z] for name, column in links.items()}
        before.append(_differences(own, None))
        after.append(_differences(own, maps))
    figures = {
        f"overlap_difference_{name}_pct": float(100 * np.sqrt(np.mean(np.concatenate(v) ** 2)))
        if sum(map(len, v))
        else None
        for name, v in (("before", before), ("after", after))
    }
    return out, figures


def _normal(table: overlaps.Table) -> tuple[overlaps.Table, float, float]:
    """Return the links with the usual range of grey values as 0 to 1; then its start and length.

    The range is four spreads about the mean of all overlaps, as of the 8-bit images: 16-bit values
    fill a small part of theirs, and maps are tied at both ends of the range.
    """
    n = max(1.0, 2 * float(table["n"].sum()))
    mean = float((table["p_sum"] + table["q_sum"]).sum()) / n
    squares = float((table["p_squares"] + table["q_squares"]).sum()) / n
    span = max(8 * float(np.sqrt(max(squares - mean**2, 0.0))), 1e-3)
    black, out = mean - span / 2, dict(table)
    for side in "pq":
        total, square = table[f"{side}_sum"], table[f"{side}_squares"]
        out[f"{side}_sum"] = (total - table["n"] * black) / span
        shifted = square - 2 * black * total + table["n"] * black**2
        out[f"{side}_squares"] = shifted / span**2
    return out, black, span


def _by_layer(tiles: TileSet) -> dict[int, list[int]]:
    out: dict[int, list[int]] = {}
    for number, tile in enumerate(tiles.tiles):
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
