"""From distances of pairs to coordinates: least squares, then the Wiener estimate of thickness.

1. `positions`: coordinates whose differences fit all distances best, weighted by how well each
   offset agrees with the others and by the trust in each pair; gross ones count little (Cauchy).
   The system is banded: milliseconds for tens of thousands of layers.
2. `posterior`: the log of thickness is true change plus error. Tissue is not wholly isotropic: a
   bundle of fibres along z makes layers look thin as long as it is there. How strong and how slow
   that is shows within the plane, in how unlike x and y are and how that changes along z
   (`decay.Decay.anisotropy`); the third axis must be expected to differ from the mean of two by
   three quarters of the variance of their difference. With these spectra the best linear estimate
   (Wiener) keeps changes that stand out of the error and leaves the rest at nominal. How strong the
   changes are is found by likelihood; when none is significant, nothing is changed. Lost slices are
   no part of this: a sudden gap is taken as measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import dct, idct
from scipy.linalg import solveh_banded
from scipy.ndimage import median_filter

from scripts.lib.arrays import Array, Bool
from scripts.lib.numerics import robust

_ROUNDS = 8  # of re-weighting; weights change by less than a percent afterwards
_CAUCHY = 2.385  # standard deviations; 95 % efficient for Gaussian errors
_SLACK = 1e-4  # weight of "one layer thick" beside measured distances: decides where nothing else
_LOST_RATIO = 1.5  # of the layers around; one lost slice makes 2
_LOST_SHARE = 0.01  # of layers that follow a lost slice; a third or three times of it: the same
_MOST_ANISOTROPY = 4.0  # robust standard deviations; one layer in 16,000 of a Gaussian lies beyond
_AROUND = 9  # layers; the running median that a lost slice is seen against
_LEAST_DEVIATION = 1e-3  # layers; no real distance is known better
_LEAST = 0.05  # layers; the least thickness before the logarithm
_SIGNIFICANT = 9.2  # twice the log likelihood ratio: 1 % for two parameters (chi square)
_SCALES = (0.5, 1.0, 1.4, 2.0, 2.8, 4.0, 5.7, 8.0, 16.0)  # layers, tried for true changes
_STRENGTHS = np.exp(np.linspace(np.log(0.01), np.log(1.0), 41))  # sd of log thickness, tried


@dataclass(frozen=True, eq=False)
class Positions:
    """Coordinates that fit the distances best, over the grid of n layers."""

    z: Array  # (n,) layers, mean thickness about 1, from 0
    scale: Array  # (R,) measured distance at nominal distance 1, per offset
    deviation: float  # robust sd of distances from the coordinates, layers, for offset 1


def positions(distance: Array, trust: Array) -> Positions:
    """Fit coordinates to distances, by iteratively re-weighted least squares (Cauchy).

    Each offset is first scaled so that its median is nominal: nearby pairs feel blur along z more
    than far ones.

    Parameters
    ----------
    distance
        (n, R) of layers i and i + k + 1, layers; NaN = none.
    trust
        (n, R) weight 0..1.

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
    # errors grow with distance, those that pairs of one layer share a little less
    usual = np.where(known, trust, 0.0) / offsets
    if not known.any():
        return Positions(np.arange(n, dtype=float), scale, 0.0)

    def _solve(weight: Array) -> tuple[Array, Array]:
        z = fit(measured, usual * weight)
        left = np.where(known, measured - _differences(z, reach), 0.0)
        return z, left / np.sqrt(offsets)

    def _deviation(left: Array) -> float:
        return max(robust.deviation(left[known], 0.0), _LEAST_DEVIATION)

    rounds = [(robust.cauchy, _CAUCHY)] * _ROUNDS
    found = robust.reweighted(_solve, _deviation, rounds, np.ones_like(usual))
    return Positions(found.fit - found.fit[0], scale, float(found.scale))


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
    measured: Array, weight: Array, pull: Array | None = None, target: Array | None = None
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
            w, d = w + _SLACK, (w * d + _SLACK) / (w + _SLACK)
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


@dataclass(frozen=True)
class ChangeModel:
    """The process of true changes of thickness that is most likely, and its significance."""

    strength: float  # sd of the log of thickness that is taken as true
    scale_layers: float  # its correlation length
    significance: float  # twice the log likelihood ratio against no change
    error: float  # sd of the error, of the log of thickness


