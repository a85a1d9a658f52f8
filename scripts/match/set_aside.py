"""Set aside: pairs that a decision takes out of a collection, kept so that it can be taken back.

They lie in a collection beside it, ``<collection>_set_aside``, as matching found them. The job that
closes a collection first puts all of them back, then takes out whatever the decisions of now say,
and puts in what they add: so the same decisions leave the same collection, however often it runs
and wherever it was killed. A job that matches a pair anew forgets what is set aside of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping

from scripts.lib.service.client import RenderClient
from scripts.lib.service.match_client import Key
from scripts.lib.service.records import CanvasMatches


def name(collection: str) -> str:
    """Return the collection in which pairs of another are set aside.

    Parameters
    ----------
    collection
        Name of the match collection.

    Returns
    -------
    str
        Its name and a suffix.
    """
    return f"{collection}_set_aside"


class Stored:
    """The pairs of a collection, read as they are asked for (`scripts.match.decisions.Pairs`).

    Parameters
    ----------
    client
        The service.
    collection
        Name of the match collection.
    """

    def __init__(self, client: RenderClient, collection: str) -> None:
        self._client, self._collection = client, collection
        self._groups: dict[str, dict[Key, int]] = {}

    def keys(self) -> Iterator[Key]:
        """Yield the keys of all pairs.

        Yields
        ------
        Key
            p group, p id, q group, q id.
        """
        for group in self._client.p_groups(self._collection):
            yield from self._of_group(group)

    def count(self, key: Key) -> int:
        """Return the number of points of a pair.

        Parameters
        ----------
        key
            p group, p id, q group, q id.

        Returns
        -------
        int
            0 when it is not there.
        """
        return self._of_group(key[0]).get(key, 0)

    def record(self, key: Key) -> CanvasMatches:
        """Return a pair with its points.

        Parameters
        ----------
        key
            p group, p id, q group, q id of a pair that is there.

        Returns
        -------
        CanvasMatches
            As it is stored.
        """
        found = self._client.matches_between(self._collection, key[0], key[2])
        return next(one for one in found if one.key == key)

    def _of_group(self, group: str) -> dict[Key, int]:
        if group not in self._groups:
            self._groups[group] = _counts(self._client, self._collection, group)
        return self._groups[group]


def _counts(client: RenderClient, collection: str, group: str) -> dict[Key, int]:
    return {(pg, p, qg, q): n for pg, p, qg, q, n in client.match_keys(collection, group)}


def counts(client: RenderClient, collection: str) -> dict[Key, int]:
    """Return the number of points of all pairs that are set aside.

    Parameters
    ----------
    client
        The service.
    collection
        Name of the match collection that they were taken out of.

    Returns
    -------
    dict
        Number of points by p group, p id, q group, q id.
    """
    aside = name(collection)
    each = (_counts(client, aside, group) for group in client.p_groups(aside))
    return {key: n for some in each for key, n in some.items()}


def put_back(client: RenderClient, collection: str) -> int:
    """Put all pairs back that are set aside.

    Parameters
    ----------
    client
        The service.
    collection
        Name of the match collection.

    Returns
    -------
    int
        Pairs that were put back, each in place of what stands for it by now.
    """
    aside, number = name(collection), 0
    for group in client.p_groups(aside):
        records = client.matches(aside, group)
        client.put_matches(collection, records)
        for one in records:  # only then: a pair is in one of both at any time
            client.delete_pair(aside, one.key)
        number += len(records)
    return number


def forget(client: RenderClient, collection: str, keys: Iterable[Key]) -> None:
    """Drop pairs that are set aside, since they are matched anew.

    Parameters
    ----------
    client
        The service.
    collection
        Name of the match collection.
    keys
        Pairs, set aside or not.
    """
    here = counts(client, collection)
    for key in here.keys() & set(keys):
        client.delete_pair(name(collection), key)


def carry_out(
    client: RenderClient,
    collection: str,
    gone: Iterable[Key],
    added: Mapping[Key, CanvasMatches],
) -> None:
    """Set pairs aside, and put others in.

    Parameters
    ----------
    client
        The service.
    collection
        Name of the match collection.
    gone
        Pairs that leave.
    added
        Records that come in, some of them for pairs that left.
    """
    layers = itertools.groupby(sorted(gone, key=_layers), key=_layers)
    for between, keys in layers:  # one answer holds all pairs of two layers
        leaving = set(keys)
        found = client.matches_between(collection, *between)
        client.put_matches(name(collection), [one for one in found if one.key in leaving])
        for key in sorted(leaving):
            client.delete_pair(collection, key)
    client.put_matches(collection, [added[key] for key in sorted(added)])


def _layers(key: Key) -> tuple[str, str]:
    return key[0], key[2]
