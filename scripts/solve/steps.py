"""Steps of the layers' linear parts at restarts: rotation, scale, aspect and shear.

With the microscope set up anew the images may be turned, larger or stretched from one layer to the
next, by far more than a tile otherwise differs from its stage. What a pair says of it needs no
solve: the affine through its points. All of them give one chain of layers, in logarithms,

    sum over pairs k of w_k |l_q(k) - l_p(k) - e_k|^2

with e_k the logarithm of the linear part that takes q to p, each where the stage puts it, and w_k
its weight, re-weighted by residual. A layer has many pairs to several others, so that wrong ones
are outvoted; no prior takes part, so that nothing outvotes right ones. Tissue whose structures run
apart, or turn, makes every layer differ from the next by the same: this trend, a running median of
the differences, is taken off. A step is where the layers on both sides differ by many times what
layers usually differ by beyond it.

The solve holds its tiles against the trend where it knows the microscope better than the matches
do, but the linear part of a run is free, and would take the trend of its end for a part of the
step: `detrended` takes off the pairs what tiles do not follow.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import median_filter
from scipy.sparse import coo_array, csc_array, diags_array
from scipy.sparse.linalg import splu

from scripts.lib.arrays import Array, Bool, Int64
from scripts.lib.numerics.robust import MAD_TO_SD, deviation
from scripts.solve import robust
from scripts.solve.graph import Graph, Tiles
from scripts.solve.models import rotation_of

log = logging.getLogger(__name__)
# times the median difference of layers: 7.3 and 5.5 standard deviations of a component where all
# four are normal; without a step the largest of ten volumes was 1.7 to 2.5 times the median
STEP_FACTOR, TOLD_FACTOR = 4.0, 3.0  # anywhere; at reported restarts
ROUND = 3  # layers on each side of which the median is taken: one bad layer is no step
TREND = 10  # layers on each side of which the running median is taken
LEAST_PAIRS = 2  # of different images across a step
SURE = 3.0  # standard errors by which a trend, or a pair that leaves more, is told from none
CLEAR = 3.0  # times what pairs leave beyond the usual: by so much a step has to move their points
LIKE = 5  # pairs of one distance whose median says what is usual
LEAST = 1e-4  # smaller steps are none: 0.2 px at the edge of a tile of 4,000 px
MOST = 0.5  # share of the pairs to a layer that agree where it alone differs from those around
DISTANCE = 2  # power of the layers between: what tissue changes grows with them (docs/solve.md)
AGREED = 0.5  # robust factor of a pair that agrees
COMPOSED = 4  # times that the linear parts of runs are refined
ITERATIONS = 10  # re-weightings with each function
GAUGE = 1e-9  # of the mean weight of a layer; fixes the mean of the logarithms


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs of layers between steps.

    ``run`` (n,) run of each tile, 0, 1, ... along z; ``linear`` (r, 2, 2) of each run, by which the
    stage's linear parts are to be multiplied; ``reference`` the run, the longest, whose linear part
    is the identity.
    """

    run: Int64
    linear: Array
    reference: int

    @staticmethod
    def none(n: int) -> Runs:
        """Return the runs of tiles without a step.

        Parameters
        ----------
        n
            Number of tiles.

        Returns
        -------
        Runs
            One run.
        """
        return Runs(np.zeros(n, np.int64), np.eye(2)[None], 0)

    @property
    def free(self) -> Int64:
        """Number the runs whose linear part is unknown.

        Returns
        -------
        Int64
            (n,) number of each tile's run among them, -1 in the reference.
        """
        number = self.run - (self.run > self.reference)
        return np.where(self.run == self.reference, -1, number)


