"""Seams that few windows show, and that the layers around confirm.

A wrong peak of a single window may lie anywhere, so that a place of one or two windows proves
nothing. But where rows or columns of tiles have drifted apart they have for many layers, and wrong
peaks of two layers seldom lie at one place: of all within reach of the first look (12 px) to each
side, one in three hundred is within 0.75 px of a given one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

from scripts.lib.numerics.window_fit import LEAST_USED
from scripts.solve.loops import SURE

APART = 2  # layers between places that may confirm each other

Row = Mapping[str, str]


def confirmed(rows: Sequence[Row], look_px: float) -> list[Row]:
    """Return the seams of few windows that lie off as those of the layers around do.

    Parameters
    ----------
    rows
        Places of `misalignment.COLUMNS`, as texts.
    look_px
        Shift from which on a place is off by; shifts that differ by no more are the same.

    Returns
    -------
    list of mapping
        Rows of fewer than `LEAST_USED` windows, off by two standard errors beyond the limit, in
        runs of at least so many windows together.
    """
    off = [row for row in rows if row["kind"] == "seam" and surely(row) > look_px]
    few = []
    for run in _runs(off, look_px):
        if len(run) > 1 and sum(int(row["used"]) for row in run) >= LEAST_USED:
            few += [row for row in run if int(row["used"]) < LEAST_USED]
    return few


def surely(row: Row) -> float:
    """Return the mean shift of a place less two standard errors, px; zero where none is known.

    Parameters
    ----------
    row
        Of `misalignment.COLUMNS`.

    Returns
    -------
    float
        Px.
    """
    px, error = float(row["px"]), float(row["error_px"])
    return px - SURE * error if math.isfinite(px + error) and int(row["used"]) else 0.0


def _runs(rows: Sequence[Row], look_px: float) -> Iterator[list[Row]]:
    """Yield the places of an edge that follow one another and agree from each to the next."""

    def edge(row: Row) -> tuple[str, str]:
        return row["p_cell"], row["q_cell"]

    for _, group in itertools.groupby(sorted(rows, key=lambda r: (edge(r), int(r["z"]))), edge):
        run: list[Row] = []
        for row in group:
            if run and not _agree(run[-1], row, look_px):
                yield run
                run = []
            run.append(row)
        yield run


def _agree(one: Row, other: Row, look_px: float) -> bool:
    if int(other["z"]) - int(one["z"]) > APART:
        return False
    apart = (float(one[name]) - float(other[name]) for name in ("dx_px", "dy_px"))
    error = math.hypot(*(float(row["error_px"]) for row in (one, other)))
    return math.hypot(*apart) <= max(look_px, SURE * error)
