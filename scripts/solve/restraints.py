"""What draws the tiles where no matches hold them: ties to their rigid fits and to the reference.

The formulas are those of `solver`, its second to fourth line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import polar

from scripts.lib.arrays import Array, Bool
from scripts.solve.graph import Graph, Tiles
from scripts.solve.models import rotation_of


@dataclass(frozen=True, eq=False)
class Ties:
    """Weights (n, 3) of the ties of a placement's columns, and their gradient (n, 2, 3)."""

    weight: Array
    pull: Array


@dataclass(frozen=True)
class Strength:
    """How strong the ties are: see `solver`.

    ``mu`` of the rigid fit; ``shape``, ``turn`` squared noise over the square of the expected
    deviation, px^2; ``epsilon`` of the stage.
    """

    mu: float
    shape: float
    turn: float
    epsilon: float


def ties(
    tiles: Tiles, reference: Array, placement: Array, sums: tuple[Array, Array], strength: Strength
) -> Ties:
    """Compute the ties at a placement.

    Parameters
    ----------
    tiles
        The n tiles.
    reference, placement
        (n, 2, 3) placements that are expected, and the present ones.
    sums
        Moments (n, 3, 3) and gradients (n, 2, 3) of the matches.
    strength
        Of the ties.

    Returns
    -------
    Ties
        Of the tiles.
    """
    moment, gradient = sums
    away = placement - reference
    from_rigid = placement[:, :, :2] - _rigid_fits(reference, placement, moment, gradient)
    place = strength.epsilon * np.column_stack([tiles.area, np.ones(len(tiles))])
    rigid = strength.mu * moment[:, 2, 2][:, None] * tiles.area + strength.shape / tiles.scale**2
    turn = strength.turn / tiles.scale**2
    pull = place[:, None] * away
    pull[:, :, :2] += rigid[:, None] * from_rigid + turn * away[:, :, :2]
    weight = place
    weight[:, :2] += rigid + turn
    return Ties(weight, pull)


def _rigid_fits(reference: Array, placement: Array, moment: Array, gradient: Array) -> Array:
    """(n, 2, 2) linear parts of the reference, turned as fits the partners' present points best.

    The points' targets follow from what the tile predicts minus the force on it:
    sum w x u' = A H - gradient, with x relative to the tile centre.
    """
    own = placement.copy()
    own[:, :, 2] = 0
    target = own @ moment - gradient
    total = np.maximum(moment[:, 2, 2], 1e-300)
    mean = moment[:, 2, :2] / total[:, None]
    cross = target[:, :, :2] - target[:, :, 2:] * mean[:, None, :]
    shape = reference[:, :, :2]
    return np.asarray(rotation_of(cross @ shape.transpose(0, 2, 1)) @ shape)


def noise(weight: Array, residual: Array) -> float:
    """Compute the square residual at unit weight.

    Parameters
    ----------
    weight, residual
        (m,) of the pairs; px.

    Returns
    -------
    float
        px^2 per axis.
    """
    return float(weight @ residual**2) / max(float(weight.sum()), 1e-300) / 2


def shrinkage(graph: Graph, placement: Array, weight: Array, residual: Array) -> Array:
    """Compute the force by which noise shrinks tiles: what it takes to hold against it.

    Smaller tiles have smaller residuals. Of a pair whose residual is noise the square falls by
    2 w r^2 per unit of scale, half of it in either tile; of all free linear parts that of a run of
    layers is the softest, for only its ends hold it.

    Parameters
    ----------
    graph
        The m pairs.
    placement
        (n, 2, 3) present placements.
    weight, residual
        (m,) of the pairs; px.

    Returns
    -------
    Array
        (n, 2, 2) gradients of the linear parts.
    """
    share = weight * residual**2 / 4
    n = len(placement)
    total = np.bincount(graph.p, share, n) + np.bincount(graph.q, share, n)
    inverse = np.linalg.inv(placement[:, :, :2])
    return np.asarray(total[:, None, None] * inverse.transpose(0, 2, 1))


def epsilon(tiles: Tiles, graph: Graph, weight: Array, wavelength: float) -> float:
    """Compute the weight of the stage: relative to the matches as they weigh now.

    Parameters
    ----------
    tiles, graph
        The n tiles and m pairs.
    weight
        (m,) of the pairs.
    wavelength
        Of the waves that follow the stage by half, layers.

    Returns
    -------
    float
        epsilon of `solver`.
    """
    stiffness = float((weight * graph.dz**2).sum()) / len(tiles)
    if stiffness == 0:  # a single layer has no waves in z: the prior fixes the gauge alone
        stiffness = float(weight.sum()) / len(tiles) or 1.0
    return stiffness * (2 * math.pi / wavelength) ** 2


def unstretched(tiles: Tiles, placement: Array, some: Bool) -> Array:
    """Fix the last gauge: the mean tile keeps the size and shape the stage gives it.

    One affine of the whole world is free in the matches. Noise in both points of a match makes
    least squares shrink all tiles a little; this takes the common part of it away.

    Parameters
    ----------
    tiles
        The n tiles.
    placement
        (n, 2, 3) placements.
    some
        (n,) the tiles whose mean is taken: those the stage tells the shape of.

    Returns
    -------
    Array
        (n, 2, 3) placements.
    """
    linear = placement[some, :, :2].mean(axis=0)
    wanted = tiles.stage[some, :, :2].mean(axis=0)
    stretch = polar(wanted @ np.linalg.inv(linear), side="left")[1]
    middle = tiles.stage[:, :, 2].mean(axis=0)
    out = placement.copy()
    out[:, :, 2] -= middle
    out = stretch @ out
    out[:, :, 2] += middle
    return np.asarray(out)
