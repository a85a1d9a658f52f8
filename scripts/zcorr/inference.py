"""The reference's inference: correlations of neighbouring layers to corrected z.

Correlation falls with distance by one curve f(k) for the whole stack (or one for each window), so
a pair that correlates better than f says lies closer than nominal. Estimated in turn, until the
coordinates rest: the curve; a quality factor s of each layer, which takes noise and defocus out of
its correlations; the coordinates. Hanslovsky, Bogovic, Saalfeld 2017,
doi:10.1093/bioinformatics/btw794.

Layers sit on a grid of true z: a missing layer is a slot without correlations, never a shift of
those behind it. Deliberate differences from the reference:

* pairs and layers carry weights (little common texture, layers that fit worse than their own
  neighbours fit each other);
* where the reference lets every layer move to the mean of what its neighbours expect, again and
  again, the coordinates at which all are at rest are solved for at once (banded normal equations);
* the curve is the piecewise linear one that fits all pairs best, not the mean of resampled rows;
* a sweep over the quality factors updates all layers at once by the geometric mean of old and new,
  which has the same fixed point and does not depend on the order of the layers.

Index convention: n layers on the grid, R offsets; ``[i, k]`` belongs to layers i and i + k + 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from scripts.lib.arrays import Array, Bool, Index
from scripts.zcorr import thickness

_AT_REST = 1e-4  # layers; no thickness changes by more in an iteration: far below any claim
_POOR_POWER = 16  # a layer that fits a tenth worse than usual counts 0.19, a fifth worse 0.03


@dataclass(frozen=True)
class Options:
    """Options of the inference, named after those of the reference."""

    scaling_factor_regularizer: float = 0.1  # 1 switches the quality factors off
    coordinate_regularizer: float = 0.0  # share of nominal z mixed in at each iteration
    shift_proportion: float = 0.6
    iterations: int = 100
    minimum_section_thickness: float = 1e-4  # layers
    regularization: Literal["BORDER", "IDENTITY", "NONE"] = "BORDER"
    scaling_factor_iterations: int = 10
    reorder: bool = False
    force_monotonicity: bool = False
    local_estimates: int = 1
    minimum_correlation: float = 0.0
    edge_layers: int = 0  # the reference normalises the thickness of 30 layers at each end

    @staticmethod
    def of(section: Mapping[str, Any]) -> Options:
        """Choose the options from the config's section, which holds others too.

        Parameters
        ----------
        section
            Section ``zcorr``.

        Returns
        -------
        Options
            Those of the section.
        """
        return Options(**{each.name: section[each.name] for each in fields(Options)})


@dataclass(frozen=True, eq=False)
class Estimate:
    """What was inferred, over the grid of n layers."""

    z: Array  # (n,) corrected coordinate in layers, 0 = nominal position of the first layer
    quality: Array  # (n,) quality factor; 1 = like the others
    weight: Array  # (n,) weight 0..1 that the layer had
    curve: Array  # (m, R+1) correlation against distance, one row per window
    iterations: int


def infer(corr: Array, present: Bool, options: Options, weights: Array) -> Estimate:
    """Infer the coordinates of n layers.

    Parameters
    ----------
    corr
        (n, R) correlations; NaN where there is none.
    present
        (n,) False for slots of the z grid without a layer; their z is interpolated.
    options
        See `Options`.
    weights
        (n, R) trust in each correlation, 0..1.

    Returns
    -------
    Estimate
        Coordinates, quality factors and the curve.

    Raises
    ------
    ValueError
        When the shapes differ or no layer is present.
    """
    n = len(corr)
    if corr.shape != weights.shape or present.shape != (n,) or not present.any():
        raise ValueError(f"{corr.shape} correlations, {weights.shape} weights, {present.shape}")
    reach = max(1, min(corr.shape[1], n - 1))
    corr = np.where(present[:, None] & np.isfinite(corr), corr, np.nan)[:, :reach]
    weight = layer_weights(corr)
    both = weights[:, :reach] * _at_upper(weight, reach, 0.0) * weight[:, None]
    known = corr > 0
    pairs = _Pairs(np.where(known, corr, 0.0), np.where(known, both, 0.0))
    return _iterate(pairs, weight, np.flatnonzero(present), options)


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Correlations (n, R), 0 = none, and the trust in them."""

    corr: Array
    trust: Array


