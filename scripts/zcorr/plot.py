"""The thickness page: correlation with next, thickness, correction and the curve, in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool
from bokeh.models.annotations import ColorBar
from bokeh.models.mappers import LinearColorMapper
from bokeh.palettes import Viridis256

from scripts.lib.arrays import Array
from scripts.lib.pages import plots
from scripts.zcorr.methods import Result
from scripts.zcorr.pictures import Strip

_MOST_COLUMNS = 1500  # of the map: more than a screen shows; the worst of a run is drawn
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;color:#20242b;max-width:1200px;margin:24px auto;"
    "padding:0 16px}figure{margin:0 0 28px}table{border-collapse:collapse}"
    "td{padding:2px 14px 2px 0}.strip{display:flex;gap:10px;margin:6px 0 20px}"
    ".strip img{display:block;image-rendering:auto;max-width:100%}.strip span{font-size:12px}"
)


def page(
    title: str,
    layers: Sequence[Mapping[str, Any]],
    result: Result,
    regional: Array,
    strips: Sequence[Strip],
    proposals: str = "",
) -> str:
    """Return the page as HTML with everything inline; equal content gives equal bytes.

    `layers` are rows of `qc.rows`; `regional` is (n, rows, columns); `proposals` are lines of YAML.
    """
    z = np.array([row["z"] for row in layers], float)
    figures = _tracks(z, layers, result) | {
        "curve": _curve(result.curves),
        "regions": _regions(z, regional),
    }
    script, parts = plots.embed(figures)
    order = ("cc", "dz", "offset", "regions", "curve")
    body = "".join(f"<figure>{parts[name]}</figure>" for name in order if name in parts)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style>{script}</head><body><h1>{escape(title)}</h1>"
        f"{_table(result.figures)}{body}{_strips(strips)}{_proposed(proposals)}</body></html>"
    )


def _table(figures: Mapping[str, Any]) -> str:
    cells = (
        f"<tr><td>{escape(name.replace('_', ' '))}</td><td>{escape(str(value))}</td></tr>"
        for name, value in figures.items()
    )
    return f"<table>{''.join(cells)}</table>"


def _proposed(lines: str) -> str:
    """Return what may be pasted into the config, below the pictures it is about."""
    if not lines:
        return ""
    return (
        "<h2>Proposals</h2><p>To take these tiles out of the next solve, add to the config under"
        f" <code>review:</code></p><pre>{escape(lines)}</pre>"
    )


def _tracks(z: Array, layers: Sequence[Mapping[str, Any]], result: Result) -> dict[str, Any]:
    """Three plots over z that move together; layers that do not fit and lost slices are marked."""
    data: dict[str, Any] = {
        "z": z,
        "cc": _numbers(layers, "cc_next"),
        "dz": _numbers(layers, "delta_z"),
        "offset": np.round(result.z - (z - z[0]) if len(z) else z, 6),
        "weight": np.round(result.weight, 3),
        "problem": [row["problem"] or "" for row in layers],
    }
    bad = np.array([bool(text) for text in data["problem"]], bool)
    marks = {"cc": bad, "dz": np.array([row["lost_before"] for row in layers], bool)}
    words = {
        "cc": ("correlation with the next layer", "Pearson correlation"),
        "dz": ("thickness: z − z of the layer before", "layers"),
        "offset": ("corrected − nominal z", "layers"),
    }
    out: dict[str, Any] = {}
    for name, (title, unit) in words.items():
        shared = {"x_range": out["cc"].x_range} if out else {}
        plot = plots.frame(title, "z", unit, **shared)
        source = ColumnDataSource({k: list(v) for k, v in data.items()})
        plot.line("z", name, source=source, color=plots.BLUE)
        dots = plot.scatter("z", name, source=source, color=plots.BLUE, size=3)
        tips = [("z", "@z"), (unit, f"@{name}{{0.0000}}"), ("trust", "@weight")]
        plot.add_tools(HoverTool(renderers=[dots], tooltips=[*tips, ("problem", "@problem")]))
        if name in marks and marks[name].any():
            chosen = {k: list(np.array(v)[marks[name]]) for k, v in data.items()}
            legend = "does not fit" if name == "cc" else "a slice was lost before"
            plot.scatter(
                "z",
                name,
                source=ColumnDataSource(chosen),
                color=plots.VERMILION,
                marker="diamond",
                size=9,
                legend_label=legend,
            )
            plots.legend_above(plot)
        out[name] = plot
    return out


def _numbers(layers: Sequence[Mapping[str, Any]], name: str) -> Array:
    return np.array([np.nan if row[name] is None else row[name] for row in layers], float)


def _curve(curves: Sequence[tuple[Array, Array]]) -> Any:  # noqa: ANN401 - a Bokeh figure
    if not curves:
        return None
    plot = plots.frame("correlation against distance", "distance, layers", "correlation")
    for k, (distance, value) in enumerate(curves):
        plot.line(distance, value, color=plots.CYCLE[k % len(plots.CYCLE)], line_width=2)
    return plot


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


def _strips(strips: Sequence[Strip]) -> str:
    if not strips:
        return "<h2>Layers that do not fit</h2><p>None.</p>"
    out = ["<h2>Layers that do not fit</h2>"]
    for strip in strips:
        images = "".join(
            f'<div><img alt="layer {z}" src="data:image/png;base64,{png}"><span>z {z}</span></div>'
            for z, png in strip.shown
        )
        out.append(
            f'<p><b>z {strip.z}</b>: {escape(strip.words)}</p><div class="strip">{images}</div>'
        )
    return "".join(out)
