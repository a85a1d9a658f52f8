"""Places without a measurement of their own that measured places around them decide.

Where two tiles cannot be compared, the way round often can: from one tile to the next layer, over
the seam there, and back. Shifts add up along the way, and so do the variances of their errors. The
way of least variance is sought (Dijkstra, doi:10.1007/BF01386390).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

SURE = 2.0  # standard errors by which a shift has to exceed a limit
MOST_EDGES = 9  # four layers away, over a seam, and back

Row = Mapping[str, str]
Edges = dict[str, list[tuple[str, float, float, float]]]  # id -> id, dx, dy, variance


@dataclass(frozen=True)
class Loops:
    """The measured places as a graph of tiles."""

    edges: Edges

    @staticmethod
    def of(rows: Iterable[Row]) -> Loops:
        """Build the graph.

        Parameters
        ----------
        rows
            Measured rows of `misalignment.COLUMNS` that are not off, as texts.

        Returns
        -------
        Loops
            Of all of them, in both directions.
        """
        edges: Edges = {}
        for row in rows:
            dx, dy, error = (float(row[name]) for name in ("dx_px", "dy_px", "error_px"))
            if math.isfinite(dx + dy + error):
                edges.setdefault(row["p_id"], []).append((row["q_id"], dx, dy, error**2))
                edges.setdefault(row["q_id"], []).append((row["p_id"], -dx, -dy, error**2))
        return Loops(edges)

    def shift(self, p_id: str, q_id: str, most_px: float) -> tuple[float, float] | None:
        """Add up the shifts on the surest way from one tile to another.

        Parameters
        ----------
        p_id, q_id
            The tiles.
        most_px
            Largest standard error that still tells something.

        Returns
        -------
        tuple of float, or None
            Length of the sum and its standard error, px; None without such a way.
        """
        best = {p_id: 0.0}
        queue = [(0.0, p_id, 0.0, 0.0, 0)]
        while queue:
            variance, at, dx, dy, count = heapq.heappop(queue)
            if at == q_id:
                return math.hypot(dx, dy), math.sqrt(variance)
            if variance > best[at] or count == MOST_EDGES:
                continue
            for to, x, y, more in self.edges.get(at, ()):
                total = variance + more
                if total <= most_px**2 and total < best.get(to, math.inf):
                    best[to] = total
                    heapq.heappush(queue, (total, to, dx + x, dy + y, count + 1))
        return None

    def close(self, row: Row, look_px: float) -> bool:
        """Tell whether the way round shows that the tiles of a row meet.

        Parameters
        ----------
        row
            Without a measurement of its own.
        look_px
            Largest shift that is no finding; also the largest standard error.

        Returns
        -------
        bool
            By the same limit as for a measured place.
        """
        found = self.shift(row["p_id"], row["q_id"], look_px)
        return found is not None and found[0] - SURE * found[1] <= look_px
