"""How far a measured thickness may be off: its sampling error, from how unlike its parts are.

A layer's thickness rests on as many independent samples as its tissue has structures: few in a
small layer, or in one of little tissue in resin. Each cell of a layer (`isotropy.CellParts`) is
such a part, with its own tissue and its own noise, while thickness is common to all. So what one
cell changes in the result (its influence) is a sample of the error, and the sum of the squares of
all cells is its variance: the infinitesimal jackknife, with blocks since neighbouring pixels depend
on each other (Künsch 1989, doi:10.1214/aos/1176347265). Everything up to the result takes part: the
correlation of bands, the curve from within the layer, its share of noise.

A layer in which tissue fills few cells has few samples, and their scatter says little. Therefore
it is the variance of a layer of full area that is estimated, over the layers around, those of many
samples counting more; and a layer's own variance is that over its share of area.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from scripts.lib.arrays import Array
from scripts.lib.numerics import robust
from scripts.zcorr import decay
from scripts.zcorr.changes import Process, StepError
from scripts.zcorr.decay import Decay
from scripts.zcorr.measured import Measured
from scripts.zcorr.thickness import Positions

_PART = -0.25  # of a cell is left out: the change is still linear, and far above rounding
_LEAST_SHARE = 0.5  # of the nominal distance; nearer, the error of a distance counts as there
_AROUND = 8.0  # layers, sd: structures of one size; one such stretch has samples of its own
_LEAST_SAMPLES = 1.5  # of cells; fewer have no scatter
_LEAST = 0.05  # layers; the least thickness before the logarithm
_UNKNOWN = 1.0  # sd of the log of thickness where nothing can be told
_MOST = 1.0  # layers; no step shorter than this is unlikely however little is known
_LAGS = 32  # layers, over which the error is seen to go on
_SCALES = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0)  # layers, tried for it
_MOST_SHARED = 0.98  # of the variance; some of it is noise
_MOST_ANISOTROPY = 4.0  # robust standard deviations; one layer in 16,000 of a Gaussian lies beyond
_AXIS = 0.75  # variance of an axis against the mean of two, of that of the difference of these


@dataclass(frozen=True, eq=False)
class Influence:
    """What each of B cells changes in what is measured, to first order."""

    distance: Array  # (n, R, B) of layers i and i + k + 1, layers; 0 where there is none
    anisotropy: Array  # (n, B) of the log of the ratio of lengths along y and x
    samples: Array  # (n,) effective number of cells: those that share the tissue evenly


def influence(found: Measured, band: Array, curve: Decay) -> Influence:
    """Tell what each cell changes in the distances and in the anisotropy.

    Parameters
    ----------
    found
        Comparisons of n layers.
    band
        (n, R) correlations that the distances are made of.
    curve
        Of `decay`, of the same layers.

    Returns
    -------
    Influence
        Of B cells.
    """
    reach, cells = found.cell_band.shape[1:]
    square = decay.squares(band, curve)
    nearest = _LEAST_SHARE * np.arange(1, reach + 1)
    twice = 2 * np.maximum(np.sqrt(np.maximum(np.nan_to_num(square), 0)), nearest)
    distance, anisotropy = np.zeros(found.cell_band.shape), np.zeros(found.cell_share.shape)
    for b in range(cells):
        inplane = found.inplane + _PART * found.cell_inplane[:, b]
        variance = found.variance + _PART * found.cell_variance[:, b]
        other = decay.decay(inplane, variance, found.pixel_layers, reach)
        moved = decay.squares(band + _PART * found.cell_band[:, :, b], other) - square
        distance[:, :, b] = np.nan_to_num(moved / twice / _PART)
        anisotropy[:, b] = np.nan_to_num((other.anisotropy - curve.anisotropy) / _PART)
    with np.errstate(divide="ignore"):
        samples = np.nan_to_num(1 / (found.cell_share**2).sum(axis=1), posinf=0.0)
    return Influence(distance, anisotropy, samples)


def pair_variance(each: Influence, share: Array) -> Array:
    """Estimate the variance of each pair's distance.

    Parameters
    ----------
    each
        Of all cells.
    share
        (n, R) part of the layer that a pair has in common.

    Returns
    -------
    Array
        (n, R) layers²; NaN where nothing can be told.
    """
    square = (each.distance**2).sum(axis=2)
    columns = zip(square.T, share.T, strict=True)
    return np.stack([_per_area(one, area, each.samples) for one, area in columns], axis=1)


def step_influence(each: Influence, fit: Positions) -> Array:
    """Tell what each cell changes in the steps from layer to layer.

    Parameters
    ----------
    each
        Of all cells.
    fit
        Coordinates of n layers.

    Returns
    -------
    Array
        (n - 1, B) layers.
    """
    moved = [fit.response(one) for one in np.moveaxis(each.distance, 2, 0)]
    return np.diff(np.stack(moved, axis=1), axis=0)


def step_error(
    each: Influence,
    fit: Positions,
    anisotropy: Array,
    share: Array,
    floor: tuple[float, float],
) -> StepError:
    """Estimate the error of the log of each step from layer to layer.

    Parameters
    ----------
    each
        Of all cells.
    fit
        Coordinates of n layers.
    anisotropy
        (n,) of each layer; NaN = unknown.
    share
        (n,) part of the layer that it has in common with the next.
    floor
        Least error of the isotropy of tissue: sd of the log, and its correlation length in layers.

    Returns
    -------
    StepError
        Of n - 1 steps.
    """
    steps = np.diff(fit.z)
    change = step_influence(each, fit)
    samples, area = each.samples[:-1], share[:-1]
    variance = _per_area((change**2).sum(axis=1), area, samples)
    sd = np.sqrt(variance * _student(samples))
    # a step is no thinner than it is known: the log of less would be far off
    least = np.clip(np.nan_to_num(sd, nan=_MOST), _LEAST, _MOST)
    # nor is it surer for being thick: what is thick by error alone would else be believed most
    log_sd = np.where(np.isfinite(sd), sd / np.clip(steps, least, 1.0), _UNKNOWN)
    shared = _shared(change / np.maximum(np.nan_to_num(sd, nan=np.inf), 1e-9)[:, None])
    error_floor, scale = floor
    usual = float(np.median(log_sd)) if len(steps) else 0.0
    rest = max(0.0, error_floor**2 - usual**2 * shared.variance)
    others = (_excess_anisotropy(anisotropy, each), Process(rest, scale))
    return StepError(log_sd, least, shared, others, fit.deviation, _freedom(samples, area))


def _per_area(square: Array, area: Array, samples: Array) -> Array:
    """Estimate (n,) variances from the sums of squares of influences; NaN where none is known."""
    known = np.isfinite(square) & (square > 0) & (area > 0)
    weight = np.where(known, np.maximum(samples - 1, 0.0), 0.0)
    if not weight.any():
        return np.full(len(square), np.nan)
    unbiased = samples / np.maximum(samples - 1, _LEAST_SAMPLES - 1)
    whole = np.where(known, square * area * unbiased, 0.0)
    total, count = (
        gaussian_filter1d(one, _AROUND, mode="constant", truncate=3)
        for one in (weight * whole, weight)
    )
    usual = float((weight * whole).sum() / weight.sum())
    around = np.where(count > 1e-3, total / np.maximum(count, 1e-9), usual)
    with np.errstate(divide="ignore"):
        return np.where(area > 0, around / area, np.nan)


def _student(samples: Array) -> Array:
    """Factor of a variance for being known from few samples: that of Student's distribution."""
    freedom = np.maximum(samples - 1, _LEAST_SAMPLES + 1)
    return np.asarray(freedom / (freedom - 2))


