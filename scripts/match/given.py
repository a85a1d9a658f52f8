"""Pairs whose matches are given: those of a collection that is taken over.

They are copied point by point, whatever found them; pairs that the collection lacks are matched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from scripts.lib.arrays import Array
from scripts.lib.job import UserError
from scripts.lib.service.records import CanvasMatches, TileSet
from scripts.match.outcomes import Outcome
from scripts.match.pairs import Pair
from scripts.match.stages import Attempt
from scripts.match.tables import p_groups

STAGE = "taken_over"
KEY = "takeover.render.matches"
FARTHEST_PX = 2.0  # beyond the borders of a tile: what sub-pixel fits of blocks at a border give
LEAST_SHARE = 0.5  # of a collection's pairs; with fewer between tiles of the volume it is another's
_NAMED = 3


class Collections(Protocol):
    """What of the render client this module needs; it only reads."""

    def matches(self, collection: str, p_group: str) -> list[CanvasMatches]:
        """Return the pairs of a p group.

        Parameters
        ----------
        collection
            Name of the match collection.
        p_group
            Section id of p.

        Returns
        -------
        list of CanvasMatches
            With their points.
        """

    def p_groups(self, collection: str) -> list[str]:
        """Return all p groups.

        Parameters
        ----------
        collection
            Name of the match collection.

        Returns
        -------
        list of str
            Section ids.
        """

    def match_keys(self, collection: str, p_group: str) -> list[tuple[str, str, str, str, int]]:
        """Return keys and counts of the pairs of a p group.

        Parameters
        ----------
        collection
            Name of the match collection.
        p_group
            Section id of p.

        Returns
        -------
        list of tuple
            p group, p id, q group, q id, number of points.
        """


def attempts(
    client: Collections, collection: str, plan: Sequence[Pair], tiles: TileSet
) -> Iterator[Attempt]:
    """Return the planned pairs that a collection has, as if a stage had saved them.

    Parameters
    ----------
    client
        The service, as the owner of the collection.
    collection
        Name of the collection.
    plan
        Pairs of a job.
    tiles
        Their tiles.

    Yields
    ------
    Attempt
        In the order of p groups.

    Raises
    ------
    UserError
        When points of a pair lie outside of its tiles, or are no numbers.
    """
    planned = {pair.key: pair for pair in plan}
    boxes = _boxes(tiles)
    for group in p_groups(plan):
        for record in map(CanvasMatches.ordered, client.matches(collection, group)):
            pair = planned.get(record.key)
            if pair is not None and len(record.w):
                _check(record, boxes, collection)
                out = Outcome("", record.p, record.q, record.w, _rms_px(record))
                yield Attempt(pair, STAGE, out, "")


def _boxes(tiles: TileSet) -> dict[str, Array]:
    """(2, 2) corners of the matching frame of each tile."""
    known: dict[Any, Array] = {}
    out = {}
    for tile in tiles.tiles:
        kind = (tile.width, tile.height, tile.transforms[:-1])
        if kind not in known:
            border = np.array([[0, 0], [tile.width, tile.height]], float)
            known[kind] = tiles.scan_chain(tile).apply(border)
        out[str(tile.tile_id)] = known[kind]
    return out


def _check(record: CanvasMatches, boxes: Mapping[str, Array], collection: str) -> None:
    for tile_id, points in ((record.p_id, record.p), (record.q_id, record.q)):
        low, high = boxes[str(tile_id)]
        inside = (points >= low - FARTHEST_PX) & (points <= high + FARTHEST_PX)
        if not inside.all():  # NaN too
            x, y = points[int(np.argmin(inside.all(axis=1)))]
            raise UserError(
                f"{KEY}: {collection}: the pair {record.p_id}, {record.q_id} has a point at"
                f" x {x:g}, y {y:g}, expected inside of the tile of {high[0] - low[0]:.0f} x"
                f" {high[1] - low[1]:.0f} px: were tiles of another size matched?"
            )


def _rms_px(record: CanvasMatches) -> float:
    """Residual of the affine between both sides; NaN with too few points to tell."""
    if len(record.w) <= 3:
        return float("nan")
    p = np.column_stack([record.p, np.ones(len(record.p))])
    fitted = p @ np.linalg.lstsq(p, record.q, rcond=None)[0]
    return float(np.sqrt(((fitted - record.q) ** 2).sum(axis=1).mean()))


# ---------------------------------------------------------------------------------------------
# the collection as a whole
# ---------------------------------------------------------------------------------------------


@dataclass
class Seen:
    """What a collection holds, counted: pairs between tiles of the volume, and others."""

    tiles: set[str]
    own: int = 0
    points: int = 0
    linked: set[str] = field(default_factory=set)
    others: list[str] = field(default_factory=list)  # "p, q" of pairs of tiles that are not there

    def add(self, keys: Iterable[tuple[str, str, str, str, int]]) -> None:
        """Count some pairs.

        Parameters
        ----------
        keys
            p group, p id, q group, q id, number of points.
        """
        for _, p, _, q, count in keys:
            if p in self.tiles and q in self.tiles:
                self.own += 1
                self.points += count
                self.linked |= {p, q}
            else:
                self.others.append(f"{p}, {q}")


def look(client: Collections, collection: str, tiles: Iterable[str]) -> dict[str, Any]:
    """Count what a collection holds of a volume.

    Parameters
    ----------
    client
        The service, as the owner of the collection.
    collection
        Name of the collection.
    tiles
        Ids of the volume's tiles.

    Returns
    -------
    dict
        Numbers of pairs, points and tiles, for the receipt.

    Raises
    ------
    UserError
        When it is empty, or another stack's.
    """
    seen = Seen(set(tiles))
    for group in client.p_groups(collection):
        seen.add(client.match_keys(collection, group))
    total = seen.own + len(seen.others)
    if not total:
        raise UserError(f"{KEY}: {collection} holds no pair, expected those of this volume's tiles")
    if seen.own < LEAST_SHARE * total:
        raise UserError(
            f"{KEY}: {collection}: {seen.own} of {total} pairs are between tiles of this volume"
            f" ({'; '.join(seen.others[:_NAMED])} are not): is it the collection of another stack?"
        )
    return {
        "pairs": total,
        "pairs_of_the_volume": seen.own,
        "points": seen.points,
        "tiles_with_matches": len(seen.linked),
        "tiles": len(seen.tiles),
    }
