"""Balance: gain and offset of tiles and layers from what overlaps, as sparse least squares.

Tiles of a layer: each is cut into regions with a map ``a v + b`` of their own (v = share of the
grey range). Where regions of two tiles show the same place, their grey values should agree;
neighbouring regions of a tile should differ little; and every map is held weakly to the identity.
Gains come from the spreads, as logarithms, each with the weight at which noise lets it be known,
then offsets from the means: two sparse linear systems for each layer, where render's intensity
correction iterates. A fit of a and b at once would rather take all contrast away, which makes any
two pictures agree.

A map is the sum of a field that all tiles share and of the tile's own deviation; the shared one is
held more weakly. Detector and scan shade every tile alike, and without the shared field a ramp in
every tile would rather be corrected by steps from tile to tile that add up over the layer.

Layers: neighbouring layers of an aligned stack show nearly the same, so their means and spreads
over common pixels should agree. Holding every layer weakly to the identity lets changes that take
longer than `hold_layers` pass: they are the specimen's.

Since the identity pulls on the sums alone, these do not move: averaged over all regions, the middle
grey value stays, and the logarithm of the gain is 0.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from scripts.lib.arrays import Array, Int64
from scripts.lib.numerics import robust

_LEAST_PIXELS = 20  # of a pair of regions or layers
_HUBER = 2.0  # links that miss by more than so many sd count less
_ROUNDS = 8


@dataclass(frozen=True)
class Weights:
    """How strongly the terms pull, against 1 for a pair of regions of average size."""

    smooth: float = 0.1  # neighbouring regions of a tile alike
    identity: float = 0.005  # every region stays
    shared: float = 0.1  # both, of the field that all tiles share, against a tile's own


# ---------------------------------------------------------------------------------------------
# tiles of a layer
# ---------------------------------------------------------------------------------------------


def tile_maps(
    count: int, grid: tuple[int, int], links: Mapping[str, Array], weights: Weights
) -> Array:
    """Solve for the maps of the regions of one layer.

    Parameters
    ----------
    count, grid
        Number of tiles; rows and columns of regions of each.
    links
        Columns of equal length: ``p``, ``q`` tile numbers, ``p_region``, ``q_region`` flat region
        numbers, ``n`` pixels, ``p_sum``, ``q_sum``, ``p_squares``, ``q_squares`` sums over them of
        v and v**2.
    weights
        Pull of the terms.

    Returns
    -------
    Array
        (count, rows, columns, 2) a, and b as a share of the grey range.
    """
    rows, columns = grid
    size = rows * columns
    identity = np.zeros((count, rows, columns, 2))
    identity[..., 0] = 1.0
    use = links["n"] >= _LEAST_PIXELS
    if not use.any():
        return identity
    n = links["n"][use]
    p = _moments(n, links["p_sum"][use], links["p_squares"][use])
    q = _moments(n, links["q_sum"][use], links["q_squares"][use])
    at_p = (links["p"][use] * size + links["p_region"][use]).astype(np.int64)
    at_q = (links["q"][use] * size + links["q_region"][use]).astype(np.int64)
    pull = n / n.mean()
    system = _System(count, grid, at_p, at_q, weights)
    # gains first, as logarithms: shrinking all of them would bring any noisy pair nearer
    known = (p[1] > 0) & (q[1] > 0)
    ratio = np.log(np.where(known, p[1], 1.0) / np.where(known, q[1], 1.0))
    gain = np.exp(system.solve(ratio, pull * _gain_precision(p[1], q[1]) * known))
    middle = float((n @ (p[0] + q[0])) / (2 * n.sum()))
    flat = gain.ravel()
    step = flat[at_p] * (p[0] - middle) - flat[at_q] * (q[0] - middle)
    shift = system.solve(step, pull)
    return np.stack([gain, shift + middle * (1 - gain)], axis=-1)


@dataclass(frozen=True)
class _System:
    """One number for each region, x, with ``x_q - x_p`` of linked regions given."""

    count: int
    grid: tuple[int, int]
    p: Int64
    q: Int64
    weights: Weights

    def solve(self, step: Array, pull: Array) -> Array:
        """Return x (count, rows, columns); `pull` is the weight of each link."""
        size, k = self.grid[0] * self.grid[1], len(self.p)
        ones, number = np.ones(k), np.arange(k)
        at = (np.concatenate([number, number]), np.concatenate([self.q, self.p]))
        links = sparse.csr_matrix((np.concatenate([ones, -ones]), at), (k, self.count * size))
        # unknowns: the shared field, then the tiles' own; their sum is what pixels see
        one = sparse.vstack([sparse.identity(size)] * self.count)
        both = sparse.hstack([one, sparse.identity(self.count * size)]).tocsr()
        seen = links @ both
        held = _alike(self.grid, self.weights)
        parts = [self.weights.shared * held, *[held] * self.count]
        normal = seen.T @ sparse.diags(pull) @ seen + sparse.block_diag(parts)
        factor = splu(normal.tocsc(), permc_spec="MMD_AT_PLUS_A")
        found = both @ factor.solve(seen.T @ (pull * step))
        return np.asarray(found).reshape(self.count, *self.grid)


def _alike(grid: tuple[int, int], weights: Weights) -> sparse.csr_matrix:
    """Quadratic form that keeps neighbouring regions of a field alike, and each where it is."""
    index = np.arange(grid[0] * grid[1]).reshape(grid)
    one = np.concatenate([index[:-1].ravel(), index[:, :-1].ravel()])
    two = np.concatenate([index[1:].ravel(), index[:, 1:].ravel()])
    number, ones = np.arange(len(one)), np.ones(len(one))
    at = (np.concatenate([number, number]), np.concatenate([one, two]))
    slope = sparse.csr_matrix((np.concatenate([ones, -ones]), at), (len(one), index.size))
    return weights.smooth * (slope.T @ slope) + weights.identity * sparse.identity(index.size)


def _gain_precision(p_spread: Array, q_spread: Array) -> Array:
    """Weigh the logarithm of a link's gain against its offset (share of range).

    Of n pairs of pixels with spread s and correlation r, the difference of the means has the
    variance ``2 s**2 (1 - r) / n``, and the logarithm of the ratio of the spreads
    ``(1 - r**2) / n`` (Pitman 1939, doi:10.1093/biomet/31.1-2.9). Their quotient is
    ``2 s**2 / (1 + r)``, here with r = 1, its least: an overlap of resin, without spread, says
    nothing about contrast.
    """
    return p_spread * q_spread


def _moments(n: Array, total: Array, squares: Array) -> tuple[Array, Array]:
    mean = total / n
    return mean, np.sqrt(np.maximum(squares / n - mean**2, 0.0))


# ---------------------------------------------------------------------------------------------
# layers
# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class LayerLinks:
    """Pairs of layers with their moments over common pixels; columns of equal length."""

    p: Int64  # index of the lower layer
    q: Int64
    p_mean: Array
    q_mean: Array
    p_spread: Array
    q_spread: Array


def layer_maps(count: int, links: LayerLinks, hold_layers: float) -> Array:
    """Solve for gain and offset of each layer: ``new = a v + b`` in the links' units.

    Parameters
    ----------
    count
        Number of layers.
    links
        Pairs of layers.
    hold_layers
        Changes over more layers than these pass.

    Returns
    -------
    Array
        (count, 2) a, b; a layer without a link keeps its values.
    """
    out = np.column_stack([np.ones(count), np.zeros(count)])
    if len(links.p) == 0:
        return out
    middle = float(np.mean([links.p_mean.mean(), links.q_mean.mean()]))
    pull = 1.0 / hold_layers**2
    known = (links.p_spread > 0) & (links.q_spread > 0)
    ratio = np.log(links.p_spread[known] / links.q_spread[known])
    gain = np.exp(_chain(count, links.p[known], links.q[known], ratio, pull))
    step = gain[links.p] * (links.p_mean - middle) - gain[links.q] * (links.q_mean - middle)
    shift = _chain(count, links.p, links.q, step, pull)
    out[:, 0] = gain
    out[:, 1] = shift + middle * (1 - gain)
    return out


def _chain(count: int, p: Int64, q: Int64, step: Array, pull: float) -> Array:
    """Find x with x_q - x_p = step, each x held weakly to 0; far-off links count less (Huber)."""
    number = np.arange(len(p))
    ones = np.ones(len(p))
    matrix = sparse.csr_matrix(
        (
            np.concatenate([ones, -ones]),
            (np.concatenate([number, number]), np.concatenate([q, p])),
        ),
        (len(p), count),
    )

    def solve(weight: Array) -> tuple[Array, Array]:
        scaled = sparse.diags(weight) @ matrix
        normal = (matrix.T @ scaled + pull * sparse.identity(count)).tocsc()
        found = np.asarray(splu(normal, permc_spec="MMD_AT_PLUS_A").solve(scaled.T @ step))
        return found, np.abs(matrix @ found - step)

    scale = functools.partial(robust.deviation, centre=0.0)
    rounds = [(robust.huber, _HUBER)] * _ROUNDS
    return robust.reweighted(solve, scale, rounds, ones, least_scale=1e-9).fit