def posterior(
    thickness: Array, known: Bool, anisotropy: Array, noise: float, floor: tuple[float, float]
) -> tuple[Array, Bool, ChangeModel]:
    """Estimate thicknesses from measured ones: posterior mean of their logarithms (Wiener filter).

    Parameters
    ----------
    thickness
        (n - 1,) measured, layers, about 1.
    known
        (n - 1,) False where it rests on nothing (missing or untrusted layers).
    anisotropy
        (n,) log of the ratio of lengths along y and x in each layer; NaN = unknown.
    noise
        Sd of the log of thickness from layer to layer, independent.
    floor
        Least error of the isotropy of tissue: sd of the log, and its correlation length in layers.

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
        return (
            np.ones(len(thickness)),
            np.zeros(len(thickness), bool),
            ChangeModel(0.0, 1.0, 0.0, 0.0),
        )
    log = np.log(np.maximum(thickness, _LEAST))
    log = _bridged(log, known)
    usual = median_filter(log, size=_AROUND, mode="nearest")
    spread = robust.deviation(log - usual, 0.0)
    jump = log - usual
    lost = known & (jump > np.log(_LOST_RATIO)) & (_lost_odds(jump, spread) > 1)
    calm = np.where(lost, usual, log)
    error = _error_spectrum(len(log), anisotropy, noise, floor)
    kept, model = _wiener(calm, error)
    return np.exp(kept + np.where(lost, jump, 0.0)), lost, model


def _lost_odds(jump: Array, spread: float) -> Array:
    """Odds that a gap is two layers rather than one, from the log of its ratio to those around.

    One layer is lognormal, of sd `spread`; two of them are twice as thick, of half that variance.
    """
    spread = max(spread, _LEAST_DEVIATION)
    one = -0.5 * (jump / spread) ** 2
    two = -((jump - np.log(2)) ** 2) / spread**2 + 0.5 * np.log(2)
    # what is wider than two layers is no more likely one of them
    two = np.where(jump > np.log(2), 0.5 * np.log(2), two)
    return np.asarray(np.exp(np.clip(two - one + np.log(_LOST_SHARE), -50, 50)))


def _bridged(values: Array, known: Bool) -> Array:
    """Unknown values from their neighbours, linear."""
    at = np.flatnonzero(known)
    return np.interp(np.arange(len(values)), at, values[at])


def _spectrum(n: int, scale: float) -> Array:
    """(n,) of a process of unit variance whose correlation falls as exp(-distance / scale).

    At the frequencies of the cosine transform with ``norm="ortho"``; its mean is 1.
    """
    step = np.exp(-1 / scale)
    turn = np.cos(np.pi * np.arange(n) / n)
    return np.asarray((1 - step**2) / (1 + step**2 - 2 * step * turn))


def _error_spectrum(n: int, anisotropy: Array, noise: float, floor: tuple[float, float]) -> Array:
    """(n,) spectrum of the error of log thickness: anisotropic tissue, the floor and noise."""
    variance, scale = _anisotropy_process(anisotropy)
    least, floor_scale = floor
    return variance * _spectrum(n, scale) + least**2 * _spectrum(n, floor_scale) + noise**2


def _anisotropy_process(anisotropy: Array) -> tuple[float, float]:
    """Variance of the error that the anisotropy predicts, and its correlation length in layers."""
    values = anisotropy[np.isfinite(anisotropy)]
    if len(values) < 3:
        return 0.0, 1.0
    # a damaged layer is anisotropic anyhow: it must not decide the error of all
    values = values - np.median(values)
    most = _MOST_ANISOTROPY * robust.deviation(values, 0.0)
    values = np.clip(values, -most, most)
    values -= values.mean()
    power = float(np.mean(values**2))
    if power == 0:
        return 0.0, 1.0
    for lag in range(1, len(values)):  # length: where the correlation has fallen to 1 / e
        if np.mean(values[lag:] * values[:-lag]) < power / np.e:
            return 0.75 * power, float(lag)
    return 0.75 * power, float(len(values))


def _wiener(log: Array, error: Array) -> tuple[Array, ChangeModel]:
    """Return the posterior mean of the log of thickness, mean taken off, and the model."""
    power = dct(log - log.mean(), norm="ortho")
    best = (-np.inf, 0.0, 1.0)
    none = _likelihood(power, error)
    for scale in _SCALES:
        shape = _spectrum(len(log), scale)
        for strength in _STRENGTHS.tolist():
            value = _likelihood(power, error + strength**2 * shape)
            best = max(best, (value, strength, scale))
    significance = 2 * (best[0] - none)
    sd = float(np.sqrt(error.mean()))
    if significance < _SIGNIFICANT:
        return np.zeros_like(log), ChangeModel(0.0, best[2], max(0.0, significance), sd)
    true = best[1] ** 2 * _spectrum(len(log), best[2])
    kept = idct(power * true / (true + error), norm="ortho")
    return kept, ChangeModel(best[1], best[2], significance, sd)


def _likelihood(coefficients: Array, variance: Array) -> float:
    """Log likelihood of independent cosine coefficients, the mean apart (Whittle)."""
    return -0.5 * float(np.sum(np.log(variance[1:]) + coefficients[1:] ** 2 / variance[1:]))