def runs_of(
    tiles: Tiles,
    graph: Graph,
    *,
    cutoff: float,
    model: str,
    restarts: Sequence[float] = (),
    known: Sequence[float] = (),
) -> Runs:
    """Find the runs of layers between steps of the linear part.

    Parameters
    ----------
    tiles, graph
        The n tiles, in order of z, and the pairs between them.
    cutoff
        Of `robust.weights`.
    model
        Of the tiles: steps keep to what it can express.
    restarts
        z of layers before which a step is likely.
    known
        z of layers before which there is a step, whatever its size.

    Returns
    -------
    Runs
        One run when there is no step.
    """
    if model == "translation" or not (graph.dz > 0).any():
        return Runs.none(len(tiles))
    z, layer = np.unique(tiles.z, return_inverse=True)
    pairs = _Pairs.of(tiles, graph, layer)
    chain, good = _chain(pairs, np.eye(2)[None].repeat(len(z), axis=0), cutoff)
    agreed = robust.crossing(good, pairs.p, pairs.q, len(z))
    told = np.isin(z, known)
    flat, reported = _flat(chain, told), np.isin(z, restarts)
    begins = _begins(flat, agreed, reported, told)
    begins &= told | _confirmed(pairs, good, len(z))
    begins &= told | reported | _clear(pairs, good, flat)
    run = np.cumsum(begins, dtype=np.int64)
    found = _composed(pairs, chain, run, cutoff)
    reference = int(np.bincount(run).argmax())
    found = _model_part(found @ np.linalg.inv(found[reference]), model)
    for r in np.flatnonzero(np.arange(len(found)) != reference):
        log.info("layers from z %g: linear part %s", z[run == r][0], found[r].round(5).tolist())
    return Runs(np.asarray(run[layer], np.int64), found, reference)


def _composed(pairs: _Pairs, chain: Array, run: Int64, cutoff: float) -> Array:
    """(r, 2, 2) linear parts of the runs: logarithms add up only where they are small."""
    found = np.eye(2)[None]
    found = found.repeat(run[-1] + 1, axis=0)
    begins = np.diff(run, prepend=0) > 0
    for again in range(COMPOSED if len(found) > 1 else 0):
        if again:
            chain = _chain(pairs, found[run], cutoff)[0]
        flat = _flat(chain, begins)
        left = np.stack([np.median(flat[run == r], axis=0) for r in range(len(found))])
        found = _exp(left.reshape(-1, 2, 2)) @ found
    return found


def detrended(tiles: Tiles, graph: Graph, placement: Array, runs: Runs, *, cutoff: float) -> Graph:
    """Take off the pairs the trend of the tissue that the tiles do not follow.

    Parameters
    ----------
    tiles, graph
        The n tiles, in order of z, and the pairs between them.
    placement
        (n, 2, 3) as solved.
    runs
        Of layers between steps: a difference across a step is no trend.
    cutoff
        Of `robust.weights`.

    Returns
    -------
    Graph
        With other second moments of q; `graph` itself where no trend is sure.
    """
    z, layer = np.unique(tiles.z, return_inverse=True)
    at = np.searchsorted(layer, np.arange(len(z)))
    pairs = _Pairs.of(replace(tiles, stage=placement), graph, layer)
    chain = _chain(pairs, np.eye(2)[None].repeat(len(z), axis=0), cutoff)[0]
    trend = _trend(chain, np.diff(runs.run[at], prepend=0) > 0, sure=SURE)
    if not trend.any():
        return graph
    total = np.cumsum(trend, axis=0)
    away = (total[layer[graph.q]] - total[layer[graph.p]]).reshape(-1, 2, 2)
    linear = placement[graph.q][:, :, :2]
    turn = _inverse(linear) @ _exp(away) @ linear
    sqq = turn @ graph.sqq.transpose(2, 0, 1) @ turn.transpose(0, 2, 1)
    spq = graph.spq.transpose(2, 0, 1) @ turn.transpose(0, 2, 1)
    return replace(graph, sqq=_long(sqq), spq=_long(spq))


def _long(matrices: Array) -> Array:
    return np.ascontiguousarray(matrices.transpose(1, 2, 0))


def _flat(chain: Array, begins: Bool) -> Array:
    """Return the chain (L, 4) without its trend."""
    return np.asarray(chain - np.cumsum(_trend(chain, begins), axis=0))


