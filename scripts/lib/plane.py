"""Plane: maps of points of the plane, forward (tile to world) and backward.

Maps that have no closed inverse are undone by steps (`Smooth`), from what is known of them over the
part of the plane that a tile fills. p = (x, y).
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scripts.lib import geometry
from scripts.lib.arrays import Array

Domain = tuple[Array, Array]  # low and high corner of a part of the plane, each (2,): x, y


class Transform(ABC):
    """A map of the plane."""

    @abstractmethod
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

    @abstractmethod
    def invert(self, xy: Array) -> Array:
        """Map points backward, from the world to the tile.

        Parameters
        ----------
        xy
            (n, 2) points x, y, px.

        Returns
        -------
        Array
            (n, 2).
        """

    def undo(self, xy: Array, within: Domain) -> Array:
        """Map points backward, knowing where they come from.

        Parameters
        ----------
        xy
            (n, 2) points x, y, px.
        within
            Where the map must be undone exactly; what comes from elsewhere only stays outside.

        Returns
        -------
        Array
            (n, 2).
        """
        del within  # of no use to a map with a closed inverse
        return self.invert(xy)


@dataclass(frozen=True)
class Affine(Transform):
    """A (2, 3) affine, also for translation, rigid and similarity."""

    matrix: Array

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
        return geometry.apply(self.matrix, xy)

    def invert(self, xy: Array) -> Array:
        """Map points backward, from the world to the tile.

        Parameters
        ----------
        xy
            (n, 2) points x, y, px.

        Returns
        -------
        Array
            (n, 2).
        """
        return geometry.apply(geometry.invert(self.matrix), xy)


@dataclass(frozen=True)
class AxisOffset(Transform):
    """One coordinate `axis` (0 = x, 1 = y) moves by a smooth function of itself."""

    offset: Callable[[Array], Array]
    axis: int

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
        out = np.array(xy, float)
        out[:, self.axis] += self.offset(out[:, self.axis])
        return out

    def invert(self, xy: Array) -> Array:
        """Map points backward: Newton steps on v + f(v) = target, to 1e-9 px.

        Parameters
        ----------
        xy
            (n, 2) points x, y, px.

        Returns
        -------
        Array
            (n, 2).
        """
        out = np.array(xy, float)
        target = out[:, self.axis]
        value = target - self.offset(target)
        for _ in range(50):
            # one Newton step with a numeric slope: f is smooth and |f'| < 1 wherever no fold is
            slope = 1 + (self.offset(value + 1e-4) - self.offset(value - 1e-4)) / 2e-4
            step = (value + self.offset(value) - target) / np.maximum(slope, 1e-2)
            value = value - step
            if np.abs(step).max(initial=0.0) < 1e-9:
                break
        out[:, self.axis] = value
        return out


@dataclass(frozen=True)
class Chain(Transform):
    """Transforms applied first to last."""

    parts: tuple[Transform, ...]

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
        out = np.asarray(xy, float)
        for part in self.parts:
            out = part.apply(out)
        return out

    def invert(self, xy: Array) -> Array:
        """Map points backward, from the world to the tile.

        Parameters
        ----------
        xy
            (n, 2) points x, y, px.

        Returns
        -------
        Array
            (n, 2).
        """
        out = np.asarray(xy, float)
        for part in reversed(self.parts):
            out = part.invert(out)
        return out

    def undo(self, xy: Array, within: Domain) -> Array:
        """Map points backward, part by part, each where the tile is at its input.

        Parameters
        ----------
        xy
            (n, 2) points x, y, px.
        within
            Corners of the tile.

        Returns
        -------
        Array
            (n, 2).
        """
        out = np.asarray(xy, float)
        for part, domain in zip(reversed(self.parts), reversed(self.domains(within)), strict=True):
            out = part.undo(out, domain)
        return out

    def domains(self, within: Domain) -> list[Domain]:
        """Return where the tile is at the input of each part.

        Parameters
        ----------
        within
            Corners of the tile.

        Returns
        -------
        list of Domain
            As many as there are parts.
        """
        points, out = _ring(within), []
        for part in self.parts:
            out.append((points.min(axis=0), points.max(axis=0)))
            points = part.apply(points)
        return out

    def as_affine(self) -> Array | None:
        """Return the product as one affine.

        Returns
        -------
        Array or None
            (2, 3); None when a part is not affine.
        """
        product = geometry.identity()
        for part in self.parts:
            if not isinstance(part, Affine):
                return None
            product = geometry.compose(part.matrix, product)
        return product


@dataclass(frozen=True)
class Projective(Transform):
    """A homography: (x', y', w') = matrix (x, y, 1), divided by w'."""

    matrix: Array  # (3, 3)

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
        return _projected(self.matrix, xy)

    def invert(self, xy: Array) -> Array:
        """Map points backward, from the world to the tile.

        Parameters
        ----------
        xy
            (n, 2) points x, y, px.

        Returns
        -------
        Array
            (n, 2).
        """
        return _projected(np.asarray(np.linalg.inv(self.matrix), float), xy)


def _projected(matrix: Array, xy: Array) -> Array:
    found = np.asarray(xy, float) @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(found[:, :2] / found[:, 2:])


_STEPS = 40  # at most, when a map is undone
_EXACT_PX = 1e-6  # when a step is smaller, the next would be far below what a pixel shows
_LATTICE = 33  # nodes along a side of the domain, between which derivatives are linear


class Smooth(Transform):
    """A map without a closed inverse.

    It is undone by Newton steps whose derivatives come from a lattice over the domain. Outside of
    the domain it goes on straight, so that what lies there stays there: a polynomial of a lens
    would fold back into the tile.
    """

    def invert(self, xy: Array) -> Array:
        """Map points backward; only good where the map moves them by little.

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
        low, high = points.min(axis=0), points.max(axis=0)
        room = (high - low) / 2 + 1
        return self.undo(points, (low - room, high + room))

    def undo(self, xy: Array, within: Domain) -> Array:
        """Map points backward, to `_EXACT_PX`.

        Parameters
        ----------
        xy
            (n, 2) points x, y, px.
        within
            Where the map must be undone exactly.

        Returns
        -------
        Array
            (n, 2).

        Raises
        ------
        ValueError
            Where the map folds, or is beyond all numbers.
        """
        target = np.asarray(xy, float)
        slopes = _Slopes.of(self, *(tuple(map(float, corner)) for corner in within))
        out = slopes.straight(target)
        todo = np.arange(len(target))
        for _ in range(_STEPS):
            inside = slopes.clipped(out[todo])
            matrix, beyond = slopes.at(inside), out[todo] - inside
            found = self.apply(inside) + np.einsum("nij,nj->ni", matrix, beyond)
            step = np.linalg.solve(matrix, (target[todo] - found)[..., None])[..., 0]
            out[todo] += step
            todo = todo[~(np.abs(step).max(axis=1) < _EXACT_PX)]
            if not len(todo):
                return out
        raise ValueError(f"a {type(self).__name__} transform cannot be undone: it folds the tile")


@dataclass(frozen=True, eq=False)
class _Slopes:
    """Derivatives of a map on a lattice over a part of the plane."""

    low: Array
    step: Array
    slopes: Array  # (n, n, 2, 2) by row (y), column (x): d(out i) / d(in j)
    affine: Array  # (2, 3) that fits the map best

    @staticmethod
    @functools.lru_cache(maxsize=64)  # all tiles of a volume share a few corrections
    def of(part: Smooth, low: tuple[float, ...], high: tuple[float, ...]) -> _Slopes:
        """Look at a map on a lattice."""
        sides = [np.linspace(a, max(b, a + 1), _LATTICE) for a, b in zip(low, high, strict=True)]
        xy = np.stack(np.meshgrid(*sides), axis=-1)
        with np.errstate(all="ignore"):  # told by the result
            found = part.apply(xy.reshape(-1, 2))
        if not np.isfinite(found).all():
            raise ValueError(f"a {type(part).__name__} transform moves the tile beyond all numbers")
        values = found.reshape(xy.shape)
        by_y, by_x = np.gradient(values, sides[1], sides[0], axis=(0, 1), edge_order=2)
        slopes = np.stack([by_x, by_y], axis=-1)
        turns = np.linalg.det(slopes)
        if not (turns.min() > 0 or turns.max() < 0):
            raise ValueError(f"a {type(part).__name__} transform folds the tile: it has no inverse")
        design = np.column_stack([xy.reshape(-1, 2), np.ones(found.shape[0])])
        affine = np.asarray(np.linalg.lstsq(design, found, rcond=None)[0].T, float)
        origin = np.array([side[0] for side in sides])
        return _Slopes(origin, np.array([side[1] - side[0] for side in sides]), slopes, affine)

    def clipped(self, xy: Array) -> Array:
        """Return the nearest points of the domain."""
        return np.clip(xy, self.low, self.low + self.step * (_LATTICE - 1))

    def straight(self, xy: Array) -> Array:
        """Undo the affine that fits best."""
        return geometry.apply(geometry.invert(self.affine), xy)

    def at(self, xy: Array) -> Array:
        """Return the derivatives at points of the domain, (n, 2, 2)."""
        place = (xy - self.low) / self.step
        cell = np.clip(place.astype(int), 0, _LATTICE - 2)
        (x, y), (fx, fy) = cell.T, (place - cell).T[..., None, None]
        upper = self.slopes[y, x] * (1 - fx) + self.slopes[y, x + 1] * fx
        lower = self.slopes[y + 1, x] * (1 - fx) + self.slopes[y + 1, x + 1] * fx
        return np.asarray(upper * (1 - fy) + lower * fy)


def _ring(within: Domain) -> Array:
    """Return points of the border of a part of the plane, at most 16 px apart."""
    (x0, y0), (x1, y1) = within
    x, y = (np.linspace(a, b, 2 + int(b - a) // 16) for a, b in ((x0, x1), (y0, y1)))
    sides = [(x, np.full_like(x, y0)), (x, np.full_like(x, y1))]
    sides += [(np.full_like(y, x0), y), (np.full_like(y, x1), y)]
    return np.concatenate([np.column_stack(side) for side in sides])
