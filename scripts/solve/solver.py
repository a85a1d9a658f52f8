"""L4 · Solver: one global, robust, regularised least-squares solve of all tiles.

Minimised over the placements M (spec solve-export 2.2, in a direct form):

* data: sum over pairs of weight x mean |M_p p - M_q q|^2,
* mu = lambda / (1 - lambda) times each tile's weight times the mean square, over the tile's area,
  of the difference between its linear part and that of the rigid fit R to its matches. R lags one
  solve behind, so that every solve is linear;
* what is known of the microscope: a tile deviates from R by `shape_sd` and from the stage's
  rotation by `rotation_sd`, weighed against the noise of the matches. Structures of tissue that
  run obliquely turn and stretch chains of small tiles without end where nothing says this;
* a stage prior so weak that it acts on long waves alone: each tile's area is tied to its stage
  position with epsilon = k (2 pi / wavelength)^2, k being the stiffness of the chain of matches
  (mean over tiles of the sum of weight x dz^2). A wave of the chain of n layers then follows the
  stage by 1 / (1 + (wavelength / n)^2): jitter of the stage by nothing, the mean wholly. It also
  fixes the gauge. Jumps at restarts, which the stage does not report, are taken out of it first.

The phases go from stiff to free (translation, rigid, model) with pairs re-weighted in each, so
that gross errors are known before shapes are free to follow them.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, polar

from scripts.lib.geometry import Array
from scripts.lib.job import UserError
from scripts.solve import robust
from scripts.solve.graph import NAMED, Graph, Tiles, Weighting, require_connected
from scripts.solve.models import MODELS, Normal, SolveModel, rotation_of
from scripts.solve.system import Index, Layout, Solve, factorise, layout_of

log = logging.getLogger(__name__)
Mask = NDArray[np.bool_]
JUMP_PX, JUMP_FACTOR = 5.0, 8.0  # a step of the layers beyond this, and times the median, is a jump
FREE = (
    1e5  # layers; wavelength of the prior while pairs are judged: its strain is no fault of theirs
)
SETTLED = 0.02  # a robust factor that moves less has settled
POLISH_PASSES = 10  # of the lagged rigid fits with fixed weights: each costs one back-substitution


@dataclass(frozen=True)
class Options:
    """Parameters of the solve (config section ``solve``)."""

    model: str = "affine"  # translation, rigid, similarity or affine
    rigid_lambda: float = 0.01  # share of the rigid fit in each tile's transform
    shape_sd: float = 1e-3  # expected deviation of a tile's scale and shear from its rigid fit
    rotation_sd: float = 1e-3  # rad; expected deviation of a tile's rotation from the stage's
    stage_wavelength_layers: float = 500.0  # longer waves follow the stage
    robust: str = "cauchy"  # none, huber, cauchy, geman_mcclure
    robust_cutoff: float = 3.0  # multiples of the typical residual
    max_iterations: int = 25  # per phase
    max_band_gb: float = 6.0  # larger bands go to SuperLU
    weighting: Weighting = field(default_factory=Weighting)

    @staticmethod
    def of_config(section: dict[str, object]) -> Options:
        """Give the options of the config section ``solve``."""
        names = {"dz_exponent", "montage_weight", "saturation_points"}
        weighting = Weighting(**{k: v for k, v in section.items() if k in names})  # type: ignore[arg-type]
        rest = {k: v for k, v in section.items() if k not in names}
        return Options(**rest, weighting=weighting)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Solved:
    """The result: (n, 2, 3) placements; residual (m,) px, robust factor (m,); figures."""

    placement: Array
    residual: Array
    factor: Array
    precision: float  # norm of the remaining gradient over that at the stage positions
    iterations: dict[str, int]  # phase -> number of re-weightings


@dataclass(frozen=True, eq=False)
class _Terms:
    """What stays the same through the solve: tiles, pairs, priors."""

    tiles: Tiles
    graph: Graph
    options: Options
    wavelength: float  # of the stage prior, layers
    reference: Array  # (n, 2, 3) placements the prior ties to: the stage, jumps taken out


def solve(tiles: Tiles, graph: Graph, options: Options) -> Solved:
    """Solve all placements.

    Raises
    ------
    UserError
        When the pairs do not join all tiles, or a tile stays undetermined; the message names it.
    """
    require_connected(tiles, graph)
    terms = _Terms(tiles, graph, options, max(FREE, options.stage_wavelength_layers), tiles.stage)
    placement, factor = tiles.stage.copy(), np.ones(len(graph))
    iterations: dict[str, int] = {}
    none, voters = np.zeros(len(graph), bool), replace(graph, weight=graph.vote)
    phases = _phases(options)
    for model, kind in phases:
        layout = layout_of(
            len(tiles), graph.p, graph.q, unknowns=model.unknowns, max_band_gb=options.max_band_gb
        )
        # on what is wrong all pairs vote alike: the adjacent layer, which weighs most in the end,
        # would otherwise outvote all others together
        judging = terms if (model, kind) == phases[-1] else replace(terms, graph=voters)
        if iterations:
            factor = _weights(judging, kind, residuals(graph, placement), none, options)[0]
        placement, factor, used = _phase(judging, layout, model, kind, placement, factor, options)
        iterations[f"{model.name} {kind}"] = used
        if model.name == "translation":
            terms = replace(terms, reference=_without_jumps(tiles, placement))
    wrong = (factor < robust.WRONG) & ~robust.bridges(factor, len(tiles), graph.p, graph.q)
    factor = np.where(wrong, 0.0, factor)
    terms = replace(terms, wavelength=options.stage_wavelength_layers)
    placement = _polish(terms, layout, model, placement, factor)
    precision = _precision(terms, model, placement, factor)
    if options.model in ("affine", "similarity"):
        placement = _unstretched(tiles, placement)
    return Solved(placement, residuals(graph, placement), factor, precision, iterations)


def residuals(graph: Graph, placement: Array) -> Array:
    """Give the (m,) root-mean-square distance, px, of the matched points of each pair."""
    return _forces(graph, placement)[2]


def _stiffness(terms: _Terms, total: Array, noise: float) -> tuple[Array, float]:
    """Weights of the linear parts' ties to the rigid fit (n, 2) and to the stage.

    `total` (n,) weight of each tile's matches, `noise` px^2 the square residual at unit weight.
    """
    options, tiles = terms.options, terms.tiles
    mu = options.rigid_lambda / (1 - options.rigid_lambda)
    shape, turn = (
        noise / (sd * tiles.scale) ** 2 for sd in (options.shape_sd, options.rotation_sd)
    )
    return mu * total[:, None] * tiles.area + shape, turn


def _epsilon(terms: _Terms, weight: Array) -> float:
    """Weight of the stage prior: relative to the matches as they weigh now."""
    tiles, graph = terms.tiles, terms.graph
    stiffness = float((weight * graph.dz**2).sum()) / len(tiles)
    if stiffness == 0:  # a single layer has no waves in z: the prior fixes the gauge alone
        stiffness = float(weight.sum()) / len(tiles) or 1.0
    return stiffness * (2 * math.pi / terms.wavelength) ** 2


def _without_jumps(tiles: Tiles, placement: Array) -> Array:
    """Give the stage placements with the jumps of the layers added, which the stage did not see.

    A jump moves all layers after it. Tied to the stage as it stands, the chain would bend towards
    it for hundreds of layers on both sides.
    """
    z, layer = np.unique(tiles.z, return_inverse=True)
    moved = placement[:, :, 2] - tiles.stage[:, :, 2]
    total = np.stack([np.bincount(layer, moved[:, axis]) for axis in (0, 1)], axis=1)
    mean = total / np.bincount(layer)[:, None]
    steps = np.diff(mean, axis=0, prepend=mean[:1])
    size = np.linalg.norm(steps, axis=1)
    limit = max(JUMP_PX, JUMP_FACTOR * float(np.median(size)))
    jumps = np.cumsum(np.where(size[:, None] > limit, steps, 0.0), axis=0)
    log.info("%d jumps of more than %.1f px in %d layers", (size > limit).sum(), limit, len(z))
    out = tiles.stage.copy()
    out[:, :, 2] += (jumps - jumps.mean(axis=0))[layer]
    return out


def _phases(options: Options) -> list[tuple[SolveModel, str]]:
    """Models from stiff to free, each with its weight function; Huber has no wrong minimum."""
    names = list(dict.fromkeys(["translation", "rigid", options.model]))
    names = names[: names.index(options.model) + 1]
    if options.robust == "none":
        return [(MODELS[name], "none") for name in names]
    early = [(MODELS[name], "huber") for name in names if name != "affine"]
    return [*early, (MODELS[options.model], options.robust)]


def _phase(
    terms: _Terms,
    layout: Layout,
    model: SolveModel,
    kind: str,
    placement: Array,
    factor: Array,
    options: Options,
) -> tuple[Array, Array, int]:
    """Solve and re-weight until the typical residual stands still."""
    before = math.inf
    count, now, strained = 0, 0.0, np.zeros(len(terms.graph), bool)
    while count < options.max_iterations:
        count += 1
        normal = _normal(terms, placement, factor)
        placement = _step(terms, layout, model, normal, placement)[0]
        residual = residuals(terms.graph, placement)
        weight = factor * terms.graph.weight
        now = math.sqrt(float(weight @ residual**2) / max(float(weight.sum()), 1e-300))
        previous = factor
        factor, strained = _weights(terms, kind, residual, strained, options)
        moved = np.count_nonzero(np.abs(factor - previous) > SETTLED)
        if abs(before - now) <= 1e-3 * now + 1e-6 and moved <= 1e-4 * len(factor):
            break
        before = now
    log.info("%s: %d iterations, weighted rms %.4f px", model.name, count, now)
    return placement, factor, count


def _weights(
    terms: _Terms, kind: str, residual: Array, strained: Mask, options: Options
) -> tuple[Array, Mask]:
    """Give the robust factors, and which pairs stay under Huber's because they alone join parts."""
    graph, cutoff = terms.graph, options.robust_cutoff
    factor = robust.weights(kind, residual, graph.dz, cutoff=cutoff)
    strained = strained | robust.bridges(factor, len(terms.tiles), graph.p, graph.q)
    if kind != "none" and strained.any():
        factor = np.where(
            strained, robust.weights("huber", residual, graph.dz, cutoff=cutoff), factor
        )
    return factor, strained


