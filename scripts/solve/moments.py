"""L4 · Moments: all the solve needs to know of a pair's points, in fifteen numbers.

Weights, centroids and centred second moments of the points of a pair hold everything that a
least-squares fit of affines, rigid fits and the root-mean-square residual need: the points
themselves stay in the collection. Second moments are taken about the centroids, so that nothing
is lost to rounding however far from the origin the points lie.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scripts.lib import files
from scripts.lib.geometry import Array
from scripts.lib.job import UserError
from scripts.lib.records import CanvasMatches
from scripts.lib.render import RenderClient
from scripts.solve import points

AT_ONCE = 100_000  # points


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
    count: NDArray[np.int64]
    weight: Array
    p: Array
    q: Array
    pp: Array
    qq: Array
    pq: Array

    def __len__(self) -> int:
        """Give the number of pairs."""
        return len(self.p_id)

    def take(self, index: NDArray[np.bool_] | NDArray[np.int64]) -> Moments:
        """Give the pairs of `index` (a mask or positions)."""
        return Moments(*(getattr(self, f.name)[index] for f in fields(self)))


def of_matches(pairs: Sequence[CanvasMatches], cutoff: float = points.CUTOFF) -> Moments:
    """Give the moments of `pairs`, wrong points weighted down (`scripts.solve.points`).

    A pair without points of weight above zero is left out.

    Raises
    ------
    UserError
        When a point or weight is not finite or a weight is negative; the message names the pair.
    """
    size = np.array([len(one.w) for one in pairs], np.int64)
    p, q = (np.concatenate([np.zeros((0, 2)), *(getattr(one, s) for one in pairs)]) for s in "pq")
    w = np.concatenate([np.zeros(0), *(one.w for one in pairs)])
    owner = np.repeat(np.arange(len(pairs)), size)
    _check(pairs, owner, p, q, w)
    has = np.bincount(owner, w, minlength=len(pairs)) > 0
    kept, inside = [one for one, use in zip(pairs, has, strict=True) if use], has[owner]
    p, q, w, size = p[inside], q[inside], w[inside], size[has]
    w = w * points.factors(p, q, w, size, cutoff)
    owner = np.repeat(np.arange(len(kept)), size)
    return Moments(
        p_id=np.array([one.p_id for one in kept], dtype=np.str_),
        q_id=np.array([one.q_id for one in kept], dtype=np.str_),
        dz=np.array([abs(float(one.p_group) - float(one.q_group)) for one in kept], float),
        count=np.bincount(owner, w > 0, minlength=len(kept)).astype(np.int64),
        **_of_points(owner, len(kept), p, q, w),
    )


def _of_points(owner: NDArray[np.int64], n: int, p: Array, q: Array, w: Array) -> dict[str, Array]:
    """Give weights, centroids and second moments of n pairs from the points they own."""
    total = np.bincount(owner, w, minlength=n)
    share = w / total[owner]
    p_mean, q_mean = (_sum(owner, share[:, None] * xy, n) for xy in (p, q))
    dp, dq = p - p_mean[owner], q - q_mean[owner]
    second = {
        name: _sum(owner, ((share * a.T)[:, None] * b.T[None]).reshape(4, -1).T, n)
        for name, a, b in (("pp", dp, dp), ("qq", dq, dq), ("pq", dp, dq))
    }
    squares = {name: one.reshape(-1, 2, 2) for name, one in second.items()}
    return {"weight": np.asarray(total, float), "p": p_mean, "q": q_mean, **squares}


def gathered(
    client: RenderClient,
    collection: str,
    z_first: float,
    z_last: float,
    *,
    reach: float,
    cutoff: float = points.CUTOFF,
) -> Moments:
    """Give the moments of the pairs whose lower z lies in the chunk, sorted by key in each layer.

    The points of some layers are in memory at a time.
    """
    parts, waiting, count = [], [], 0
    for group in groups_of_chunk(client.p_groups(collection), z_first, z_last, reach):
        pairs = in_chunk(client.matches(collection, group), z_first, z_last)
        waiting += pairs
        count += sum(len(one.w) for one in pairs)
        if count > AT_ONCE:
            parts.append(of_matches(waiting, cutoff))
            waiting, count = [], 0
    return joined([*parts, of_matches(waiting, cutoff)])


def in_chunk(pairs: Iterable[CanvasMatches], z_first: float, z_last: float) -> list[CanvasMatches]:
    """Give the pairs whose lower z lies in the chunk, whichever side is p, sorted by key.

    p and q are in text order of their section ids ("10.0" before "9.0"), which says nothing about
    the order of their z.
    """
    mine = [m for m in pairs if z_first <= min(float(m.p_group), float(m.q_group)) <= z_last]
    return sorted(mine, key=lambda m: m.key)


def groups_of_chunk(
    p_groups: Iterable[str], z_first: float, z_last: float, reach: float
) -> list[str]:
    """Give the p groups that may hold pairs of a chunk: those of its layers and `reach` further."""
    return [group for group in p_groups if z_first <= float(group) <= z_last + reach]


def joined(parts: Sequence[Moments]) -> Moments:
    """Join moments of several chunks in the order given."""
    if not parts:
        return of_matches([])
    return Moments(
        *(np.concatenate([getattr(one, f.name) for one in parts]) for f in fields(Moments))
    )


def write(path: str | Path, moments: Moments) -> None:
    """Write an ``.npz`` atomically; equal moments give equal bytes."""
    with files.atomic_path(path) as partial, partial.open("wb") as stream:
        np.savez(stream, **{f.name: getattr(moments, f.name) for f in fields(Moments)})


def read(path: str | Path) -> Moments:
    """Read the moments of `write`."""
    with np.load(path) as stored:
        return Moments(*(stored[f.name] for f in fields(Moments)))


def _check(
    pairs: Sequence[CanvasMatches], owner: NDArray[np.int64], p: Array, q: Array, w: Array
) -> None:
    fine = np.isfinite(p).all(axis=1) & np.isfinite(q).all(axis=1) & np.isfinite(w) & (w >= 0)
    if not fine.all():
        one = pairs[int(owner[~fine][0])]
        raise UserError(
            f"pair {one.p_id} - {one.q_id} holds points or weights that are not finite"
            " or negative weights; match these tiles again, or take one out with review.exclude"
        )


def _sum(owner: NDArray[np.int64], value: Array, n: int) -> Array:
    """Sum the rows of (points, k) values by owner: (n, k)."""
    columns = [np.bincount(owner, value[:, k], minlength=n) for k in range(value.shape[1])]
    return np.stack(columns, axis=1)
