"""L4 · Models: which of a tile's six numbers are free, and how a step changes them.

Translation and affine keep x and y apart: both have the same matrix, factorised once for two
right-hand sides. Rigid and similarity tie x and y together by their rotation and are solved by
Gauss-Newton steps about the present placement.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scripts.lib.geometry import Array
from scripts.solve.system import Index

TURN = np.array([[0.0, -1.0], [1.0, 0.0]])


@dataclass(frozen=True)
class Normal:
    """Normal equations of placements, per axis: what the data and the priors pull.

    ``diagonal`` (n, 3, 3), ``off`` (m, 3, 3) rows of p and columns of q, ``gradient`` (n, 2, 3).
    """

    diagonal: Array
    off: Array
    gradient: Array


@dataclass(frozen=True)
class Reduced:
    """The same in the free numbers: (n, k, k), (m, k, k) and right-hand sides (n, k, r)."""

    diagonal: Array
    off: Array
    rhs: Array


@dataclass(frozen=True)
class SolveModel:
    """One transformation model: `unknowns` per tile, reduction of the equations, and the step."""

    name: str
    unknowns: int
    reduce: Callable[[Normal, Array, Index, Index], Reduced]
    step: Callable[[Array, Array], Array]  # (placement, (n, k, r) solution) -> placement


def rotation_of(cross: Array) -> Array:
    """Give the (n, 2, 2) rotations nearest to (n, 2, 2) matrices, in the least-squares sense."""
    s = cross[:, 1, 0] - cross[:, 0, 1]
    c = cross[:, 0, 0] + cross[:, 1, 1]
    norm = np.hypot(c, s)
    flat = norm < 1e-12
    c, s = np.where(flat, 1.0, c), np.where(flat, 0.0, s)
    norm = np.where(flat, 1.0, norm)
    return np.stack([np.stack([c, -s], 1), np.stack([s, c], 1)], 1) / norm[:, None, None]


def _split(first: int) -> Callable[[Normal, Array, Index, Index], Reduced]:
    """Reduction of models whose columns `first`.. of the placement are free."""

    def reduce(normal: Normal, _placement: Array, _p: Index, _q: Index) -> Reduced:
        return Reduced(
            normal.diagonal[:, first:, first:],
            normal.off[:, first:, first:],
            -normal.gradient[:, :, first:].transpose(0, 2, 1),
        )

    return reduce


def _split_step(first: int) -> Callable[[Array, Array], Array]:
    def step(placement: Array, solution: Array) -> Array:
        out = placement.copy()
        out[:, :, first:] += solution.transpose(0, 2, 1)
        return out

    return step


def _basis(placement: Array, *, scaled: bool) -> Array:
    """(n, 2, 3, k) change of the placement by rotation, [growth,] x and y."""
    n = len(placement)
    out = np.zeros((n, 2, 3, 4 if scaled else 3))
    out[:, :, :2, 0] = TURN @ placement[:, :, :2]
    if scaled:
        out[:, :, :2, 1] = placement[:, :, :2]
    out[:, 0, 2, -2] = out[:, 1, 2, -1] = 1
    return out


def _joint(*, scaled: bool) -> Callable[[Normal, Array, Index, Index], Reduced]:
    def reduce(normal: Normal, placement: Array, p: Index, q: Index) -> Reduced:
        basis = _basis(placement, scaled=scaled)
        axes = [basis[:, axis] for axis in (0, 1)]
        diagonal = sum(b.transpose(0, 2, 1) @ normal.diagonal @ b for b in axes)
        off = sum(b[p].transpose(0, 2, 1) @ normal.off @ b[q] for b in axes)
        rhs = -np.einsum("naik,nai->nk", basis, normal.gradient)
        return Reduced(np.asarray(diagonal), np.asarray(off), rhs[:, :, None])

    return reduce


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
        SolveModel("translation", 1, _split(2), _split_step(2)),
        SolveModel("rigid", 3, _joint(scaled=False), _rigid_step),
        SolveModel("similarity", 4, _joint(scaled=True), _similarity_step),
        SolveModel("affine", 3, _split(0), _split_step(0)),
    )
}
