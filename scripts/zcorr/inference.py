"""Thickness inference: correlations of neighbouring layers to corrected z.

Correlation falls with distance by one curve f(k) for the whole stack (or one for each window), so
a pair that correlates better than f says lies closer than nominal. Estimated in turn, until the
coordinates rest: the curve; a quality factor s of each layer, which takes noise and defocus out of
its correlations; the coordinates, each drawn to where its neighbours expect it. Hanslovsky,
Bogovic, Saalfeld 2017, doi:10.1093/bioinformatics/btw794; facts in spec solve-export 3.4.

Layers sit on a grid of true z: a missing layer is a slot without correlations, never a shift of
those behind it. Two deliberate differences from the reference: pairs and layers carry weights
(little common texture, layers that fit worse than their own neighbours fit each other), and a
sweep over the quality factors updates all layers at once by the geometric mean of old and new,
which has the same fixed point and does not depend on the order of the layers.

Index conventions: n layers on the grid, R offsets; ``corr[i, k]`` belongs to layers i and i+k+1;
a *band* is (n, 2R+1) with column R + d for the pair (i, i+d).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.intp]

_AT_REST = 1e-5  # layers; no coordinate moves more in an iteration: nothing changes any more
_POOR_POWER = 16  # a layer that fits a tenth worse than usual counts 0.19, a fifth worse 0.03


@dataclass(frozen=True)
class Options:
    """Options of the inference, named after the reference's (spec solve-export 3.4)."""

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
        """Take the options out of the config's section, which holds others too."""
        return Options(**{each.name: section[each.name] for each in fields(Options)})


@dataclass(frozen=True, eq=False)
class Estimate:
    """What was inferred, over the grid of n layers."""

    z: Array  # (n,) corrected coordinate in layers, 0 = nominal position of the first layer
    quality: Array  # (n,) quality factor; 1 = like the others
    weight: Array  # (n,) weight 0..1 that the layer had
    curve: Array  # (m, R+1) correlation against distance, one row per window
    iterations: int


def infer(corr: Array, present: NDArray[np.bool_], options: Options, weights: Array) -> Estimate:
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

    Raises
    ------
    ValueError
        When the shapes differ or no layer is present.
    """
    n = len(corr)
    if corr.shape != weights.shape or present.shape != (n,) or not present.any():
        raise ValueError(f"{corr.shape} correlations, {weights.shape} weights, {present.shape}")
    corr = np.where(present[:, None] & np.isfinite(corr), corr, np.nan)[:, : max(1, n - 1)]
    raw = _band(np.where(corr > 0, corr, np.nan), 1.0)
    weight = layer_weights(corr)
    trust = _band(weights[:, : corr.shape[1]], 0.0) * _neighbours(weight, corr.shape[1], 0.0)
    return _iterate(raw, np.nan_to_num(trust), weight, np.flatnonzero(present), options)


def _iterate(raw: Array, trust: Array, weight: Array, present: Index, options: Options) -> Estimate:
    n, reach = len(raw), raw.shape[1] // 2
    start = np.arange(n, dtype=float)
    z, quality, done = start.copy(), np.ones(n), 0
    centres = window_centres(n, options.local_estimates)
    both = trust * weight[:, None]  # the curve asks both layers of a pair
    curve = estimate_curve(raw, z, both, centres, monotone=options.force_monotonicity)
    for done in range(1, options.iterations + 1):  # noqa: B007 - the count is a result
        quality = _qualities(raw, quality, z, curve, centres, options)
        scaled = _scaled(raw, quality, reach)
        curve = estimate_curve(scaled, z, both, centres, monotone=options.force_monotonicity)
        shift = shifts(scaled, z, curve, centres, trust, options.minimum_correlation)
        moved = z + options.shift_proportion * shift
        regularizer = options.coordinate_regularizer
        moved = (1 - regularizer) * moved + regularizer * start
        moved = bounded(_ordered(_filled(moved, present), options), present, options)
        rest = float(np.abs(moved - z).max())
        z = moved
        if rest < _AT_REST:
            break
    z = normalise_edges(z, options.edge_layers)
    return Estimate(z, quality, weight, curve, done)


def trust(share: Array) -> Array:
    """Trust 0..1 in correlations by the share of the picture they rest on; half the median is full.

    Layers of much resin have little in common with any other.
    """
    usual = float(np.median(share[share > 0])) if (share > 0).any() else 1.0
    return np.minimum(1.0, 2 * share / usual)


def layer_weights(corr: Array) -> Array:
    """Weight 0..1 of each layer: how well it fits, against how its two neighbours fit each other.

    The ratio of the two is much the same throughout a stack. A layer with a lower one is damaged,
    misaligned or resin: its distances to others mean little. (n,) from (n, R).
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
# the band
# ---------------------------------------------------------------------------------------------


