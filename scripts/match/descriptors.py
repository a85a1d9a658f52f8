"""Blobs of two canvases, matched by where their neighbors lie.

Peaks of a difference of Gaussians (Lowe 2004) with a local geometric descriptor each: the vectors
to `neighbors` of its nearest peaks (Preibisch et al. 2010, doi:10.1038/nmeth0610-418). Names
of the stage table in brackets. Descriptors that may turn are turned until
their nearest neighbor lies along x.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from scipy import ndimage, spatial

from scripts.lib.arrays import Array, Float32, Index
from scripts.lib.drawing.compose import Picture
from scripts.lib.numerics.peaks import paraboloid
from scripts.match import sift

_RATIO = 2 ** (1 / 4)  # of the two Gaussians
_CAMERA_SIGMA = 0.5  # blur that a canvas is assumed to have


@dataclass(frozen=True)
class Blobs:
    """How peaks are found; lengths in canvas px."""

    sigma: float = 2.04  # of the finer Gaussian [sigma]
    threshold: float = 0.008  # least |difference|, image in 0..1 [threshold]
    quadratic: bool = True  # places between pixels [localization]
    dark: bool = False  # [lookForMinima]
    bright: bool = False  # [lookForMaxima]
    apart_px: float = 0.0  # none stronger within this [fullScaleNonMaxSuppressionRadius x scale]


@dataclass(frozen=True)
class Neighborhood:
    """How descriptors are made and compared."""

    neighbors: int = 3  # [numberOfNeighbors]
    redundancy: int = 1  # further neighbors, of which any may stand in [redundancy]
    significance: float = 2.0  # second best distance / best that is asked for [significance]
    same_orientation: bool = True  # [similarOrientation]


def peaks(picture: Picture, how: Blobs) -> Array:
    """Return the places (n, 2) x, y of the blobs, strongest first; none within 1 px of the mask.

    Parameters
    ----------
    picture
        The canvas, 0..255.
    how
        What a blob is.

    Returns
    -------
    ndarray
        (n, 2) float64, canvas px.
    """
    if min(picture.mask.shape, default=0) < 8 or not picture.mask.any():
        return np.zeros((0, 2))
    image = sift.byte_image(picture, 0.0).astype(np.float32) / np.float32(255)
    fine, coarse = (
        cv2.GaussianBlur(image, (0, 0), np.sqrt(max(s * s - _CAMERA_SIGMA**2, 0.01)))
        for s in (how.sigma, how.sigma * _RATIO)
    )
    bright = np.asarray((fine - coarse) / (_RATIO - 1), np.float32)
    signs = [sign for sign, wanted in ((-1, how.dark), (1, how.bright)) if wanted]
    found = [_extrema(sign * bright, how) for sign in signs]
    places = np.concatenate([one for one, _ in found] or [np.zeros((0, 2))])
    values = np.concatenate([value for _, value in found] or [np.zeros(0)])
    sound = cv2.erode(picture.mask.astype(np.uint8), np.ones((3, 3), np.uint8))
    x, y = np.rint(places).astype(int).T
    keep = sound[y, x] > 0
    places, values = places[keep], values[keep]
    order = np.lexsort((places[:, 0], places[:, 1], -values))
    return _strongest(places[order], how.apart_px)


def _extrema(difference: Float32, how: Blobs) -> tuple[Array, Array]:
    """Return places and heights of the maxima."""
    highest = ndimage.maximum_filter(difference, 3) == difference
    highest &= difference >= how.threshold / 4
    highest[[0, -1]] = highest[:, [0, -1]] = False
    y, x = np.nonzero(highest)
    value = difference[y, x].astype(float)
    places = np.column_stack([x, y]).astype(float)
    if how.quadratic:
        near = np.arange(-1, 2)
        around = difference[y[:, None, None] + near[:, None], x[:, None, None] + near]
        step, value, _ = paraboloid(around.astype(float), 0.5)
        places += step
    keep = value >= how.threshold
    return places[keep], value[keep]


def _strongest(places: Array, apart_px: float) -> Array:
    """Drop peaks that have an earlier, that is stronger, one within reach."""
    if apart_px <= 0 or len(places) < 2:
        return places
    close = spatial.cKDTree(places).query_pairs(apart_px, output_type="ndarray")
    keep = np.ones(len(places), bool)
    keep[close.max(axis=1)] = False
    return places[keep]


def away_from(places: Array, others: Array, radius_px: float | None) -> Array:
    """Drop places within a radius of any of the others.

    Parameters
    ----------
    places, others
        (n, 2) and (m, 2).
    radius_px
        In their unit; None or 0: nothing is dropped.

    Returns
    -------
    ndarray
        (k, 2), in the order given.
    """
    if not radius_px or not len(others) or not len(places):
        return places
    distance, _ = spatial.cKDTree(others).query(places)
    return np.asarray(places[distance > radius_px])


def candidates(p: Array, q: Array, how: Neighborhood) -> Index:
    """Return the (n, 2) indices of peaks of p and q whose neighborhoods match.

    Parameters
    ----------
    p, q
        (n, 2) and (m, 2) peaks.
    how
        Neighbours, and how distinct the best must be.

    Returns
    -------
    ndarray
        (k, 2) indices of p and q.
    """
    none = np.zeros((0, 2), np.intp)
    least = how.neighbors + how.redundancy + 1
    if len(p) < least or len(q) < least:
        return none
    one, other = _described(p, how), _described(q, how)  # (n, subsets, dimensions)
    subsets = other.shape[1]
    tree = spatial.cKDTree(other.reshape(-1, other.shape[2]))
    distance, found = tree.query(one.reshape(-1, one.shape[2]), k=subsets + 1)
    distance, owner = (a.reshape(len(p), -1) for a in (distance, found // subsets))
    rows = np.arange(len(p))
    best = distance.argmin(axis=1)
    chosen, nearest = owner[rows, best], distance[rows, best]
    second = np.where(owner == chosen[:, None], np.inf, distance).min(axis=1)
    # distances of descriptors are squared ones in the reference
    distinct = nearest**2 * how.significance < second**2
    return np.column_stack([rows[distinct], chosen[distinct]])


def _described(places: Array, how: Neighborhood) -> Array:
    count = how.neighbors + how.redundancy
    _, near = spatial.cKDTree(places).query(places, k=count + 1)
    vectors = places[near[:, 1:]] - places[:, None]  # nearest first
    subsets = [list(chosen) for chosen in combinations(range(count), how.neighbors)]
    out = np.stack([vectors[:, chosen] for chosen in subsets], axis=1)
    if not how.same_orientation:
        turned = out[..., 0] + 1j * out[..., 1]
        turned = turned * np.exp(-1j * np.angle(turned[..., :1]))
        out = np.stack([turned.real, turned.imag], axis=-1)
    return np.asarray(out.reshape(len(places), len(subsets), -1), float)
