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
from scripts.lib.records import CanvasMatches


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


def of_matches(pairs: Sequence[CanvasMatches]) -> Moments:
    """Give the moments of `pairs`; one without points of weight above zero is left out.

    Raises
    ------
    ValueError
        When a point or weight is not finite or a weight is negative; the message names the pair.
    """
    kept = [pair for pair in pairs if _checked(pair).w.sum() > 0]
    size = np.array([len(one.w) for one in kept], np.int64)
    owner = np.repeat(np.arange(len(kept)), size)
    p, q = (_stacked([getattr(one, side) for one in kept]) for side in "pq")
    w = np.concatenate([np.zeros(0), *(one.w for one in kept)])
    total = np.bincount(owner, w, minlength=len(kept))
    share = w / total[owner]
    p_mean, q_mean = (_sum(owner, share[:, None] * xy, len(kept)) for xy in (p, q))
    dp, dq = p - p_mean[owner], q - q_mean[owner]
    second = [
        _sum(
            owner, (share[:, None, None] * a[:, :, None] * b[:, None, :]).reshape(-1, 4), len(kept)
        )
        for a, b in ((dp, dp), (dq, dq), (dp, dq))
    ]
    pp, qq, pq = (one.reshape(-1, 2, 2) for one in second)
    return Moments(
        p_id=np.array([one.p_id for one in kept], dtype=np.str_),
        q_id=np.array([one.q_id for one in kept], dtype=np.str_),
        dz=np.array([abs(float(one.p_group) - float(one.q_group)) for one in kept], float),
        count=np.bincount(owner, w > 0, minlength=len(kept)).astype(np.int64),
        weight=np.asarray(total, float),
        p=p_mean,
        q=q_mean,
        pp=pp,
        qq=qq,
        pq=pq,
    )


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


def _checked(pair: CanvasMatches) -> CanvasMatches:
    finite = all(np.isfinite(one).all() for one in (pair.p, pair.q, pair.w))
    if not finite or (pair.w < 0).any():
        raise ValueError(
            f"pair {pair.p_id} - {pair.q_id} holds points or weights that are not finite"
            " or negative weights"
        )
    return pair


def _stacked(points: Sequence[Array]) -> Array:
    return np.concatenate([np.zeros((0, 2)), *points])


def _sum(owner: NDArray[np.int64], value: Array, n: int) -> Array:
    """Sum the rows of (points, k) values by owner: (n, k)."""
    columns = [np.bincount(owner, value[:, k], minlength=n) for k in range(value.shape[1])]
    return np.stack(columns, axis=1)
