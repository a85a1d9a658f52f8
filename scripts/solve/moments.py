"""All the solve needs to know of a pair's points, in fifteen numbers.

Weights, centroids and centred second moments of the points of a pair hold everything that a
least-squares fit of affines, rigid fits and the root-mean-square residual need: the points
themselves stay in the collection. Second moments are taken about the centroids, so that nothing
is lost to rounding however far from the origin the points lie.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from scripts.lib.arrays import Array, Bool, Int64
from scripts.lib.job import UserError
from scripts.lib.service.client import RenderClient
from scripts.lib.service.records import CanvasMatches, Json, axes_of
from scripts.solve import points

AT_ONCE = 100_000  # points
Key = tuple[str, str, str, str]  # p group, p id, q group, q id


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of m pairs, in matching-frame pixels.

    ``p_id``, ``q_id`` (m,) tile ids; ``dz`` (m,) distance in layers, 0 for a montage pair;
    ``count`` (m,) points of weight > 0; ``weight`` (m,) sum of the point weights; ``p``, ``q``
    (m, 2) weighted centroids; ``pp``, ``qq``, ``pq`` (m, 2, 2) weighted mean of the outer products
    about the centroids, ``pq[k, a, b]`` = mean of p_a q_b.
    """

    p_id: NDArray[np.str_]
    q_id: NDArray[np.str_]
    dz: Array
    count: Int64
    weight: Array
    p: Array
    q: Array
    pp: Array
    qq: Array
    pq: Array

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.p_id)

    def take(self, index: Bool | Int64) -> Moments:
        """Return some of the pairs.

        Parameters
        ----------
        index
            (m,) mask, or positions.

        Returns
        -------
        Moments
            Of those pairs, in the order of `index`.
        """
        return Moments(*(getattr(self, f.name)[index] for f in fields(self)))


@dataclass(frozen=True, eq=False)
class Points:
    """Matched points of m pairs, one pair's after the other's.

    ``keys`` (p group, p id, q group, q id) of each pair, ``size`` (m,) its points; of k points in
    all ``p``, ``q`` (k, 2) x, y in the matching frames, px, and ``w`` (k,) weights.
    """

    keys: Sequence[Key]
    size: Int64
    p: Array
    q: Array
    w: Array

    @staticmethod
    def of_json(pairs: Sequence[Json]) -> Points:
        """Read pairs in the wire form of render-ws.

        Parameters
        ----------
        pairs
            Pairs with their match details.

        Returns
        -------
        Points
            In the order given.
        """
        size = np.array([len(pair["matches"]["w"]) for pair in pairs], np.int64)
        columns: list[list[float]] = [[] for _ in range(5)]
        for pair in pairs:
            for column, row in zip(columns, axes_of(pair["matches"]), strict=True):
                column += row
        x, y, u, v, w = (np.fromiter(one, float, len(one)) for one in columns)
        keys = [(one["pGroupId"], one["pId"], one["qGroupId"], one["qId"]) for one in pairs]
        return Points(keys, size, np.stack([x, y], axis=1), np.stack([u, v], axis=1), w)

    @staticmethod
    def of_matches(pairs: Sequence[CanvasMatches]) -> Points:
        """Lay the points of pairs one after the other.

        Parameters
        ----------
        pairs
            Pairs as records.

        Returns
        -------
        Points
            In the order given.
        """
        size = np.array([len(one.w) for one in pairs], np.int64)
        none = np.zeros((0, 2))
        p, q = (np.concatenate([none, *(getattr(one, side) for one in pairs)]) for side in "pq")
        w = np.concatenate([np.zeros(0), *(one.w for one in pairs)])
        return Points([one.key for one in pairs], size, p, q, w)

    @staticmethod
    def joined(parts: Sequence[Points]) -> Points:
        """Lay the pairs of all parts one after the other.

        Parameters
        ----------
        parts
            Points of some pairs each.

        Returns
        -------
        Points
            In the order given.
        """
        none = np.zeros((0, 2))
        return Points(
            [key for one in parts for key in one.keys],
            np.concatenate([np.zeros(0, np.int64), *(one.size for one in parts)]),
            np.concatenate([none, *(one.p for one in parts)]),
            np.concatenate([none, *(one.q for one in parts)]),
            np.concatenate([np.zeros(0), *(one.w for one in parts)]),
        )

    @property
    def owner(self) -> Int64:
        """Return the pair of each point.

        Returns
        -------
        Int64
            (k,) positions in ``keys``.
        """
        return np.repeat(np.arange(len(self.keys)), self.size)


def of_matches(pairs: Sequence[CanvasMatches], cutoff: float = points.CUTOFF) -> Moments:
    """Compute the moments of pairs as records.

    Parameters
    ----------
    pairs
        Pairs with their points.
    cutoff
        Of `scripts.solve.points.factors`.

    Returns
    -------
    Moments
        As of `of_points`.
    """
    return of_points(Points.of_matches(pairs), cutoff)


