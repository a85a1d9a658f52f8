"""Mipmaps: 2x2 means, each level from exact means of full scale, rounded half up.

The reference truncates each level and computes the next from it, which darkens by about 0.4 grey
levels per level; here sums stay integers until the end, so no level is biased. An odd last row or
column is dropped at every level.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lib.arrays import Bytes

_MOST_OF_16_BITS = 4  # level whose sums, 4**4 * 255 and the half of 4**4, are below 2**16


def level_count(height: int, width: int, most: int) -> int:
    """Return the number of levels besides full scale.

    Parameters
    ----------
    height, width
        px at full scale.
    most
        Levels asked for.

    Returns
    -------
    int
        Min(most, floor(log2(shorter side)) - 1), or 0.
    """
    return max(0, min(most, min(height, width).bit_length() - 2))


def levels(image: Bytes, most: int) -> Iterator[Bytes]:
    """Compute the levels of an image.

    Parameters
    ----------
    image
        (y, x) uint8.
    most
        Levels besides full scale, at most.

    Yields
    ------
    Bytes
        (y >> k, x >> k) uint8 for k = 0, 1, 2 …, `level_count` levels after the first.
    """
    yield image
    sums: Bytes | NDArray[np.unsignedinteger[Any]] = image
    for level in range(1, level_count(image.shape[0], image.shape[1], most) + 1):
        # 4**level pixels per sum, and half of it, which rounds half up: 16 bits hold them to level
        # 4 and are half of what has to go through the memory; 32 bits to level 12
        kind = np.uint16 if level <= _MOST_OF_16_BITS else np.uint32
        sums = _sum_2x2(sums, kind)
        yield ((sums + kind(1 << (2 * level - 1))) >> kind(2 * level)).astype(np.uint8)


def _sum_2x2(
    values: Bytes | NDArray[np.unsignedinteger[Any]], kind: type[np.uint16 | np.uint32]
) -> NDArray[np.unsignedinteger[Any]]:
    h, w = values.shape[0] // 2 * 2, values.shape[1] // 2 * 2
    rows = np.add(values[0:h:2, :w], values[1:h:2, :w], dtype=kind)
    out: NDArray[np.unsignedinteger[Any]] = rows[:, ::2] + rows[:, 1::2]
    return out
