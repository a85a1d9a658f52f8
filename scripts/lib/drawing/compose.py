"""Compose: tiles to pixels of a box.

Matching, correlation, report and the service's images come through `render`; the export through
`prepare`, which has a second, compiled rendering path (`mosaic` says why, and what holds the two
together). Every
output pixel asks, by the inverse of a tile's transforms, where in the tile's own pixels it lies,
and interpolates there: one resampling, no mesh (`warp`). Where one tile alone has data its values
are copied; only where several meet, and at their borders, weights are computed. A test holds the
whole path to 0.02 px.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from scripts.lib.arrays import Bool, Float32, Image
from scripts.lib.drawing import filters, maps, masks, mosaic, pixels, warp
from scripts.lib.drawing.maps import FUZZ_DOUBLE_PX, Grid, Placed, Window
from scripts.lib.drawing.mosaic import Drawn
from scripts.lib.drawing.warp import Source, Warped
from scripts.lib.geometry import Box
from scripts.lib.service.records import TileSet, TileSpec
from scripts.lib.transforms import Chain

__all__ = [
    "Drawn",
    "Layer",
    "Picture",
    "Placed",
    "Source",
    "canvas",
    "place",
    "place_layers",
    "prepare",
    "render",
    "render_whole",
]

_Blend = Callable[[Sequence[Warped], Window], tuple[Float32, Bool]]


@dataclass(frozen=True, eq=False)
class Picture:
    """Rendered pixels (h, w), 0 where no tile has data; ``mask`` (h, w) is False there.

    Pixels are float32, or the integers that `render_whole` was asked for.
    """

    pixels: Image
    mask: Bool


class Layer(Protocol):
    """A layer as integers, given by rows."""

    def rows(self, part: slice) -> Drawn:
        """Return some rows.

        Parameters
        ----------
        part
            Rows, in steps of one.

        Returns
        -------
        Drawn
            (n, w) of the type that was asked for.
        """
        ...


def place(tiles: TileSet) -> list[Placed]:
    """Return all tiles with their whole chains (raw pixels to world).

    Parameters
    ----------
    tiles
        Specs and shared transforms.

    Returns
    -------
    list of Placed
        Sorted by tile id.
    """
    return [
        Placed(tile, tiles.chain(tile)) for tile in sorted(tiles.tiles, key=lambda t: t.tile_id)
    ]


def place_layers(tiles: TileSet) -> dict[int, list[Placed]]:
    """Return `place` of each layer.

    Parameters
    ----------
    tiles
        Specs and shared transforms.

    Returns
    -------
    dict
        z to its tiles, in ascending order; z without tiles are absent.
    """
    out: dict[int, list[Placed]] = {}
    for one in sorted(place(tiles), key=lambda one: one.tile.z):
        out.setdefault(round(one.tile.z), []).append(one)
    return out


def file_source(tile: TileSpec, level: int) -> tuple[Image, Image | None]:
    """Read image and mask of a tile from the files that its URLs name.

    Parameters
    ----------
    tile
        The tile.
    level
        Mipmap level.

    Returns
    -------
    tuple
        Image (h, w), its filters applied, and mask (0 = no data) or None.
    """
    shape = (tile.height, tile.width)
    image = filters.unrounded(pixels.read_image(tile.image_url, level), tile, level)
    return image, masks.read(tile.mask_url, shape, level)


def render(
    placed: Sequence[Placed],
    box: Box,
    *,
    scale: float = 1.0,
    blend: str = "feather",
    source: Source | None = None,
    interpolation: str = "linear",
) -> Picture:
    """Render the tiles inside a box, in float32.

    Output pixel (i, j) shows ``(box.x0 + i / scale, box.y0 + j / scale)`` of the output frame; the
    size is ``trunc(scale * width)`` by ``trunc(scale * height)``. Source pixels come from the
    mipmap level of `pixels.level_for`. Nothing outside a tile's pixel centres is shown.

    Parameters
    ----------
    placed
        Tiles in any order; they are drawn in order of their ids.
    box
        Part of the output frame, px.
    scale
        Output pixels per px of the frame.
    blend
        ``"last"``: the tile with the greatest id wins. ``"feather"``: weighted mean, weight =
        distance to the border of the tile's own unmasked area in source px, so seams vanish.
    source
        Gives image and mask (0 = no data; None = all data) of a tile at a level; None: the files
        that the tile's URLs name, of which only the part inside `box` is read.
    interpolation
        ``"linear"`` or ``"cubic"`` (OpenCV's kernel, a = -0.75, which may overshoot).

    Returns
    -------
    Picture
        (h, w) float32.

    Raises
    ------
    ValueError
        For an unknown `blend` or `interpolation`, or a scale that is not positive.
    """
    _check(blend, interpolation)
    grid, level, ordered = Grid(box, scale), pixels.level_for(scale), _ordered(placed)
    found = (warp.warp(one, grid, level, source=source, how=interpolation) for one in ordered)
    tiles = [one for one in found if one is not None]
    return _put_together(tiles, grid.shape, _BLENDS[blend])


def prepare(
    placed: Sequence[Placed],
    box: Box,
    *,
    dtype: str,
    scale: float = 1.0,
    blend: str = "feather",
    interpolation: str = "linear",
) -> Layer:
    """Prepare what `render` shows as integers, rounded half up and clipped.

    Tiles that are moved by affines, before them by a scan correction or not, are drawn when rows
    are asked for, a few times faster than by `render` (`mosaic`); others are rendered here.

    Parameters
    ----------
    placed, box
        As of `render`.
    dtype
        ``"uint8"`` or ``"uint16"``.
    scale, blend, interpolation
        As of `render`.

    Returns
    -------
    Layer
        To ask for rows.

    Raises
    ------
    ValueError
        As `render`.
    """
    _check(blend, interpolation)
    grid, level, ordered = Grid(box, scale), pixels.level_for(scale), _ordered(placed)
    if interpolation == "linear" and mosaic.suits(ordered, level):
        layer = mosaic.prepare(ordered, grid, level, last=blend == "last", dtype=dtype)
        if layer is not None:
            return layer
    exact = render(placed, box, scale=scale, blend=blend, interpolation=interpolation)
    return _rounded(exact, dtype)


def render_whole(
    placed: Sequence[Placed], box: Box, *, dtype: str, scale: float = 1.0, blend: str = "feather"
) -> Picture:
    """Render as `prepare` does, all rows.

    Parameters
    ----------
    placed, box, dtype, scale, blend
        As of `prepare`.

    Returns
    -------
    Picture
        (h, w) of `dtype`.

    Raises
    ------
    ValueError
        As `render`.
    """
    drawn = prepare(placed, box, dtype=dtype, scale=scale, blend=blend).rows(slice(None))
    return Picture(drawn.pixels, drawn.mask)


def _check(blend: str, interpolation: str) -> None:
    for name, value, known in (
        ("blend", blend, _BLENDS),
        ("interpolation", interpolation, warp.INTERPOLATIONS),
    ):
        if value not in known:
            raise ValueError(f"{name} must be one of {sorted(known)}, found {value!r}")


def _ordered(placed: Sequence[Placed]) -> list[Placed]:
    return sorted(placed, key=lambda one: one.tile.tile_id)


def canvas(
    tiles: TileSet,
    tile: TileSpec,
    *,
    scale: float,
    clip: Box | None = None,
    source: Source | None = None,
) -> tuple[Picture, tuple[float, float]]:
    """Render one tile in its matching frame: the scan correction alone, no stage transform.

    The frame's origin is the raw tile's, not the corner of its box, so that a match point goes to
    the world by the tile's last transform alone.

    Parameters
    ----------
    tiles
        The tile's shared transforms.
    tile
        The tile.
    scale
        Output pixels per full-scale px.
    clip
        Part of the frame that is wanted, full-scale px; None: all of it.
    source
        As of `render`.

    Returns
    -------
    tuple
        The picture, and (x, y): pixel (i, j) shows ``(x + i / scale, y + j / scale)`` of the frame,
        full-scale px, whole numbers.
    """
    chain = tiles.scan_chain(tile)
    box = matching_box(tile, chain)
    if clip is not None:
        box = Box(
            max(box.x0, math.floor(clip.x0)),
            max(box.y0, math.floor(clip.y0)),
            min(box.x1, math.ceil(clip.x1)),
            min(box.y1, math.ceil(clip.y1)),
        )
    picture = render([Placed(tile, chain)], box, scale=scale, blend="last", source=source)
    return picture, (box.x0, box.y0)


def level_canvas(
    tiles: TileSet,
    tile: TileSpec,
    level: int,
    *,
    clip: Box | None = None,
    source: Source | None = None,
) -> tuple[Picture, tuple[float, float]]:
    """Return one tile in its matching frame, a canvas pixel on each pixel of a mipmap level.

    Where there is no scan correction these are the level's own pixels: none is interpolated, which
    would soften the finest structures, by another amount in each tile.

    Parameters
    ----------
    tiles, tile
        As of `canvas`.
    level
        Mipmap level.
    clip, source
        As of `canvas`.

    Returns
    -------
    tuple
        The picture, and the place (x, y) of pixel 0 in the frame, full-scale px, which ends in
        ``(2**level - 1) / 2``.
    """
    chain = tiles.scan_chain(tile)
    box, step = matching_box(tile, chain), 1 << level
    x0, y0, x1, y1 = box.x0, box.y0, box.x1, box.y1
    if clip is not None:
        x0, y0, x1, y1 = max(x0, clip.x0), max(y0, clip.y0), min(x1, clip.x1), min(y1, clip.y1)
    columns = slice(math.ceil((x0 - box.x0) / step), math.floor((x1 - box.x0) / step))
    rows = slice(math.ceil((y0 - box.y0) / step), math.floor((y1 - box.y0) / step))
    origin = (
        box.x0 + columns.start * step + (step - 1) / 2,
        box.y0 + rows.start * step + (step - 1) / 2,
    )
    if chain.parts:
        width, height = (max(s.stop - s.start, 0) * step for s in (columns, rows))
        box = Box(*origin, origin[0] + width, origin[1] + height)
        return render([Placed(tile, chain)], box, scale=1 / step, source=source), origin
    image, mask = (source or file_source)(tile, level)
    values = np.asarray(image[rows, columns], np.float32)
    valid = np.ones(values.shape, bool) if mask is None else mask[rows, columns] == 255
    return Picture(values, np.asarray(valid)), origin


def matching_box(tile: TileSpec, scan_chain: Chain) -> Box:
    """Return the box of a tile in its matching frame.

    Parameters
    ----------
    tile
        The tile.
    scan_chain
        Its scan correction.

    Returns
    -------
    Box
        Whole px around all its pixel centres.
    """
    border = scan_chain.apply(maps.border(tile.width, tile.height))
    low, high = border.min(axis=0), border.max(axis=0)
    return Box(
        math.floor(low[0] + FUZZ_DOUBLE_PX),
        math.floor(low[1] + FUZZ_DOUBLE_PX),
        math.floor(high[0] + FUZZ_DOUBLE_PX) + 1,
        math.floor(high[1] + FUZZ_DOUBLE_PX) + 1,
    )


# ---------------------------------------------------------------------------------------------
# several tiles
# ---------------------------------------------------------------------------------------------


def _put_together(tiles: Sequence[Warped], shape: tuple[int, int], blend: _Blend) -> Picture:
    """Cut the output where tiles begin and end, and blend only the cells where it matters."""
    out, mask = np.zeros(shape, np.float32), np.zeros(shape, bool)
    for cell, present in _cells(tiles):
        if len(present) == 1 and _covers(present[0].inner, cell):
            out[cell], mask[cell] = present[0].part(cell), True
        else:
            out[cell], mask[cell] = blend(present, cell)
    return Picture(out, mask)


def _rounded(picture: Picture, dtype: str) -> Drawn:
    from scripts.lib.drawing import spans  # a second to import

    nearest = np.floor(picture.pixels + np.float32(0.5))
    whole = np.clip(nearest, 0, np.iinfo(dtype).max).astype(dtype)
    return Drawn(whole, spans.spans_of(picture.mask))


def _cells(tiles: Sequence[Warped]) -> Iterator[tuple[Window, list[Warped]]]:
    """Return rectangles in which the same tiles can have data, with these tiles in their order."""
    for rows in _spans([part[0] for one in tiles for part in (one.window, one.inner)]):
        beside = [one for one in tiles if _holds(one.window[0], rows)]
        for columns in _spans([part[1] for one in beside for part in (one.window, one.inner)]):
            present = [one for one in beside if _holds(one.window[1], columns)]
            if present:
                yield (rows, columns), present


def _spans(parts: Sequence[slice]) -> list[slice]:
    cuts = sorted({edge for part in parts for edge in (part.start, part.stop)})
    return [slice(a, b) for a, b in zip(cuts, cuts[1:], strict=False)]


def _holds(whole: slice, part: slice) -> bool:
    return bool(whole.start <= part.start and part.stop <= whole.stop)


def _covers(whole: Window, part: Window) -> bool:
    return _holds(whole[0], part[0]) and _holds(whole[1], part[1])


def _last(tiles: Sequence[Warped], cell: Window) -> tuple[Float32, Bool]:
    """Return the picture in which later tiles overwrite earlier ones wherever they have data."""
    shape = (cell[0].stop - cell[0].start, cell[1].stop - cell[1].start)
    out, mask = np.zeros(shape, np.float32), np.zeros(shape, bool)
    for one in tiles:
        has = one.weights(cell) > 0
        np.copyto(out, one.part(cell), where=has)
        mask |= has
    return out, mask


def _feather(tiles: Sequence[Warped], cell: Window) -> tuple[Float32, Bool]:
    """Return the weighted mean of all tiles that have data."""
    if len(tiles) == 1:  # the value itself, not a rounded quotient
        return _last(tiles, cell)
    total, weight = tiles[0].part(cell).copy(), tiles[0].weights(cell)
    total *= weight
    for one in tiles[1:]:
        more = one.weights(cell)
        weight += more
        more *= one.part(cell)
        total += more
    mask = weight > 0
    np.divide(total, weight, out=total, where=mask)
    return total, mask


_BLENDS: dict[str, _Blend] = {"last": _last, "feather": _feather}
