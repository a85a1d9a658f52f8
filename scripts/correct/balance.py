"""Balance: gain and offset of tiles and layers from what overlaps, as sparse least squares.

Tiles of a layer: each is cut into regions with a map ``a v + b`` of their own (v = share of the
grey range). Where regions of two tiles show the same place, their grey values should agree;
neighbouring regions of a tile should differ little; and every map is held weakly to the identity.
All three are linear in a and b: one sparse system for each layer (facts: spec solve-export 4.6,
which iterates; here it is solved at once).

A map is the sum of a field that all tiles share and of the tile's own deviation; the shared one is
held more weakly. Detector and scan shade every tile alike, and without the shared field a ramp in
every tile would rather be mended by steps from tile to tile that add up over the layer.

Layers: neighbouring layers of an aligned stack show nearly the same, so their means and spreads
over common pixels should agree. Holding every layer weakly to the identity lets changes that take
longer than `hold_layers` pass: they are the specimen's.

Since the identity pulls on the sum of all maps alone, that sum does not move: averaged over all
regions, the middle grey value stays what it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

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
    count: int, grid: tuple[int, int], links: Mapping[str, NDArray[np.float64]], weights: Weights
) -> Array:
    """Solve for the maps of the regions of one layer: (count, rows, columns, 2) a, b.

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
    # unknowns: the shared field, then the tiles' own; their sum is what pixels see
    one = sparse.identity(2 * size)
    both = sparse.hstack([sparse.vstack([one] * count), sparse.identity(2 * size * count)])
    links_rows, none = _link_rows(at_p, at_q, p, q, pull, count * size)
    held = [_held(1, grid, weights, weights.shared), _held(count, grid, weights, 1.0)]
    matrix = sparse.vstack([links_rows @ both, sparse.block_diag([held[0][0], held[1][0]])])
    # of the two only the own field is drawn to the identity: the shared one to nothing
    right = np.concatenate([none, 0 * held[0][1], held[1][1]])
    return np.asarray(both @ _solved(matrix.tocsr(), right)).reshape(count, rows, columns, 2)


def _held(
    count: int, grid: tuple[int, int], weights: Weights, factor: float
) -> tuple[sparse.csr_matrix, Array]:
    """Rows that keep the regions of `count` fields alike, and where they are."""
    alike, none = _smooth_rows(count, *grid, factor * weights.smooth)
    still, right = _identity_rows(count * grid[0] * grid[1], factor * weights.identity)
    return sparse.vstack([alike, still]).tocsr(), np.concatenate([none, right])


def _moments(n: Array, total: Array, squares: Array) -> tuple[Array, Array]:
    mean = total / n
    return mean, np.sqrt(np.maximum(squares / n - mean**2, 0.0))


def _solved(matrix: sparse.csr_matrix, right: Array) -> Array:
    normal = (matrix.T @ matrix).tocsc()
    return np.asarray(splu(normal, permc_spec="MMD_AT_PLUS_A").solve(matrix.T @ right))


def _link_rows(
    at_p: Ints, at_q: Ints, p: tuple[Array, Array], q: tuple[Array, Array], pull: Array, size: int
) -> tuple[sparse.csr_matrix, Array]:
    """Two surrogate points for each pair, a spread below and above the mean, agree."""
    k = len(at_p)
    number = np.arange(k)
    matrices = []
    for sign in (-1.0, 1.0):
        v_p, v_q = p[0] + sign * p[1], q[0] + sign * q[1]
        weight = np.sqrt(pull / 2)
        data = np.concatenate([v_p * weight, weight, -v_q * weight, -weight])
        columns = np.concatenate([2 * at_p, 2 * at_p + 1, 2 * at_q, 2 * at_q + 1])
        matrices.append(sparse.csr_matrix((data, (np.tile(number, 4), columns)), (k, 2 * size)))
    return sparse.vstack(matrices).tocsr(), np.zeros(2 * k)


def _smooth_rows(
    count: int, rows: int, columns: int, pull: float
) -> tuple[sparse.csr_matrix, Array]:
    """Neighbouring regions of a tile agree at v = 0 and v = 1."""
    index = np.arange(count * rows * columns).reshape(count, rows, columns)
    one = np.concatenate([index[:, :-1].ravel(), index[:, :, :-1].ravel()])
    two = np.concatenate([index[:, 1:].ravel(), index[:, :, 1:].ravel()])
    black, white = np.zeros(len(one)), np.ones(len(one))
    none = np.zeros(len(one))
    out = []
    for value in (black, white):
        moments = (value, none)
        full = np.full(len(one), pull)
        out.append(_link_rows(one, two, moments, moments, full, index.size)[0])
    matrix = sparse.vstack(out).tocsr()
    return matrix, np.zeros(matrix.shape[0])


def _identity_rows(size: int, pull: float) -> tuple[sparse.csr_matrix, Array]:
    """Every region keeps v = 0 and v = 1."""
    a, b = 2 * np.arange(size), 2 * np.arange(size) + 1
    weight = np.sqrt(pull)
    row = np.arange(size)
    keep_black = sparse.csr_matrix((np.full(size, weight), (row, b)), (size, 2 * size))
    data, at = np.full(2 * size, weight), np.concatenate([a, b])
    keep_white = sparse.csr_matrix((data, (np.tile(row, 2), at)), (size, 2 * size))
    right = np.concatenate([np.zeros(size), np.full(size, weight)])
    return sparse.vstack([keep_black, keep_white]).tocsr(), right


# ---------------------------------------------------------------------------------------------
# layers
# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class LayerLinks:
    """Pairs of layers with their moments over common pixels; columns of equal length."""

    p: Ints  # index of the lower layer
    q: Ints
    p_mean: Array
    q_mean: Array
    p_spread: Array
    q_spread: Array


def layer_maps(count: int, links: LayerLinks, hold_layers: float) -> Array:
    """Solve for gain and offset of each layer: (count, 2), ``new = a v + b`` in the links' units.

    A layer without a link keeps its values.
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


def _chain(count: int, p: Ints, q: Ints, step: Array, pull: float) -> Array:
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
    weight, found = ones, np.zeros(count)
    for _ in range(_ROUNDS):
        scaled = sparse.diags(weight) @ matrix
        normal = (matrix.T @ scaled + pull * sparse.identity(count)).tocsc()
        found = np.asarray(splu(normal, permc_spec="MMD_AT_PLUS_A").solve(scaled.T @ step))
        left = np.abs(matrix @ found - step)
        spread = 1.4826 * float(np.median(left))
        if spread < 1e-9:
            break
        weight = np.minimum(1.0, _HUBER * spread / np.maximum(left, 1e-12))
    return found