def _step(
    terms: _Terms, layout: Layout, model: SolveModel, normal: Normal, placement: Array
) -> tuple[Array, Solve]:
    graph = terms.graph
    reduced = model.reduce(normal, placement, graph.p, graph.q)
    try:
        solver = factorise(layout, reduced.diagonal, reduced.off)
    except LinAlgError as error:
        raise UserError(_undetermined(terms, normal)) from error
    moved = model.step(placement, solver(reduced.rhs))
    if not np.isfinite(moved).all():
        raise UserError(_undetermined(terms, normal))
    return moved, solver


def _undetermined(terms: _Terms, normal: Normal) -> str:
    weakest = np.argsort(normal.diagonal[:, 2, 2], kind="stable")[:NAMED]
    names = ", ".join(terms.tiles.ids[weakest])
    return (
        "the solve is not determined: expected enough matches at every tile; the tiles with the"
        f" least weight are {names}. Take them out with review.exclude, or raise"
        " solve.rigid_lambda"
    )


def _polish(
    terms: _Terms, layout: Layout, model: SolveModel, placement: Array, factor: Array
) -> Array:
    """Let the rigid fits catch up with the weights fixed: the factors are used again."""
    normal = _normal(terms, placement, factor)
    graph = terms.graph
    placement, solver = _step(terms, layout, model, normal, placement)
    for _ in range(POLISH_PASSES):
        normal = _normal(terms, placement, factor)
        rhs = model.reduce(normal, placement, graph.p, graph.q).rhs
        moved = model.step(placement, solver(rhs))
        motion = float(np.abs(moved - placement).max())
        placement = moved
        if motion < 1e-3:
            break
    return placement


