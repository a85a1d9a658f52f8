"""16-bit to 8-bit: one contrast range for all tiles of a layer.

With m and s the mean and the population standard deviation of the unsaturated pixels of all tiles,
the range is A = min(m + 4s, 32767) to B = max(m - 4s, -32768). Contrast is inverted: A becomes 0, B
becomes 255 (the detector records stain bright, users expect membranes dark). Layers of the config's
`transfer.keep_contrast` are stretched alike and not inverted: their A becomes 255, their B 0.

8-bit images go the same way, their values taken for counts of 16 bits, of which none is saturated;
where a layer has tiles of both depths, each depth has its own range.

Sixteen bits have 65,536 values, so the layer is described exactly by a histogram and converted by
a table: statistics are integer arithmetic, independent of tile order, and tiles of any sizes pool.

Cases the formula leaves open, defined here: a constant layer becomes 128 (saturated pixels in it 0
where high, 255 where low); a layer with saturated pixels only becomes 0 where saturated high and
255 where low; the other way round where contrast is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lib.arrays import Bytes, Image, Int64
from scripts.lib.job import UserError
from scripts.lib.names import LayerName, parse_layer

VALUES = 65536
SIGMAS = 4.0
MARGIN = 3  # levels at both ends of the 16-bit range that count as saturated
_LOW, _HIGH = -32768, 32767
_BLOCK = 1 << 20  # px converted at once: bounds the 8-byte indices that numpy makes

_LEVELS = np.arange(VALUES, dtype=np.uint16).view(np.int16).astype(np.int64)  # code -> pixel value


@dataclass(frozen=True)
class Range:
    """Raw levels that become 0 (`black`) and 255 (`white`); None when no pixel is unsaturated."""

    black: float
    white: float


@dataclass(frozen=True)
class Kept:
    """Layers whose contrast is not inverted: from `first` to `last`, inclusive; None is open."""

    first: LayerName | None = None
    last: LayerName | None = None

    @staticmethod
    def of(index: int, value: Mapping[str, Any]) -> Kept:
        """Read one entry of the config's `transfer.keep_contrast`, the one of number `index`.

        Raises
        ------
        UserError
            When one of its ends names no layer.
        """
        ends = []
        for key in ("first_dat", "last_dat"):
            try:
                ends.append(parse_layer(value[key]) if value.get(key) else None)
            except ValueError as error:
                raise UserError(f"transfer.keep_contrast[{index}].{key}: {error}") from error
        return Kept(*ends)

    def holds(self, layer: LayerName) -> bool:
        """Tell whether a layer lies between the ends."""
        after = self.first is None or layer.order >= self.first.order
        return after and (self.last is None or layer.order <= self.last.order)


@dataclass(frozen=True)
class Fill:
    """A rectangle of some tiles in which pixels above `threshold` become `value` (raw levels)."""

    tiles: tuple[str, ...]
    x_px: int
    y_px: int
    width_px: int
    height_px: int
    threshold: int
    value: int

    @staticmethod
    def of(value: Mapping[str, Any]) -> Fill:
        """Read one entry of the config's `transfer.fill`."""
        return Fill(**{**value, "tiles": tuple(value["tiles"])})


def filled(pixels: Image, tile_key: str, fills: Sequence[Fill]) -> NDArray[Any]:
    """Return (y, x) pixels with the rectangles of `tile_key` filled; the input is not changed."""
    mine = [fill for fill in fills if tile_key in fill.tiles]
    if not mine:
        return pixels
    out = pixels.copy()
    for fill in mine:
        part = out[fill.y_px : fill.y_px + fill.height_px, fill.x_px : fill.x_px + fill.width_px]
        part[part > fill.threshold] = fill.value
    return out


def codes(pixels: Image) -> NDArray[np.uint16]:
    """Return int16 pixels of any byte order as flat unsigned codes 0..65535."""
    return np.ascontiguousarray(pixels, np.int16).view(np.uint16).reshape(-1)


def histogram(images: Iterable[NDArray[Any]]) -> Int64:
    """Count the values of int16 images of any shapes; (65536,) indexed by code."""
    counts = np.zeros(VALUES, np.int64)
    for image in images:
        flat = codes(image)
        for start in range(0, len(flat), _BLOCK):
            counts += np.bincount(flat[start : start + _BLOCK], minlength=VALUES)
    return counts


def stretch(counts: Int64) -> Range | None:
    """Return the range of a layer from its histogram; None when every pixel is saturated."""
    good = (_LEVELS >= _LOW + MARGIN) & (_LEVELS < _HIGH - MARGIN)
    values, numbers = _LEVELS[good], counts[good]
    # exact: 64-bit sums hold 8e9 pixels, the Python integers below anything
    total, first, second = (int(numbers @ values**power) for power in (0, 1, 2))
    if total == 0:
        return None
    mean = first / total
    deviation = sqrt((second * total - first * first) / (total * total))
    return Range(
        black=min(mean + SIGMAS * deviation, float(_HIGH)),
        white=max(mean - SIGMAS * deviation, float(_LOW)),
    )


def table(limits: Range | None, *, invert: bool = True) -> Bytes:
    """Return the (65536,) 8-bit value of every code for a range.

    Of a range without extent, or none, `invert` says which end is dark.
    """
    bright, dark = (0, 255) if invert else (255, 0)
    if limits is None:
        return np.where(_LEVELS >= 0, bright, dark).astype(np.uint8)
    if limits.black == limits.white:
        value = 128 - 128 * np.sign(_LEVELS - limits.black) * (1 if invert else -1)
    else:
        value = 255 * (_LEVELS - limits.black) / (limits.white - limits.black) + 0.5
    out: Bytes = value.clip(0, 255).astype(np.uint8)  # the cast truncates toward zero
    return out


def convert(pixels: Image, levels: Bytes) -> Bytes:
    """Return the 8-bit image of int16 (y, x) pixels by a table of `table`."""
    flat = codes(pixels)
    out = np.empty(flat.shape, np.uint8)
    for start in range(0, len(flat), _BLOCK):
        np.take(levels, flat[start : start + _BLOCK], out=out[start : start + _BLOCK])
    return out.reshape(pixels.shape)


def to_eight_bit(
    images: Mapping[str, NDArray[Any]], fills: Sequence[Fill] = (), *, invert: bool = True
) -> tuple[dict[str, Bytes], Range | None]:
    """Convert all tiles of a layer with one range for each bit depth.

    Parameters
    ----------
    images
        Tile key -> (y, x) pixels, int16 of any byte order, or uint8.
    fills
        Bright patches to hide before the statistics.
    invert
        Whether high counts become dark.

    Returns
    -------
    Tile key -> (y, x) uint8, and the range used, of the 16-bit tiles where there are any (None:
    no pixel of theirs is unsaturated).
    """
    depths: dict[int, dict[str, NDArray[Any]]] = {}
    for key, image in images.items():
        # counts of 16 bits: what a fill puts in need not fit into 8
        counts = image.astype(np.int16) if image.dtype == np.uint8 else image
        depths.setdefault(image.dtype.itemsize, {})[key] = filled(counts, key, fills)
    out: dict[str, Bytes] = {}
    limits: Range | None = None
    for _, tiles in sorted(depths.items()):  # 16 bits last
        limits = stretch(histogram(tiles.values()))
        if limits is not None and not invert:
            limits = Range(black=limits.white, white=limits.black)
        levels = table(limits, invert=invert)
        out |= {key: convert(image, levels) for key, image in tiles.items()}
    return {key: out[key] for key in images}, limits
