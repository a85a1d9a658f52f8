"""How far the corners of a place lie off: there a turn or a stretch moves a tile most.

Tissue whose structures run apart or turn does the same to every layer, and images alone cannot
tell it from a bend of the alignment; it is no step that an eye would see. So between layers
corners are judged beyond what the places of the same cell around them have in common, a running
median. Tiles of one layer show the same tissue twice, and nothing is taken off.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scripts.lib.arrays import Array
from scripts.lib.numerics.window_fit import CORNERS
from scripts.solve.misalignment import ACROSS

AROUND = 10  # places on each side that tell what is common
LEAST = 5  # places from which on they do

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
            for row, px in zip(own, _worst(own).tolist(), strict=True):
                out[_key(row)] = px, float(row["corner_error_px"])
        return Corners(out)

    def __call__(self, row: Row) -> tuple[float, float]:  # numpydoc ignore=PR01,RT01
        """Return shift and error at the worst corner of a row, px; zero where nothing is known."""
        return self.worst.get(_key(row), (0.0, 0.0))


def _key(row: Row) -> Key:
    return row["kind"], row["p_id"], row["q_id"]


def _worst(rows: Sequence[Row]) -> Array:
    """(n,) largest shift at a corner, px, of the rows of one kind and cell in order of z."""
    mean = np.array([[float(row["dx_px"]), float(row["dy_px"])] for row in rows])
    across = np.array([[float(row[name]) for name in ACROSS] for row in rows]).reshape(-1, 2, 2)
    shift = mean[:, None] + np.einsum("nij,cj->nci", across, CORNERS)  # (n, 4, 2)
    if rows[0]["kind"] == "step" and len(rows) >= LEAST:
        shift = shift - _around(shift)
    return np.asarray(np.linalg.norm(shift, axis=2).max(axis=1))


def _around(values: Array) -> Array:
    """Return running medians of (n, …); those of the ends are of as many places, none twice."""
    n = len(values)
    size = min(2 * AROUND + 1, n)
    first = np.clip(np.arange(n) - size // 2, 0, n - size)
    windows = np.lib.stride_tricks.sliding_window_view(values, size, axis=0)
    return np.asarray(np.median(windows, axis=-1)[first])