def _precision(terms: _Terms, model: SolveModel, placement: Array, factor: Array) -> float:
    def size(at: Array) -> float:
        normal = _normal(terms, at, factor)
        rhs = model.reduce(normal, at, terms.graph.p, terms.graph.q).rhs
        return float(np.linalg.norm(rhs))

    return size(placement) / max(size(terms.tiles.stage), 1e-300)


def _normal(terms: _Terms, placement: Array, factor: Array) -> Normal:
    """Give the normal equations at `placement` with robust factors (m,)."""
    graph, n = terms.graph, len(terms.tiles)
    weight = graph.weight * factor
    force_p, force_q, residual = _forces(graph, placement)
    diagonal = _sum(n, graph.p, weight, graph.hp) + _sum(n, graph.q, weight, graph.hq)
    gradient = _sum(n, graph.p, weight, force_p) + _sum(n, graph.q, weight, force_q)
    target = _rigid_fits(terms.tiles, placement, diagonal, gradient)
    noise = float(weight @ residual**2) / max(float(weight.sum()), 1e-300) / 2  # per axis
    stiff, turn = _stiffness(terms, diagonal[:, 2, 2].copy(), noise)
    tie = _epsilon(terms, weight) * np.column_stack([terms.tiles.area, np.ones(n)])
    gradient[:, :, :2] += stiff[:, None, :] * (placement[:, :, :2] - target)
    gradient[:, :, :2] += turn * (placement - terms.tiles.stage)[:, :, :2]
    gradient += tie[:, None, :] * (placement - terms.reference)
    for axis in range(3):
        diagonal[:, axis, axis] += tie[:, axis] + (stiff[:, axis] + turn if axis < 2 else 0)
    return Normal(diagonal, -weight[:, None, None] * graph.c, gradient)


