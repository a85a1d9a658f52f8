"""Layers that are not in the order in which the microscope counted its slices (FIBSliceNum).

Layers are numbered by the time in their names. A clock that goes back puts layers among others, or
before them, while the slice number of the header goes on. It starts anew with a new run of the
scope, too, and that is no disorder: only layers whose numbers, sorted, go on with none twice and
hardly one missing are said to be out of place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from scripts.ingest.declarations import MOVED
from scripts.ingest.headers import Part
from scripts.lib.arrays import Array
from scripts.lib.numerics import sequences
from scripts.lib.numerics.sequences import Move

_MOST_MISSING = 0.1  # of the numbers of a stretch: layers that were lost, or not transferred
_DASH = "- "  # begins an entry


def _counted(values: Array) -> bool:
    """Whether numbers, sorted, go on with none twice and hardly one missing."""
    values = values[np.isfinite(values)]
    if len(np.unique(values)) < len(values):
        return False
    return bool(np.ptp(values) + 1 - len(values) <= max(1.0, _MOST_MISSING * len(values)))


def out_of_place(number: Array, decided: Sequence[bool]) -> list[Move]:
    """Choose the layers that must move for slice numbers to rise.

    Parameters
    ----------
    number
        (n,) slice number of each layer, in the order of the table; NaN = unknown.
    decided
        n times, whether a person said where the layer belongs; its stretch stays as it is.

    Returns
    -------
    list of Move
        In the order in which they are to follow each other.
    """
    at = np.arange(len(number))
    for low, high in list(sequences.stretches(number)):
        if any(decided[low:high]) or not _counted(number[low:high]):
            number = np.where((at < low) | (at >= high), number, np.nan)
    return sequences.moves(number)


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
    decided = [row["declared"].startswith(MOVED) for row in there]
    for move in out_of_place(number, decided):
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