def _band(corr: Array, diagonal: float) -> Array:
    """(n, 2R+1) symmetric band of (n, R) values of pairs (i, i+k+1); NaN outside the stack."""
    n, reach = corr.shape
    out = np.full((n, 2 * reach + 1), np.nan)
    out[:, reach] = diagonal
    for d in range(1, min(reach, n - 1) + 1):
        out[: n - d, reach + d] = corr[: n - d, d - 1]
        out[d:, reach - d] = corr[: n - d, d - 1]
    return out


def _neighbours(values: Array, reach: int, outside: float = np.nan) -> Array:
    """(n, 2R+1) view: row i holds ``values[i-R … i+R]``."""
    padded = np.pad(values, reach, constant_values=outside)
    return sliding_window_view(padded, 2 * reach + 1)


def _scaled(raw: Array, quality: Array, reach: int) -> Array:
    """s_i s_j C_ij, the diagonal left at 1."""
    out = raw * quality[:, None] * _neighbours(quality, reach)
    out[:, reach] = 1.0
    return out


# ---------------------------------------------------------------------------------------------
# the curve
# ---------------------------------------------------------------------------------------------


def window_centres(n: int, windows: int) -> Array:
    """Centres of the windows that have a curve of their own, as positions on the grid."""
    if windows < 2:
        return np.array([(n - 1) / 2])
    return np.linspace(0, n - 1, windows)


def estimate_curve(
    band: Array, z: Array, trust: Array, centres: Array, *, monotone: bool = False
) -> Array:
    """(m, R+1) mean correlation at distances 0..R, one row per window centre; f(0) = 1.

    Each row of the band is sampled where the map index to z says that distance k lies. The
    radius of a window is n/m layers. A distance nobody has takes the value of the one before.
    """
    n, reach = len(band), band.shape[1] // 2
    values, weights = _samples(band, z, trust, monotone=monotone)
    if len(centres) == 1:
        near = np.ones((1, n))
    else:
        near = (np.abs(centres[:, None] - np.arange(n)) <= n / len(centres)).astype(float)
    total = near @ weights
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (near @ (weights * values)) / total
    curve = np.ones((len(centres), reach + 1))
    for k in range(1, reach + 1):
        curve[:, k] = np.where(total[:, k - 1] > 0, mean[:, k - 1], curve[:, k - 1])
    return curve


def _samples(band: Array, z: Array, trust: Array, *, monotone: bool) -> tuple[Array, Array]:
    """(n, R) sums over both sides: mean correlation at distance k and its weight."""
    n, reach = len(band), band.shape[1] // 2
    index = np.arange(n)
    total, weight = np.zeros((n, reach)), np.zeros((n, reach))
    for sign in (-1, 1):
        last = np.ones(n)
        for k in range(1, reach + 1):
            at = np.interp(z + sign * k, z, index, left=np.nan, right=np.nan) - index + reach
            value, sure = _row_at(band, trust, at)
            use = np.isfinite(value) & (value > 0)
            if monotone:
                use &= value < last
                last = np.where(use, value, last)
            total[:, k - 1] += np.where(use, sure * value, 0)
            weight[:, k - 1] += np.where(use, sure, 0)
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(total / weight), weight


def _row_at(band: Array, trust: Array, at: Array) -> tuple[Array, Array]:
    """Each row of `band` at its fractional column `at`, linear; with the trust of the pairs."""
    columns = band.shape[1]
    inside = np.isfinite(at) & (at >= 0) & (at <= columns - 1)
    at = np.where(inside, at, 0)
    low = np.minimum(at.astype(np.intp), columns - 2)
    share = at - low
    flat = low + np.arange(len(band)) * columns
    left, right = band.ravel()[flat], band.ravel()[flat + 1]
    # a node whose share is 0 must not spoil the value when it is missing
    value = np.where(share == 0, left, np.where(share == 1, right, left + share * (right - left)))
    sure = (1 - share) * trust.ravel()[flat] + share * trust.ravel()[flat + 1]
    return np.where(inside, value, np.nan), sure


