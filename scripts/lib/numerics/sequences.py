"""Sequences that should rise: where they do not, and the fewest members that must move.

Chains of members that belong beside each other, from how alike they are.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from scripts.lib.arrays import Array


@dataclass(frozen=True)
class Move:
    """A member out of place, and the one that it follows, as positions."""

    at: int
    after: int


def stretches(number: Array) -> Iterator[tuple[int, int]]:
    """Find the stretches that are out of order among themselves.

    Parameters
    ----------
    number
        (n,) that should rise; NaN = unknown.

    Yields
    ------
    tuple of int
        First position, and the one behind the last.
    """
    if len(number) < 2:
        return
    highest = np.maximum.accumulate(np.where(np.isfinite(number), number, -np.inf))
    lowest = np.minimum.accumulate(np.where(np.isfinite(number), number, np.inf)[::-1])[::-1]
    cuts = [0, *(np.flatnonzero(highest[:-1] < lowest[1:]) + 1).tolist(), len(number)]
    for low, high in zip(cuts, cuts[1:], strict=False):
        if np.count_nonzero(np.isfinite(number[low:high])) > 1:
            yield low, high


def moves(number: Array) -> list[Move]:
    """Choose the fewest members that must move for the numbers to rise.

    Parameters
    ----------
    number
        (n,) none twice; NaN = unknown, and left where it is.

    Returns
    -------
    list of Move
        In the order in which they are to follow each other.
    """
    out = []
    for low, high in stretches(number):
        known = [i for i in range(low, high) if np.isfinite(number[i])]
        kept = _rising([float(number[i]) for i in known])
        first = min(known, key=lambda i: number[i])
        if low == 0 and known.index(first) not in kept:  # nothing is before it to follow
            start = known.index(first)
            kept = {start + k for k in _rising([float(number[i]) for i in known[start:]])}
        stay = {known[k] for k in kept}
        before = max((i for i in range(low) if np.isfinite(number[i])), default=-1)
        for i in sorted(known, key=lambda i: number[i]):
            if i not in stay:
                out.append(Move(i, before))
            before = i
    return out


def _rising(values: Sequence[float]) -> set[int]:
    """Positions of a longest rising subsequence (patience sorting, Fredman 1975)."""
    ends: list[float] = []
    at: list[int] = []
    before: list[int] = []
    for i, value in enumerate(values):
        k = bisect.bisect_left(ends, value)
        before.append(at[k - 1] if k else -1)
        if k == len(ends):
            ends.append(value)
            at.append(i)
        else:
            ends[k], at[k] = value, i
    out: set[int] = set()
    i = at[-1] if at else -1
    while i >= 0:
        out.add(i)
        i = before[i]
    return out


def chains(n: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Join members to chains: each to two others at most, as long as no circle closes.

    Parameters
    ----------
    n
        Number of members.
    pairs
        Those that may be beside each other, the most alike first (greedy matching).

    Returns
    -------
    list of list of int
        Every member is in one chain, alone where nothing holds it; each chain is turned so that it
        mostly rises.
    """
    return _walked(_beside(n, pairs))


def _beside(n: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """List the one or two others that each member is joined to."""
    beside: list[list[int]] = [[] for _ in range(n)]
    chain = list(range(n))  # of each member, the one that stands for its chain

    def stands(i: int) -> int:
        while chain[i] != i:
            chain[i] = chain[chain[i]]
            i = chain[i]
        return i

    for i, j in pairs:
        if len(beside[i]) < 2 and len(beside[j]) < 2 and stands(i) != stands(j):
            beside[i].append(j)
            beside[j].append(i)
            chain[stands(i)] = stands(j)
    return beside


def _walked(beside: Sequence[Sequence[int]]) -> list[list[int]]:
    seen: set[int] = set()
    out = []
    for start in range(len(beside)):
        if start in seen or len(beside[start]) > 1:
            continue
        walk, at = [], start
        while at not in seen:
            seen.add(at)
            walk.append(at)
            at = next((i for i in beside[at] if i not in seen), at)
        rising = np.sum(np.sign(np.diff(walk))) >= 0
        out.append(walk if rising else walk[::-1])
    return out