def _trend(chain: Array, begins: Bool, *, sure: float = 0.0) -> Array:
    """(L, 4) by how much a layer differs from the one before as all around it do.

    ``begins`` (L,) layers after a step say nothing. With ``sure`` only the components that exceed
    so many standard errors of the median of a window.
    """
    out, known = np.zeros_like(chain), ~begins[1:]
    if known.sum() < ROUND:
        return out
    steps = np.diff(chain, axis=0)
    steps[~known] = np.median(steps[known], axis=0)
    window = min(2 * TREND + 1, len(steps))
    out[1:] = median_filter(steps, size=(window, 1), mode="reflect")
    spread = MAD_TO_SD * np.median(np.abs(steps - out[1:])[known], axis=0)
    error = np.sqrt(np.pi / 2 / window) * spread  # of the median of a window
    return np.where(np.abs(out) > sure * error, out, 0.0)


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Second moments (k, 2, 2) px^2 of k cross pairs in the stage's frame, and what they weigh."""

    p: Int64  # (k,) layers
    q: Int64
    cell: Int64  # (k,) of the grid, of p
    own: Bool  # neither tile is a copy of another's image
    apart: Array
    weight: Array
    pp: Array
    qq: Array
    pq: Array

    @staticmethod
    def of(tiles: Tiles, graph: Graph, layer: Int64) -> _Pairs:
        cross = np.flatnonzero(graph.dz > 0)
        at_p, at_q = (tiles.stage[side[cross]][:, :, :2] for side in (graph.p, graph.q))
        pp, qq, pq = (
            one @ second[:, :, cross].transpose(2, 0, 1) @ two.transpose(0, 2, 1)
            for one, second, two in (
                (at_p, graph.spp, at_p), (at_q, graph.sqq, at_q), (at_p, graph.spq, at_q),
            )
        )  # fmt: skip
        p, q = layer[graph.p[cross]], layer[graph.q[cross]]
        cells = np.unique(np.stack([tiles.row, tiles.column]), axis=1, return_inverse=True)[1]
        cell = cells.ravel()[graph.p[cross]]
        own = tiles.image_z == tiles.z
        own = own[graph.p[cross]] & own[graph.q[cross]]
        apart = graph.apart[cross]
        weight = graph.point_weight[cross] / np.maximum(apart, 1) ** DISTANCE
        return _Pairs(p, q, cell, own, apart, weight, pp, qq, pq)

    def left(self) -> Array:
        """(k,) rms of the points, px, after an affine of each pair's own; 0 = not known."""
        with np.errstate(invalid="ignore", over="ignore"):
            rest = self.pp - self.pq @ _inverse(self.qq) @ self.pq.transpose(0, 2, 1)
            square = np.trace(rest, axis1=1, axis2=2)
        return np.sqrt(np.where(square > 0, square, 0.0))

    def steps(self, linear: Array) -> tuple[Array, Array]:
        """Logarithms (k, 4) of what takes q to p, and least spread (k,) px^2.

        The mean of two regressions, p on q and q on p: noise shrinks one and swells the other.
        """
        at_p, at_q = linear[self.p], linear[self.q]
        turned = at_q.transpose(0, 2, 1)
        pp, qq = at_p @ self.pp @ at_p.transpose(0, 2, 1), at_q @ self.qq @ turned
        pq = at_p @ self.pq @ turned
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # points in a line
            one, two = _log(pq @ _inverse(qq)), _log(pp @ _inverse(pq.transpose(0, 2, 1)))
        step = ((one + two) / 2).reshape(-1, 4)
        unknown = ~np.isfinite(step).all(axis=1)
        spread = np.maximum(np.minimum(_least(pp), _least(qq)), 0)
        step[unknown], spread[unknown] = 0, 0
        return step, spread


