"""Records of matches as they travel to and from render-ws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scripts.lib.arrays import Array
from scripts.lib.geometry import TileId
from scripts.lib.service.transform_records import Json


@dataclass(frozen=True, eq=False)
class CanvasMatches:
    """Matched points of one pair of tiles.

    ``p`` and ``q`` are (n, 2) x, y in the matching frames of the two tiles at full scale, ``w``
    (n,) weights. p sorts before q by (group id, tile id) as text.
    """

    p_group: str
    p_id: TileId
    q_group: str
    q_id: TileId
    p: Array
    q: Array
    w: Array

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Return the unique key in a collection.

        Returns
        -------
        tuple of str
            p group, p id, q group, q id.
        """
        return self.p_group, self.p_id, self.q_group, self.q_id

    def ordered(self) -> CanvasMatches:
        """Return the pair with p before q in text order.

        Returns
        -------
        CanvasMatches
            Itself, or the pair turned round.
        """
        if (self.p_group, self.p_id) <= (self.q_group, self.q_id):
            return self
        return CanvasMatches(
            self.q_group, self.q_id, self.p_group, self.p_id, self.q, self.p, self.w
        )

    def to_json(self) -> Json:
        """Return the wire form.

        Returns
        -------
        dict
            JSON values under the names of the service.
        """
        return {
            "pGroupId": self.p_group,
            "pId": self.p_id,
            "qGroupId": self.q_group,
            "qId": self.q_id,
            "matches": {
                "p": np.asarray(self.p, float).T.tolist(),
                "q": np.asarray(self.q, float).T.tolist(),
                "w": np.asarray(self.w, float).tolist(),
            },
            "matchCount": len(self.w),
        }

    @staticmethod
    def from_json(value: Json) -> CanvasMatches:
        """Read the wire form.

        Parameters
        ----------
        value
            Render's CanvasMatches with its match details.

        Returns
        -------
        CanvasMatches
            Points (n, 2) float64.
        """
        points = value["matches"]
        count = len(points["w"])
        return CanvasMatches(
            value["pGroupId"],
            TileId(value["pId"]),
            value["qGroupId"],
            TileId(value["qId"]),
            _xy(points["p"], count),
            _xy(points["q"], count),
            np.asarray(points["w"], float),
        )


def _xy(value: list[list[float]], count: int) -> Array:
    """Return (n, 2) points of rows of x and y or of points; two by two are rows."""
    found = np.asarray(value, float)
    if count == 0 and found.size == 0:
        return np.empty((0, 2))
    if found.shape == (2, count):
        return found.T
    if found.shape == (count, 2):
        return found
    raise ValueError(f"expected x and y of {count} points, found an array {found.shape}")


def axes_of(points: Json) -> tuple[Sequence[float], ...]:
    """Return the coordinates of a pair's points, each axis by itself.

    Parameters
    ----------
    points
        ``matches`` of the wire form: p and q as rows of x and y, as most clients send them, or as
        points x, y. Two by two are rows.

    Returns
    -------
    tuple of sequence
        x and y of p, x and y of q, w: n numbers each.

    Raises
    ------
    ValueError
        When they are not of equal lengths.
    """
    count = len(points["w"])
    if not count:
        return ((),) * 5
    p, q = (_axes(points[name], count) for name in "pq")
    return *p, *q, points["w"]


def _axes(rows: Sequence[Sequence[float]], count: int) -> tuple[Sequence[float], Sequence[float]]:
    if len(rows) == count != 2:
        rows = list(zip(*rows, strict=True))
    if len(rows) != 2 or not len(rows[0]) == len(rows[1]) == count:
        found = [len(row) for row in rows]
        raise ValueError(f"expected x and y of {count} points, found rows of {found}")
    return rows[0], rows[1]
