"""From distances of pairs to coordinates: least squares, then what of it stands out of the error.

1. `positions`: coordinates whose differences fit all distances best, weighted by how well each
   pair's distance is known (`sampling`); gross ones count little (Cauchy). The system is banded:
   milliseconds for tens of thousands of layers.
2. `posterior`: the log of thickness is true change plus error. Three things err: what the few
   structures of a layer's tissue happen to look like (`sampling`); tissue that is not isotropic, as
   far as x and y differ by more than sampling (`decay.Decay.anisotropy`): the third axis must be
   expected to differ from the mean of two by three quarters of the variance of their difference;
   and traits of whole layers, such as focus (`zcorr.isotropy_error`). Changes that stand out of
   these are kept in part, all others are left at nominal (`changes`). Lost slices are no part of
   this: a sudden gap is taken as measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solveh_banded
from scipy.ndimage import median_filter

from scripts.lib.arrays import Array, Bool
from scripts.lib.numerics import robust
from scripts.zcorr import changes, evenness
from scripts.zcorr.changes import LIMITS, Limits, StepError
from scripts.zcorr.evenness import Cells, Contributions

_ROUNDS = 8  # of re-weighting; weights change by less than a percent afterwards
_CAUCHY = 2.385  # standard deviations; 95 % efficient for Gaussian errors
_SLACK = 1e-4  # weight of "one layer thick" beside measured distances: decides where nothing else
_AROUND = 9  # layers; the running median that a lost slice is seen against
_LEAST_DEVIATION = 1e-3  # layers; no real distance is known better
_LEAST_SHARE = 1e-2  # of the median variance; one pair must not decide alone


@dataclass(frozen=True, eq=False)
class Positions:
    """Coordinates that fit the distances best, over the grid of n layers."""

    z: Array  # (n,) layers, mean thickness about 1, from 0
    scale: Array  # (R,) measured distance at nominal distance 1, per offset
    deviation: float  # robust sd of distances from the coordinates, layers, for offset 1
    weight: Array  # (n, R) that each scaled distance had in the end; 0 = none

    def response(self, change: Array) -> Array:
        """Move the coordinates as a small change of the distances would, weights as they are.

        Parameters
        ----------
        change
            (n, R) change of each measured distance, layers; NaN = none.

        Returns
        -------
        Array
            (n,) change of the coordinates, layers.
        """
        scaled = np.where(self.weight > 0, change / self.scale, 0.0)
        return fit(np.where(np.isfinite(scaled), scaled, 0.0), self.weight, thick=0.0)


def positions(distance: Array, trust: Array, variance: Array | None = None) -> Positions:
    """Fit coordinates to distances, by iteratively re-weighted least squares (Cauchy).

    Each offset is first scaled so that its median is nominal: nearby pairs feel blur along z more
    than far ones.

    Parameters
    ----------
    distance
        (n, R) of layers i and i + k + 1, layers; NaN = none.
    trust
        (n, R) weight 0..1.
    variance
        (n, R) of each distance, in any unit; None: it grows as the distance.

    Returns
    -------
    Positions
        Coordinates of the n layers.
    """
    n, reach = distance.shape
    offsets = np.arange(1, reach + 1)
    known = np.isfinite(distance) & (trust > 0)
    columns = zip(distance.T, known.T, strict=True)
    middle = np.array([np.median(d[k]) if k.any() else np.nan for d, k in columns])
    scale = np.where(middle > 0, middle / offsets, np.nan)  # 0: alike as far as one can see
    known &= np.isfinite(scale)
    measured = np.where(known, distance / scale, 0.0)
    usual = np.where(known, trust, 0.0) / (offsets if variance is None else _relative(variance))
    if not known.any():
        return Positions(np.arange(n, dtype=float), scale, 0.0, usual)
    weights = [usual]

    def _solve(weight: Array) -> tuple[Array, Array]:
        weights[0] = usual * weight
        z = fit(measured, weights[0])
        left = np.where(known, measured - _differences(z, reach), 0.0)
        return z, left / np.sqrt(offsets)

    def _deviation(left: Array) -> float:
        return max(robust.deviation(left[known], 0.0), _LEAST_DEVIATION)

    rounds = [(robust.cauchy, _CAUCHY)] * _ROUNDS
    found = robust.reweighted(_solve, _deviation, rounds, np.ones_like(usual))
    return Positions(found.fit - found.fit[0], scale, float(found.scale), weights[0])


def _relative(variance: Array) -> Array:
    """Variances in units of their median, so that the slack of `fit` stays small beside them."""
    known = variance[np.isfinite(variance) & (variance > 0)]
    usual = float(np.median(known)) if len(known) else 1.0
    return np.maximum(np.where(np.isfinite(variance), variance / usual, 1.0), _LEAST_SHARE)


def spanned(distance: Array, trust: Array) -> Bool:
    """Tell which steps from layer to layer any trusted distance goes over.

    Parameters
    ----------
    distance, trust
        As of `positions`.

    Returns
    -------
    Bool
        (n - 1,).
    """
    n, reach = distance.shape
    change = np.zeros(n + 1)
    known = np.isfinite(distance) & (trust > 0)
    for k in range(min(reach, n - 1)):
        i = np.flatnonzero(known[: n - k - 1, k])
        np.add.at(change, i, 1)
        np.add.at(change, i + k + 1, -1)
    return np.asarray(np.cumsum(change)[: n - 1] > 0)


def _differences(z: Array, reach: int) -> Array:
    """(n, R) z[i + k + 1] - z[i]; NaN past the end."""
    out = np.full((len(z), reach), np.nan)
    for k in range(min(reach, len(z) - 1)):
        out[: len(z) - k - 1, k] = z[k + 1 :] - z[: -k - 1]
    return out


def fit(
    measured: Array,
    weight: Array,
    pull: Array | None = None,
    target: Array | None = None,
    *,
    thick: float = 1.0,
) -> Array:
    """Fit coordinates whose differences are given: banded least squares.

    Parameters
    ----------
    measured
        (n, R) distances of layers i and i + k + 1, layers.
    weight
        (n, R) weights; where all are 0 layers are 1 apart.
    pull, target
        (n,) weight of each layer's own target, and the target, layers; without them the first
        coordinate is held at 0.
    thick
        Distance of layers of which nothing is known, layers.

    Returns
    -------
    Array
        (n,) coordinates, layers.
    """
    n, reach = measured.shape
    reach = min(reach, n - 1)
    if n == 1:
        return np.zeros(1)
    band, right = np.zeros((reach + 1, n)), np.zeros(n)
    for k in range(reach):
        count = n - k - 1
        w, d = weight[:count, k], measured[:count, k]
        if k == 0:
            w, d = w + _SLACK, (w * d + thick * _SLACK) / (w + _SLACK)
        band[0, :count] += w
        band[0, k + 1 :] += w
        band[k + 1, :count] -= w
        right[k + 1 :] += w * d
        right[:count] -= w * d
    if pull is not None and target is not None:
        band[0] += pull
        right += pull * target
    band[0, 0] += _SLACK
    return np.asarray(solveh_banded(band, right, lower=True))


def posterior(
    step: Array,
    known: Bool,
    error: StepError,
    limits: Limits = LIMITS,
    cells: Cells | None = None,
) -> tuple[Array, Bool, changes.ChangeModel]:
    """Estimate thicknesses from measured ones: posterior mean of their logarithms.

    Parameters
    ----------
    step
        (n - 1,) measured, layers, about 1.
    known
        (n - 1,) False where it rests on nothing (missing or untrusted layers).
    error
        Of their logarithms.
    limits
        When changes are taken as real, and gaps are lost slices.
    cells
        What each part of the layers says; None: only the size of the error tells what is real.

    Returns
    -------
    thickness : Array
        (n - 1,) layers; 1 throughout when no change is significant.
    lost : Bool
        (n - 1,) whether a slice was lost there; such gaps are taken as measured.
    model : ChangeModel
        The process of true changes that was found.
    """
    if not known.any():
        nothing = changes.ChangeModel(0.0, 1.0, 1.0, 1.0, 0.0)
        return np.ones(len(step)), np.zeros(len(step), bool), nothing
    log = _bridged(np.log(np.maximum(step, error.least)), known)
    usual = median_filter(log, size=_AROUND, mode="nearest")
    jump = log - usual
    # how far one layer may be off, relative to those around: sampling errs by as much however thick
    # it is, isotropy by a part of the thickness
    part = np.clip(step, error.least, 1.0) / np.exp(usual)
    apart = np.maximum(error.sd**2 - error.common_variance, 0.0) * part**2
    apart += error.common_variance * np.exp(2 * jump)
    spread = np.maximum(robust.deviation(jump, 0.0), np.sqrt(apart))
    odds = _odds_of_lost_slice(jump, spread, error.freedom) * limits.lost_slice_share
    lost = known & (jump > np.log(limits.lost_slice_ratio)) & (odds > 1)
    even = None
    if cells is not None:
        even = evenness.chance(Contributions.of(log, known & ~lost, cells))
    kept, model = changes.posterior(np.where(lost, usual, log), known, error, limits, even)
    return np.exp(kept + np.where(lost, jump, 0.0)), lost, model


def _odds_of_lost_slice(jump: Array, spread: Array, freedom: float) -> Array:
    """Likelihood that a gap is two layers over that of one, from the log of its ratio to others.

    The log of one layer is Student-t of scale `spread`, which so many degrees of freedom tell; two
    of them are twice as thick, of half that variance.
    """

    def _log_density(x: Array, scale: Array) -> Array:
        return -np.log(scale) - (freedom + 1) / 2 * np.log1p((x / scale) ** 2 / freedom)

    spread = np.maximum(spread, _LEAST_DEVIATION)
    one = _log_density(jump, spread)
    # what is wider than two layers is no more likely one of them
    two = _log_density(np.minimum(jump - np.log(2), 0.0), spread / np.sqrt(2))
    return np.asarray(np.exp(np.clip(two - one, -50, 50)))


def _bridged(values: Array, known: Bool) -> Array:
    """Unknown values from their neighbours, linear."""
    at = np.flatnonzero(known)
    return np.interp(np.arange(len(values)), at, values[at])
