"""How far the corners of a place lie off: there a turn or a stretch moves a tile most.

Tissue whose structures run apart or turn does the same to every layer, and images alone cannot
tell it from a bend of the alignment; it is no step that an eye would see. So between layers
corners are judged beyond what the places of the same cell around them have in common, a running
median. Tiles of one layer show the same tissue twice, and nothing is taken off.

How far windows differ within a place is more than it errs by where tissue moves alike in layer
after layer: that is in the running median. So where a cell has many places the error is at most
what these scatter by.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scripts.lib.arrays import Array
from scripts.lib.numerics.robust import MAD_TO_SD
from scripts.lib.numerics.window_fit import CORNERS
from scripts.solve.misalignment import ACROSS

AROUND = 10  # places on each side that tell what is common
LEAST = 5  # places from which on they do
MANY = 10  # places whose scatter is known well enough to be their error
LEAST_ERROR_PX = 0.1  # what tissue moves by itself, at least
LIKE = 1.5  # times the usual error of a place: one of more, as of fewer windows, has its own

Row = Mapping[str, str]
Key = tuple[str, str, str]  # kind, p id, q id


@dataclass(frozen=True)
class Corners:
    """Shift at the worst corner and its standard error, px, by kind and tiles of the place."""

    worst: Mapping[Key, tuple[float, float]]

    @staticmethod
    def of(rows: Sequence[Row]) -> Corners:
        """Compute the shifts of all places that have them.

        Parameters
        ----------
        rows
            Measured rows of `misalignment.COLUMNS`, as texts.

        Returns
        -------
        Corners
            Of steps and seams; a patch shows other tissue than its layer.
        """
        groups: dict[tuple[str, str, str], list[Row]] = {}
        for row in rows:
            if row["kind"] != "patch" and math.isfinite(float(row["corner_error_px"])):
                cells = row["kind"], row["p_cell"], row["q_cell"]
                groups.setdefault(cells, []).append(row)
        out: dict[Key, tuple[float, float]] = {}
        for group in groups.values():
            own = sorted(group, key=lambda row: int(row["z"]))
            shift = _shifts(own)
            worst = np.linalg.norm(shift, axis=2).max(axis=1)
            errors = _errors(own, shift)
            for row, px, error in zip(own, worst.tolist(), errors.tolist(), strict=True):
                out[_key(row)] = px, error
        return Corners(out)

    def __call__(self, row: Row) -> tuple[float, float]:  # numpydoc ignore=PR01,RT01
        """Return shift and error at the worst corner of a row, px; zero where nothing is known."""
        return self.worst.get(_key(row), (0.0, 0.0))


def _key(row: Row) -> Key:
    return row["kind"], row["p_id"], row["q_id"]


def _shifts(rows: Sequence[Row]) -> Array:
    """(n, 4, 2) shifts at the corners, px, of the rows of one kind and cell in order of z."""
    mean = np.array([[float(row["dx_px"]), float(row["dy_px"])] for row in rows])
    across = np.array([[float(row[name]) for name in ACROSS] for row in rows]).reshape(-1, 2, 2)
    shift = mean[:, None] + np.einsum("nij,cj->nci", across, CORNERS)
    if rows[0]["kind"] == "step" and len(rows) >= LEAST:
        shift = shift - _around(shift)
    return np.asarray(shift)


def _errors(rows: Sequence[Row], shift: Array) -> Array:
    """(n,) standard errors at a corner, px: the lesser of a row's own and the usual one.

    The usual one is the robust sd of the (n, 4, 2) shifts, of x and of y together.
    """
    own = np.array([float(row["corner_error_px"]) for row in rows])
    if rows[0]["kind"] != "step" or len(rows) < MANY:
        return own
    usual = max(math.sqrt(2) * MAD_TO_SD * float(np.median(np.abs(shift))), LEAST_ERROR_PX)
    alike = own <= LIKE * np.median(own)
    return np.where(alike, np.minimum(own, usual), own)


def _around(values: Array) -> Array:
    """Return running medians of (n, …); those of the ends are of as many places, none twice."""
    n = len(values)
    size = min(2 * AROUND + 1, n)
    first = np.clip(np.arange(n) - size // 2, 0, n - size)
    windows = np.lib.stride_tricks.sliding_window_view(values, size, axis=0)
    return np.asarray(np.median(windows, axis=-1)[first])