def _forces(graph: Graph, placement: Array) -> tuple[Array, Array, Array]:
    """Gradients (m, 2, 3) of p and q at unit weight, and the residual (m,) of each pair, px."""
    at_p, at_q = placement[graph.p], placement[graph.q]
    # only the difference of the two positions matters: without this, squares of world
    # coordinates (1e10 px^2) would swallow the residual
    at_q[:, :, 2] -= at_p[:, :, 2]
    at_p[:, :, 2] = 0
    force_p = at_p @ graph.hp - at_q @ graph.c.transpose(0, 2, 1)
    force_q = at_q @ graph.hq - at_p @ graph.c
    square = (force_p * at_p).sum(axis=(1, 2)) + (force_q * at_q).sum(axis=(1, 2))
    return force_p, force_q, np.sqrt(np.maximum(square, 0))


def _sum(n: int, tile: Index, weight: Array, value: Array) -> Array:
    """Sum weight x value (m, a, b) of all pairs into their tiles: (n, a, b)."""
    shape = value.shape[1:]
    flat = value.reshape(len(value), math.prod(shape))
    out = np.zeros((n, flat.shape[1]))
    for k in range(flat.shape[1]):
        out[:, k] = np.bincount(tile, weight * flat[:, k], minlength=n)
    return out.reshape(n, *shape)


def _rigid_fits(tiles: Tiles, placement: Array, moment: Array, gradient: Array) -> Array:
    """(n, 2, 2) linear parts of the rigid fits of the tiles to their partners' present points.

    The points' targets follow from what the tile predicts minus the force on it:
    sum w x u' = A H - gradient, with x relative to the tile centre.
    """
    own = placement.copy()
    own[:, :, 2] = 0
    target = own @ moment - gradient
    total = np.maximum(moment[:, 2, 2], 1e-300)
    mean = moment[:, 2, :2] / total[:, None]
    cross = target[:, :, :2] - target[:, :, 2:] * mean[:, None, :]
    return np.asarray(rotation_of(cross) * tiles.scale)


def _unstretched(tiles: Tiles, placement: Array) -> Array:
    """Fix the last gauge: the mean tile keeps the size and shape the stage gives it.

    One affine of the whole world is free in the matches. Noise in both points of a match makes
    least squares shrink all tiles a little; this takes the common part of it away.
    """
    linear = placement[:, :, :2].mean(axis=0)
    wanted = tiles.stage[:, :, :2].mean(axis=0)
    stretch = polar(wanted @ np.linalg.inv(linear), side="left")[1]
    middle = tiles.stage[:, :, 2].mean(axis=0)
    out = placement.copy()
    out[:, :, 2] -= middle
    out = stretch @ out
    out[:, :, 2] += middle
    return np.asarray(out)
