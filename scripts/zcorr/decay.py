"""From band-passed texture to distances: which correlation of two layers belongs to which distance.

The covariance of an isotropic tissue depends on distance alone, R(r). Within a layer it is measured
at lags of two pixels and more; a sum of Gaussians of fixed widths is fitted to it, for then all
that follows is exact. Two layers a distance d apart, each smoothed in its plane by a Gaussian of
variance s² per axis, have the covariance ``sum_w P_w w² / (w² + 2 s²) exp(-d² / (2 w²))``; a band
is the difference of two such. So the curve of the band against distance follows from the plane of
the very layers that are compared: richer or coarser content is no thickness.

Noise belongs to one layer alone: it lowers the correlation of any two by one factor, the share of
the band's variance that R predicts. It is taken as the running median over layers.

Lengths here are nominal layers; x and y pixels may differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter

from scripts.lib.arrays import Array
from scripts.zcorr.isotropy import BAND_SD_PX, LAGS_PX

_WIDTHS_PX = np.array([1.5, 2.2, 3.2, 4.6, 6.8, 10.0, 15.0])  # finer would be noise
_NODES = 96  # of the curve; even in the square root of distance
_FIRST = 8  # node; so far a curve falls with the square of distance, and by more than rounding
_SECTOR = 0.5  # rad around an axis; takes in the directions next to it
_ANISOTROPY_PX = 2.0  # px; where distances along x and y are compared: about one isotropic layer
_LEAST_SIGNAL = 0.05  # share of variance; a layer of noise alone must not divide by 0
_SIGNAL_LAYERS = 31  # running median of the share of signal


@dataclass(frozen=True, eq=False)
class Decay:
    """The covariance within each of n layers, as a sum of Gaussians, and the curves from it."""

    nodes: Array  # (m,) distances in layers, rising from 0
    curves: Array  # (n, m) correlation of the noise-free band with itself that far off
    signal: Array  # (n,) share 0..1 of the band's variance that is tissue
    anisotropy: Array  # (n,) log of the ratio of lengths along y and x, 0 = isotropic


def decay(inplane: Array, variance: Array, pixel_layers: tuple[float, float], reach: int) -> Decay:
    """Fit the covariance within each layer.

    Parameters
    ----------
    inplane
        (n, m) covariance at `LAGS_PX`, grey levels²; NaN rows are layers without a picture.
    variance
        (n,) variance of the band, grey levels².
    pixel_layers
        Size of a pixel in x and y, nominal layers.
    reach
        Longest distance asked for, layers; curves go twice as far.

    Returns
    -------
    Decay
        Curves, shares of signal and anisotropies of the n layers.
    """
    size = np.array(pixel_layers)
    unit = float(np.sqrt(size.prod()))
    nodes = (np.linspace(0, 1, _NODES) ** 2) * max(2.0 * reach, 4 * unit)
    lags = LAGS_PX * size
    angle = np.arctan2(np.abs(lags[:, 1]), np.abs(lags[:, 0]))
    curves = _band_curves(inplane, lags, size, nodes)
    with np.errstate(invalid="ignore", divide="ignore"):
        signal = _running_median(curves[:, 0] / variance)
    curves = _falling(curves)
    along = []  # the same as if only lags near x, or near y, were known
    for near in (angle < _SECTOR, angle > np.pi / 2 - _SECTOR):
        part = _falling(_band_curves(inplane[:, near], lags[near], size, nodes))
        along.append(_inverse(part, _value(curves, nodes, _ANISOTROPY_PX * unit), nodes))
    with np.errstate(invalid="ignore", divide="ignore"):
        anisotropy = np.log(along[1] / along[0])
    return Decay(nodes, curves, np.clip(signal, _LEAST_SIGNAL, 1), anisotropy)


def _band_curves(inplane: Array, lags: Array, size: Array, nodes: Array) -> Array:
    """(n, m) covariance of the band at the distances `nodes`, from covariances at `lags`."""
    widths = _WIDTHS_PX * float(np.sqrt(size.prod()))
    lag = np.hypot(*lags.T)
    design = np.column_stack([np.exp(-(lag[:, None] ** 2) / (2 * widths**2)), np.ones(len(lag))])
    weight = 1 / np.sqrt(lag)  # rings have more lags the wider they are
    solve = np.linalg.pinv(design * weight[:, None], rcond=1e-6) * weight
    amplitudes = (inplane @ solve.T)[:, :-1] * _band_factors(widths, size)
    return np.asarray(amplitudes @ np.exp(-(nodes**2) / (2 * widths[:, None] ** 2)))


def _falling(curves: Array) -> Array:
    """Correlation: 1 at distance 0, made to fall."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.minimum.accumulate(curves / curves[:, :1], axis=1))


