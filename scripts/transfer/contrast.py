"""16-bit to 8-bit: one contrast range for all tiles of a layer.

With m and s the mean and the population standard deviation of the unsaturated pixels of all tiles
(those that show the specimen: `grey_levels`), the range is A = min(m + 4s, 32767) to
B = max(m - 4s, -32768). Contrast is inverted: A becomes 0, B becomes 255 (the detector records
stain bright, users expect membranes dark). Layers of the config's `transfer.keep_contrast` are
stretched alike and not inverted: their A becomes 255, their B 0.

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
from scripts.lib.names import LayerRange
from scripts.transfer import grey_levels
from scripts.transfer.grey_levels import HIGH, LEVELS, LOW, VALUES

SIGMAS = 4.0
_BLOCK = 1 << 20  # px converted at once: bounds the 8-byte indices that numpy makes


@dataclass(frozen=True)
class Range:
    """Raw levels that become 0 (`black`) and 255 (`white`); None when no pixel is unsaturated."""

    black: float
    white: float


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
        """Read one entry of the config's `transfer.fill`.

        Parameters
        ----------
        value
            One entry of ``transfer.fill`` of the config.

        Returns
        -------
        Fill
            Lengths in px, threshold and value in raw levels.
        """
        return Fill(**{**value, "tiles": tuple(value["tiles"])})


def kept(entries: Sequence[Mapping[str, Any]]) -> tuple[LayerRange, ...]:
    """Read the config's `transfer.keep_contrast`: layers whose contrast is not inverted.

    Parameters
    ----------
    entries
        As the config has them.

    Returns
    -------
    tuple of LayerRange
        One for each entry.

    Raises
    ------
    UserError
        Names the entry, and the key of it that holds no layer.
    """
    out = []
    for index, entry in enumerate(entries):
        try:
            out.append(LayerRange.of(entry))
        except ValueError as error:
            raise UserError(f"transfer.keep_contrast[{index}].{error}") from error
    return tuple(out)


def filled(pixels: Image, tile_key: str, fills: Sequence[Fill]) -> NDArray[Any]:
    """Return pixels with the rectangles of a tile filled.

    Parameters
    ----------
    pixels
        (y, x) raw levels; never changed.
    tile_key
        The tile.
    fills
        Rectangles of all tiles.

    Returns
    -------
    ndarray
        (y, x), of the same type; `pixels` itself where nothing is to be filled.
    """
    mine = [fill for fill in fills if tile_key in fill.tiles]
    if not mine:
        return pixels
    out = pixels.copy()
    for fill in mine:
        part = out[fill.y_px : fill.y_px + fill.height_px, fill.x_px : fill.x_px + fill.width_px]
        part[part > fill.threshold] = fill.value
    return out


def codes(pixels: Image) -> NDArray[np.uint16]:
    """Return pixels as unsigned codes.

    Parameters
    ----------
    pixels
        int16 of any byte order and shape.

    Returns
    -------
    ndarray
        (n,) uint16: 0 to 32767 for levels from 0 up, 32768 to 65535 for -32768 to -1.
    """
    return np.ascontiguousarray(pixels, np.int16).view(np.uint16).reshape(-1)


def histogram(images: Iterable[NDArray[Any]]) -> Int64:
    """Count the values of images.

    Parameters
    ----------
    images
        int16, of any byte order and shapes.

    Returns
    -------
    Int64
        (65536,) pixels by code.
    """
    counts = np.zeros(VALUES, np.int64)
    for image in images:
        flat = codes(image)
        for start in range(0, len(flat), _BLOCK):
            counts += np.bincount(flat[start : start + _BLOCK], minlength=VALUES)
    return counts


def stretch(counts: Int64) -> Range | None:
    """Compute the range of a layer from its histogram.

    Parameters
    ----------
    counts
        (65536,) pixels by code.

    Returns
    -------
    Range or None
        Raw levels; None when every pixel is saturated.
    """
    total, first, second = grey_levels.moments(counts)
    if total == 0:
        return None
    mean = first / total
    deviation = sqrt((second * total - first * first) / (total * total))
    return Range(
        black=min(mean + SIGMAS * deviation, float(HIGH)),
        white=max(mean - SIGMAS * deviation, float(LOW)),
    )


def table(limits: Range | None, *, invert: bool = True) -> Bytes:
    """Return the 8-bit value of every code.

    Parameters
    ----------
    limits
        Raw levels that become 0 and 255; None: all pixels are saturated.
    invert
        Which end is dark of a range without extent, or none.

    Returns
    -------
    Bytes
        (65536,) uint8, rounded half up.
    """
    bright, dark = (0, 255) if invert else (255, 0)
    if limits is None:
        return np.where(LEVELS >= 0, bright, dark).astype(np.uint8)
    if limits.black == limits.white:
        value = 128 - 128 * np.sign(LEVELS - limits.black) * (1 if invert else -1)
    else:
        value = 255 * (LEVELS - limits.black) / (limits.white - limits.black) + 0.5
    out: Bytes = value.clip(0, 255).astype(np.uint8)  # the cast truncates toward zero
    return out


def convert(pixels: Image, levels: Bytes) -> Bytes:
    """Return an image in 8 bit.

    Parameters
    ----------
    pixels
        (y, x) int16 of any byte order.
    levels
        (65536,) uint8 by code, of `table`.

    Returns
    -------
    Bytes
        (y, x) uint8.
    """
    flat = codes(pixels)
    out = np.empty(flat.shape, np.uint8)
    for start in range(0, len(flat), _BLOCK):
        np.take(levels, flat[start : start + _BLOCK], out=out[start : start + _BLOCK])
    return out.reshape(pixels.shape)


def to_eight_bit(
    images: Mapping[str, NDArray[Any]], fills: Sequence[Fill] = (), *, invert: bool = True
) -> tuple[dict[str, Bytes], Range | None, dict[str, str]]:
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
    tuple
        (y, x) uint8 by tile key; the range used, of the 16-bit tiles where there are any (None:
        no pixel of theirs is unsaturated); and what is wrong with tiles that show nothing, by key.
    """
    depths: dict[int, dict[str, NDArray[Any]]] = {}
    for key, image in images.items():
        # counts of 16 bits: what a fill puts in need not fit into 8
        counts = image.astype(np.int16) if image.dtype == np.uint8 else image
        depths.setdefault(image.dtype.itemsize, {})[key] = filled(counts, key, fills)
    out: dict[str, Bytes] = {}
    faults: dict[str, str] = {}
    limits: Range | None = None
    for _, tiles in sorted(depths.items()):  # 16 bits last
        found = {key: histogram([image]) for key, image in tiles.items()}
        faults |= grey_levels.faults(found)
        limits = stretch(grey_levels.of_signal(found))
        if limits is not None and not invert:
            limits = Range(black=limits.white, white=limits.black)
        levels = table(limits, invert=invert)
        out |= {key: convert(image, levels) for key, image in tiles.items()}
    return {key: out[key] for key in images}, limits, faults
