"""Warp: the pixels of one tile in a window of the output frame, resampled once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from scripts.lib.arrays import Array, Bool, Float32, Image
from scripts.lib.drawing import filters, maps, masks, pixels
from scripts.lib.drawing.maps import EDGE_WEIGHT, FUZZ_PX, Grid, Locator, Placed, Window
from scripts.lib.service.records import TileSpec
from scripts.lib.transforms import Affine, AxisOffset

Source = Callable[[TileSpec, int], tuple[Image, Image | None]]

INTERPOLATIONS = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}
_REACH = {cv2.INTER_LINEAR: 1, cv2.INTER_CUBIC: 2}  # px that an interpolation looks beside


@dataclass(frozen=True)
class Data:
    """Where a tile has data: between `low` and `high` (x, y), full-scale px, both included."""

    low: Array
    high: Array


@dataclass(frozen=True, eq=False)
class Warped:
    """What one tile gives to the output.

    ``window``: the rows and columns it can reach; ``inner``: those where it has data everywhere
    (may be empty); ``values``: (h, w) of the window.
    """

    window: Window
    inner: Window
    values: Float32
    locator: Locator
    data: Data
    distance: Float32 | None = None  # of the window; given where a mask is no rectangle

    def part(self, window: Window) -> Float32:
        """Return the values of a part of the window.

        Parameters
        ----------
        window
            Rows and columns of the output.

        Returns
        -------
        Float32
            (h, w), a view.
        """
        return self.values[_within(window, self.window)]

    def weights(self, window: Window) -> Float32:
        """Return the distance to the border of the tile's data.

        Parameters
        ----------
        window
            Rows and columns of the output.

        Returns
        -------
        Float32
            (h, w), full-scale px; 0 where there is no data.
        """
        if self.distance is not None:
            return self.distance[_within(window, self.window)]
        return _weights(*self.locator.at(window), self.data)


def warp(
    one: Placed, grid: Grid, level: int, *, source: Source | None = None, how: str = "linear"
) -> Warped | None:
    """Resample a tile into the output.

    Parameters
    ----------
    one
        The tile.
    grid
        The output.
    level
        Mipmap level to read.
    source
        Gives image and mask of a tile at a level; None: the files that the tile's URLs name.
    how
        A key of `INTERPOLATIONS`.

    Returns
    -------
    Warped or None
        None where the tile cannot be seen.
    """
    tile = one.tile
    window = reached(one, grid)
    if window is None:
        return None
    # a tile smaller than the level has no such level: the deepest that holds a pixel serves
    level = min(level, min(tile.width, tile.height).bit_length() - 1)
    locator = maps.locator(one, grid, window, level)
    if source is not None:
        return _from_arrays(one, grid, window, level, locator, *source(tile, level), how)
    crop = _needed(locator, window, tile, level, INTERPOLATIONS[how])
    image = read(tile, level, crop)
    values = _values(locator, image, (crop[1].start, crop[0].start), window, how)
    if tile.mask_url is not None and masks.is_picture(tile.mask_url):
        field = masks.border_distance(tile.mask_url, (tile.height, tile.width), level)
        return _masked(one, window, values, locator, field[crop], crop, level)
    data = data_of(tile, level, masked=tile.mask_url)
    return Warped(window, _inner(one, grid, window, data), values, locator, data)


def read(tile: TileSpec, level: int, crop: Window) -> Image:
    """Read a part of a tile's level, filtered.

    A filter may need the whole tile to know what to do with a part.

    Parameters
    ----------
    tile
        Whose image.
    level
        Mipmap level.
    crop
        Rows and columns of the level.

    Returns
    -------
    Image
        (h, w) of the crop; float32 when the tile has filters, else of the stored dtype.
    """
    if filters.pointwise(tile):
        corner = (crop[0].start, crop[1].start)
        part = pixels.read_image(tile.image_url, level, crop)
        return filters.unrounded(part, tile, level, corner)
    return filters.unrounded(pixels.read_image(tile.image_url, level), tile, level)[crop]


def _from_arrays(
    one: Placed,
    grid: Grid,
    window: Window,
    level: int,
    locator: Locator,
    image: Image,
    mask: Image | None,
    how: str,
) -> Warped:
    """Resample an image that somebody else read, with a mask of any form."""
    crop = _needed(locator, window, one.tile, level, INTERPOLATIONS[how])
    values = _values(locator, image[crop], (crop[1].start, crop[0].start), window, how)
    if mask is None:
        data = data_of(one.tile, level, masked=None)
        return Warped(window, _inner(one, grid, window, data), values, locator, data)
    field = masks.distance_field(_unmasked(mask))[crop]
    return _masked(one, window, values, locator, field, crop, level)


def _masked(
    one: Placed,
    window: Window,
    values: Float32,
    locator: Locator,
    field: Float32,
    crop: Window,
    level: int,
) -> Warped:
    """Put together what a tile with a mask of any form gives; `field` is that of the crop."""
    data = data_of(one.tile, level, masked=None)
    distance = _masked_weights(locator, field, crop, window, data, level)
    nothing = (slice(window[0].start, window[0].start),) * 2
    return Warped(window, nothing, values, locator, data, distance)


# ---------------------------------------------------------------------------------------------
# where
# ---------------------------------------------------------------------------------------------


def reached(one: Placed, grid: Grid) -> Window | None:
    """Return the part of the output that a tile can reach, with one pixel of margin.

    Parameters
    ----------
    one
        The tile.
    grid
        The output.

    Returns
    -------
    Window or None
        Rows and columns; None when there are none.
    """
    low, high = one.extent
    origin = np.array([grid.box.x0, grid.box.y0])
    first = np.maximum(np.floor((low - origin) * grid.scale) - 1, 0).astype(int)
    last = np.minimum(np.ceil((high - origin) * grid.scale) + 2, grid.shape[::-1]).astype(int)
    if (first >= last).any():
        return None
    return slice(int(first[1]), int(last[1])), slice(int(first[0]), int(last[0]))


def _inner(one: Placed, grid: Grid, window: Window, data: Data) -> Window:
    """Return rows and columns where the tile has data everywhere; a pixel is given up for rounding.

    An axis-wise correction and an affine keep the sides of a rectangle straight, so its corners
    say all; of other transforms nothing is known.
    """
    (x0, y0), (x1, y1) = data.low, data.high
    straight = all(isinstance(part, Affine | AxisOffset) for part in one.chain.parts)
    if not straight or x0 >= x1 or y0 >= y1:
        return slice(0, 0), slice(0, 0)
    corners = one.chain.apply(np.array([[x0, y0], [x1, y0], [x0, y1], [x1, y1]]))
    x, y = ((corners - [grid.box.x0, grid.box.y0]) * grid.scale).T
    columns = _between(max(x[0], x[2]), min(x[1], x[3]), window[1])
    rows = _between(max(y[0], y[1]), min(y[2], y[3]), window[0])
    return rows, columns


def _between(low: float, high: float, limits: slice) -> slice:
    start = max(math.ceil(low + maps.FUZZ_DOUBLE_PX) + (low > limits.start), limits.start)
    stop = min(math.floor(high - maps.FUZZ_DOUBLE_PX) + (high >= limits.stop - 1), limits.stop)
    return slice(start, max(start, stop))


def data_of(tile: TileSpec, level: int, *, masked: str | None) -> Data:
    """Return the rectangle of a tile's data at a level.

    An odd last row that the level does not hold is outside; the half level pixel between the
    tile's border and the first centre of the level is inside, and takes that centre's value. At
    the sides of a mask only pixels count that need no masked one.

    Parameters
    ----------
    tile
        The tile.
    level
        Mipmap level.
    masked
        URL of the mask, or None.

    Returns
    -------
    Data
        Full-scale px.
    """
    size = np.array([tile.width >> level, tile.height >> level])
    low, high = np.zeros(2), np.asarray((size << level) - 1, float)
    if masked is None:
        return Data(low, high)
    box = np.reshape(masks.box(masked, (tile.height, tile.width)), (2, 2))
    half = ((1 << level) - 1) / 2
    first, last = np.ceil(box[0] / (1 << level)), np.floor(box[1] / (1 << level)) - 1
    low = np.where(box[0] > 0, first * (1 << level) + half, low)
    high = np.where(box[1] <= high, last * (1 << level) + half, high)
    return Data(np.asarray(low, float), np.asarray(high, float))


def _within(window: Window, whole: Window) -> Window:
    rows, columns = (
        slice(part.start - all_.start, part.stop - all_.start)
        for part, all_ in zip(window, whole, strict=True)
    )
    return rows, columns


# ---------------------------------------------------------------------------------------------
# values and weights
# ---------------------------------------------------------------------------------------------


def _needed(locator: Locator, window: Window, tile: TileSpec, level: int, how: int) -> Window:
    """Return rows and columns of the level image that the window touches: the rest is not read."""
    found = maps.around(locator, window)
    shift, unit, reach = ((1 << level) - 1) / 2, 1 << level, _REACH[how]
    spans = []
    for axis, size in ((1, tile.height >> level), (0, tile.width >> level)):
        low = (min(float(at[axis].min()) for at in found) - shift) / unit
        high = (max(float(at[axis].max()) for at in found) - shift) / unit
        start = min(max(math.floor(low) - reach, 0), size - 1)
        spans.append(slice(start, max(start + 1, min(math.ceil(high) + reach + 1, size))))
    return spans[0], spans[1]


def _values(
    locator: Locator, crop: Image, origin: tuple[int, int], window: Window, how: str
) -> Float32:
    image = np.ascontiguousarray(crop, dtype=np.float32)
    return locator.sample(image, origin, window, INTERPOLATIONS[how])


def _weights(at_x: Float32, at_y: Float32, data: Data) -> Float32:
    """Return the distance to the border of the data, at least a little inside it and 0 outside."""
    near = [
        np.float32((high - low) / 2) - np.abs(at - np.float32((low + high) / 2))
        for at, low, high in zip((at_x, at_y), data.low, data.high, strict=True)
    ]
    distance = np.minimum(*near)
    weight: Float32 = np.maximum(distance, np.float32(0))
    weight += np.float32(EDGE_WEIGHT)
    weight *= distance >= -FUZZ_PX
    return weight


def _masked_weights(
    locator: Locator, field: Float32, crop: Window, window: Window, data: Data, level: int
) -> Float32:
    """Return weights inside a mask of any form: 0 wherever a masked pixel would take part.

    `field` is the distance of the crop's pixels to the border of the mask, 0 where masked.
    """
    origin = (crop[1].start, crop[0].start)
    share = locator.sample((field > 0).astype(np.float32), origin, window, cv2.INTER_LINEAR)
    near = locator.sample(field, origin, window, cv2.INTER_LINEAR)
    inside = (_weights(*locator.at(window), data) > 0) & (share > 1 - 1e-4)
    distance = np.maximum((near - 1) * np.float32(1 << level), 0) + np.float32(EDGE_WEIGHT)
    return np.asarray(inside * distance, np.float32)


def _unmasked(mask: Image) -> Bool:
    """Tell where the whole level pixel is unmasked (True, or 255 of 255)."""
    return np.equal(mask, True if mask.dtype == bool else masks.WHITE)
