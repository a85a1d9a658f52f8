"""Records of matches as they travel to and from render-ws."""

from __future__ import annotations

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
        return CanvasMatches(
            value["pGroupId"],
            TileId(value["pId"]),
            value["qGroupId"],
            TileId(value["qId"]),
            np.asarray(points["p"], float).reshape(2, -1).T,
            np.asarray(points["q"], float).reshape(2, -1).T,
            np.asarray(points["w"], float),
        )
