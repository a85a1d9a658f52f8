"""What the windows of a place share: a shift and a linear change over the place, with their errors.

An affine where the windows cover the place, a turn and a scale where some lie apart, else a shift:
the fit is the misalignment. What differs from window to window beyond it is tissue and noise, and
gives the errors. Windows that overlap share pixels, so they err alike: by the share of the area
that two of them have in common.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from scripts.lib.arrays import Array, Bool
from scripts.lib.geometry import Box

LEAST_USED = 3  # windows, and a quarter of those tried: fewer do not speak for a place
LEAST_AFFINE = 8  # windows from which on an affine is fitted: six numbers from sixteen
LEAST_TURN = 4  # windows from which on a turn and a scale are: four numbers from eight
LONE_SD_PX = 0.25  # of a single window: what tissue and noise make of it (FIB-25: 0.1 to 0.25)
SURE_SD, SURE_SHARE = 2.0, 0.97725  # standard errors, and how often a normal value is below
_SHARES = np.array([-0.5, -1 / 6, 1 / 6, 0.5])
CONTROL = np.stack(np.meshgrid(_SHARES, _SHARES), axis=-1).reshape(-1, 2)  # shares of a side
CORNERS = np.array([[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]])
_ACROSS = np.array([[-0.5, 0.0], [0.5, 0.0], [0.0, -0.5], [0.0, 0.5]])  # left, right, top, bottom


@dataclass(frozen=True, eq=False)
class Fit:
    """A fit to the windows of a place, full-resolution px.

    ``mean_xy`` (2,) over the windows; ``across`` (2, 2) change of the shift x, y (rows) over the
    width and the height (columns) of the place, NaN where too few windows tell; ``square_px2``
    mean square over the place, less ``noise_px2``, what tissue and noise add to it; standard errors
    of the mean, of the root of that square, and of the shift at a corner. ``used`` windows, and the
    sd of x and of y in which each differs from the fit.
    """

    mean_xy: Array
    across: Array
    square_px2: float
    noise_px2: float
    error_px: float
    rms_error_px: float
    corner_error_px: float
    used: int
    scatter_px: float


def fitted(
    at: Array, shifts: Array, size: tuple[float, float], tried: int, place: Box, scale: float
) -> Fit:
    """Fit what the windows of a place share.

    Parameters
    ----------
    at, shifts
        (n, 2) middles of the windows, world px, and what was found there, px; n at least 1.
    size
        Width and height of a window, world px.
    tried
        Windows, those without a peak included.
    place
        World px.
    scale
        Of the pictures that were compared.

    Returns
    -------
    Fit
        Of those that agree.
    """
    keep = _agreeing(shifts, scale)
    at, shifts, n = at[keep], shifts[keep], int(keep.sum())
    middle = (place.x0 + place.x1) / 2, (place.y0 + place.y1) / 2
    shares = (at - np.array(middle)) / np.array([place.width, place.height])
    terms = _terms(shares, n >= tried / 2)
    aspect = np.array([place.width, place.height]) / max(place.width, place.height)
    design, control, corners, across = (
        _design(u * aspect, terms) for u in (shares, CONTROL, CORNERS, _ACROSS)
    )
    rows = design.reshape(2 * n, terms)
    fit = np.linalg.lstsq(rows, shifts.ravel(), rcond=None)[0]
    own, freedom, covariance = _errors(rows, common(at, size))
    variance = (LONE_SD_PX / scale) ** 2
    if n >= LEAST_USED:
        variance = float(((shifts.ravel() - rows @ fit) ** 2).sum()) / own
    covariance = covariance * variance
    squares = np.einsum("nij,nik->jk", control, control) / len(control)
    square, noise = float(fit @ squares @ fit), float((squares * covariance).sum())
    error = math.sqrt(covariance[0, 0] + covariance[1, 1])
    # how the root of the mean square changes with each term
    slope = squares @ fit / math.sqrt(max(square, 1e-12))
    of_corners = np.einsum("nij,jk,nik->n", corners, covariance, corners)
    spread = student(freedom)
    left, right, top, bottom = across @ fit
    linear = np.column_stack([right - left, bottom - top])
    return Fit(
        mean_xy=design.mean(axis=0) @ fit,
        across=linear if terms > 2 else np.full((2, 2), math.nan),
        square_px2=square - noise,
        noise_px2=noise,
        error_px=error,
        rms_error_px=max(error, math.sqrt(float(slope @ covariance @ slope))),
        corner_error_px=spread * math.sqrt(float(of_corners.max())) if terms > 2 else math.nan,
        used=n,
        scatter_px=math.sqrt(variance),
    )


def student(freedom: float) -> float:
    """Return Student's t over that of a normal value, at two standard errors.

    The scatter of few windows is not well known itself; errors from it are larger by this.

    Parameters
    ----------
    freedom
        Degrees of freedom of the scatter; below 1 is taken as 1.

    Returns
    -------
    float
        1 for many.
    """
    return float(special.stdtrit(max(freedom, 1.0), SURE_SHARE)) / SURE_SD


def common(at: Array, size: tuple[float, float]) -> Array:
    """Return how alike windows err that overlap.

    Parameters
    ----------
    at
        (n, 2) middles, px.
    size
        Width and height of each, px.

    Returns
    -------
    Array
        (n, n) share of its area that a window has in common with another: the correlation of means
        over the two of what is finer than they are.
    """
    apart = np.abs(at[:, None] - at[None]) / np.array(size)
    return np.asarray(np.maximum(1 - apart, 0).prod(axis=2))


def _errors(rows: Array, alike: Array) -> tuple[float, float, Array]:
    """Least squares of x and y of windows whose errors correlate by `alike`, for a variance of 1.

    Returns the expected sum of squares that is left, the degrees of freedom of it (Satterthwaite
    1946, doi:10.2307/3002019), and the covariance of the terms.
    """
    inverse, alike = np.linalg.pinv(rows), np.asarray(np.kron(alike, np.eye(2)), np.float64)
    left = (np.eye(len(rows)) - rows @ inverse) @ alike
    expected, again = float(np.trace(left)), float(np.einsum("ij,ji->", left, left))
    freedom = expected**2 / again if again > 1e-12 else 0.0
    return max(expected, 1e-12), freedom, np.asarray(inverse @ alike @ inverse.T)


def _terms(shares: Array, many: bool) -> int:
    """Terms of what is fitted to windows at (n, 2) shares of a place: `many` of those tried or few.

    An affine where windows cover the place, for none of a corner is drawn out over it; a shift, a
    turn and a scale where some windows lie apart; else a shift.
    """
    n, spread = len(shares), np.ptp(shares, axis=0)
    if many and n >= LEAST_AFFINE and spread.min() > 0.5:
        return 6
    return 4 if many and n >= LEAST_TURN and spread.max() > 0.2 else 2


def _design(at: Array, terms: int) -> Array:
    """Return (n, 2, terms): what each term moves the places `at` (n, 2) by, in x and y."""
    one, none, (x, y) = np.ones(len(at)), np.zeros(len(at)), at.T
    moves = [(one, none), (none, one)]
    if terms == 4:
        moves += [(x, y), (-y, x)]
    if terms == 6:
        moves += [(x, none), (y, none), (none, x), (none, y)]
    return np.stack([np.column_stack(move) for move in moves], axis=2)


def _agreeing(shifts: Array, scale: float) -> Bool:
    """Mark shifts near the median: a wrong peak may lie anywhere in reach."""
    left = np.hypot(*(shifts - np.median(shifts, axis=0)).T)
    return np.asarray(left <= max(3 / scale, 4 * float(np.median(left))))