def _chain(pairs: _Pairs, linear: Array, cutoff: float) -> tuple[Array, Bool]:
    """Logarithms (L, 4) of the layers' linear parts beyond `linear` (L, 2, 2) times the stage's.

    Returned with the (k,) pairs that agree with them.
    """
    p, q = pairs.p, pairs.q
    step, spread = pairs.steps(linear)
    chain, factor, vote = np.zeros((len(linear), 4)), np.ones(len(p)), np.ones(len(p))
    for kind in ["huber"] * ITERATIONS + ["cauchy"] * ITERATIONS:
        chain = _solved(len(chain), p, q, pairs.weight * spread * factor * vote, step)
        residual = np.sqrt(spread * ((chain[q] - chain[p] - step) ** 2).sum(axis=1))
        typical = robust.scales(residual, pairs.apart)
        vote = (np.median(typical) / typical) ** 2
        factor = robust.weights(kind, residual, pairs.apart, cutoff=cutoff)
    return chain, (factor >= AGREED) & (spread > 0)


def _confirmed(pairs: _Pairs, good: Bool, layers: int) -> Bool:
    """(L,) whether more than one pair says what lies before a layer, where there are more anywhere.

    A single one, of few points on little tissue, agrees with itself; copies of an image add none.
    Nor does one cell of the grid say what the others deny: the microscope turns all of them, tissue
    behind a gap runs in each another way.
    """
    count, most = (
        robust.crossings(some & pairs.own, pairs.p, pairs.q, layers)
        for some in (good, np.ones(len(good), bool))
    )
    several = count >= min(LEAST_PAIRS, most.max(initial=0))
    return np.asarray(several & _common(pairs, good, layers) & (np.arange(layers) > 0))


def _clear(pairs: _Pairs, good: Bool, chain: Array) -> Bool:
    """(L,) whether layers differ by far more than their pairs leave after an affine of their own.

    A step is an affine, and leaves what other pairs leave. Behind a gap of lost slices tissue has
    moved this way here and that way there: what of it looks like an affine is one part of many.
    The nearest pairs across tell: far ones leave what all the layers between have changed.
    """
    some, layers = good & pairs.own, len(chain)
    excess = np.maximum(pairs.left() ** 2 - _most_left(pairs, some) ** 2, 0.0)
    found, spread = np.zeros(layers), np.zeros(layers)
    for apart in np.unique(pairs.apart[some])[::-1]:
        mine = some & (pairs.apart == apart)
        there = robust.crossings(mine, pairs.p, pairs.q, layers) > 0
        for out, each in ((found, excess), (spread, np.maximum(_least(pairs.qq), 0))):
            total = robust.crossings(mine, pairs.p, pairs.q, layers, pairs.weight * each)
            out[there] = total[there]
    moved = _size(np.diff(chain, axis=0, prepend=chain[:1])) ** 2 * spread
    return np.asarray(moved >= CLEAR**2 * found)


def _most_left(pairs: _Pairs, some: Bool) -> Array:
    """(k,) what a pair leaves at most, px, as long as it is like the others of its distance.

    Zero where they are too few to tell.
    """
    left, most = pairs.left(), np.zeros(len(some))
    for apart in np.unique(pairs.apart[some]):
        mine = some & (pairs.apart == apart)
        if mine.sum() >= LIKE:
            usual = float(np.median(left[mine]))
            most[mine] = usual + SURE * deviation(left[mine], usual)
    return most


def _common(pairs: _Pairs, good: Bool, layers: int) -> Bool:
    """(L,) whether in most cells with pairs across most of their weight agrees."""
    agree, there = np.zeros(layers), np.zeros(layers)
    for cell in np.unique(pairs.cell):
        own = pairs.own & (pairs.cell == cell)
        right, every = (
            robust.crossings(some & own, pairs.p, pairs.q, layers, pairs.weight)
            for some in (good, np.ones(len(good), bool))
        )
        agree += (right > MOST * every) & (every > 0)
        there += every > 0
    return np.asarray(agree > MOST * there)


