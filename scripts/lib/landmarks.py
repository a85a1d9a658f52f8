"""Landmarks of two pictures as BigWarp writes them: ``name, active, moving x, y, fixed x, y``."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np

from scripts.lib.arrays import Array
from scripts.lib.job import UserError

LEAST = 3  # landmarks: what an affine takes
_CELLS = 6


def of_file(path: Path, name: str) -> tuple[Array, Array]:
    """Read the landmarks of a file, as `read` does.

    Parameters
    ----------
    path
        The file.
    name
        Of the file, for messages.

    Returns
    -------
    tuple of ndarray
        (n, 2) x, y in px of the moving and of the fixed picture.

    Raises
    ------
    UserError
        When the file cannot be read, or holds no landmarks.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        fault = error.strerror if isinstance(error, OSError) else error
        raise UserError(
            f"{name}: expected landmarks that BigWarp saved (docs/match-by-hand.md), found {path},"
            f" which cannot be read: {fault}"
        ) from None
    return read(text, name)


def read(text: str, name: str) -> tuple[Array, Array]:
    """Read the active landmarks of a file that have a place in both pictures.

    Parameters
    ----------
    text
        Content of the file.
    name
        Of the file, for messages.

    Returns
    -------
    tuple of ndarray
        (n, 2) x, y in px of the moving and of the fixed picture; n is at least `LEAST`.

    Raises
    ------
    UserError
        When a line is none of BigWarp's in 2D, or too few landmarks are left.
    """
    found = []
    for number, cells in enumerate(csv.reader(io.StringIO(text)), 1):
        if cells and (place := _place(cells, f"{name}, line {number}")):
            found.append(place)
    if len(found) < LEAST:
        raise UserError(
            f"{name}: expected {LEAST} landmarks or more that are active and set in both pictures,"
            f" found {len(found)}"
        )
    both = np.array(found, float)
    return both[:, :2], both[:, 2:]


def _place(cells: list[str], where: str) -> list[float] | None:
    """Return moving x, y, fixed x, y; None for a landmark that is off, or set in one picture."""
    if len(cells) != _CELLS:
        raise UserError(
            f"{where}: expected {_CELLS} cells (name, active, moving x, y, fixed x, y),"
            f" found {len(cells)}: save the landmarks of two single pictures, no stacks"
        )
    active = cells[1].strip().lower()
    try:
        place = [float(cell) for cell in cells[2:]]
    except ValueError:
        place = []
    if active not in ("true", "false") or not place:
        raise UserError(
            f"{where}: expected true or false and four numbers after the name, found"
            f" {', '.join(cells[1:])}"
        )
    # BigWarp writes Infinity for a landmark that has no place in one of the pictures yet
    return place if active == "true" and all(map(math.isfinite, place)) else None


def text(moving: Array, fixed: Array) -> str:
    """Return landmarks as BigWarp reads them.

    Parameters
    ----------
    moving, fixed
        (n, 2) x, y in px of the pictures.

    Returns
    -------
    str
        A line for each, all active.
    """
    out = io.StringIO()
    lines = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    for number, places in enumerate(np.hstack([moving, fixed]).round(3).tolist()):
        lines.writerow([f"Pt-{number}", "true", *places])
    return out.getvalue()


def spread(xy: Array, most: int) -> list[int]:
    """Choose places that lie far from each other.

    Parameters
    ----------
    xy
        (n, 2) x, y, px.
    most
        How many at most.

    Returns
    -------
    list of int
        Positions in `xy`, ascending; each is the farthest from those before it.
    """
    if len(xy) <= most:
        return list(range(len(xy)))
    chosen = [int(np.argmin(xy.sum(axis=1)))]
    away = np.full(len(xy), np.inf)
    while len(chosen) < most:
        away = np.minimum(away, np.hypot(*(xy - xy[chosen[-1]]).T))
        chosen.append(int(np.argmax(away)))
    return sorted(chosen)
