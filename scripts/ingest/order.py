"""Layers that are not in the order in which the microscope counted its slices (FIBSliceNum).

Layers are numbered by the time in their names. A clock that goes back puts layers among others, or
before them, while the slice number of the header goes on. It starts anew with a new run of the
scope, too, and that is no disorder: only layers whose numbers, sorted, go on with none twice and
hardly one missing are said to be out of place.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scripts.ingest.declarations import MOVED
from scripts.ingest.headers import Part
from scripts.lib.arrays import Array

_MOST_MISSING = 0.1  # of the numbers of a stretch: layers that were lost, or not transferred
_DASH = "- "  # begins an entry


@dataclass(frozen=True)
class Move:
    """A layer out of place, and the one that it follows, as positions."""

    at: int
    after: int


def stretches(number: Array) -> Iterator[tuple[int, int]]:
    """Find the stretches of layers that are out of order among themselves.

    Parameters
    ----------
    number
        (n,) slice number of each layer, in the order of the table; NaN = unknown.

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
        values = number[low:high]
        values = values[np.isfinite(values)]
        if len(values) < 2 or len(np.unique(values)) < len(values):
            continue
        missing = np.ptp(values) + 1 - len(values)
        if missing <= max(1.0, _MOST_MISSING * len(values)):
            yield low, high


def moves(number: Array) -> list[Move]:
    """Choose the fewest layers that must move for the numbers to rise.

    Parameters
    ----------
    number
        (n,) slice number of each layer, in the order of the table; NaN = unknown.

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


def slices(part: Part) -> dict[int, float]:
    """Return the slice number of each layer that has one.

    Parameters
    ----------
    part
        The tiles of a day.

    Returns
    -------
    dict
        By z; that of the first tile.
    """
    known = part.tiles["slice"] > 0
    z, first = np.unique(part.z[known], return_index=True)
    return dict(zip(z.tolist(), part.tiles["slice"][known][first].tolist(), strict=True))


def entries(
    layers: Sequence[Mapping[str, str]], numbers: Mapping[int, float]
) -> Iterator[tuple[int, str]]:
    """Propose where layers that are out of order belong.

    Stretches with a layer that was moved already are decided, and left as they are.

    Parameters
    ----------
    layers
        Rows of ``ingest/layers.tsv``.
    numbers
        Slice number by z.

    Yields
    ------
    tuple
        z, and what is wrong with it, with the entry of ``ingest.layers`` at the end.
    """
    there = [row for row in layers if row["layer_id"]]
    number = np.array([numbers.get(int(row["z"]), np.nan) for row in there])
    for low, high in list(stretches(number)):
        if any(row["declared"].startswith(MOVED) for row in there[low:high]):
            number[low:high] = np.nan
    for move in moves(number):
        row, count = there[move.at], f"FIBSliceNum {number[move.at]:.0f}"
        words = f"move: {row['layer_id']}, after: {there[move.after]['layer_id']}"
        entry = f"{{{words}, renumber: true, reason: {count}}}"
        yield int(row["z"]), f"{count} is out of order: {_DASH}{entry}"


def pasted(problems: Iterable[str]) -> list[str]:
    """Return the lines of the config that hold the entries of problems.

    Parameters
    ----------
    problems
        Texts of `entries`.

    Returns
    -------
    list of str
        YAML; nothing without a problem.
    """
    lines = [f"    {_DASH}{text.partition(_DASH)[2]}" for text in problems]
    return ["", "ingest:", "  layers:", *lines] if lines else []