def _iterate(pairs: _Pairs, weight: Array, present: Index, options: Options) -> Estimate:
    n, reach = pairs.corr.shape
    start = np.arange(n, dtype=float)
    z, quality, done = start.copy(), np.ones(n), 0
    centres = _window_centres(n, options.local_estimates)
    apart = _apart(z, reach)
    curve = _estimate_curve(pairs, apart, centres, monotone=options.force_monotonicity)
    for done in range(1, options.iterations + 1):  # noqa: B007 - the count is a result
        quality = _qualities(pairs.corr, quality, apart, _at_layers(curve, centres, n), options)
        scaled = _Pairs(pairs.corr * quality[:, None] * _at_upper(quality, reach), pairs.trust)
        curve = _estimate_curve(scaled, apart, centres, monotone=options.force_monotonicity)
        requested = _requested(scaled, _at_layers(curve, centres, n), start, options)
        moved = z + options.shift_proportion * (requested - z)
        moved = bounded(_ordered(_filled(moved, present), options), present, options)
        rest = float(np.abs(np.diff(moved - z, prepend=0.0)).max())
        z = moved
        apart = _apart(z, reach)
        if rest < _AT_REST:
            break
    z = normalise_edges(z, options.edge_layers)
    return Estimate(z, quality, weight, curve, done)


def _at_upper(values: Array, reach: int, outside: float = 1.0) -> Array:
    """(n, R) values of the upper layer of each pair; `outside` past the end."""
    out = np.full((len(values), reach), outside)
    for k in range(min(reach, len(values) - 1)):
        out[: len(values) - k - 1, k] = values[k + 1 :]
    return out


def _apart(z: Array, reach: int) -> Array:
    """(n, R) distance of each pair; 0 past the end, where no pair has trust."""
    return np.asarray(_at_upper(z, reach, 0.0) - z[:, None]) * (_at_upper(z * 0 + 1, reach, 0) > 0)


def trust(share: Array) -> Array:
    """Weight correlations by the share of the picture they rest on.

    Layers of much resin have little in common with any other.

    Parameters
    ----------
    share
        (n, R) shares 0..1.

    Returns
    -------
    Array
        (n, R) weights 0..1; half the median share is full weight.
    """
    usual = float(np.median(share[share > 0])) if (share > 0).any() else 1.0
    return np.minimum(1.0, 2 * share / usual)