def _freedom(samples: Array, area: Array) -> float:
    """Degrees of freedom of the variance: of its samples, in each stretch of layers anew."""
    each = np.maximum(samples - 1, _LEAST_SAMPLES - 1)[area > 0]
    if not len(each):
        return 1.0
    return max(1.0, float(each.mean()) * max(1.0, len(each) / (2 * _AROUND)))


def _shared(influence: Array) -> Process:
    """How much of the tissue's error goes on along z, from (n, B) influences of unit variance."""
    n = len(influence)
    lags = np.arange(1, min(_LAGS, n - 2) + 1)
    if not len(lags) or not influence.any():
        return Process(0.0, 1.0)
    own = float((influence**2).mean())
    seen = np.array([(influence[k:] * influence[:-k]).mean() for k in lags]) / own
    best = (np.inf, 0.0, 1.0)
    for scale in _SCALES:
        fall = np.exp(-lags / scale)
        part = float(np.clip((fall @ seen) / (fall @ fall), 0, _MOST_SHARED))
        best = min(best, (float(np.sum((seen - part * fall) ** 2)), part, scale))
    return Process(best[1], best[2])


def _excess_anisotropy(anisotropy: Array, each: Influence) -> Process:
    """Error of an axis that x and y predict, beyond what sampling makes them differ."""
    sampled = float(np.median((each.anisotropy**2).sum(axis=1)))
    variance, scale = _process(anisotropy)
    return Process(_AXIS * max(0.0, variance - sampled), scale)


def _process(values: Array) -> tuple[float, float]:
    """Variance of values along z, and their correlation length in layers."""
    values = values[np.isfinite(values)]
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
        if np.mean(values[lag:] * values[:-lag]) < power / math.e:
            return power, float(lag)
    return power, float(len(values))
