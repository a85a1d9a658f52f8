"""Tabulated: splines of many landmarks, looked up instead of summed while pictures are drawn.

A picture of a bent tile asks for a hundred thousand places, each a sum over some hundred landmarks,
several times over. The displacement itself is smooth: on a grid of an eighth of the distance
between landmarks, cubic interpolation misses it by less than 0.005 px, half of what a map may err
by, where landmarks move by 3 px from one to the next; and by as much less as they move less.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from scripts.lib.arrays import Array
from scripts.lib.nonlinear import ThinPlateSpline
from scripts.lib.transforms import Smooth

FEW = 32  # landmarks, up to which a sum is as fast
_FINER = 8  # nodes for each landmark along an axis
_ROOM = 4  # nodes beyond the domain: interpolation has no border there


@dataclass(frozen=True, eq=False)
class Tabulated(Smooth):
    """A map whose displacement is interpolated; exact to what is said above, inside its domain."""

    low: Array  # (2,) place of the first node
    step: Array  # (2,)
    moves: Array  # (2, rows, columns) spline coefficients of the displacement in x and y

    def apply(self, xy: Array) -> Array:
        """Map points forward, from the tile to the world.

        Parameters
        ----------
        xy
            (n, 2) points x, y, px.

        Returns
        -------
        Array
            (n, 2).
        """
        points = np.asarray(xy, float)
        at = ((points - self.low) / self.step).T[::-1]
        moved = [
            ndimage.map_coordinates(each, at, order=3, mode="nearest", prefilter=False)
            for each in self.moves
        ]
        return np.asarray(points + np.column_stack(moved))


def quick(part: Smooth, domain: tuple[Array, Array]) -> Smooth:
    """Return a map that does the same in a domain, and takes less time.

    Parameters
    ----------
    part
        Any map.
    domain
        Low and high corner, px.

    Returns
    -------
    Smooth
        The map itself but for splines of more than `FEW` landmarks.
    """
    if not isinstance(part, ThinPlateSpline) or len(part.landmarks) <= FEW:
        return part
    return _table(part, *(tuple(map(float, corner)) for corner in domain))


@functools.lru_cache(maxsize=64)  # the tiles of a layer are drawn area by area
def _table(part: ThinPlateSpline, low: tuple[float, ...], high: tuple[float, ...]) -> Tabulated:
    size = np.array(high) - low
    apart = np.sqrt(np.prod(np.ptp(part.landmarks, axis=0)) / len(part.landmarks))
    step = np.full(2, min(max(float(apart) / _FINER, 1.0), float(size.max())))
    count = np.ceil(size / step).astype(int) + 1 + 2 * _ROOM
    first = np.array(low) - _ROOM * step
    x, y = (first[k] + step[k] * np.arange(count[k]) for k in (0, 1))
    at = np.stack(np.meshgrid(x, y), axis=-1)
    moves = np.moveaxis((part.apply(at.reshape(-1, 2)) - at.reshape(-1, 2)).reshape(at.shape), 2, 0)
    filtered = [ndimage.spline_filter(each, order=3, mode="nearest") for each in moves]
    return Tabulated(first, step, np.stack(filtered))