def _value(curves: Array, nodes: Array, at: float) -> Array:
    k = int(np.searchsorted(nodes, at))
    share = (at - nodes[k - 1]) / (nodes[k] - nodes[k - 1])
    return np.asarray(curves[:, k - 1] + share * (curves[:, k] - curves[:, k - 1]))


def _band_factors(widths: Array, size: Array) -> Array:
    """(w,) what the band leaves of a Gaussian of each width, at distance 0."""
    total = np.zeros_like(widths)
    inner, outer = BAND_SD_PX
    for share, square in ((1, 2 * inner**2), (1, 2 * outer**2), (-2, inner**2 + outer**2)):
        both = widths[:, None] / np.sqrt(widths[:, None] ** 2 + square * size**2)
        total += share * both.prod(axis=1)
    return np.asarray(total)


def _running_median(values: Array) -> Array:
    """Return the running median over known values; the rest take the one nearest."""
    known = np.flatnonzero(np.isfinite(values))
    if len(known) == 0:
        return np.ones_like(values)
    smooth = median_filter(values[known], size=_SIGNAL_LAYERS, mode="nearest")
    return np.asarray(np.interp(np.arange(len(values)), known, smooth))


def distances(band: Array, found: Decay) -> Array:
    """Convert correlations to distances.

    Parameters
    ----------
    band
        (n, R) correlations of layers i and i + k + 1.
    found
        Of `decay`.

    Returns
    -------
    Array
        (n, R) distances, layers; NaN where there is none or the curve does not fall so low.
    """
    return np.asarray(np.sqrt(np.maximum(squares(band, found), 0)))


def squares(band: Array, found: Decay) -> Array:
    """Convert correlations to squared distances, in which small ones are linear.

    Parameters
    ----------
    band
        (n, R) correlations of layers i and i + k + 1.
    found
        Of `decay`.

    Returns
    -------
    Array
        (n, R) layers²; negative where a correlation is above that of no distance, for its noise
        was taken as more than it is; NaN where there is none or the curve does not fall so low.
    """
    n, reach = band.shape
    out = np.full((n, reach), np.nan)
    for k in range(min(reach, n - 1)):
        i, j = slice(0, n - k - 1), slice(k + 1, n)
        curve = (found.curves[i] + found.curves[j]) / 2
        value = band[i, k] / np.sqrt(found.signal[i] * found.signal[j])
        out[i, k] = _inverse_square(curve, value, found.nodes)
    return out


def _inverse(curves: Array, values: Array, nodes: Array) -> Array:
    """Where each falling curve (n, m) takes its value (n,)."""
    return np.asarray(np.sqrt(np.maximum(_inverse_square(curves, values, nodes), 0)))


def _inverse_square(curves: Array, values: Array, nodes: Array) -> Array:
    """Squares of `_inverse`: linear between nodes, and above the first value as below it."""
    above = (curves >= values[:, None]).sum(axis=1)
    low = np.clip(above - 1, 0, len(nodes) - 2)
    row = np.arange(len(values))
    high_value, low_value = curves[row, low], curves[row, low + 1]
    drop = high_value - low_value
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(drop > 0, (high_value - values) / drop, 0.0)
        square = nodes[low] ** 2 + share * (nodes[low + 1] ** 2 - nodes[low] ** 2)
        fall = (curves[:, 0] - curves[:, _FIRST]) / nodes[_FIRST] ** 2
        square = np.where(above == 0, (curves[:, 0] - values) / fall, square)
    return np.where(np.isfinite(values) & (above < len(nodes)), square, np.nan)
