"""Whether two canvases look alike where a model lays them on each other.

Few inliers in a narrow strip can agree by chance, above all along a membrane. Their pixels cannot:
the correlation coefficient over the whole overlap tells a true model from a false one.
"""

from __future__ import annotations

import cv2
import numpy as np

from scripts.lib.arrays import Array, Bool, Bytes

_FEWEST = 100  # px of overlap below which the coefficient says nothing


def correlation(p: Bytes, q: Bytes, p_mask: Bool, q_mask: Bool, affine: Array) -> float:
    """Return Pearson's coefficient of p and q over the overlap, -1..1; NaN for a tiny or flat one.

    `affine` (2, 3) takes p's canvas px to q's; images and masks are (h, w), False = masked.

    Parameters
    ----------
    p, q
        (h, w) uint8 canvases.
    p_mask, q_mask
        (h, w), False = masked.
    affine
        (2, 3), p's canvas px to q's.

    Returns
    -------
    float
        -1..1.
    """
    size = (p.shape[1], p.shape[0])
    inverse = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(q.astype(np.float32), affine, size, flags=inverse)
    seen = cv2.warpAffine(q_mask.astype(np.float32), affine, size, flags=inverse)
    overlap = p_mask & (np.asarray(seen) > 1 - 1e-3)
    pixels = np.array([np.asarray(each)[overlap] for each in (p, moved)], float)
    if overlap.sum() < _FEWEST or not np.ptp(pixels, axis=1).all():
        return float("nan")
    # not scikit-image's, which tests it too: that takes half a second to import
    return float(np.corrcoef(pixels)[0, 1])