def layer_weights(corr: Array) -> Array:
    """Weight each layer by how well it fits, against how its two neighbours fit each other.

    The ratio of the two is much the same throughout a stack. A layer with a lower one is damaged,
    misaligned or resin: its distances to others mean little.

    Parameters
    ----------
    corr
        (n, R) correlations; NaN = none.

    Returns
    -------
    Array
        (n,) weights 0..1.
    """
    n = len(corr)
    weight = np.ones(n)
    if n < 3 or corr.shape[1] < 2:
        return weight
    before, after, across = corr[:-2, 0], corr[1:-1, 0], corr[:-2, 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = (before + after) / (2 * np.abs(across))
    known = ratio[np.isfinite(ratio)]
    usual = float(np.median(known)) if len(known) else 1.0
    ratio = np.clip(ratio / usual, 0, 1) ** _POOR_POWER
    weight[1:-1] = np.where(np.isfinite(ratio), ratio, 1.0)
    return weight


# ---------------------------------------------------------------------------------------------
# the curve
# ---------------------------------------------------------------------------------------------


def _window_centres(n: int, windows: int) -> Array:
    """Centres of the windows that have a curve of their own, as positions on the grid."""
    if windows < 2:
        return np.array([(n - 1) / 2])
    return np.linspace(0, n - 1, windows)


def _estimate_curve(
    pairs: _Pairs, apart: Array, centres: Array, *, monotone: bool = False
) -> Array:
    """(m, R+1) correlation at distances 0..R, one row per window centre; f(0) = 1.

    The piecewise linear curve that fits the pairs best. The radius of a window is n/m layers. A
    distance nobody has takes the value of the one before.
    """
    n, reach = pairs.corr.shape
    trust = pairs.trust * _falling(pairs.corr) if monotone else pairs.trust
    use = (trust > 0) & (apart < reach)
    out = np.ones((len(centres), reach + 1))
    for row, centre in enumerate(centres):
        part = slice(0, n)
        if len(centres) > 1:
            radius = n / len(centres)
            part = slice(max(0, int(np.ceil(centre - radius))), int(centre + radius) + 1)
        here = use[part]
        out[row] = _curve(apart[part][here], pairs.corr[part][here], trust[part][here], reach)
    return out


def _curve(apart: Array, corr: Array, trust: Array, reach: int) -> Array:
    """Weighted least squares of values at 0..R joined by lines, the first held at 1."""
    low = apart.astype(np.intp)
    share = apart - low

    def sums(values: Array) -> Array:
        return np.asarray(np.bincount(low, values, reach + 1), float)

    left, right = trust * (1 - share), trust * share
    # node k lies on the left of segment k and on the right of segment k - 1
    diagonal = sums(left * (1 - share)) + np.roll(sums(right * share), 1)
    beside = sums(left * share)
    asked = sums(left * corr) + np.roll(sums(right * corr), 1)
    out = np.ones(reach + 1)
    known = np.flatnonzero(diagonal[1:] > 1e-9) + 1
    matrix = np.diag(diagonal) + np.diag(beside[:-1], 1) + np.diag(beside[:-1], -1)
    asked[1] -= beside[0]
    if len(known):
        out[known] = np.linalg.lstsq(matrix[np.ix_(known, known)], asked[known], rcond=1e-9)[0]
    for k in range(1, reach + 1):
        if k not in known:
            out[k] = out[k - 1]
    return out


def _falling(corr: Array) -> Array:
    """Share 0, 1/2 or 1 of the two layers of a pair from which correlation has only fallen."""
    n, reach = corr.shape
    before = np.minimum.accumulate(np.column_stack([np.ones(n), np.where(corr > 0, corr, 1)]), 1)
    forth = corr < before[:, :-1]
    back, least = np.zeros((n, reach), bool), np.ones(n)
    for k in range(min(reach, n - 1)):
        value = corr[: n - k - 1, k]
        upper = least[k + 1 :]
        back[: n - k - 1, k] = value < upper
        least[k + 1 :] = np.where(value > 0, np.minimum(upper, value), upper)
    return (forth.astype(float) + back) / 2


def _at_layers(curve: Array, centres: Array, n: int) -> Array:
    """(n, R+1) or (1, R+1) curve of each layer, linear between the window centres."""
    if len(centres) == 1:
        return curve
    index = np.arange(n)
    return np.column_stack([np.interp(index, centres, column) for column in curve.T])


def _value(curves: Array, distance: Array) -> Array:
    """Return f at (n, R) distances; NaN beyond R."""
    reach = curves.shape[1] - 1
    if len(curves) == 1:
        value: Array = np.interp(distance, np.arange(reach + 1), curves[0], right=np.nan)
        return value
    low = np.clip(distance.astype(np.intp), 0, reach - 1)
    left = np.take_along_axis(curves, low, axis=1)
    right = np.take_along_axis(curves, low + 1, axis=1)
    return np.where(distance <= reach, left + (distance - low) * (right - left), np.nan)


def _distance(curves: Array, value: Array) -> Array:
    """Distance at which f has (n, R) values; NaN above 1 and below f(R).

    f is made to fall first (running minimum): the inverse needs it, and a rise is noise.
    """
    falling = np.minimum.accumulate(curves, axis=1)
    reach = curves.shape[1] - 1
    if len(curves) == 1:
        # tiny slope: equal neighbours would make the inverse ambiguous
        knots = falling[0] - 1e-12 * np.arange(reach + 1)
        nodes = np.arange(reach, -1, -1)
        return np.interp(value, knots[::-1], nodes, left=np.nan, right=np.nan)
    out = np.full(value.shape, np.nan)
    for k in range(reach):
        high, low = falling[:, k, None], falling[:, k + 1, None]
        hit = (value <= high) & (value >= low) & np.isnan(out)
        drop = np.where(high > low, high - low, 1.0)
        out = np.where(hit, k + (high - value) / drop, out)
    return out


# ---------------------------------------------------------------------------------------------
# quality factors and coordinates asked for
# ---------------------------------------------------------------------------------------------


def _qualities(corr: Array, quality: Array, apart: Array, curves: Array, options: Options) -> Array:
    """Quality factors after the sweeps of one iteration, (n,)."""
    n, reach = corr.shape
    keep = options.scaling_factor_regularizer
    if keep >= 1 or options.scaling_factor_iterations == 0:
        return quality
    expected = np.nan_to_num(_value(curves, apart))
    measured = np.where(expected > 0, corr, 0.0)
    product, square = measured * expected, measured * measured
    for _ in range(options.scaling_factor_iterations):
        upper = _at_upper(quality, reach)
        top = (product * upper).sum(axis=1) + _to_upper(product * quality[:, None])
        under = (square * upper**2).sum(axis=1) + _to_upper(square * quality[:, None] ** 2)
        with np.errstate(invalid="ignore", divide="ignore"):
            fit = top / under
        fit = np.where(np.isfinite(fit) & (fit > 0), fit, quality)
        before, quality = quality, (1 - keep) * np.sqrt(quality * fit) + keep * quality
        if float(np.abs(quality - before).max()) < _AT_REST:
            break
    # curve and factors together leave a common factor free; unchecked it drifts with the iterations
    quality = quality / np.exp(np.log(quality).mean())
    # seen from one side only, a poor layer looks like a far one: near the ends factors fade out
    from_end = np.minimum(np.arange(n), np.arange(n)[::-1])
    return np.asarray(quality ** np.minimum(1.0, from_end / reach))


def _to_upper(values: Array) -> Array:
    """(n,) sums of (n, R) values of pairs over the layers that are their upper one."""
    n, reach = values.shape
    out = np.zeros(n)
    for k in range(min(reach, n - 1)):
        out[k + 1 :] += values[: n - k - 1, k]
    return out


def _requested(scaled: _Pairs, curves: Array, start: Array, options: Options) -> Array:
    """Coordinates (n,) that fit the distances at which f has the correlations; NaN: unasked.

    `coordinate_regularizer` pulls to nominal z as strongly as mixing in so much of it after each of
    the reference's steps does in the end.
    """
    use = (scaled.corr > options.minimum_correlation) & (scaled.corr <= 1) & (scaled.trust > 0)
    distance = _distance(curves, scaled.corr)
    use &= np.isfinite(distance)
    weight = np.where(use, scaled.trust, 0.0)
    total = weight.sum(axis=1) + _to_upper(weight)
    mixed = options.coordinate_regularizer
    if mixed >= 1:
        return start
    pull = total * mixed / ((1 - mixed) * options.shift_proportion)
    z = thickness.fit(np.where(use, distance, 0.0), weight, pull, start)
    return np.where(total > 0, z, np.nan)


# ---------------------------------------------------------------------------------------------
# coordinates
# ---------------------------------------------------------------------------------------------


def _filled(z: Array, present: Index) -> Array:
    """Missing and unasked layers by their neighbours, linear in nominal z; nominal at the ends."""
    index = np.arange(len(z))
    known = present[np.isfinite(z[present])]
    if len(known) == 0:
        return index.astype(float)
    offset = np.interp(index, known, z[known] - known)
    return index + offset


def _ordered(z: Array, options: Options) -> Array:
    """Layers in order, at least the minimum thickness apart where they were not."""
    if options.reorder:
        return np.sort(z)
    thin = options.minimum_section_thickness * np.arange(len(z))
    # running maximum with a slope: z_i = max(z_i, z_(i-1) + minimum)
    ordered: Array = np.maximum.accumulate(z - thin) + thin
    return ordered


def bounded(z: Array, present: Index, options: Options) -> Array:
    """Fix the scale and offset that correlations leave free.

    Parameters
    ----------
    z
        (n,) coordinates, layers.
    present
        Positions of the layers that have an image.
    options
        ``regularization`` says how.

    Returns
    -------
    Array
        (n,) coordinates, layers.
    """
    if options.regularization == "NONE" or len(present) < 2:
        return z
    index = np.arange(len(z), dtype=float)
    if options.regularization == "IDENTITY":
        slope, shift = np.polyfit(z, index, 1)
        return np.asarray(slope * z + shift)
    first, last = present[0], present[-1]
    slope = (last - first) / (z[last] - z[first])
    return np.asarray(first + slope * (z - z[first]))


def normalise_edges(z: Array, edge: int) -> Array:
    """Set the thickness of odd layers near both ends to 1 (the reference's rule for 30 layers).

    Acts only on more than ``3 * edge`` layers: thickness outside median ± a fifth becomes 1, then
    everything is rescaled so that the first and last coordinates stay.

    Parameters
    ----------
    z
        (n,) coordinates, layers.
    edge
        Layers at each end.

    Returns
    -------
    Array
        (n,) coordinates, layers.
    """
    n = len(z)
    if edge < 1 or n <= 3 * edge:
        return z
    steps = np.diff(z)
    middle = float(np.median(steps))
    odd = np.abs(steps - middle) > middle / 5
    odd[edge : len(steps) - edge] = False
    steps = np.where(odd, 1.0, steps)
    grown = np.concatenate([[0.0], np.cumsum(steps)])
    return np.asarray(z[0] + grown * (z[-1] - z[0]) / grown[-1])
