"""Where the restraints draw the tiles: the stage, as it was between restarts.

Tile i of the stage, linear part S_i and place u_i of its centre, is expected at

    linear part  P_r S_i      place  Q_r (u_i - c_r) + c_r + o_g

with P_r, Q_r (2, 2) of its run r of layers between steps (`steps`), c_r the mean place of the run,
and o_g the offset of its group g of layers between restarts. Tiles that turn on the spot have a P
and no Q; a specimen that turns has both alike.

P and o are unknowns of the solve (`border`). Q has no need of it: the tiles of each layer, which
hold together by their matches, say what it is (`refitted`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from scripts.lib.arrays import Array, Int64
from scripts.solve.border import Field
from scripts.solve.graph import Tiles
from scripts.solve.steps import Runs

DRAW = 1e-6  # of the ties; draws what nothing else holds to its prior, and holds nothing else back


@dataclass(frozen=True, eq=False)
class Reference:
    """The stage with what it did not report.

    ``groups`` (n,) of the tiles; ``offsets`` (g, 2) px; ``linear`` (r, 2, 2) the P of the runs,
    ``spread`` (r, 2, 2) their Q.
    """

    tiles: Tiles
    runs: Runs
    groups: Int64
    offsets: Array
    linear: Array
    spread: Array

    @staticmethod
    def of(tiles: Tiles, runs: Runs) -> Reference:
        """Return the reference before anything is known but the steps.

        Parameters
        ----------
        tiles
            The n tiles.
        runs
            Runs of layers between steps.

        Returns
        -------
        Reference
            One group without offset; places as the stage says.
        """
        groups, spread = (
            np.zeros(len(tiles), np.int64),
            np.repeat(np.eye(2)[None], len(runs.linear), 0),
        )
        return Reference(tiles, runs, groups, np.zeros((1, 2)), runs.linear, spread)

    def grouped(self, groups: Int64) -> Reference:
        """Return the same with an offset, as yet zero, for each group.

        Parameters
        ----------
        groups
            (n,) 0, 1, ... of the tiles.

        Returns
        -------
        Reference
            With these groups.
        """
        return replace(self, groups=groups, offsets=np.zeros((int(groups.max()) + 1, 2)))

    @cached_property
    def placement(self) -> Array:
        """Where the tiles are expected.

        Returns
        -------
        Array
            (n, 2, 3) placements.
        """
        stage, run = self.tiles.stage, self.runs.run
        middle = _means(stage[:, :, 2], run)[run]
        out = np.empty_like(stage)
        out[:, :, :2] = self.linear[run] @ stage[:, :, :2]
        away = (stage[:, :, 2] - middle)[:, :, None]
        out[:, :, 2] = (self.spread[run] @ away)[:, :, 0] + middle + self.offsets[self.groups]
        return out

    def refitted(self, placement: Array) -> Reference:
        """Return the same with the Q that fits the tiles of each layer, relative to one another.

        Parameters
        ----------
        placement
            (n, 2, 3) present placements.

        Returns
        -------
        Reference
            Q of directions in which no layer has two tiles is P.
        """
        run = self.runs.run
        if len(self.linear) == 1:
            return self
        layer = np.unique(self.tiles.z, return_inverse=True)[1]
        is_at, was_at = (
            one[:, :, 2] - _means(one[:, :, 2], layer)[layer]
            for one in (placement, self.tiles.stage)
        )
        spread = self.spread.copy()
        for r in np.flatnonzero(np.arange(len(spread)) != self.runs.reference):
            mine = run == r
            least = DRAW * mine.sum() * self.tiles.scale**2
            cross = is_at[mine].T @ was_at[mine] + least * self.linear[r]
            spread[r] = cross @ np.linalg.inv(was_at[mine].T @ was_at[mine] + least * np.eye(2))
        return replace(self, spread=spread)

    def fields(self, weight: Array, *, prior: float, shapes: bool) -> list[Field]:
        """List the unknowns.

        Parameters
        ----------
        weight
            (n, 3) of the ties between tiles and reference.
        prior
            Weight that draws the P of each run to the identity.
        shapes
            Whether P is unknown.

        Returns
        -------
        list
            Offsets, and the two columns of P, of all but the run whose P is the identity.
        """
        out, n = [], len(self.tiles)
        if len(self.offsets) > 1:
            draw = np.asarray(DRAW * np.bincount(self.groups, weight[:, 2]), float)
            out.append(Field(self.groups, np.tile([0.0, 0.0, 1.0], (n, 1)), draw))
        if shapes and len(self.linear) > 1:
            draw = np.asarray(np.full(len(self.linear) - 1, prior), float)
            rows = np.pad(self.tiles.stage[:, :, :2], ((0, 0), (0, 0), (0, 1)))
            out += [Field(self.runs.free, rows[:, c], draw) for c in (0, 1)]
        return out

    def excess(self, *, shapes: bool) -> Array:
        """Compute how far the unknowns are from where their prior draws them.

        Parameters
        ----------
        shapes
            Whether P is unknown.

        Returns
        -------
        Array
            (u, 2) for x and y, in the order of `fields`.
        """
        parts = [np.zeros((0, 2))]
        if len(self.offsets) > 1:
            parts.append(self.offsets)
        if shapes and len(self.linear) > 1:
            beyond = np.delete(self.linear, self.runs.reference, axis=0) - np.eye(2)
            parts += [beyond[:, :, c] for c in (0, 1)]
        return np.concatenate(parts)

    def moved(self, shift: Array) -> Reference:
        """Return the same with the unknowns changed.

        Parameters
        ----------
        shift
            (u, 2) for x and y, in the order of `fields`.

        Returns
        -------
        Reference
            With other offsets and linear parts.
        """
        offsets, linear, at = self.offsets, self.linear.copy(), 0
        if len(offsets) > 1:
            at = len(offsets)
            offsets = offsets + shift[:at]
        if len(shift) > at:
            free = np.flatnonzero(np.arange(len(linear)) != self.runs.reference)
            linear[free] += shift[at:].reshape(2, -1, 2).transpose(1, 2, 0)
        return replace(self, offsets=offsets, linear=linear)


def _means(values: Array, group: Int64) -> Array:
    """(g, 2) means over groups of (n, 2) values."""
    count = np.maximum(np.bincount(group), 1)
    return np.stack([np.bincount(group, one) for one in values.T], axis=1) / count[:, None]
