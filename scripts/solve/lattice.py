"""Lattice: smooth displacement fields of a tile, as cubic splines over a coarse grid of cells.

A field is a sum of cubic B-splines, one for each crossing of the grid and one around it. Its
bending energy is the integral of its squared second derivatives over the tile, and its size that of
its square, both exact, in units of cells: matrices of the coefficients.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.interpolate import BSpline

from scripts.lib.arrays import Array, Index
from scripts.lib.geometry import Box
from scripts.lib.nonlinear import ThinPlateSpline

MOST_CELLS = 16  # along the longer side of a tile: wider ones serve large tiles
_DEGREE = 3


@dataclass(frozen=True)
class Lattice:
    """The grid of a tile in its matching frame, px."""

    box: Box
    cells: tuple[int, int]  # along x and y

    @staticmethod
    def over(box: Box, cell_px: float) -> Lattice:
        """Return the lattice of a tile.

        Parameters
        ----------
        box
            Of the tile in its matching frame.
        cell_px
            Least side of a cell.

        Returns
        -------
        Lattice
            Of whole cells that cover the box.
        """
        side = max(cell_px, max(box.width, box.height) / MOST_CELLS)
        return Lattice(box, (max(1, int(box.width // side)), max(1, int(box.height // side))))

    @property
    def terms(self) -> int:  # numpydoc ignore=RT01
        """Return the number of coefficients."""
        return (self.cells[0] + _DEGREE) * (self.cells[1] + _DEGREE)

    @property
    def cell_xy(self) -> Array:  # numpydoc ignore=RT01
        """Return the sides (2,) of a cell, px."""
        return np.array([self.box.width, self.box.height]) / self.cells

    def design(self, xy: Array) -> sparse.csr_matrix:
        """Return what each coefficient moves some places by.

        Parameters
        ----------
        xy
            (n, 2) places of the matching frame, px; those outside the box count as on its border.

        Returns
        -------
        scipy.sparse.csr_matrix
            (n, terms).
        """
        at = (np.asarray(xy, float) - [self.box.x0, self.box.y0]) / self.cell_xy
        (cx, vx), (cy, vy) = (_row(at[:, k], self.cells[k]) for k in (0, 1))
        columns = cy[:, :, None] * (self.cells[0] + _DEGREE) + cx[:, None, :]
        values = vy[:, :, None] * vx[:, None, :]
        rows = np.repeat(np.arange(len(at)), (_DEGREE + 1) ** 2)
        shape = (len(at), self.terms)
        return sparse.csr_matrix((values.ravel(), (rows, columns.ravel())), shape)

    def nodes(self) -> Array:
        """Return the crossings of the grid.

        Returns
        -------
        Array
            (n, 2) x, y of the matching frame, px.
        """
        x = np.linspace(self.box.x0, self.box.x1, self.cells[0] + 1)
        y = np.linspace(self.box.y0, self.box.y1, self.cells[1] + 1)
        return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def _row(at: Array, cells: int) -> tuple[Index, Array]:
    """Return columns and values (n, 4) of the B-splines that are not zero at places in cells."""
    at = np.clip(at, 0, cells)
    first = np.minimum(at.astype(int), cells - 1)
    u = (at - first)[:, None]
    values = np.hstack(
        [(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3]
    )
    return first[:, None] + np.arange(_DEGREE + 1), values / 6


@functools.lru_cache(maxsize=16)
def energies(cells: tuple[int, int]) -> tuple[Array, Array]:
    """Return bending energy and size of fields.

    Parameters
    ----------
    cells
        Of the lattice, along x and y.

    Returns
    -------
    bending, size : ndarray
        (terms, terms) each, symmetric.
    """
    x, y = ([_gram(n, order) for order in range(3)] for n in cells)
    bending = np.kron(y[0], x[2]) + 2 * np.kron(y[1], x[1]) + np.kron(y[2], x[0])
    return np.asarray(bending, float), np.asarray(np.kron(y[0], x[0]), float)


def _gram(cells: int, order: int) -> Array:
    """Return the integrals of products of the derivatives of B-splines: Gauss, exact."""
    points, weights = np.polynomial.legendre.leggauss(_DEGREE + 1)
    at = (np.arange(cells)[:, None] + (points + 1) / 2).ravel()
    knots = np.arange(-_DEGREE, cells + _DEGREE + 1, dtype=float)
    spline = BSpline(knots, np.eye(cells + _DEGREE), _DEGREE)
    values = spline(at, nu=order)
    gram: Array = values.T @ (values * np.tile(weights / 2, cells)[:, None])
    return gram


def spline_through(nodes: Array, moves: Array) -> ThinPlateSpline:
    """Return the map of least bending that moves places as it should.

    Parameters
    ----------
    nodes
        (n, 2) places, px; at least three that are not on one line.
    moves
        (n, 2) displacement of each, px.

    Returns
    -------
    ThinPlateSpline
        Through all of them, with an affine of its own.
    """
    n, unit = len(nodes), max(float(np.ptp(nodes)), 1.0)  # for the condition of the matrix
    at = (nodes - nodes.mean(axis=0)) / unit
    square = ((at[:, None] - at) ** 2).sum(axis=-1)
    kernel = 0.5 * square * np.log(np.where(square > 0, square, 1.0))
    affine = np.column_stack([at, np.ones(n)])
    matrix = np.block([[kernel, affine], [affine.T, np.zeros((3, 3))]])
    weights = np.linalg.solve(matrix, np.concatenate([moves, np.zeros((3, 2))]))[:n] / unit**2
    # another unit of r adds squares of r, of which weights without affine part leave an affine
    rest = moves - (ThinPlateSpline(nodes, weights).apply(nodes) - nodes)
    fit = np.linalg.lstsq(affine, rest, rcond=None)[0]
    linear = fit[:2].T / unit
    shift = fit[2] - linear @ nodes.mean(axis=0)
    return ThinPlateSpline(nodes, weights, np.column_stack([linear, shift]))
