"""The part of the client that reads and writes match collections."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote

from scripts.lib.service.errors import CollectionNotFound, NotFound
from scripts.lib.service.records import CanvasMatches, Json
from scripts.lib.service.session import Session, path_of

log = logging.getLogger(__name__)

_PAIRS_PER_PUT = 2000

Key = tuple[str, str, str, str]  # p group, p id, q group, q id


class MatchClient(Session):
    """Match collections of an owner."""

    def pair_count(self, collection: str) -> int:
        """Return the number of pairs in a collection.

        Parameters
        ----------
        collection
            Name of the collection.

        Returns
        -------
        int
            Pairs of tiles; 0 when the collection does not exist. A service over MongoDB tells its
            estimate, which may be off after a crash of the database: `counted_pairs`.
        """
        for item in self._get(path_of("owner", self.owner, "matchCollections")):
            if item["collectionId"]["name"] == collection:
                return int(item["pairCount"])
        return 0

    def counted_pairs(self, collection: str) -> int:
        """Return the number of pairs in a collection, counted one by one.

        Parameters
        ----------
        collection
            Name of the collection.

        Returns
        -------
        int
            Pairs of tiles; one request a group.
        """
        groups = self.p_groups(collection)
        return sum(map(len, self.match_lists(collection, groups, details=False)))

    def put_matches(self, collection: str, pairs: Sequence[CanvasMatches]) -> None:
        """Save pairs; a pair that is there already is replaced.

        Parameters
        ----------
        collection
            Name of the collection, made when it does not exist.
        pairs
            Matches of each pair, p and q in either order.
        """
        for i in range(0, len(pairs), _PAIRS_PER_PUT):
            body = [pair.ordered().to_json() for pair in pairs[i : i + _PAIRS_PER_PUT]]
            self._request("PUT", self._collection(collection, "matches"), body=body)

    def matches(self, collection: str, p_group: str) -> list[CanvasMatches]:
        """Return all pairs whose p lies in a group.

        Parameters
        ----------
        collection
            Name of the collection.
        p_group
            Group id (section id) of p.

        Returns
        -------
        list of CanvasMatches
            Sorted by q group, p id, q id as text; none when the collection does not exist.
        """
        return [CanvasMatches.from_json(v) for v in self._pairs(collection, p_group)]

    def match_keys(self, collection: str, p_group: str) -> list[tuple[str, str, str, str, int]]:
        """Return which pairs have their p in a group, without their points.

        Parameters
        ----------
        collection
            Name of the collection.
        p_group
            Group id (section id) of p.

        Returns
        -------
        list of tuple
            (p group, p id, q group, q id, count of matches) of each pair.
        """
        found = self._pairs(collection, p_group, details=False)
        if any("matchCount" not in pair for pair in found):
            # saved by a service of before 2019, which kept no count: the points tell
            found = self._pairs(collection, p_group)
        return [(v["pGroupId"], v["pId"], v["qGroupId"], v["qId"], _count(v)) for v in found]

    def match_ids(self, collection: str) -> Iterator[tuple[str, str]]:
        """Return the tiles of every pair of a collection.

        Parameters
        ----------
        collection
            Name of the collection.

        Returns
        -------
        iterator of tuple
            Tile ids (p, q); one request a group.
        """
        for found in self.match_lists(collection, self.p_groups(collection), details=False):
            yield from ((pair["pId"], pair["qId"]) for pair in found)

    def match_lists(
        self, collection: str, p_groups: Iterable[str], *, details: bool = True
    ) -> Iterator[list[Json]]:
        """Return the pairs of each p group in wire form.

        Parameters
        ----------
        collection
            Name of the collection.
        p_groups
            Group ids (section ids) of p.
        details
            False leaves out the points.

        Returns
        -------
        iterator of list
            The pairs of one group after another.

        Raises
        ------
        NotFound
            When the collection does not exist.
        """
        query = "" if details else "?excludeMatchDetails=true"
        rests = (f"{quote(group, safe='')}/matches{query}" for group in p_groups)
        return self._each(self._collection(collection, "pGroup"), rests)

    def _pairs(self, collection: str, p_group: str, *, details: bool = True) -> list[Json]:
        try:
            return next(self.match_lists(collection, [p_group], details=details))
        except NotFound:
            return []

    def matches_between(self, collection: str, p_group: str, q_group: str) -> list[CanvasMatches]:
        """Return the pairs between two groups.

        Parameters
        ----------
        collection
            Name of the collection.
        p_group, q_group
            Group ids (section ids), in either order; twice the same: within a layer.

        Returns
        -------
        list of CanvasMatches
            None when the collection does not exist.
        """
        path = self._collection(collection, "group", p_group, "matchesWith", q_group)
        return [CanvasMatches.from_json(v) for v in self._list(path)]

    def p_groups(self, collection: str) -> list[str]:
        """Return all p groups of a collection.

        Parameters
        ----------
        collection
            Name of the collection.

        Returns
        -------
        list of str
            Sorted as text; none when the collection does not exist.
        """
        return self._list(self._collection(collection, "pGroupIds"))

    def delete_pair(self, collection: str, key: Key) -> None:
        """Remove one pair; a missing one is no error.

        Parameters
        ----------
        collection
            Name of the collection.
        key
            p group, p id, q group, q id (`CanvasMatches.key`).
        """
        p_group, p_id, q_group, q_id = key
        rest = ("group", p_group, "id", p_id, "matchesWith", q_group, "id", q_id)
        self._request("DELETE", self._collection(collection, *rest))

    def delete_collection(self, collection: str) -> None:
        """Remove a collection; a missing one is no error.

        Parameters
        ----------
        collection
            Name of the collection.
        """
        try:
            self._request("DELETE", self._collection(collection), missing=CollectionNotFound)
        except CollectionNotFound:
            log.info("collection %s was not there", collection)


def _count(pair: Json) -> int:
    """Return how many points a pair in wire form has."""
    kept = pair.get("matchCount")
    return len((pair.get("matches") or {}).get("w", ())) if kept is None else int(kept)
