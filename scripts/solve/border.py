"""What the stage did not report at restarts, as unknowns of the solve.

The reference that the restraints tie the tiles to has unknowns theta of its own (`reference`):
they border the system of the tiles,

    [  K       -W E       ] [ change ]   [ rhs                ]
    [ -E' W    E' W E + D ] [ shift  ] = [ E' pull - D excess ]

with E the effect of the unknowns on the reference, W the weights and `pull` the gradient of the
ties between tiles and reference, and D the weights that draw theta to its prior. The border is
eliminated by the Schur complement of K, whose factors are there already. x and y have the same
unknowns, and the same matrix unless the model ties them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scripts.lib.arrays import Array, Int64
from scripts.solve.system import Solve

AT_ONCE = 4  # unknowns whose responses are in memory together


@dataclass(frozen=True, eq=False)
class Field:
    """Unknowns of one kind, one for each group of tiles, for x and for y.

    ``group`` (n,) group of each tile, -1 for none; ``effect`` (n, 3) what a unit of it adds to the
    row x (or y) of a tile's reference; ``prior`` (g,) weights that draw the unknowns together.
    """

    group: Int64
    effect: Array
    prior: Array

    def __len__(self) -> int:
        """Return the number of groups."""
        return len(self.prior)

    def added(self, value: Array) -> Array:
        """Compute what the unknowns add to the reference.

        Parameters
        ----------
        value
            (g, r) of the groups.

        Returns
        -------
        Array
            (n, 3, r) of the tiles.
        """
        padded = np.concatenate([value, np.zeros((1, value.shape[1]))])
        return np.asarray(self.effect[:, :, None] * padded[self.group][:, None])

    def summed(self, pull: Array) -> Array:
        """Sum pulls over the groups, in the direction of `effect`.

        Parameters
        ----------
        pull
            (n, 3, r) of the tiles.

        Returns
        -------
        Array
            (g, r) of the groups.
        """
        along = np.einsum("nc,ncr->nr", self.effect, pull)
        columns = [np.bincount(self.group + 1, one, len(self) + 1)[1:] for one in along.T]
        return np.stack(columns, axis=1)


@dataclass(frozen=True, eq=False)
class Border:
    """The border of a factorised system: `schur` (u, u) for u unknowns of an axis, or of both."""

    solver: Solve
    fields: Sequence[Field]
    weight: Array  # (n, 3) of the ties
    unknowns: int  # of a tile
    tied: bool
    schur: Array

    @staticmethod
    def of(
        solver: Solve, fields: Sequence[Field], weight: Array, *, unknowns: int, tied: bool
    ) -> Border:
        """Compute how the reference responds to its unknowns.

        Parameters
        ----------
        solver
            Of the factorised system of the n tiles.
        fields
            The unknowns; none where the reference is known.
        weight
            (n, 3) weights of the ties between tiles and reference, for u, v and 1.
        unknowns
            Of a tile.
        tied
            Whether x and y are in one system; the unknowns then act on places alone.

        Returns
        -------
        Border
            With its Schur complement.
        """
        prior = np.concatenate([np.zeros(0), *(one.prior for one in fields)])
        schur = np.diag(np.tile(prior, 2 if tied else 1))
        out = Border(solver, fields, weight, unknowns, tied, schur)
        for start in range(0, len(schur), AT_ONCE):
            unit = np.eye(len(schur))[:, start : start + AT_ONCE]
            pulled = out._pulled(unit)
            left = out._held(unit) - out._of_tiles(solver(pulled))
            schur[:, start : start + AT_ONCE] += left
        return out

    def solve(self, rhs: Array, pull: Array, excess: Array) -> tuple[Array, Array]:
        """Solve for tiles and reference together.

        Parameters
        ----------
        rhs
            (n, k, r) right-hand sides of the tiles.
        pull
            (n, 2, 3) gradient of the ties at the present placement and reference.
        excess
            (u, 2) the unknowns, x and y, beyond their prior.

        Returns
        -------
        change : Array
            (n, k, r) of the tiles.
        shift : Array
            (u, 2) change of the unknowns.
        """
        if not self.fields:
            return self.solver(rhs), np.zeros((0, 2))
        prior = np.concatenate([one.prior for one in self.fields])[:, None]
        force = self._summed(pull.transpose(0, 2, 1)) - prior * excess
        force = force.T.reshape(-1, 1) if self.tied else force
        force = force + self._of_tiles(self.solver(rhs))
        shift = np.asarray(np.linalg.solve(self.schur, force), float)
        change = self.solver(rhs + self._pulled(shift))
        return change, shift.reshape(2, -1).T if self.tied else shift

    def _added(self, value: Array) -> Array:
        parts, at = np.zeros((len(self.weight), 3, value.shape[1])), 0
        for one in self.fields:
            parts += one.added(value[at : at + len(one)])
            at += len(one)
        return parts

    def _summed(self, pull: Array) -> Array:
        return np.concatenate([one.summed(pull) for one in self.fields])

    def _axes(self, value: Array) -> list[Array]:
        """Values of x and of y when they are tied, else what holds for either."""
        return np.split(value, 2) if self.tied else [value]

    def _pulled(self, value: Array) -> Array:
        """Right-hand side W E value (n, k, r) of values (u, r)."""
        added = [self.weight[:, :, None] * self._added(one) for one in self._axes(value)]
        if not self.tied:
            return added[0][:, 3 - self.unknowns :]
        turns = np.zeros((len(self.weight), self.unknowns - 2, value.shape[1]))
        return np.concatenate([turns, *(one[:, 2:] for one in added)], axis=1)

    def _held(self, value: Array) -> Array:
        """E' W E value."""
        weight = self.weight[:, :, None]
        return np.concatenate([self._summed(weight * self._added(v)) for v in self._axes(value)])

    def _of_tiles(self, change: Array) -> Array:
        """E' W change (u, r) of changes (n, k, r) of the tiles."""
        rows = np.zeros((2 if self.tied else 1, len(self.weight), 3, change.shape[2]))
        if self.tied:
            rows[:, :, 2] = change[:, self.unknowns - 2 :].transpose(1, 0, 2)
        else:
            rows[0, :, 3 - self.unknowns :] = change
        return np.concatenate([self._summed(self.weight[:, :, None] * one) for one in rows])