def of_points(found: Points, cutoff: float = points.CUTOFF) -> Moments:
    """Compute the moments of pairs, wrong points weighted down (`scripts.solve.points`).

    Parameters
    ----------
    found
        Points of m pairs.
    cutoff
        Of `scripts.solve.points.factors`.

    Returns
    -------
    Moments
        In the order given; a pair without points of weight above zero is left out.

    Raises
    ------
    UserError
        When a point or weight is not finite or a weight is negative; the message names the pair.
    """
    _check(found)
    has = np.bincount(found.owner, found.w, minlength=len(found.keys)) > 0
    inside = has[found.owner]
    keys = [key for key, use in zip(found.keys, has.tolist(), strict=True) if use]
    p, q, w, size = found.p[inside], found.q[inside], found.w[inside], found.size[has]
    w = w * points.factors(p, q, w, size, cutoff)
    owner = np.repeat(np.arange(len(keys)), size)
    return Moments(
        p_id=np.array([key[1] for key in keys], dtype=np.str_),
        q_id=np.array([key[3] for key in keys], dtype=np.str_),
        dz=np.array([abs(float(key[0]) - float(key[2])) for key in keys], float),
        count=np.bincount(owner, w > 0, minlength=len(keys)).astype(np.int64),
        **_of_points(size, p, q, w),
    )


def _of_points(size: Int64, p: Array, q: Array, w: Array) -> dict[str, Array]:
    """Return weights, centroids and second moments of pairs of `size` points, none zero."""
    start = np.cumsum(size) - size
    xy = np.concatenate([p.T, q.T])  # the long axis last
    (total,) = _sums(w[None], start)
    share = w / np.repeat(total, size)
    mean = _sums(share * xy, start)
    away = xy - np.repeat(mean, size, axis=1)
    weighted = share * away
    parts = {"pp": (0, 0), "qq": (2, 2), "pq": (0, 2)}
    second = {
        name: np.stack([_sums(weighted[i + a] * away[j : j + 2], start) for a in (0, 1)])
        for name, (i, j) in parts.items()
    }
    squares = {name: np.ascontiguousarray(one.transpose(2, 0, 1)) for name, one in second.items()}
    return {"weight": total, "p": mean[:2].T.copy(), "q": mean[2:].T.copy(), **squares}


def _sums(values: Array, start: Int64) -> Array:
    """Sum (r, k) values from each start to the next: (r, m)."""
    return np.add.reduceat(values, start, axis=1) if len(start) else np.zeros((len(values), 0))


def gathered(
    client: RenderClient,
    collection: str,
    z_first: float,
    z_last: float,
    *,
    reach: float,
    cutoff: float = points.CUTOFF,
) -> Moments:
    """Gather the moments of the pairs whose lower z lies in a chunk.

    The points of some layers are in memory at a time.

    Parameters
    ----------
    client
        The service.
    collection
        Name of the match collection.
    z_first, z_last
        Layers of the chunk, both included.
    reach
        Layers behind the chunk in which the other tile of a pair may lie.
    cutoff
        Of `scripts.solve.points.factors`.

    Returns
    -------
    Moments
        Sorted by key in each layer.
    """
    groups = groups_of_chunk(client.p_groups(collection), z_first, z_last, reach)
    parts: list[Moments] = []
    waiting: list[Points] = []
    for found in client.match_lists(collection, groups):
        # as arrays at once: the numbers of the next answer then take the memory of these
        waiting.append(Points.of_json(in_chunk(found, z_first, z_last)))
        if sum(len(one.w) for one in waiting) > AT_ONCE:
            parts.append(of_points(Points.joined(waiting), cutoff))
            waiting = []
    return joined([*parts, of_points(Points.joined(waiting), cutoff)])


def in_chunk(pairs: Iterable[Json], z_first: float, z_last: float) -> list[Json]:
    """Choose the pairs whose lower z lies in a chunk, whichever side is p.

    p and q are in text order of their section ids ("10.0" before "9.0"), which says nothing about
    the order of their z.

    Parameters
    ----------
    pairs
        Pairs in the wire form.
    z_first, z_last
        Layers of the chunk, both included.

    Returns
    -------
    list
        The pairs in the wire form, sorted by groups and ids.
    """
    return sorted(
        (
            pair
            for pair in pairs
            if z_first <= min(float(pair["pGroupId"]), float(pair["qGroupId"])) <= z_last
        ),
        key=lambda pair: (pair["pGroupId"], pair["pId"], pair["qGroupId"], pair["qId"]),
    )


def groups_of_chunk(
    p_groups: Iterable[str], z_first: float, z_last: float, reach: float
) -> list[str]:
    """Choose the p groups that may hold pairs of a chunk: those of its layers and some behind.

    Parameters
    ----------
    p_groups
        Section ids of all groups.
    z_first, z_last
        Layers of the chunk, both included.
    reach
        Layers behind the chunk.

    Returns
    -------
    list
        Section ids, in the order given.
    """
    return [group for group in p_groups if z_first <= float(group) <= z_last + reach]


def joined(parts: Sequence[Moments]) -> Moments:
    """Join moments of several chunks.

    Parameters
    ----------
    parts
        Moments of each chunk.

    Returns
    -------
    Moments
        In the order given.
    """
    if not parts:
        return of_matches([])
    return Moments(
        *(np.concatenate([getattr(one, f.name) for one in parts]) for f in fields(Moments))
    )


def _check(found: Points) -> None:
    fine = np.isfinite(found.p).all(axis=1) & np.isfinite(found.q).all(axis=1)
    fine &= np.isfinite(found.w) & (found.w >= 0)
    if not fine.all():
        _, p_id, _, q_id = found.keys[int(found.owner[~fine][0])]
        raise UserError(
            f"pair {p_id} - {q_id} holds points or weights that are not finite"
            " or negative weights; match these tiles again, or take one out with review.exclude"
        )