def _at_layers(curve: Array, centres: Array, n: int) -> Array:
    """(n, R+1) or (1, R+1) curve of each layer, linear between the window centres."""
    if len(centres) == 1:
        return curve
    index = np.arange(n)
    return np.column_stack([np.interp(index, centres, column) for column in curve.T])


def _value(curves: Array, distance: Array) -> Array:
    """Give f at (n, m) distances; NaN beyond R."""
    reach = curves.shape[1] - 1
    if len(curves) == 1:
        value: Array = np.interp(distance, np.arange(reach + 1), curves[0], right=np.nan)
        return value
    low = np.clip(np.nan_to_num(distance).astype(np.intp), 0, reach - 1)
    left = np.take_along_axis(curves, low, axis=1)
    right = np.take_along_axis(curves, low + 1, axis=1)
    return np.where(distance <= reach, left + (distance - low) * (right - left), np.nan)


def _distance(curves: Array, value: Array) -> Array:
    """Distance at which f has (n, m) values; NaN above 1 and below f(R).

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
# quality factors and shifts
# ---------------------------------------------------------------------------------------------


def _qualities(
    raw: Array, quality: Array, z: Array, curve: Array, centres: Array, options: Options
) -> Array:
    """Quality factors after the sweeps of one iteration, (n,)."""
    n, reach = len(raw), raw.shape[1] // 2
    keep = options.scaling_factor_regularizer
    if keep >= 1 or options.scaling_factor_iterations == 0:
        return quality
    expected = _value(_at_layers(curve, centres, n), np.abs(_neighbours(z, reach) - z[:, None]))
    others = np.where(np.arange(2 * reach + 1) == reach, np.nan, raw)
    use = np.isfinite(expected) & np.isfinite(others)
    measured, expected = np.where(use, others, 0.0), np.where(use, expected, 0.0)
    for _ in range(options.scaling_factor_iterations):
        seen = _neighbours(quality, reach, 0.0) * measured
        with np.errstate(invalid="ignore", divide="ignore"):
            fit = (seen * expected).sum(axis=1) / (seen * seen).sum(axis=1)
        fit = np.where(np.isfinite(fit) & (fit > 0), fit, quality)
        quality = (1 - keep) * np.sqrt(quality * fit) + keep * quality
    # curve and factors together leave a common factor free; unchecked it drifts with the iterations
    quality = quality / np.exp(np.log(quality).mean())
    # seen from one side only, a poor layer looks like a far one: near the ends factors fade out
    from_end = np.minimum(np.arange(n), np.arange(n)[::-1])
    return np.asarray(quality ** np.minimum(1.0, from_end / reach))


def shifts(
    scaled: Array, z: Array, curve: Array, centres: Array, trust: Array, minimum: float
) -> Array:
    """Mean shift (n,) that the neighbours of each layer ask for; NaN where nobody asks.

    Layer i expects neighbour j at the distance where f has their correlation.
    """
    n, reach = len(scaled), scaled.shape[1] // 2
    side = np.sign(np.arange(2 * reach + 1) - reach)
    use = (scaled > minimum) & (scaled <= 1) & (side != 0)
    distance = _distance(_at_layers(curve, centres, n), np.where(use, scaled, np.nan))
    # seen from the layer that moves: its neighbour j at z_j wants it at z_j - side * distance
    asked = _neighbours(z, reach) - side * distance - z[:, None]
    good = np.isfinite(asked)
    weight = np.where(good, trust, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Array = np.where(good, asked * weight, 0.0).sum(axis=1) / weight.sum(axis=1)
    return mean


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
    """Fix the scale and offset that correlations leave free."""
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
    """Give odd layers near both ends thickness 1 (the reference's rule for 30 layers).

    Acts only on more than ``3 * edge`` layers: thickness outside median ± a fifth becomes 1, then
    everything is rescaled so that the first and last coordinates stay.
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
