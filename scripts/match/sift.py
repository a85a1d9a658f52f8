"""Features of one canvas and candidate matches of two, with the reference's meaning.

OpenCV's SIFT does the work; its parameters are set so that those of mpicbg
keep their meaning:

* octaves: mpicbg uses an octave whose longer side is at most ``round(max_scale * max(w, h))`` and
  whose shorter side exceeds ``trunc(min_scale * min(w, h) - 1) - 1``. OpenCV computes all octaves
  from the doubled image on; features of the others are dropped. ``max_scale: 2`` therefore asks
  for the doubled image, an extension that small, noisy tiles need.
* contrast: mpicbg divides a difference of Gaussians by ``k - 1``, ``k = 2 ** (1 / steps)``, before
  it asks for 0.025; OpenCV multiplies it by `steps`. Hence ``0.025 * (k - 1) * steps``.
* edge ratio 10, initial sigma 1.6: the same in both.

Descriptors are whole numbers 0..255, so their distances are exact in float32 in any order of sums:
results do not depend on threads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from scripts.lib.arrays import Array, Bool, Bytes, Float32, Index
from scripts.lib.drawing.compose import Picture

DESCRIPTOR_SIZE = 4  # OpenCV's is 4 x 4 x 8 and cannot be changed
_EDGE_RATIO = 10.0
_ROWS_AT_ONCE = 1024  # of the distance matrix: bounds it to 1024 x n x 4 bytes


@dataclass(frozen=True)
class Extraction:
    """How features are found; names of the stage table in brackets."""

    min_scale: float = 0.5  # smallest octave as share of the canvas' shorter side [minScale]
    max_scale: float = 0.85  # largest octave as share of the longer side; 2 = doubled [maxScale]
    steps: int = 3  # scales per octave [steps]
    contrast: float = 0.025  # least difference of Gaussians, image in 0..1 [contrastThreshold]
    sigma: float = 1.6  # blur of the first scale, canvas px [initialSigma]
    preblur_px: float = 0.0  # Gaussian against noise before all, canvas px [preblurSigma]


@dataclass(frozen=True, eq=False)
class Features:
    """Features of a canvas: `xy` (n, 2) float64 canvas px, `descriptors` (n, 128) uint8."""

    xy: Array
    descriptors: Bytes

    @property
    def nbytes(self) -> int:
        """Return the memory of the arrays.

        Returns
        -------
        int
            Bytes.
        """
        return self.xy.nbytes + self.descriptors.nbytes


def extract(picture: Picture, how: Extraction) -> Features:
    """Find the features of a canvas (0..255), in a repeatable order, none on a masked pixel.

    Parameters
    ----------
    picture
        The canvas, 0..255, and its mask.
    how
        Octaves, scales and contrast.

    Returns
    -------
    Features
        Places in canvas px.

    References
    ----------
    Lowe 2004, doi:10.1023/B:VISI.0000029664.99615.94
    """
    if min(picture.mask.shape, default=0) < 8 or not picture.mask.any():
        return Features(np.zeros((0, 2)), np.zeros((0, 128), np.uint8))
    detector = cv2.SIFT.create(
        nfeatures=0,
        nOctaveLayers=how.steps,
        contrastThreshold=how.contrast * (2 ** (1 / how.steps) - 1) * how.steps,
        edgeThreshold=_EDGE_RATIO,
        sigma=how.sigma,
        enable_precise_upscale=True,
    )
    mask = picture.mask.astype(np.uint8)
    image = byte_image(picture, how.preblur_px)
    points = detector.detect(image, mask)
    octaves = np.array([_octave(point.octave) for point in points])
    keep = _used_octaves(octaves, picture.mask.shape, how)
    used = [point for point, wanted in zip(points, keep.tolist(), strict=True) if wanted]
    if not used:
        return Features(np.zeros((0, 2)), np.zeros((0, 128), np.uint8))
    # most points are of the doubled image, which stages leave out: one of them goes along, so that
    # the pyramid is the same as in the detection, and so are the descriptors
    lowest = points[int(octaves.argmin())]
    _, descriptors = detector.compute(image, [*used, lowest])
    xy = np.array([point.pt for point in used], float)
    return Features(xy, descriptors[: len(used)].astype(np.uint8))


def byte_image(picture: Picture, preblur_px: float) -> Bytes:
    """Return the canvas as uint8; masked pixels take the nearest value, so no edge appears.

    Parameters
    ----------
    picture
        The canvas, 0..255.
    preblur_px
        Standard deviation of a Gaussian against noise, px; 0: none.

    Returns
    -------
    ndarray
        (h, w) uint8.
    """
    image = picture.pixels
    if not picture.mask.all():
        _, nearest = ndimage.distance_transform_edt(~picture.mask, return_indices=True)
        image = image[tuple(nearest)]
    if preblur_px > 0:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), preblur_px), np.float32)
    rounded: Bytes = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return rounded


def _octave(packed: int) -> int:
    """Octave of an OpenCV key point; -1 is the doubled image."""
    low = packed & 255
    return low - 256 if low >= 128 else low


def _used_octaves(octaves: NDArray[np.int_], shape: tuple[int, ...], how: Extraction) -> Bool:
    shorter, longer = min(shape), max(shape)
    smallest = math.trunc(how.min_scale * shorter - 1)
    largest = math.floor(how.max_scale * longer + 0.5)
    reduction = np.exp2(-octaves.astype(float))
    used: Bool = (longer * reduction <= largest) & (shorter * reduction > smallest - 1)
    return used


def candidates(p: Features, q: Features, rod: float, near: Bool | None = None) -> Index:
    """Return the (n, 2) indices of p and q that match by the ratio of distances.

    For each feature of p the nearest q counts when it is nearer than `rod` times the second
    nearest; q locations that several features of p claim are dropped (mpicbg `matchFeatures`).
    One-directional. `near` (len(p), len(q)) restricts which q a p may take at all.

    Parameters
    ----------
    p, q
        Features of the two canvases.
    rod
        Largest ratio of the nearest two distances.
    near
        (len(p), len(q)) which q a p may take; None: any.

    Returns
    -------
    ndarray
        (n, 2) indices of p and q.
    """
    none = np.zeros((0, 2), np.intp)
    if len(p.xy) == 0 or len(q.xy) < 2:
        return none
    best, ratio2 = _two_nearest(p.descriptors, q.descriptors, near)
    chosen = np.flatnonzero(ratio2 < rod * rod)
    if len(chosen) == 0:
        return none
    pairs = np.column_stack([chosen, best[chosen]])
    _, place, count = np.unique(q.xy[pairs[:, 1]], axis=0, return_inverse=True, return_counts=True)
    single: Bool = count[place.ravel()] == 1
    return pairs[single]


def _two_nearest(p: Bytes, q: Bytes, near: Bool | None) -> tuple[Index, Float32]:
    """Index of the nearest q of each p, and squared ratio of the nearest two distances."""
    targets = q.astype(np.float32)
    norms = np.einsum("ij,ij->i", targets, targets)
    best, ratio2 = np.zeros(len(p), np.intp), np.ones(len(p), np.float32)
    for start in range(0, len(p), _ROWS_AT_ONCE):
        part = p[start : start + _ROWS_AT_ONCE].astype(np.float32)
        # whole numbers below 2**24: exact
        distance2 = norms - 2 * (part @ targets.T) + np.einsum("ij,ij->i", part, part)[:, None]
        if near is not None:
            distance2[~near[start : start + _ROWS_AT_ONCE]] = np.inf
        rows = np.arange(len(part))
        first = distance2.argmin(axis=1)
        nearest = distance2[rows, first]
        distance2[rows, first] = np.inf
        second = distance2.min(axis=1)
        # a lone candidate has no second: it proves nothing
        usable = np.isfinite(second) & (second > 0)
        out = slice(start, start + len(part))
        best[out] = first
        ratio2[out][usable] = nearest[usable] / second[usable]
    return best, ratio2
