"""Attempts into the collection, batch by batch, and stale records out of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from scripts.lib.service.records import CanvasMatches, TileSet
from scripts.match.pairs import Pair
from scripts.match.stages import Attempt
from scripts.match.tables import p_groups

NO_TILES = TileSet(())
PAIRS_PER_PUT, SECONDS_PER_PUT = 500, 60

Key = tuple[str, str, str, str]


class Collections(Protocol):
    """What of the render client this module needs."""

    def put_matches(self, collection: str, pairs: Sequence[CanvasMatches]) -> None:
        """Save records; one that is there is replaced.

        Parameters
        ----------
        collection
            Name of the match collection.
        pairs
            The records.
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

    def delete_pair(self, collection: str, key: Key) -> None:
        """Delete one record.

        Parameters
        ----------
        collection
            Name of the match collection.
        key
            p group, p id, q group, q id.
        """


def z_range(plan: Sequence[Pair]) -> tuple[float, float]:
    """Return the first and the last layer that the pairs touch.

    Parameters
    ----------
    plan
        Pairs, at least one.

    Returns
    -------
    tuple of float
        z, both included.
    """
    z = [float(group) for pair in plan for group in (pair.p_group, pair.q_group)]
    return min(z), max(z)


def store(
    client: Collections, collection: str, plan: Sequence[Pair], attempts: Iterable[Attempt]
) -> Iterator[Attempt]:
    """Pass the attempts on, their matches stored; afterwards drop old records of failed pairs.

    The points of a batch are released once stored: a yielded attempt still has them.

    Parameters
    ----------
    client
        The service.
    collection
        Name of the match collection.
    plan
        All pairs of the job, whose p groups are searched for old records.
    attempts
        One for each pair of the plan, as they come.

    Yields
    ------
    Attempt
        The attempts, in order, stored `PAIRS_PER_PUT` at a time, or what a minute brought.
    """
    failed: set[Key] = set()
    for batch in _batches(attempts):
        records = [attempt.matches for attempt in batch]
        failed |= {a.pair.key for a, r in zip(batch, records, strict=True) if r is None}
        if found := [record for record in records if record is not None]:
            client.put_matches(collection, found)
        yield from batch
    delete(client, collection, p_groups(plan), failed)


def _batches(attempts: Iterable[Attempt]) -> Iterator[list[Attempt]]:
    """Yield the attempts some at a time: what a killed job loses is the work of a minute."""
    batch: list[Attempt] = []
    begun = time.monotonic()
    for attempt in attempts:
        batch.append(attempt)
        if len(batch) == PAIRS_PER_PUT or time.monotonic() - begun > SECONDS_PER_PUT:
            yield batch
            batch, begun = [], time.monotonic()
    if batch:
        yield batch


def counts(client: Collections, collection: str, plan: Sequence[Pair]) -> dict[Key, int]:
    """Return the number of points of each stored pair, in the p groups of the plan.

    Parameters
    ----------
    client
        The service.
    collection
        Name of the match collection.
    plan
        Pairs whose p groups are read.

    Returns
    -------
    dict
        Number of points by p group, p id, q group, q id; other pairs of these groups are among
        them.
    """
    return {
        (group_p, id_p, group_q, id_q): count
        for group in p_groups(plan)
        for group_p, id_p, group_q, id_q, count in client.match_keys(collection, group)
    }


def delete(client: Collections, collection: str, groups: Iterable[str], unwanted: set[Key]) -> int:
    """Delete the records of `unwanted` that exist in these p groups; give their number.

    Parameters
    ----------
    client
        The service.
    collection
        Name of the match collection.
    groups
        p groups to look into.
    unwanted
        p group, p id, q group, q id.

    Returns
    -------
    int
        Records that were deleted.
    """
    stale = [
        key
        for group in groups
        for *key, _ in client.match_keys(collection, group)
        if tuple(key) in unwanted
    ]
    for group_p, id_p, group_q, id_q in stale:
        client.delete_pair(collection, (group_p, id_p, group_q, id_q))
    return len(stale)
