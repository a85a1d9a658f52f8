"""Intensity: one map of gain and offset for every tile, from what overlaps and what follows.

Layers get gain and offset from the small pictures that zcorr drew (`levels`), tiles a grid of both
from their overlaps (`regions`). The jobs of chunks measure and solve; here the two are composed
into one filter for each tile; the reference's two steps act on an exported volume and always give
8 bit.

After step 16bit the layers' maps, which were measured on 8-bit pictures, are carried over by the
contrast range with which each layer was made 8-bit: they undo that layer's own stretch, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from scripts.correct.destreak import is_sixteen_bit
from scripts.correct.evidence import Arrays, Evidence, Found
from scripts.lib import array_files
from scripts.lib.arrays import Array
from scripts.lib.drawing import filters
from scripts.lib.service.records import TileSet, TileSpec

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
        Levels of layers, maps of tiles, contrast ranges.

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
    layer = _layers(z, settings, evidence)
    scale = _carried(z, layer, evidence) if deep else layer / [1, 255]
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


def held(
    found: Found, published: Arrays, tolerance_grey: float, seen: tuple[float, float] = (0.0, 1.0)
) -> Found:
    """Let tiles keep the map of before, while a volume grows, where nobody sees the difference.

    What all layers share, the usual range of grey values, changes with every wave, and with it a
    little every map. The comparison is with what was found now each time: nothing adds up.

    Parameters
    ----------
    found
        Of `estimate`.
    published
        Its arrays of the time before; may lack tiles, and have others.
    tolerance_grey
        Most that a grey value may differ from what was found, of 255 from one end of `seen` to the
        other. 0 keeps nothing.
    seen
        The darkest and brightest value that counts, shares of the brightest there is.

    Returns
    -------
    Found
        The same, with the maps of before.
    """
    now, old = found.arrays["maps"].copy(), published["maps"]
    if tolerance_grey > 0 and now.shape[1:] == old.shape[1:]:
        cells = [
            list(zip(*(each[name].tolist() for name in ("z", "row", "column")), strict=True))
            for each in (found.arrays, published)
        ]
        at = {cell: k for k, cell in enumerate(cells[1])}
        here = [k for k, cell in enumerate(cells[0]) if cell in at]
        before = old[[at[cells[0][k]] for k in here]]
        change = now[here] - before
        off = np.abs(np.stack([change[..., 0] * value + change[..., 1] for value in seen]))
        alike = off.max(axis=(0, 2, 3)) < tolerance_grey / 255 * (seen[1] - seen[0])
        now[np.array(here, np.int64)[alike]] = before[alike]
    return Found(found.parameters, {**found.arrays, "maps": now})


def seen_range(found: Found, evidence: Evidence) -> tuple[float, float]:
    """Return the usual range of grey values after the step.

    Parameters
    ----------
    found
        Of `estimate`.
    evidence
        Contrast ranges, of a 16-bit stack.

    Returns
    -------
    tuple of float
        Darkest and brightest, shares of the brightest there is; of 8 bit all.
    """
    if found.parameters["top"] == 255.0 or evidence.sixteen_bit is None:
        return 0.0, 1.0
    stored = array_files.read(evidence.sixteen_bit)
    ends = np.sort([np.nanmedian(stored[name]) for name in ("black", "white")]) / 65535
    return (float(ends[0]), float(ends[1])) if ends[0] < ends[1] else (0.0, 1.0)


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
    z = found.arrays["z"]  # of the volume, of which `tiles` may be a part
    here = np.flatnonzero(np.isin(z, [round(tile.z) for tile in tiles.tiles]))
    columns = (found.arrays[name][here].tolist() for name in ("z", "row", "column"))
    maps = dict(zip(zip(*columns, strict=True), found.arrays["maps"][here], strict=True))

    def _mapped(tile: TileSpec) -> TileSpec:
        own = maps[round(tile.z), tile.row, tile.column]
        if (own[..., 0] == 1).all() and (own[..., 1] == 0).all():
            return tile
        return filters.appended(tile, filters.intensity(own, found.parameters["top"]))

    return replace(tiles, tiles=tuple(_mapped(tile) for tile in tiles.tiles))


def _layers(z: Sequence[int], settings: Mapping[str, Any], evidence: Evidence) -> Array:
    """Return gain, and offset in 8-bit grey values, (n, 2); (1, 0) where nothing is known."""
    found: dict[int, list[float]] = {}
    if settings["layers"] != "none" and evidence.levels is not None:
        stored = array_files.read(evidence.levels)
        found = dict(zip(stored["z"].tolist(), stored["maps"].tolist(), strict=True))
    return np.array([found.get(value, [1.0, 0.0]) for value in z])


def _tiles(
    tiles: TileSet, settings: Mapping[str, Any], evidence: Evidence
) -> tuple[Array, dict[str, Any]]:
    """Return the tiles' maps, (n, rows, columns, 2), and how well overlaps agree."""
    side, n = settings["regions"], len(tiles.tiles)
    if not settings["tiles"] or not evidence.maps:
        return np.tile([1.0, 0.0], (n, 1, 1, 1)), {}
    at = {(round(tile.z), *tile.cell): k for k, tile in enumerate(tiles.tiles)}
    out, squares = np.full((n, side, side, 2), np.nan), np.zeros(3)
    for path in evidence.maps:
        part = array_files.read(path)
        cells = zip(*(part[name].tolist() for name in ("z", "row", "column")), strict=True)
        out[[at[cell] for cell in cells]] = part["maps"]
        squares += part["squares"]
    if np.isnan(out).any():
        raise ValueError("correct/maps: expected a map of every tile of the stack, found fewer")
    figures = {
        f"overlap_difference_{name}_pct": float(100 * np.sqrt(total / squares[0]))
        if squares[0]
        else None
        for name, total in zip(("before", "after"), squares[1:], strict=True)
    }
    return out, figures


def _carried(z: Sequence[int], layer: Array, evidence: Evidence) -> Array:
    """Carry maps of 8-bit values over to 16-bit ones: (n, 2), offsets as shares of 65535.

    A 16-bit value is ``black + v (white - black) / 255`` of the 8-bit value v; after the map every
    layer has the median black and white. Without a contrast range a layer keeps its values.
    """
    out = np.column_stack([np.ones(len(z)), np.zeros(len(z))])
    if evidence.sixteen_bit is None:
        return out
    stored = array_files.read(evidence.sixteen_bit)
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
