"""The thickness page: correlation with next, thickness, correction and the curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.models.annotations import ColorBar
from bokeh.models.mappers import LinearColorMapper
from bokeh.palettes import Viridis256

from scripts.lib.arrays import Array
from scripts.lib.pages import page as pages
from scripts.lib.pages import plots
from scripts.lib.pages.page import Code, Facts, Part, Pictures, Plots, Section, Text
from scripts.zcorr.methods import Result
from scripts.zcorr.pictures import Strip

_MOST_COLUMNS = 1500  # of the map: more than a screen shows; the worst of a run is drawn


def page(
    title: str,
    layers: Sequence[Mapping[str, Any]],
    result: Result,
    regional: Array,
    strips: Sequence[Strip],
    proposals: Mapping[str, str] | None = None,
) -> str:
    """Return the page of the thickness; equal content gives equal bytes.

    Parameters
    ----------
    title
        Its title.
    layers
        Rows of `qc.rows`.
    result
        The inferred z.
    regional
        (n, rows, columns) correlation with the next layer, NaN = no data.
    strips
        Pictures of layers that do not fit.
    proposals
        Lines of YAML, by what they are for; empty ones are left out.

    Returns
    -------
    str
        HTML.
    """
    z = np.array([row["z"] for row in layers], float)
    curves = {f"{k + 1}": curve for k, curve in enumerate(result.curves)}
    figures = _tracks(z, layers, result) | {
        "regions": _regions(z, regional),
        "curve": plots.lines(
            "correlation against distance", "distance, layers", "correlation", curves, legend=False
        ),
    }
    facts = [(name.replace("_", " "), value) for name, value in result.figures.items()]
    odd: list[Part] = [part for one in strips for part in (Text(one.words), Pictures(one.shown))]
    offered = [(why, yaml) for why, yaml in (proposals or {}).items() if yaml]
    paste: list[Part] = [part for why, yaml in offered for part in (Text(why), Code(yaml))]
    return pages.render(
        title,
        [
            Section("Over z", [Plots(list(figures))]),
            Section("Layers that do not fit", odd or [Text("None.")]),
            Section("Proposals", paste),
        ],
        here="zcorr/thickness.html",
        lead=[Facts(facts)],
        figures=figures,
    )


def _tracks(z: Array, layers: Sequence[Mapping[str, Any]], result: Result) -> dict[str, Any]:
    """Three plots over z that move together; layers that do not fit and lost slices are marked."""
    values = {
        "cc": _numbers(layers, "cc_next"),
        "dz": _numbers(layers, "delta_z"),
        "offset": np.round(result.z - (z - z[0]) if len(z) else z, 6),
        "trust": np.round(result.weight, 3),
    }
    words = {
        "cc": ("correlation with the next layer", "Pearson correlation"),
        "dz": ("thickness: z − z of the layer before", "layers"),
        "offset": ("corrected − nominal z", "layers"),
        "trust": ("trust in the layer", "weight"),
    }
    out = {
        name: plots.lines(title, "z", unit, {name: (z, values[name])}, dots=3, tip="0.0000")
        for name, (title, unit) in words.items()
    }
    drawn = [plot for plot in out.values() if plot]
    for plot in drawn[1:]:
        plot.x_range = drawn[0].x_range
    bad = np.array([bool(row["problem"]) for row in layers], bool)
    lost = np.array([row["lost_before"] for row in layers], bool)
    for name, marked, label in (
        ("cc", bad & np.isfinite(values["cc"]), "does not fit"),
        ("dz", lost, "a slice was lost before"),
    ):
        if out[name]:
            texts = [layers[i]["problem"] or label for i in np.flatnonzero(marked).tolist()]
            plots.mark(out[name], z[marked], values[name][marked], label, texts)
    return out


def _numbers(layers: Sequence[Mapping[str, Any]], name: str) -> Array:
    return np.array([np.nan if row[name] is None else row[name] for row in layers], float)


def _regions(z: Array, regional: Array) -> Any:  # noqa: ANN401 - a Bokeh figure
    """Regions in rows, layers in columns; long stacks show the worst layer of each run."""
    flat = regional.reshape(len(regional), -1)
    if len(flat) == 0 or not np.isfinite(flat).any():
        return None
    run = -(-len(flat) // _MOST_COLUMNS)
    starts = np.arange(0, len(flat), run)
    worst = np.minimum.reduceat(np.where(np.isfinite(flat), flat, np.inf), starts, axis=0)
    worst = np.where(np.isfinite(worst), worst, np.nan)
    low, high = (float(v) for v in np.nanpercentile(worst, (1, 99)))
    plot = plots.frame(
        "correlation with the next layer by region (rows of regions one after another)",
        "z",
        f"region, {regional.shape[1]} × {regional.shape[2]}",
    )
    mapper = LinearColorMapper(palette=list(Viridis256), low=low, high=max(high, low + 1e-6))
    plot.image(
        image=[worst.T.astype(np.float32)],
        x=float(z[0]) - 0.5,
        y=-0.5,
        dw=float(len(starts) * run),
        dh=float(worst.shape[1]),
        color_mapper=mapper,
    )
    plot.add_layout(ColorBar(color_mapper=mapper, width=12), "right")
    return plot
