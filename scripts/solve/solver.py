"""One global, robust, regularised least-squares solve of all tiles.

With the placement (A t) of tile i, A (2, 2) its linear part with columns A^c and t (2,) the place
of its centre (see `graph`), minimised over all tiles, the offsets o of the groups of layers between
restarts and the linear parts P of the runs of layers between steps is

    sum over pairs k of f_k w_k <|M_p x_p - M_q x_q|^2>_k
    + sum over tiles i of
        mu W_i sum_c a_ic |A_i^c - R_i^c|^2                                        rigid fit
        + s^2 (|A_i - R_i|^2 / (shape_sd h)^2 + |A_i - P S_i|^2 / (rotation_sd h)^2)  microscope
        + epsilon (sum_c a_ic |A_i^c - P S_i^c|^2 + |t_i - Q u_i - o_g(i)|^2)         stage
    + epsilon d sum over groups g of N_g |o_g|^2 + s^2 sum over runs |P - I|^2 / step_sd^2

<>_k        mean over the points of pair k by their weights
w_k, f_k    base weight of the pair (`Weighting`), and its robust factor 0..1 (`robust`)
W_i         sum of f w over the pairs of tile i; mu = rigid_lambda / (1 - rigid_lambda)
a_ic        mean of u^2 (c = 1) and v^2 (c = 2) over the area of the tile; h px per unit of u, v
R_i         P S_i turned as fits best where its partners have the points of tile i; it lags one
            solve behind, so that every solve is linear
s^2         sum of f w residual^2 / (2 sum of f w): the noise of the matches, px^2 per axis; without
            pairs of one image, a patch and its source
S_i, u_i    linear part and place of the centre by the stage; o_g offset of the group of layers
            between restarts, which the stage does not report; N_g its tiles, d = `reference.DRAW`
P, Q        linear part of the run of layers between steps, the identity in the longest, and what
            the run's places follow (`steps`, `reference`)
epsilon     k (2 pi / wavelength)^2 with the stiffness of the chain k = sum of f w dz^2 / tiles

The second line is the block solver's relaxation towards a rigid model. The third says what is known
of the microscope: structures of tissue that run obliquely turn and stretch chains of small tiles
without end where nothing says this. The fourth is so weak that it acts on long waves alone: a wave
of the chain of n layers follows the stage by 1 / (1 + (wavelength / n)^2), jitter of the stage by
nothing, the mean wholly. It also fixes the gauge.

The phases go from stiff to free (translation, rigid, model) with pairs re-weighted in each, so
that gross errors are known before shapes are free to follow them. Then the wrong pairs leave, and
the model is solved with the others.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from scipy.linalg import LinAlgError
from threadpoolctl import threadpool_limits

from scripts.lib.arrays import Array, Bool, Int64
from scripts.lib.job import UserError
from scripts.solve import restraints, robust
from scripts.solve.border import Border
from scripts.solve.forces import Sums, couplings, residuals
from scripts.solve.graph import NAMED, Graph, Tiles, Weighting, require_connected
from scripts.solve.models import MODELS, Normal, SolveModel
from scripts.solve.reference import Reference
from scripts.solve.steps import LEAST_PAIRS, Runs, detrended, runs_of
from scripts.solve.system import Layout, factorise, layout_of

log = logging.getLogger(__name__)
JUMP_PX, JUMP_FACTOR = 5.0, 8.0  # a step of the layers beyond this, and times the median, is a jump
FREE = (
    1e5  # layers; wavelength of the prior while pairs are judged: its strain is no fault of theirs
)
SETTLED = 0.02  # a robust factor that moves less has settled
SETTLED_PX = 1e-3  # a placement that moves less has settled
MOST_TORN = 20  # steps that the matches' residuals alone tell of; each costs another solve
POLISH_PASSES = 10  # of the lagged rigid fits with fixed weights: each costs one back-substitution


@dataclass(frozen=True)
class Options:
    """Parameters of the solve (config section ``solve``)."""

    model: str = "affine"  # translation, rigid, similarity or affine
    rigid_lambda: float = 0.01  # share of the rigid fit in each tile's transform
    shape_sd: float = 1e-3  # expected deviation of a tile's scale and shear from its rigid fit
    rotation_sd: float = 1e-3  # rad; expected deviation of a tile's rotation from the stage's
    step_sd: float = 0.05  # expected change of scale, rotation (rad) or shear at a step
    stage_wavelength_layers: float = 500.0  # longer waves follow the stage
    robust: str = "cauchy"  # none, huber, cauchy, geman_mcclure
    robust_cutoff: float = 3.0  # multiples of the typical residual
    max_iterations: int = 25  # per phase
    max_band_gb: float = 6.0  # larger bands go to SuperLU
    weighting: Weighting = field(default_factory=Weighting)

    @staticmethod
    def of_config(section: dict[str, object]) -> Options:
        """Return the options of the config section ``solve``.

        Parameters
        ----------
        section
            Keys of `Options` and `Weighting`; ``z_range``, which chooses tiles, is left out.

        Returns
        -------
        Options
            The options, others at their defaults.
        """
        names = {"dz_exponent", "montage_weight", "saturation_points"}
        weighting = Weighting(**{k: v for k, v in section.items() if k in names})  # type: ignore[arg-type]
        rest = {k: v for k, v in section.items() if k not in {*names, "z_range"}}
        return Options(**rest, weighting=weighting)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Solved:
    """The result: (n, 2, 3) placements; residual (m,) px, robust factor (m,); figures."""

    placement: Array
    residual: Array
    factor: Array
    precision: float  # norm of the remaining gradient over that at the stage positions
    iterations: dict[str, int]  # phase -> number of re-weightings
    reference: Reference  # the stage with what it did not report at restarts


@dataclass(frozen=True, eq=False)
class _Terms:
    """What stays the same through a phase: tiles, pairs and their base weights, priors."""

    tiles: Tiles
    graph: Graph
    sums: Sums
    options: Options
    weight: Array  # (m,)
    wavelength: float  # of the stage prior, layers
    noise: float | None = None  # px^2 per axis; None takes it from the residuals at hand


@dataclass(frozen=True, eq=False)
class _State:
    """Placements, what the priors tie them to, and what the pairs miss by there."""

    reference: Reference
    placement: Array
    residual: Array  # (m,) px


class _Sums(NamedTuple):
    """At a placement diagonal blocks (n, 3, 3), gradients (n, 2, 3), and the ties in them."""

    diagonal: Array
    gradient: Array
    ties: restraints.Ties


def solve(tiles: Tiles, graph: Graph, options: Options, restarts: Sequence[float] = ()) -> Solved:
    """Solve all placements.

    Parameters
    ----------
    tiles
        The n tiles, in order of z.
    graph
        The m pairs between them.
    options
        Model, weights and restraints.
    restarts
        Layers (z) before which the stage may have jumped.

    Returns
    -------
    Solved
        Placements (n, 2, 3), residuals (m,) px and robust factors (m,), 0 for wrong pairs.

    Raises
    ------
    UserError
        When the pairs do not join all tiles, or a tile stays undetermined; the message names it.
    """
    require_connected(tiles, graph)
    with threadpool_limits(1):  # more threads slow a narrow band, and change the last digits
        return _solve(tiles, graph, options, restarts)


def _solve(tiles: Tiles, graph: Graph, options: Options, restarts: Sequence[float]) -> Solved:
    """Solve; where all pairs of a boundary of layers come out wrong there was a step: once more."""
    known: list[float] = []
    while True:
        runs = runs_of(
            tiles, graph, cutoff=options.robust_cutoff, model=options.model,
            restarts=restarts, known=known,
        )  # fmt: skip
        solved, torn = _attempt(tiles, graph, options, restarts, runs)
        steps = {float(z) for z in tiles.z[np.flatnonzero(np.diff(runs.run)) + 1]}
        new = sorted(set(torn) - steps)
        if not new or len(known) >= MOST_TORN:
            return _without_trend(tiles, graph, options, restarts, runs, solved)
        log.info("all matches are wrong before z %s: a step", ", ".join(f"{z:g}" for z in new))
        known += new


def _without_trend(
    tiles: Tiles, graph: Graph, options: Options, restarts: Sequence[float], runs: Runs,
    solved: Solved,
) -> Solved:  # fmt: skip
    """Solve once more without the trend of the tissue, which would be taken for a part of steps."""
    if len(runs.linear) == 1:
        return solved
    flat = detrended(tiles, graph, solved.placement, runs, cutoff=options.robust_cutoff)
    if flat is graph:
        return solved
    again = _attempt(tiles, flat, options, restarts, runs)[0]
    return replace(again, residual=residuals(graph, again.placement))


def _attempt(
    tiles: Tiles, graph: Graph, options: Options, restarts: Sequence[float], runs: Runs
) -> tuple[Solved, list[float]]:
    """Return the solution with these runs of layers, and z of the layers that matches tear off."""
    wavelength = max(FREE, options.stage_wavelength_layers)
    terms = _Terms(tiles, graph, Sums(len(tiles), graph), options, graph.weight, wavelength)
    at, factor = _start(terms, runs), np.ones(len(graph))
    iterations: dict[str, int] = {}
    groups = np.zeros(len(tiles), np.int64)
    out = np.zeros(len(graph), bool)
    torn: list[float] = []
    for model, kind, judged in _phases(options):
        layout = layout_of(
            len(tiles), graph.p, graph.q, unknowns=model.unknowns, max_band_gb=options.max_band_gb
        )
        if judged:
            out, torn = _wrong(terms, kind, at.residual)
            log.info("%d of %d pairs are wrong", out.sum(), len(out))
        weight = np.where(out, 0.0, graph.weight) if judged else _votes(graph, at, bool(iterations))
        used = replace(terms, weight=weight)
        if iterations:
            factor = robust.weights(kind, at.residual, graph.apart, cutoff=options.robust_cutoff)
        at, factor, count = _phase(used, layout, model, kind, at, factor)
        iterations[f"{model.name} {kind}" + (", the rest" if judged else "")] = count
        if model.name == "translation":
            groups = _groups(tiles, at.placement, restarts, runs)
    factor = np.where(out, 0.0, factor)
    terms = replace(terms, wavelength=options.stage_wavelength_layers)
    at = replace(at, reference=at.reference.grouped(groups))
    at, terms = _polish(terms, layout, model, at, factor)
    precision = _precision(terms, model, at, factor)
    placement = at.placement
    if options.model in ("affine", "similarity"):
        placement = restraints.unstretched(tiles, placement, runs.run == runs.reference)
    left = residuals(graph, placement)
    return Solved(placement, left, factor, precision, iterations, at.reference), torn


def linear(tiles: Tiles, graph: Graph, options: Options) -> Array:
    """Compute one plain, weighted least-squares solve from the stage positions.

    Parameters
    ----------
    tiles, graph, options
        As of `solve`; no pair is re-weighted.

    Returns
    -------
    Array
        (n, 2, 3) placements.
    """
    sums, model = Sums(len(tiles), graph), MODELS[options.model]
    wavelength = options.stage_wavelength_layers
    terms = _Terms(tiles, graph, sums, options, graph.weight, wavelength)
    layout = layout_of(
        len(tiles), graph.p, graph.q, unknowns=model.unknowns, max_band_gb=options.max_band_gb
    )
    with threadpool_limits(1):
        start = _start(terms, Runs.none(len(tiles)))
        return _step(terms, layout, model, start, np.ones(len(graph))).placement


def _start(terms: _Terms, runs: Runs) -> _State:
    reference = Reference.of(terms.tiles, runs)
    return _state(terms, reference, reference.placement)


def _state(terms: _Terms, reference: Reference, placement: Array) -> _State:
    return _State(reference, placement, terms.sums.residual(placement))


def _groups(tiles: Tiles, placement: Array, restarts: Sequence[float], runs: Runs) -> Int64:
    """Return the (n,) number of the run of layers between restarts each tile belongs to.

    A restart is a layer of `restarts`, one that begins a run of `runs`, or one before which the
    matches jump and the stage does not.
    """
    z, layer = np.unique(tiles.z, return_inverse=True)
    moved = placement[:, :, 2] - tiles.stage[:, :, 2]
    total = np.stack([np.bincount(layer, moved[:, axis]) for axis in (0, 1)], axis=1)
    mean = total / np.bincount(layer)[:, None]
    size = np.linalg.norm(np.diff(mean, axis=0, prepend=mean[:1]), axis=1)
    jumps = size > max(JUMP_PX, JUMP_FACTOR * float(np.median(size)))
    reported = np.isin(np.arange(len(z)), np.searchsorted(z, np.asarray(restarts, float)))
    stepped = np.diff(runs.run[np.searchsorted(tiles.z, z)], prepend=0) > 0
    begins = (jumps | reported | stepped) & (np.arange(len(z)) > 0)
    log.info(
        "%d restarts reported, %d jumps found in %d layers", reported.sum(), jumps.sum(), len(z)
    )
    return np.asarray(np.cumsum(begins)[layer], np.int64)


def _phases(options: Options) -> list[tuple[SolveModel, str, bool]]:
    """Models from stiff to free, each with its weight function; Huber has no wrong minimum.

    The third value is true of the last phase, which the wrong pairs have left.
    """
    names = list(dict.fromkeys(["translation", "rigid", options.model]))
    names = names[: names.index(options.model) + 1]
    if options.robust == "none":
        return [(MODELS[name], "none", name == options.model) for name in names]
    early = [(MODELS[name], "huber", False) for name in names if name != options.model]
    last = MODELS[options.model]
    return [*early, (last, options.robust, False), (last, options.robust, True)]


def _phase(
    terms: _Terms, layout: Layout, model: SolveModel, kind: str, at: _State, factor: Array
) -> tuple[_State, Array, int]:
    """Solve and re-weight until the typical residual stands still."""
    before, cutoff = math.inf, terms.options.robust_cutoff
    count, now = 0, 0.0
    while count < terms.options.max_iterations:
        count += 1
        at = _step(terms, layout, model, at, factor)
        now = math.sqrt(2 * restraints.noise(factor * terms.weight, at.residual))
        found = robust.weights(kind, at.residual, terms.graph.apart, cutoff=cutoff)
        moved, factor = np.count_nonzero(np.abs(found - factor) > SETTLED), found
        if abs(before - now) <= 1e-3 * now + 1e-6 and moved <= 1e-4 * len(factor):
            break
        before = now
    log.info("%s %s: %d iterations, weighted rms %.4f px", model.name, kind, count, now)
    return at, factor, count


def _votes(graph: Graph, at: _State, solved: bool) -> Array:
    """Return the (m,) weights by which pairs vote on what is wrong: inverse variances.

    A pair of one layer shows the same tissue twice, and misses by the noise of the matcher; a cross
    pair misses by what the tissue changes, which grows with the distance and which all pairs of a
    tile have in common. By count alone the many far pairs outvote the few that hold a layer
    together. What a kind of pair misses by is read off the volume: the typical residual of its
    class, before the first solve of none.
    """
    if not solved or not len(graph):
        return graph.point_weight
    typical = robust.scales(at.residual, graph.apart)
    return np.asarray(graph.point_weight * (np.median(typical) / typical) ** 2)


def _wrong(terms: _Terms, kind: str, residual: Array) -> tuple[Bool, list[float]]:
    """Tell which of the (m,) pairs leave: the wrong ones, but for those that alone join parts.

    Returned with z of the layers that no right pair would join to those before.
    """
    graph, tiles = terms.graph, terms.tiles
    if kind == "none":
        return np.zeros(len(graph), bool), []
    wrong = robust.wrong(residual, graph.apart, cutoff=terms.options.robust_cutoff)
    z, layer = np.unique(tiles.z, return_inverse=True)
    ends = layer[graph.p], layer[graph.q], len(z)
    across = robust.crossings(np.ones(len(graph), bool), *ends)
    torn = robust.torn(wrong, *ends)
    # a single pair that is wrong tells of no step, it is wrong
    torn = torn[across[torn] >= min(LEAST_PAIRS, across.max())]
    leave = wrong & ~robust.bridges(~wrong, len(tiles), graph.p, graph.q)
    return leave, z[torn].tolist()


def _step(terms: _Terms, layout: Layout, model: SolveModel, at: _State, factor: Array) -> _State:
    """Return the state after one solve."""
    sums = _sums(terms, at, factor)
    border = _border(terms, layout, model, at, factor, sums)
    reference, placement = _moved(model, border, at, sums)
    del border  # the factors are the largest of all arrays
    if not np.isfinite(placement).all():
        raise UserError(_undetermined(terms, factor))
    return _state(terms, reference, placement)


def _moved(model: SolveModel, border: Border, at: _State, sums: _Sums) -> tuple[Reference, Array]:
    """Return reference and placement after one step with a factorised system."""
    rhs = model.right_side(at.placement, sums.gradient)
    excess = at.reference.excess(shapes=model.shapes)
    change, shift = border.solve(rhs, sums.ties.pull, excess)
    placement = model.step(at.placement, change)
    return at.reference.moved(shift).refitted(placement), placement


def _border(
    terms: _Terms, layout: Layout, model: SolveModel, at: _State, factor: Array, sums: _Sums
) -> Border:
    """Factorise the system, bordered by what the stage did not report at restarts."""
    graph, placement, weight = terms.graph, at.placement, terms.weight * factor
    normal = Normal(sums.diagonal, couplings(graph, weight))
    reduced = model.reduce(normal, placement, graph.p, graph.q)
    try:
        solver = factorise(layout, reduced.diagonal, reduced.off)
    except LinAlgError as error:
        raise UserError(_undetermined(terms, factor)) from error
    prior, ties = _noise(terms, at, weight) / terms.options.step_sd**2, sums.ties
    fields = at.reference.fields(ties.weight, prior=prior, shapes=model.shapes)
    return Border.of(solver, fields, ties.weight, unknowns=model.unknowns, tied=model.tied)


def _undetermined(terms: _Terms, factor: Array) -> str:
    n, graph = len(terms.tiles), terms.graph
    held = sum(np.bincount(side, factor * terms.weight, n) for side in (graph.p, graph.q))
    weakest = np.argsort(held, kind="stable")[:NAMED]
    names = ", ".join(terms.tiles.ids[weakest])
    return (
        "the solve is not determined: expected enough matches at every tile; the tiles with the"
        f" least weight are {names}. Take them out with review.exclude, or raise"
        " solve.rigid_lambda"
    )


def _polish(
    terms: _Terms, layout: Layout, model: SolveModel, at: _State, factor: Array
) -> tuple[_State, _Terms]:
    """Let the rigid fits catch up with the weights fixed: the factors are used again."""
    terms = replace(terms, noise=_noise(terms, at, terms.weight * factor))  # else factors age
    sums = _sums(terms, at, factor)
    border = _border(terms, layout, model, at, factor, sums)
    for _ in range(1 + POLISH_PASSES):
        before = at.placement
        at = _state(terms, *_moved(model, border, at, sums))
        if float(np.abs(at.placement - before).max()) < SETTLED_PX:
            break
        sums = _sums(terms, at, factor)
    return at, terms


def _precision(terms: _Terms, model: SolveModel, at: _State, factor: Array) -> float:
    def size(at: _State) -> float:
        rhs = model.right_side(at.placement, _sums(terms, at, factor).gradient)
        return float(np.linalg.norm(rhs))

    found = size(at)
    return found / max(size(_state(terms, at.reference, terms.tiles.stage)), 1e-300)


def _noise(terms: _Terms, at: _State, weight: Array) -> float:
    if terms.noise is not None:
        return terms.noise
    # one image twice matches without noise: it would say that all matches do
    measured = np.where(terms.graph.copied, 0.0, weight)
    return restraints.noise(measured, at.residual)


def _sums(terms: _Terms, at: _State, factor: Array) -> _Sums:
    """Return the sums of pairs and ties at each tile."""
    options, weight = terms.options, terms.weight * factor
    diagonal, gradient = terms.sums.of(weight, at.placement)
    noise = _noise(terms, at, weight)
    strength = restraints.Strength(
        mu=options.rigid_lambda / (1 - options.rigid_lambda),
        shape=noise / options.shape_sd**2,
        turn=noise / options.rotation_sd**2,
        epsilon=restraints.epsilon(terms.tiles, terms.graph, weight, terms.wavelength),
    )
    ties = restraints.ties(
        terms.tiles, at.reference.placement, at.placement, (diagonal, gradient), strength
    )
    gradient += ties.pull
    if len(at.reference.linear) > 1:
        gradient[:, :, :2] -= restraints.shrinkage(terms.graph, at.placement, weight, at.residual)
    diagonal[:, range(3), range(3)] += ties.weight
    return _Sums(diagonal, gradient, ties)
