"""Plots of a solve, or of two side by side: layers against z."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool

from scripts.lib.pages.plots import BLUE, CYCLE, GRAY, ORANGE, frame, legend_above

MOST_POINTS = 4000  # of a line; longer ones show the mean of each bin
DASHES = ("solid", "dashed")
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
    """Return one figure per track of the rows of ``layers.tsv`` of one or more solves, by name."""
    return {name: _track(*track, solves) for name, track in TRACKS.items()}


def _track(title: str, unit: str, columns: Mapping[str, str], solves: Mapping[str, Rows]) -> Any:  # noqa: ANN401 - a Bokeh figure
    plot = frame(title, "z", unit)
    for i, (name, rows) in enumerate(solves.items()):
        for k, (column, label) in enumerate(columns.items()):
            z, value = (np.array([float(row[c]) for row in rows]) for c in ("z", column))
            legend = f"{name}: {label}" if len(solves) > 1 else label
            source = ColumnDataSource(
                {"z": _thin(z), "value": _thin(value), "name": [legend] * len(_thin(z))}
            )
            plot.line(
                "z",
                "value",
                source=source,
                color=CYCLE[(2 * i + k) % len(CYCLE)],
                line_dash=DASHES[k % 2],
                line_width=1.5,
                legend_label=legend,
            )
    plot.add_tools(HoverTool(tooltips=[("z", "@z"), ("@name", "@value{0.0000}")], mode="vline"))
    legend_above(plot)
    return plot


def _thin(values: np.ndarray) -> np.ndarray:
    size = -(-len(values) // MOST_POINTS)
    return np.add.reduceat(values, np.arange(0, len(values), size)) / np.diff(
        [*range(0, len(values), size), len(values)]
    )


def moved(z: np.ndarray, shift: np.ndarray) -> Any:  # noqa: ANN401 - a Bokeh figure
    """Show how far the tiles' centres of a second solve are from those of the first, (n, 2) px."""
    layers, at = np.unique(z, return_inverse=True)
    plot = frame("Second minus first: centres of the tiles", "z", "mean of the layer, px")
    for axis, (label, color) in enumerate((("x (right)", BLUE), ("y (down)", ORANGE))):
        mean = np.bincount(at, shift[:, axis]) / np.bincount(at)
        plot.line(
            _thin(layers), _thin(mean), color=color, line_dash=DASHES[axis], legend_label=label
        )
    plot.line(layers[[0, -1]], [0.0, 0.0], color=GRAY, line_width=0.5)
    legend_above(plot)
    return plot
