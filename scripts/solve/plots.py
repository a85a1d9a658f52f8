"""Plots of a solve, or of two side by side: layers against z."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scripts.lib.pages import plots

Rows = Sequence[Mapping[str, str]]
# figure: title, unit, {column: label}
TRACKS: dict[str, tuple[str, str, dict[str, str]]] = {
    "rms": ("Residual of each layer", "rms, px", {"rms_px": "matches"}),
    "scale": ("Scale of the tiles", "mean of the layer", {"scale_x": "x", "scale_y": "y"}),
    "rotation": ("Rotation of the tiles", "mean of the layer, mrad", {"rotation_mrad": "rotation"}),
    "shear": ("Shear of the tiles", "mean of the layer", {"shear": "shear"}),
    "deviation": (
        "Distance from the stage position",
        "mean of the layer, px",
        {"dx_px": "x (right)", "dy_px": "y (down)"},
    ),
}


def of_layers(solves: Mapping[str, Rows]) -> dict[str, Any]:
    """Return one figure per track of the rows of ``layers.tsv`` of one or more solves, by name.

    Parameters
    ----------
    solves
        Rows of ``solve/layers.tsv`` by name of the solve.

    Returns
    -------
    dict
        Bokeh figures by name of the track.
    """
    return {name: _track(*track, solves) for name, track in TRACKS.items()}


def _track(title: str, unit: str, columns: Mapping[str, str], solves: Mapping[str, Rows]) -> Any:  # noqa: ANN401 - a Bokeh figure
    series = {
        f"{name}: {label}" if len(solves) > 1 else label: (_column(rows, "z"), _column(rows, key))
        for name, rows in solves.items()
        for key, label in columns.items()
    }
    return plots.lines(title, "z", unit, series, dashed=True, tip="0.0000", legend=True)


def _column(rows: Rows, name: str) -> np.ndarray:
    return np.array([float(row[name]) for row in rows])


def moved(z: np.ndarray, shift: np.ndarray) -> Any:  # noqa: ANN401 - a Bokeh figure
    """Show how far the tiles' centres of a second solve are from those of the first.

    Parameters
    ----------
    z
        (n,) layers of the tiles.
    shift
        (n, 2) x, y, px.

    Returns
    -------
    Bokeh figure
        Means of the layers against z.
    """
    layers, at = np.unique(z, return_inverse=True)
    means = [np.bincount(at, axis) / np.bincount(at) for axis in shift.T]
    series = {"x (right)": (layers, means[0]), "y (down)": (layers, means[1])}
    title = "Second minus first: centres of the tiles"
    plot = plots.lines(title, "z", "mean of the layer, px", series, dashed=True)
    return plots.level(plot, 0)