def _least(matrix: Array) -> Array:
    """Return the smaller eigenvalues of (k, 2, 2) symmetric matrices."""
    half = (matrix[:, 0, 0] + matrix[:, 1, 1]) / 2
    away = np.hypot((matrix[:, 0, 0] - matrix[:, 1, 1]) / 2, matrix[:, 0, 1])
    return np.asarray(half - away)


def _inverse(matrix: Array) -> Array:
    """Inverse of (k, 2, 2) matrices; NaN where there is none."""
    a, b, c, d = (matrix[:, i, j] for i in (0, 1) for j in (0, 1))
    adjoint = np.stack([np.stack([d, -b], 1), np.stack([-c, a], 1)], 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(adjoint / (a * d - b * c)[:, None, None])


def _log(matrix: Array) -> Array:
    """Logarithm near the identity, by its Cayley form: `_exp` is its inverse."""
    return np.asarray(2 * (matrix - np.eye(2)) @ _inverse(matrix + np.eye(2)))


def _exp(matrix: Array) -> Array:
    return np.asarray((np.eye(2) + matrix / 2) @ _inverse(np.eye(2) - matrix / 2))


def _solved(n: int, p: Int64, q: Int64, weight: Array, step: Array) -> Array:
    """Solve the chain of n layers for steps (k, 4) of its pairs."""
    link = coo_array((weight, (p, q)), shape=(n, n))
    link = csc_array(link + link.T)
    held = np.asarray(link.sum(axis=1)).ravel()
    gauge = GAUGE * max(float(held.mean()), 1e-300)
    factor = splu(csc_array(diags_array(held + gauge) - link))
    pull = weight[:, None] * step
    rhs = [np.bincount(q, pull[:, c], n) - np.bincount(p, pull[:, c], n) for c in range(4)]
    return np.asarray(factor.solve(np.stack(rhs, axis=1)))


def _begins(chain: Array, agreed: Array, told: Bool, known: Bool) -> Bool:
    """(L,) whether a step lies before a layer: the largest first, each taken out when found."""
    begins = known.copy()
    begins[0] = False
    for i in np.flatnonzero(begins):
        chain = _without(chain, int(i))
    typical = max(float(np.median(_size(np.diff(chain, axis=0)))), 1e-300) if len(chain) > 1 else 1
    limit = np.maximum(np.where(told, TOLD_FACTOR, STEP_FACTOR) * typical, LEAST)
    while len(chain) > 1:
        near, raw = _differences(chain)
        beyond = (raw > limit) & ((near > limit) | (agreed > MOST)) & ~begins
        beyond[0] = False
        if not beyond.any():
            break
        at = int(np.where(beyond, raw, 0).argmax())
        begins[at] = True
        chain = _without(chain, at)
    return begins


def _differences(chain: Array) -> tuple[Array, Array]:
    """(L,) size of the step before each layer: between medians of both sides, and as it is."""
    edge = ((ROUND, ROUND), (0, 0))
    windows = sliding_window_view(np.pad(chain, edge, mode="edge"), ROUND, axis=0)
    middle = np.median(windows, axis=2)  # of the ROUND layers before each
    near = _size(middle[ROUND : ROUND + len(chain)] - middle[: len(chain)])
    return near, _size(np.diff(chain, axis=0, prepend=chain[:1]))


def _without(chain: Array, at: int) -> Array:
    """Return the chain with the step before a layer taken out."""
    out = chain.copy()
    before, after = chain[max(0, at - ROUND) : at], chain[at : at + ROUND]
    out[at:] -= np.median(after, axis=0) - np.median(before, axis=0)
    return out


def _size(steps: Array) -> Array:
    return np.asarray(np.linalg.norm(steps, axis=1))


def _model_part(linear: Array, model: str) -> Array:
    """Return what the model can express of (r, 2, 2) linear parts."""
    if model == "affine":
        return linear
    turn = rotation_of(linear)
    if model == "rigid":
        return turn
    growth = (turn * linear).sum(axis=(1, 2)) / 2
    return np.asarray(turn * growth[:, None, None])
