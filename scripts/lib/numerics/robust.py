"""Robust statistics: spread, weight functions, and iteratively re-weighted least squares.

Weight functions take a residual in units of its tuning constant: 1 counts fully, 0 not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.lib.arrays import Array, Bool

MAD_TO_SD = 1.4826  # sd of a normal distribution / its median absolute deviation

Weighting = Callable[[Array], Array]


def deviation(values: NDArray[np.floating], centre: float | None = None) -> float:
    """Return the standard deviation of normal values that have this median absolute deviation.

    Parameters
    ----------
    values
        Any shape, finite, at least one.
    centre
        Deviations are taken from it; None: from the median.

    Returns
    -------
    float
        1.4826 times the median of the absolute deviations, in the unit of the values.

    References
    ----------
    Rousseeuw and Croux 1993, doi:10.1080/01621459.1993.10476408.
    """
    middle = np.median(values) if centre is None else centre
    return MAD_TO_SD * float(np.median(np.abs(values - middle)))


def usual(values: NDArray[np.floating], deviations: float, least: float) -> Bool:
    """Tell which values lie near their median.

    Parameters
    ----------
    values
        (n,), finite.
    deviations
        How far from the median a value may lie, in robust standard deviations.
    least
        The standard deviation counts as no smaller than this.

    Returns
    -------
    Bool
        (n,).
    """
    if not values.size:
        return np.zeros(0, bool)
    off = np.abs(values - np.median(values))
    return np.asarray(off <= deviations * max(deviation(off, 0.0), least))


def huber(x: Array) -> Array:
    """Weigh residuals by Huber's function: least squares up to 1, absolute values beyond.

    Parameters
    ----------
    x
        Residuals >= 0 in units of the tuning constant (1.345 sd: 95 % efficient).

    Returns
    -------
    Array
        Weights 0..1, of the same shape.

    References
    ----------
    Huber 1964, doi:10.1214/aoms/1177703732.
    """
    return 1 / np.maximum(x, 1)


def cauchy(x: Array) -> Array:
    """Weigh residuals by Cauchy's (Lorentz's) function.

    Parameters
    ----------
    x
        Residuals in units of the tuning constant (2.385 sd: 95 % efficient).

    Returns
    -------
    Array
        Weights 0..1, of the same shape.

    References
    ----------
    Holland and Welsch 1977, doi:10.1080/03610927708827533.
    """
    return 1 / (1 + x**2)


def geman_mcclure(x: Array) -> Array:
    """Weigh residuals by the function of Geman and McClure.

    Parameters
    ----------
    x
        Residuals in units of the tuning constant.

    Returns
    -------
    Array
        Weights 0..1, of the same shape.

    References
    ----------
    Geman and McClure 1985, Bayesian image analysis, Proc. Am. Stat. Assoc., 12-18.
    """
    return 1 / (1 + x**2) ** 2


def tukey(x: Array) -> Array:
    """Weigh residuals by Tukey's biweight: nothing beyond 1 counts.

    Parameters
    ----------
    x
        Residuals in units of the tuning constant (4.685 sd: 95 % efficient).

    Returns
    -------
    Array
        Weights 0..1, of the same shape.

    References
    ----------
    Beaton and Tukey 1974, doi:10.1080/00401706.1974.10489171.
    """
    return np.asarray(np.maximum(1 - x**2, 0) ** 2, np.float64)


@dataclass(frozen=True, eq=False)
class Reweighted:
    """The last fit of a series, the scale (n,) or () of its residuals, the weights they give."""

    fit: Array
    scale: float | Array
    weight: Array


def reweighted(
    solve: Callable[[Array], tuple[Array, Array]],
    scale: Callable[[Array], float | Array],
    rounds: Iterable[tuple[Weighting, float]],
    weight: Array,
    *,
    least_scale: float = 0.0,
    least_step: float = 0.0,
) -> Reweighted:
    """Fit by iteratively re-weighted least squares.

    Parameters
    ----------
    solve
        Takes weights and returns a fit and the residuals it leaves, of the weights' shape.
    scale
        Takes residuals and returns their scale: one, or one for each.
    rounds
        Weight function and tuning constant, in scales, of each round; at least one.
    weight
        Weights of the first round, mostly ones.
    least_scale
        Stop when the scale is below: what is left is rounding.
    least_step
        Stop when no number of the fit has moved as far in a round (from 0 in the first).

    Returns
    -------
    Reweighted
        The last fit, and scale and weights of what it leaves.

    References
    ----------
    Holland and Welsch 1977, doi:10.1080/03610927708827533.
    """
    before: float | Array = 0.0
    for function, tuning in rounds:
        fit, residual = solve(weight)
        found = scale(residual)
        small = isinstance(found, float) and found < least_scale
        if small or (least_step > 0 and np.abs(fit - before).max() < least_step):
            break
        weight, before = function(residual / (tuning * found)), fit
    return Reweighted(fit, found, weight)
