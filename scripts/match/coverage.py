"""How much of the shared area of two canvases lies near a match."""

from __future__ import annotations

import cv2
import numpy as np

from scripts.lib.arrays import Array, Bool, Float32
from scripts.lib.numerics.models import fit_affine


def percentage(p: Array, q: Array, p_mask: Bool, q_mask: Bool, radius_px: float) -> float:
    """Return the share, in percent, of the overlap that is within `radius_px` of a match in p.

    The overlap is the unmasked p pixels that an affine fitted to the matches takes onto unmasked q
    pixels. All in canvas px; the distance comes from one distance transform, exact to the rounding
    of match locations to pixels.

    Parameters
    ----------
    p, q
        (n, 2) matched points.
    p_mask, q_mask
        (h, w) of the two canvases, False = masked.
    radius_px
        Reach of a match.

    Returns
    -------
    float
        0 without matches; NaN when the points lie on a line or nothing overlaps.
    """
    if len(p) == 0:
        return 0.0
    try:
        affine = fit_affine(p, q)
    except ValueError:
        return float("nan")
    overlap = p_mask & _seen(affine, p_mask.shape, q_mask)
    if not overlap.any():
        return float("nan")
    covered = overlap & (_distance(p, p_mask.shape) <= radius_px)
    return 100.0 * float(covered.sum()) / float(overlap.sum())


def _seen(affine: Array, shape: tuple[int, ...], q_mask: Bool) -> Bool:
    """Where the pixels of p fall on an unmasked pixel of q."""
    rows, columns = np.arange(shape[0])[:, None], np.arange(shape[1])
    x = np.rint(affine[0, 0] * columns + (affine[0, 1] * rows + affine[0, 2])).astype(np.int32)
    y = np.rint(affine[1, 0] * columns + (affine[1, 1] * rows + affine[1, 2])).astype(np.int32)
    h, w = q_mask.shape
    inside: Bool = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    inside[inside] = q_mask[y[inside], x[inside]]
    return inside


def _distance(points: Array, shape: tuple[int, ...]) -> Float32:
    """Distance of each pixel to the nearest point."""
    empty = np.ones(shape, np.uint8)
    at = np.rint(points).astype(int)
    empty[np.clip(at[:, 1], 0, shape[0] - 1), np.clip(at[:, 0], 0, shape[1] - 1)] = 0
    field = cv2.distanceTransform(empty, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(field, np.float32)
