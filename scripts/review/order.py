"""Layers in a wrong order, as when the clock of the microscope was set back, from what matches.

A clock that goes back puts a run of layers before one that was imaged earlier, or between its
layers. Then layers that follow one another in z show other places of the specimen and nothing
matches across, while layers that are apart do. So layers are joined to chains, those whose matches
agree best first, each to two others at most (`sequences.chains`); the matches reach some layers
far, which is enough for layers that interleave. How chains follow one another is told by the images
of their ends: where the last layer of one is as like the first of another as neighbours are, and
more than what lies beside it now, the one follows the other. Without such an image nothing is said,
unless chains interleave.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.lib.arrays import Array
from scripts.lib.numerics import sequences
from scripts.lib.service.records import TileSpec
from scripts.review import likeness, survey
from scripts.review.likeness import Look
from scripts.review.statistics import Pairs

LEAST_CHAIN = 3  # layers; fewer have no order
MOST_CHAINS = 12  # whose ends are compared: their images are read again
ALIKE = 0.5  # of how alike neighbours in a chain are: enough to follow one another
MOST_LOOKED_AT = 24  # pairs of layers within runs, and side by side: their images are read again
SURE = 3.0  # standard errors by which layers within runs are more alike than side by side
BY_FAR = 2.0  # times as alike as the layers that follow one another now
# times as far as either misses its best partner: neighbours with a slice lost between them miss
# three to five times as far, and to break a chain there changes nothing
FAR = 4.0

Like = Callable[[float, float], float]  # how alike the layers at two z are, NaN = not known
Order = dict[str, Any]


@dataclass(frozen=True)
class _Joint:
    """A chain that follows another: their numbers, and how alike they are where they meet."""

    before: int
    after: int
    like: float
    natural: bool  # as they lie now


def find(pairs: Pairs, like: Like) -> Order:
    """Find layers that are in a wrong order.

    Parameters
    ----------
    pairs
        All pairs that were tried.
    like
        Tells how alike the images of two layers are.

    Returns
    -------
    dict
        Empty where nothing is sure; else ``says``, a sentence without a full stop, and ``moves``,
        ``z`` and ``after`` of the layers that must move, in the order in which they do.
    """
    z, joined = _joined(pairs)
    found = [sorted(one) for one in sequences.chains(len(z), joined) if len(one) >= LEAST_CHAIN]
    runs = [z[one] for one in sorted(found)]
    if not 2 <= len(runs) <= MOST_CHAINS:
        return {}
    joints, mixed = _joints(runs, like), _interleaved(runs)
    if mixed is not None and not _likelier(z, runs, mixed, like):
        mixed = None
    if mixed is None and all(joint.natural for joint in joints):
        return {}
    rank = np.full(len(z), np.nan)
    follow = np.concatenate([runs[k] for k in _followed(len(runs), joints)])
    rank[np.searchsorted(z, follow)] = np.arange(len(follow))
    moves = sequences.moves(rank)
    if not moves:
        return {}
    put = [{"z": float(z[one.at]), "after": float(z[one.after])} for one in moves]
    return {"says": _sentence(runs, joints, mixed), "moves": put}


def _joined(pairs: Pairs) -> tuple[Array, list[tuple[int, int]]]:
    """(n,) z of the layers with matches, and the positions that match, the best first."""
    use = (pairs["dz"] > 0) & (pairs["saved"] == 1) & np.isfinite(pairs["rms_px"])
    low = pairs["z"][use].astype(float)
    high = low + pairs["dz"][use]
    rms, count = pairs["rms_px"][use], pairs["count"][use]
    z, at = np.unique(np.concatenate([low, high]), return_inverse=True)
    at = at.reshape(2, -1)
    each: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for i, j, r, c in zip(*at.tolist(), rms.tolist(), count.tolist(), strict=True):
        each.setdefault((i, j), []).append((r, c))
    # what the tissue changes makes far pairs miss by more, and match in fewer places
    worth = {key: _miss(values) for key, values in each.items()}
    best = np.full(len(z), np.inf)
    for key, miss in worth.items():
        best[list(key)] = np.minimum(best[list(key)], miss)
    # else the ends of two chains, whose neighbours lie out of reach, would be joined to each other
    near = [key for key, miss in worth.items() if miss <= FAR * best[list(key)].max()]
    return z, sorted(near, key=lambda key: (worth[key], key))


def _miss(values: Sequence[tuple[float, float]]) -> float:
    """Return by how much two layers miss one another, px: their pairs' median, few points more."""
    rms, count = np.array(values).T
    return float(np.median(rms / np.sqrt(np.maximum(count, 1))))


def _interleaved(runs: Sequence[Array]) -> tuple[float, float] | None:
    """Return the range of z in which layers of two runs lie between one another, or None."""
    for i, one in enumerate(runs):
        for other in runs[i + 1 :]:
            low, high = max(one[0], other[0]), min(one[-1], other[-1])
            inside = [np.count_nonzero((run >= low) & (run <= high)) for run in (one, other)]
            if min(inside) >= LEAST_CHAIN:
                return float(low), float(high)
    return None


