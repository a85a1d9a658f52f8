"""Layers in a wrong order, from how alike each is to the few that follow it.

Each layer is most like its true neighbours. Where a clock was set back two runs of layers
interleave, and each layer is more like the one after the next than like the next. Pairs are joined
to chains, the most alike first, each layer to two others at most, as long as no circle closes
(greedy matching); chains then follow one another by where they begin. A layer that nothing holds is
odd, not out of place. Where the chains lead another way than the layers lie, the pairs that they
join must be more alike than those that they part by far more than the error, which the cells of the
layers tell (`isotropy.CellParts`, block jackknife: Künsch 1989, doi:10.1214/aos/1176347265).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.lib.arrays import Array, Float32
from scripts.lib.numerics import sequences

_LEAST_CHAIN = 3  # layers; fewer have no order
# of what the less alike of two has in common with its best partner: less is no neighbour, and would
# join the ends of two chains whose neighbours lie out of reach
_ALIKE = 0.5
_SURE = 5.0  # standard errors: one in three million, for as many layers are looked at


@dataclass(frozen=True)
class OutOfPlace:
    """A layer and the one that it seems to follow, as positions."""

    at: int
    after: int
    gain: float  # of correlation, mean over the stretch: pairs that are joined less those parted


def find(band: Array, cell_band: Float32) -> list[OutOfPlace]:
    """Find layers that are out of place.

    Parameters
    ----------
    band
        (n, R) correlation of layers i and i + k + 1; NaN = none.
    cell_band
        (n, R, B) what each cell adds to it.

    Returns
    -------
    list of OutOfPlace
        In the order in which they are to follow each other.
    """
    chains = [one for one in _chains(band, cell_band) if len(one) >= _LEAST_CHAIN]
    rank = np.full(len(band), np.nan)
    follow = [i for chain in sorted(chains, key=min) for i in chain]
    rank[follow] = np.arange(len(follow))
    gains = np.zeros(len(band))
    for low, high in list(sequences.stretches(rank)):
        gain, error = _gain(band, cell_band, rank, low, high)
        if gain > _SURE * error:
            gains[low:high] = gain
        else:
            rank[low:high] = np.nan
    return [
        OutOfPlace(one.at, one.after, float(gains[one.at]))
        for one in sequences.moves(rank)
        if one.after >= 0
    ]


def _error(parts: Array) -> float:
    """Return the standard error of a value of which `parts` (B,) say what each cell adds."""
    cells = max(int(np.count_nonzero(parts)), 2)
    return float(np.sqrt((parts**2).sum() * cells / (cells - 1)))


def _chains(band: Array, cell_band: Float32) -> list[list[int]]:
    """Join layers, the most alike first; each chain is turned so that it mostly rises."""
    n = len(band)
    error = np.sqrt((cell_band.astype(float) ** 2).sum(axis=2))
    pairs = np.argwhere((band > 3 * error) & (band >= _ALIKE * _best(band)))
    pairs = pairs[np.argsort(-band[pairs[:, 0], pairs[:, 1]], kind="stable")]
    apart = ((i, i + k + 1) for i, k in pairs.tolist() if i + k + 1 < n)
    return sequences.chains(n, apart)


def _best(band: Array) -> Array:
    """Return (n, R) what the less alike of two layers i and i + k + 1 has in common at best."""
    n, reach = band.shape
    filled = np.nan_to_num(band, nan=0.0)
    best = filled.max(axis=1, initial=0.0)
    for k in range(min(reach, n - 1)):
        best[k + 1 :] = np.maximum(best[k + 1 :], filled[: n - k - 1, k])
    other = np.minimum(np.arange(n)[:, None] + np.arange(1, reach + 1), n - 1)
    least: Array = np.minimum(best[:, None], best[other])
    return least


def _gain(band: Array, cell_band: Float32, rank: Array, low: int, high: int) -> tuple[float, float]:
    """By how much pairs that are joined are more alike than those parted, and its error."""
    reach = band.shape[1]
    joined, parted = [], []
    for i in range(max(0, low - 1), high):
        for k in range(min(reach, len(rank) - i - 1)):
            apart = abs(rank[i + k + 1] - rank[i])
            if not np.isfinite(band[i, k]) or not np.isfinite(apart):
                continue
            if k > 0 and apart == 1:
                joined.append((i, k))
            elif k == 0 and apart > 1:
                parted.append((i, k))
    if not joined or not parted:
        return 0.0, 1.0
    one, other = (tuple(np.array(pairs).T) for pairs in (joined, parted))
    gain = float(band[one].mean() - band[other].mean())
    return gain, _error(cell_band[one].mean(axis=0) - cell_band[other].mean(axis=0))


def rows(found: Sequence[OutOfPlace], first_z: int) -> list[dict[str, Any]]:
    """Lay out what was found for ``zcorr/qc.json``.

    Parameters
    ----------
    found
        Of `find`.
    first_z
        z of position 0.

    Returns
    -------
    list of dict
        z, after (z of the layer that it seems to follow), gain (of correlation).
    """
    return [
        {"z": first_z + one.at, "after": first_z + one.after, "gain": round(one.gain, 4)}
        for one in found
    ]


def refusal(moved: Sequence[Mapping[str, Any]], layers: Sequence[Mapping[str, str]]) -> str:
    """Say which layers are out of place, and the entries that would put them right.

    Parameters
    ----------
    moved
        Of `rows`.
    layers
        Rows of ``ingest/layers.tsv``.

    Returns
    -------
    str
        Message for a person.
    """
    names = {row["z"]: row["layer_id"] for row in layers}
    lines = [
        f"    - {{move: {names[str(one['z'])]}, after: {names[str(one['after'])]}, renumber: true,"
        f" reason: its image}}  # z {one['z']} behind z {one['after']}\n"
        for one in moved
    ]
    z = [one["z"] for one in moved]
    shown = ", ".join(map(str, z[:20])) + (f" and {len(z) - 20} more" if len(z) > 20 else "")
    return (
        f"{len(z)} layers seem to be in the wrong order, as when the clock of the scope was set"
        f" back: z {shown}. Where they belong they are more like the next, by"
        f" {moved[0]['gain']:.2f} of correlation. Put them in order (z and everything after ingest"
        f" is made anew)\n\ningest:\n  layers:\n{''.join(lines)}\nor accept the order\n\n"
        f"zcorr:\n  accept_layers: [{', '.join(map(str, z))}]"
    )
