"""Geometry: the conventions of the whole project, affines and boxes.

The conventions:

* World coordinates are full-resolution pixels of the stack, x right, y down; pixel centres lie on
  integers. Arrays are z, y, x. Points are ``(n, 2)`` arrays of x, y.
* Boxes are half-open: ``x0 <= x < x1``.
* An affine is a ``(2, 3)`` array ``[[m00, m01, m02], [m10, m11, m12]]``; on the wire it is the
  text ``m00 m10 m01 m11 m02 m12`` (column order, mpicbg AffineModel2D).
* z is the layer number, 1..N in acquisition order. The section id, which is also the match group
  id, is z as text with one decimal. Order of p and q is the **text** order of (section id, tile
  id): "10.0" comes before "9.0".
* Match points are in the tile's *matching frame*: after the scan correction, before the stage
  transform, full scale.
* Rendering at scale s maps world p to output pixel ``s * (p - origin)``: no half-pixel shift.
  Level L of a mipmap relates to full scale by ``x_full = 2**L * x + (2**L - 1) / 2``.
* NaN means "no value" everywhere; it is never a number to compute with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NewType

import numpy as np
from numpy.typing import ArrayLike

from scripts.lib.arrays import Array

TileId = NewType("TileId", str)
Z = NewType("Z", int)


@dataclass(frozen=True)
class Box:
    """A half-open rectangle in world pixels."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        """Return the extent in x, px.

        Returns
        -------
        float
            x1 - x0.
        """
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        """Return the extent in y, px.

        Returns
        -------
        float
            y1 - y0.
        """
        return self.y1 - self.y0

    def intersects(self, other: Box) -> bool:
        """Tell whether two boxes share an area.

        Parameters
        ----------
        other
            The other box.

        Returns
        -------
        bool
            False where they only touch.
        """
        return (
            self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1
        )

    def union(self, other: Box) -> Box:
        """Return the smallest box that holds two.

        Parameters
        ----------
        other
            The other box.

        Returns
        -------
        Box
            World px.
        """
        return Box(
            min(self.x0, other.x0),
            min(self.y0, other.y0),
            max(self.x1, other.x1),
            max(self.y1, other.y1),
        )

    @staticmethod
    def around(boxes: Iterable[Box]) -> Box:
        """Return the smallest box that holds some boxes.

        Parameters
        ----------
        boxes
            At least one.

        Returns
        -------
        Box
            World px.
        """
        first, *rest = boxes
        for box in rest:
            first = first.union(box)
        return first


def section_id(z: float) -> str:
    """Return the section id of a layer, which is also its match group id.

    Parameters
    ----------
    z
        Layer number.

    Returns
    -------
    str
        z with one decimal, e.g. ``"1066.0"``.
    """
    return f"{float(z):.1f}"


def identity() -> Array:
    """Return the identity affine.

    Returns
    -------
    Array
        (2, 3).
    """
    return np.eye(2, 3)


def translation(x: float, y: float) -> Array:
    """Return the affine that adds a step.

    Parameters
    ----------
    x, y
        The step, px.

    Returns
    -------
    Array
        (2, 3).
    """
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y]])


def apply(affine: Array, xy: ArrayLike) -> Array:
    """Map points by an affine.

    Parameters
    ----------
    affine
        (2, 3) affine.
    xy
        (..., 2) points x, y.

    Returns
    -------
    Array
        (..., 2).
    """
    return np.asarray(xy, float) @ affine[:, :2].T + affine[:, 2]


def compose(outer: Array, inner: Array) -> Array:
    """Return the affine that applies one after the other.

    Parameters
    ----------
    outer
        (2, 3) affine applied last.
    inner
        (2, 3) affine applied first.

    Returns
    -------
    Array
        (2, 3).
    """
    linear = outer[:, :2] @ inner[:, :2]
    return np.column_stack([linear, outer[:, :2] @ inner[:, 2] + outer[:, 2]])


def invert(affine: Array) -> Array:
    """Return the inverse of an affine.

    Parameters
    ----------
    affine
        (2, 3) affine.

    Returns
    -------
    Array
        (2, 3).

    Raises
    ------
    ValueError
        When the linear part is singular or not finite.
    """
    determinant = np.linalg.det(affine[:, :2])
    if not np.isfinite(determinant) or abs(determinant) < 1e-12:
        raise ValueError(f"affine {affine.tolist()} has no inverse")
    linear = np.linalg.inv(affine[:, :2])
    return np.column_stack([linear, -linear @ affine[:, 2]])


def to_wire(affine: Array) -> list[float]:
    """Return the six numbers of an affine as tile specs hold them.

    Parameters
    ----------
    affine
        (2, 3) affine.

    Returns
    -------
    list of float
        ``[m00, m10, m01, m11, m02, m12]``.
    """
    return [float(v) for v in affine.T.reshape(-1)]


def from_wire(values: ArrayLike) -> Array:
    """Return the affine of six numbers of a tile spec.

    Parameters
    ----------
    values
        ``m00, m10, m01, m11, m02, m12``.

    Returns
    -------
    Array
        (2, 3).
    """
    return np.asarray(values, float).reshape(3, 2).T.copy()


def corners(width: float, height: float) -> Array:
    """Return the centres of the corner pixels of an image.

    Parameters
    ----------
    width, height
        Of the image, px.

    Returns
    -------
    Array
        (4, 2) x, y: both of the first row, then both of the last.
    """
    w, h = width - 1, height - 1
    return np.array([[0, 0], [w, 0], [0, h], [w, h]], float)


Bounds = tuple[float, float, float, float]


def tile_bounds(
    width: float, height: float, transform: Callable[[Array], Array], cell: float = 64.0
) -> Bounds:
    """Return the bounding box of a transformed tile (render's `TileSpec.deriveBoundingBox`).

    The border is sampled about every `cell` px (x up to `width`, y up to `height`), minima are cut
    toward zero and the extents rounded up.

    Parameters
    ----------
    width, height
        Of the tile, px.
    transform
        Maps (n, 2) points of the tile to the world.
    cell
        Distance of the samples, px.

    Returns
    -------
    tuple of float
        Least x and y, greatest x and y, whole world px.
    """
    return rounded_bounds(*tile_extent(width, height, transform, cell))


def tile_extent(
    width: float, height: float, transform: Callable[[Array], Array], cell: float = 64.0
) -> Bounds:
    """Return the extent of the sampled border of a transformed tile.

    Parameters
    ----------
    width, height
        Of the tile, px.
    transform
        Maps (n, 2) points of the tile to the world.
    cell
        Distance of the samples, px.

    Returns
    -------
    tuple of float
        Least x and y, greatest x and y, world px.
    """
    return extent(transform(tile_border(width, height, cell)))


def tile_border(width: float, height: float, cell: float = 64.0) -> Array:
    """Return points of a tile's border, sampled as render does.

    Parameters
    ----------
    width, height
        Of the tile, px.
    cell
        Distance of the samples, px.

    Returns
    -------
    Array
        (n, 2) x, y.
    """
    nx = max(2, math.floor(width / cell + 0.5))
    ny = max(2, math.floor(height / cell + 0.5))
    x = np.arange(nx) * (width - 1) / (nx - 1)
    y = np.arange(ny) * (height - 1) / (ny - 1)
    return np.concatenate(
        [
            np.column_stack([x, np.zeros(nx)]),
            np.column_stack([x, np.full(nx, height)]),
            np.column_stack([np.zeros(ny), y]),
            np.column_stack([np.full(ny, width), y]),
        ]
    )


def extent(points: Array) -> Bounds:
    """Return the extent of points.

    Parameters
    ----------
    points
        (n, 2) x, y, at least one.

    Returns
    -------
    tuple of float
        Least x and y, greatest x and y.
    """
    x, y = np.ascontiguousarray(points.T)  # a third of the time of minima along the first axis
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def rounded_bounds(x0: float, y0: float, x1: float, y1: float) -> Bounds:
    """Round an extent to a bounding box as render does.

    Parameters
    ----------
    x0, y0, x1, y1
        The extent, px.

    Returns
    -------
    tuple of float
        Least x and y, greatest x and y, whole px.
    """
    left, top = math.trunc(x0), math.trunc(y0)
    return (
        float(left),
        float(top),
        float(left + math.ceil(x1 - x0)),
        float(top + math.ceil(y1 - y0)),
    )
