"""Parts of a picture that show nothing: one value throughout, as of a detector that is off."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from scripts.lib.arrays import Bool

# px; smooth resin, drawn small and rounded to whole grey values, still varies over so many
SIDE_PX = 15


def absent(pixels: NDArray[Any]) -> Bool:
    """Find the parts of a picture that have one value.

    Parameters
    ----------
    pixels
        Grey values (h, w), of any type; tissue and resin have noise.

    Returns
    -------
    Bool
        (h, w), True in every square of `SIDE_PX` (less in a smaller picture) within which all
        values are equal.
    """
    side = min(SIDE_PX, *pixels.shape) if pixels.size else 1
    flat = ndimage.maximum_filter(pixels, side) == ndimage.minimum_filter(pixels, side)
    # of an even side the two windows lie on either side of the middle
    origin = -1 if side % 2 == 0 else 0
    return np.asarray(ndimage.maximum_filter(flat, side, origin=origin))
