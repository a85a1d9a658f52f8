"""Tiles that show what none of their neighbours in the layer shows, as the image of another would.

That a chain of other places joins two tiles says where they lie, not what they show: the image of a
layer near by matches those before and after, where tissue changes little from layer to layer.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

LEAST_TRIED = 8  # windows of a tile's seams
USUAL = 0.5  # share of windows measured at the same seams in the layers around, exceeded
AROUND = 4  # layers around, the nearest ones

Row = Mapping[str, str]


def unlike(rows: Sequence[Row], resin: Iterable[str]) -> list[Row]:
    """Return the seams of tiles none of whose seams could be measured, where others' could.

    Parameters
    ----------
    rows
        Places of `misalignment.COLUMNS`, as texts.
    resin
        Ids of tiles of bare resin, of which nothing is said.

    Returns
    -------
    list of mapping
        Of each tile without one measured window among `LEAST_TRIED` or more of its seams, where
        more than half the windows of the same seams were in the `AROUND` nearest layers (at either
        end of a run of resin, half of these are of the run).
    """
    bare = set(resin)
    seams = [row for row in rows if row["kind"] == "seam" and not {row["p_id"], row["q_id"]} & bare]
    edges, of_tile = defaultdict(list), defaultdict(list)
    for row in seams:
        edges[row["p_cell"], row["q_cell"]].append(row)
        of_tile[row["p_id"]].append(row)
        of_tile[row["q_id"]].append(row)
    for along in edges.values():
        along.sort(key=_z)
    silent = [own for own in of_tile.values() if _sum(own, "used") == 0]
    found = {
        id(row): row
        for own in silent
        if _sum(own, "tried") >= LEAST_TRIED and _usual(own, edges) > USUAL
        for row in own
    }
    return list(found.values())


def _sum(rows: Iterable[Row], name: str) -> int:
    return sum(int(row[name]) for row in rows)


def _z(row: Row) -> int:
    return int(row["z"])


def _usual(own: Iterable[Row], edges: Mapping[tuple[str, str], Sequence[Row]]) -> float:
    """Return the share of windows measured at the same seams in the layers around."""
    around: list[Row] = []
    for row in own:
        along, z = edges[row["p_cell"], row["q_cell"]], _z(row)
        at = bisect.bisect_left(along, z, key=_z)
        near = [one for one in along[max(0, at - AROUND) : at + AROUND + 1] if _z(one) != z]
        near.sort(key=lambda one: abs(_z(one) - z))  # noqa: B023 - used at once
        around += near[:AROUND]
    return _sum(around, "used") / max(_sum(around, "tried"), 1)
