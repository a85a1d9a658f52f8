"""What the stage did not report at restarts, as unknowns of the solve.

The stage prior epsilon |M - S|^2 becomes epsilon |M - S - o_g|^2 with an offset o_g for each group
g of layers between restarts. The offsets border the system of the tiles,

    [  K            -epsilon E          ] [ change ]   [ rhs ]
    [ -epsilon E'   epsilon (1 + d) N   ] [ shift  ] = [ ... ]

with E the membership of the tiles and N their number in each group; they are eliminated by the
Schur complement of K, whose factors are there already. d, tiny, draws the offsets together to zero:
it fixes the one motion that nothing else does, of all tiles and all offsets alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scripts.lib.arrays import Array, Int64
from scripts.solve.system import Solve

DRAW = 1e-6  # d: too weak to hold any group back
AT_ONCE = 16  # groups whose responses are in memory together


@dataclass(frozen=True, eq=False)
class Border:
    """The border of a factorised system: `schur` (g r, g r) for g groups and r tied axes."""

    solver: Solve
    groups: Int64
    size: Array
    epsilon: float
    schur: Array
    unknowns: int
    axes: int  # systems with x and y tied have two translation rows, others one

    @staticmethod
    def of(solver: Solve, groups: Int64, epsilon: float, *, unknowns: int, tied: bool) -> Border:
        """Compute how the groups respond to their offsets.

        Parameters
        ----------
        solver
            Of the factorised system of the n tiles.
        groups
            (n,) group of each tile, 0, 1, ...; a single group needs no offset.
        epsilon
            Weight of the stage prior.
        unknowns
            Of a tile.
        tied
            Whether x and y are in one system.

        Returns
        -------
        Border
            With its Schur complement.
        """
        size = np.bincount(groups).astype(float)
        axes, g = 2 if tied else 1, len(size)
        schur = np.diag(np.tile(epsilon * (1 + DRAW) * size, axes))
        out = Border(solver, groups, size, epsilon, schur, unknowns, axes)
        for start in range(0, g * axes if g > 1 else 0, AT_ONCE):
            unit = np.eye(g * axes)[:, start : start + AT_ONCE]
            schur[:, start : start + AT_ONCE] -= epsilon * out._of_tiles(solver(out._pulled(unit)))
        return out

    def solve(self, rhs: Array, moved: Array, offsets: Array) -> tuple[Array, Array]:
        """Solve for tiles and offsets together.

        Parameters
        ----------
        rhs
            (n, k, r) right-hand sides of the tiles, with the present `offsets` in their reference.
        moved
            (n, 2) translations of the tiles relative to the stage, px.
        offsets
            (g, 2) present offsets x, y of the groups, px.

        Returns
        -------
        change : Array
            (n, k, r) of the tiles.
        shift : Array
            (g, 2) change of the offsets, px.
        """
        if len(self.size) == 1:
            return self.solver(rhs), np.zeros((1, 2))
        pull = [np.bincount(self.groups, moved[:, axis]) for axis in (0, 1)]
        force = self.epsilon * (np.stack(pull, axis=1) - self.size[:, None] * (1 + DRAW) * offsets)
        force = self._columns(force) + self.epsilon * self._of_tiles(self.solver(rhs))
        shift: Array = np.asarray(np.linalg.solve(self.schur, force), float)
        change = self.solver(rhs + self._pulled(shift))
        by_axis = shift.reshape(self.axes, len(self.size), rhs.shape[2])
        return change, by_axis.transpose(1, 0, 2).reshape(-1, 2)

    def _columns(self, value: Array) -> Array:
        """(g, 2) as the unknowns of the border: (g, 2), or (2 g, 1) when x and y are tied."""
        return value if self.axes == 1 else value.T.reshape(-1, 1)

    def _pulled(self, shift: Array) -> Array:
        """Right-hand side epsilon E shift (n, k, r) of shifts (g axes, r)."""
        out = np.zeros((len(self.groups), self.unknowns, shift.shape[1]))
        parts = shift.reshape(self.axes, -1, shift.shape[1])
        for axis in range(self.axes):
            out[:, self.unknowns - self.axes + axis] = self.epsilon * parts[axis][self.groups]
        return out

    def _of_tiles(self, change: Array) -> Array:
        """Return the sums E' (g axes, r) of the translations of changes (n, k, r)."""
        g = len(self.size)
        out = np.empty((self.axes, g, change.shape[2]))
        for axis in range(self.axes):
            row = change[:, self.unknowns - self.axes + axis]
            for column in range(change.shape[2]):
                out[axis, :, column] = np.bincount(self.groups, row[:, column], minlength=g)
        return out.reshape(self.axes * g, -1)