def _likelier(z: Array, runs: Sequence[Array], mixed: tuple[float, float], like: Like) -> bool:
    """Tell whether layers that interleave are more alike within their runs than side by side.

    Matches alone may lead over every other layer where noise decides which pair is the best.
    """
    of = {float(at): k for k, run in enumerate(runs) for at in run}
    near = [float(at) for at in z if mixed[0] <= at <= mixed[1] and float(at) in of]
    parted = [(a, b) for a, b in itertools.pairwise(near) if of[a] != of[b]][:MOST_LOOKED_AT]
    joined = [
        pair
        for k in {of[a] for a in near}
        for pair in itertools.pairwise([a for a in near if of[a] == k])
    ][:MOST_LOOKED_AT]
    one, other = (np.array([like(*pair) for pair in pairs]) for pairs in (joined, parted))
    if min(len(one), len(other)) < 2:
        return False
    error = np.sqrt(one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other))
    return bool(one.mean() - other.mean() > SURE * error)


def _joints(runs: Sequence[Array], like: Like) -> list[_Joint]:
    """List which runs follow one another by the images of their ends, the surest first."""
    first, last = ([like(*one[ends]) for one in runs] for ends in (slice(0, 2), slice(-2, None)))
    n = len(runs)
    there = np.array([[like(one[-1], other[0]) for other in runs] for one in runs])
    out = []
    for a in range(n):
        for b in range(n):
            natural = b == a + 1
            least = max(ALIKE * min(last[a], first[b]), likeness.LEAST_LIKE)
            # what lies beside either now
            now = [there[a, a + 1] if a + 1 < n else 0, there[b - 1, b] if b else 0]
            if a != b and there[a, b] >= least and (natural or there[a, b] > BY_FAR * max(now)):
                out.append(_Joint(a, b, float(there[a, b]), natural))
    return sorted(out, key=lambda joint: -joint.like)


def _followed(n: int, joints: Sequence[_Joint]) -> list[int]:
    """Lay n runs one behind another by their joints, the rest in the order they lie in."""
    after: dict[int, int] = {}
    for joint in joints:
        last = joint.after
        while last in after:
            last = after[last]
        free = joint.before not in after and joint.after not in after.values()
        if free and last != joint.before:
            after[joint.before] = joint.after
    out = []
    for start in range(n):
        at: int | None = start if start not in after.values() else None
        while at is not None:
            out.append(at)
            at = after.get(at)
    return out


def _sentence(
    runs: Sequence[Array], joints: Sequence[_Joint], mixed: tuple[float, float] | None
) -> str:
    clock = "as when the clock of the scope was set back"
    if mixed is not None:
        return (
            f"layers {mixed[0]:g} to {mixed[1]:g} are interleaved, {clock}: layers of two runs lie"
            " between one another, and match beyond the next layer alone"
        )
    joint = next(one for one in joints if not one.natural)
    one, other = runs[joint.before], runs[joint.after]
    where = "before" if one[0] > other[0] else "behind"
    moved, fixed = (one, other) if where == "before" else (other, one)
    return (
        f"layers are in the wrong order, {clock}: z {moved[0]:g} to {moved[-1]:g} belong {where} z"
        f" {fixed[0]:g} to {fixed[-1]:g}, for z {one[-1]:g} and z {other[0]:g} are as alike"
        f" ({joint.like:.2f}) as neighbours are"
    )


def lines(moves: Sequence[Mapping[str, float]], names: Mapping[float, str]) -> str:
    """Return section ``ingest`` with the entries that put layers right.

    Parameters
    ----------
    moves
        Of `find`.
    names
        Layer id by z.

    Returns
    -------
    str
        Several lines of YAML.
    """
    entries = (
        f"    - {{move: {names[one['z']]}, after: {names[one['after']]}, renumber: true,"
        f" reason: its image}}  # z {one['z']:g} behind z {one['after']:g}\n"
        for one in moves
    )
    return f"ingest:\n  layers:\n{''.join(entries)}"


def likeness_of(tiles: Sequence[TileSpec]) -> Like:
    """Return what tells how alike the images of two layers are.

    Parameters
    ----------
    tiles
        Of all layers.

    Returns
    -------
    Like
        Mean of the local correlations over the cells that both layers have, -1 to 1; images are
        read as they are asked for, and 0 is said where there is nothing to compare.
    """
    return _Images(tiles)


class _Images:
    """The images of layers, by z and cell, each read once."""

    def __init__(self, tiles: Sequence[TileSpec]) -> None:
        self._at: dict[float, dict[tuple[int, int], TileSpec]] = {}
        self._looks: dict[str, Look] = {}
        for tile in tiles:
            self._at.setdefault(tile.z, {})[tile.cell] = tile

    def __call__(self, a: float, b: float) -> float:
        one, other = (self._at.get(z, {}) for z in (a, b))
        both = sorted(one.keys() & other.keys())
        grids = [likeness.compare(self._look(one[c]), self._look(other[c])).of_a for c in both]
        known = [float(np.nanmean(grid)) for grid in grids if np.isfinite(grid).any()]
        return float(np.mean(known)) if known else 0.0

    def _look(self, tile: TileSpec) -> Look:
        if tile.tile_id not in self._looks:
            self._looks[tile.tile_id] = likeness.look(*survey.read_pixels(tile))
        return self._looks[tile.tile_id]
