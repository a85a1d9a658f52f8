"""Which of a tile's six numbers are free, and how a step changes them.

Translation and affine keep x and y apart: both have the same matrix, factorised once for two
right-hand sides. Rigid and similarity tie x and y together by their rotation and are solved by
Gauss-Newton steps about the present placement.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scripts.lib.arrays import Array, Int64
from scripts.solve.forces import Blocks

TURN = np.array([[0.0, -1.0], [1.0, 0.0]])


@dataclass(frozen=True)
class Normal:
    """Normal equations of f numbers of each tile: what the data and the priors hold.

    ``diagonal`` (n, f, f), and of pairs ``off`` (f, f, k), rows of p and columns of q. f is 3 for
    placements, the same for x and y, and `unknowns` for what a model leaves free.
    """

    diagonal: Array
    off: Blocks


@dataclass(frozen=True)
class SolveModel:
    """One transformation model: `unknowns` per tile, reduction of the equations, and the step."""

    name: str
    unknowns: int
    tied: bool  # x and y in one system, with one right-hand side
    right_side: Callable[[Array, Array], Array]  # (placement, gradient) -> (n, k, r)
    reduce: Callable[[Normal, Array, Int64, Int64], Normal]
    step: Callable[[Array, Array], Array]  # (placement, (n, k, r) solution) -> placement
    shapes: bool = False  # all of the linear part is free


def rotation_of(cross: Array) -> Array:
    """Find the rotations nearest to matrices, in the least-squares sense.

    Parameters
    ----------
    cross
        (n, 2, 2) matrices.

    Returns
    -------
    Array
        (n, 2, 2) rotations; the identity where no direction is preferred.
    """
    s = cross[:, 1, 0] - cross[:, 0, 1]
    c = cross[:, 0, 0] + cross[:, 1, 1]
    norm = np.hypot(c, s)
    flat = norm < 1e-12
    c, s = np.where(flat, 1.0, c), np.where(flat, 0.0, s)
    norm = np.where(flat, 1.0, norm)
    return np.stack([np.stack([c, -s], 1), np.stack([s, c], 1)], 1) / norm[:, None, None]


def _split(first: int) -> tuple[Callable[..., Array], Callable[..., Normal]]:
    """Right side and reduction of models whose columns `first`.. of the placement are free."""

    def right_side(_placement: Array, gradient: Array) -> Array:
        return -gradient[:, :, first:].transpose(0, 2, 1)

    def reduce(normal: Normal, _placement: Array, _p: Int64, _q: Int64) -> Normal:
        def off(some: slice) -> Array:
            return normal.off(some)[first:, first:]

        return Normal(normal.diagonal[:, first:, first:], off)

    return right_side, reduce


def _split_step(first: int) -> Callable[[Array, Array], Array]:
    def step(placement: Array, solution: Array) -> Array:
        out = placement.copy()
        out[:, :, first:] += solution.transpose(0, 2, 1)
        return out

    return step


def _turns(placement: Array, *, scaled: bool) -> Array:
    """(k - 2, 2, 2, n) change of the linear parts by rotation [and growth]."""
    linear = placement[:, :, :2].transpose(1, 2, 0)
    turned = np.stack([-linear[1], linear[0]])
    return np.stack([turned, linear]) if scaled else turned[None]


def _joint(*, scaled: bool) -> tuple[Callable[..., Array], Callable[..., Normal]]:
    """Right side and reduction of models that turn [and grow] as a whole."""

    def right_side(placement: Array, gradient: Array) -> Array:
        turns = _turns(placement, scaled=scaled)
        turning = np.einsum("kijn,nij->nk", turns, gradient[:, :, :2])
        return -np.concatenate([turning, gradient[:, :, 2]], axis=1)[:, :, None]

    def reduce(normal: Normal, placement: Array, p: Int64, q: Int64) -> Normal:
        turns = _turns(placement, scaled=scaled)
        diagonal = _in_turns(turns, turns, normal.diagonal.transpose(1, 2, 0))

        def off(some: slice) -> Array:
            at_p, at_q = (turns.take(side[some], axis=3) for side in (p, q))
            return _in_turns(at_p, at_q, normal.off(some))

        return Normal(np.ascontiguousarray(diagonal.transpose(2, 0, 1)), off)

    return right_side, reduce


def _in_turns(at_p: Array, at_q: Array, block: Array) -> Array:
    """(k, k, m) blocks in turns and x, y from (3, 3, m) blocks that hold for both axes."""
    k = len(at_p)
    out = np.zeros((k + 2, k + 2, block.shape[2]))
    for i in range(k):
        for axis in (0, 1):
            row = at_p[i, axis, 0] * block[0] + at_p[i, axis, 1] * block[1]
            for j in range(k):
                out[i, j] += row[0] * at_q[j, axis, 0] + row[1] * at_q[j, axis, 1]
            out[i, k + axis] = row[2]
            out[k + axis, i] = at_q[i, axis, 0] * block[2, 0] + at_q[i, axis, 1] * block[2, 1]
    out[k, k] = out[k + 1, k + 1] = block[2, 2]
    return out


def _rigid_step(placement: Array, solution: Array) -> Array:
    angle = solution[:, 0, 0]
    turn = np.cos(angle)[:, None, None] * np.eye(2) + np.sin(angle)[:, None, None] * TURN
    linear = turn @ placement[:, :, :2]
    return np.concatenate([linear, placement[:, :, 2:] + solution[:, 1:]], axis=2)


def _similarity_step(placement: Array, solution: Array) -> Array:
    turned = _rigid_step(placement, solution[:, [0, 2, 3]])
    turned[:, :, :2] *= np.exp(solution[:, 1, 0])[:, None, None]
    return turned


MODELS = {
    model.name: model
    for model in (
        SolveModel("translation", 1, False, *_split(2), _split_step(2)),
        SolveModel("rigid", 3, True, *_joint(scaled=False), _rigid_step),
        SolveModel("similarity", 4, True, *_joint(scaled=True), _similarity_step),
        SolveModel("affine", 3, False, *_split(0), _split_step(0), shapes=True),
    )
}
