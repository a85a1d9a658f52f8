"""Corrected z of another pipeline: ``Zcoords.txt`` read and compared with the layers there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scripts.lib.arrays import Array, Int64
from scripts.lib.job import UserError

KEY = "takeover.zcoords"
FARTHEST = 0.5  # layers; both ends of a stack keep their z, which render's export asks for too


def coordinates(
    text: str, layers: Sequence[float], name: str, *, part: bool = False
) -> tuple[Int64, Array]:
    """Read corrected z, and check that they are those of these layers.

    Parameters
    ----------
    text
        Of ``Zcoords.txt``: a line ``z corrected`` for each layer.
    layers
        z of the layers that have an image, ascending.
    name
        Of the file, for messages.
    part
        Whether the layers are a range of those of the file (``solve.z_range``): lines outside of it
        are left out, and the others stretched evenly until both ends of the range stay.

    Returns
    -------
    z : Int64
        (n,) of the layers.
    corrected : Array
        (n,) corrected z, layers; it rises, and both ends stay.

    Raises
    ------
    UserError
        Names the first line that does not fit, what was expected and found.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    try:
        rows = np.array([[float(word) for word in line] for line in lines]).reshape(-1, 2)
    except ValueError:
        bad = next(i for i, line in enumerate(lines) if not _two_numbers(line))
        raise UserError(
            f"{KEY}: {name}: line {bad + 1}: expected two numbers, z and corrected z, found"
            f" {' '.join(lines[bad])!r}"
        ) from None
    if part and len(layers):
        rows = _stretched(rows[(rows[:, 0] >= layers[0]) & (rows[:, 0] <= layers[-1])])
    z, corrected = rows[:, 0], rows[:, 1]
    if len(z) != len(layers):
        raise UserError(
            f"{KEY}: {name}: expected a line for each of the {len(layers)} layers z"
            f" {layers[0]:g} to {layers[-1]:g}, found {len(z)} lines"
        )
    for number, (found, expected) in enumerate(zip(z.tolist(), layers, strict=True), 1):
        if found != expected:
            raise UserError(
                f"{KEY}: {name}: line {number}: expected z {expected:g}, found {found:g}: were"
                " layers numbered otherwise? A gap keeps its z here (ingest.layers)"
            )
    _check(corrected, z, name)
    return np.rint(z).astype(np.int64), corrected


def _stretched(rows: Array) -> Array:
    """Let the first and the last corrected z be their z, as those of a whole stack are."""
    if len(rows) < 2 or not rows[-1, 1] > rows[0, 1]:
        return rows  # reported by the checks
    (first, low), (last, high) = rows[0], rows[-1]
    evenly = first + (rows[:, 1] - low) * (last - first) / (high - low)
    return np.column_stack([rows[:, 0], evenly])


def _two_numbers(line: Sequence[str]) -> bool:
    try:
        return len([float(word) for word in line]) == 2
    except ValueError:
        return False


def _check(corrected: Array, z: Array, name: str) -> None:
    falls = np.flatnonzero(~(np.diff(corrected) > 0))
    if len(falls):
        at = int(falls[0]) + 1
        raise UserError(
            f"{KEY}: {name}: line {at + 1}: expected a corrected z above {corrected[at - 1]:g},"
            f" that of the line before, found {corrected[at]:g}"
        )
    for at in (0, -1):
        if not abs(corrected[at] - z[at]) <= FARTHEST:
            raise UserError(
                f"{KEY}: {name}: layer z {z[at]:g} at the end: expected a corrected z within"
                f" {FARTHEST:g} of it, found {corrected[at]:g}"
            )
