"""Plots: the frame of interactive figures, and pages that hold them and need no network.

Colors are those of Okabe and Ito, told apart by people of all color visions; nothing is said by
color alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bokeh.embed import components
from bokeh.models.annotations import Title
from bokeh.plotting import figure
from bokeh.resources import Resources

BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
VERMILION, SKY, PURPLE, GRAY = "#D55E00", "#56B4E9", "#AA4499", "#8a8f98"
INDIGO = "#332288"
CYCLE = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, GRAY, INDIGO)
MARKS = ("circle", "square", "triangle", "diamond", "inverted_triangle", "hex", "star", "plus")
FONT = "system-ui, -apple-system, 'Segoe UI', sans-serif"

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_MODEL = re.compile(r'(?<=")p\d{4,}(?=\\?")')


def embed(figures: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Return the page's script (with the library itself) and one HTML element per figure.

    Bokeh marks its elements with random ids and counts its models on within a process; both are
    numbered here, so that the same run gives the same page.
    """
    shown = {name: plot for name, plot in figures.items() if plot is not None}
    library = Resources(mode="inline", components=["bokeh"]).render()
    if not shown:
        return "", {}
    script, parts = components(shown)
    ids = list(dict.fromkeys(_UUID.findall(script)))
    stable = {old: f"plot-{i}" for i, old in enumerate(ids)}

    models: dict[str, str] = {}

    def named(text: str) -> str:
        text = _UUID.sub(lambda match: stable.get(match.group(), match.group()), text)
        return _MODEL.sub(lambda match: models.setdefault(match[0], f"m{len(models)}"), text)

    return library + named(script), {name: named(part) for name, part in parts.items()}


def frame(title: str, x: str, y: str, *, height: int = 260, **options: Any) -> Any:  # noqa: ANN401
    """Return an empty figure of the house style, as wide as its page; axis labels with units."""
    plot: Any = figure(
        title=Title(text=title, text_font=FONT, text_font_size="14px", text_color="#20242b"),
        x_axis_label=x,
        y_axis_label=y,
        height=height,
        sizing_mode="stretch_width",
        tools="xpan,xwheel_zoom,box_zoom,reset,save",
        min_border_left=64,  # axes of all plots begin at the same place
        output_backend="canvas",
        **options,
    )
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    plot.background_fill_color = plot.border_fill_color = "#ffffff"
    plot.outline_line_color = None
    for axis in plot.axis:
        axis.axis_line_color = "#c4c9d1"
        axis.major_tick_line_color, axis.minor_tick_line_color = "#c4c9d1", None
        axis.major_label_text_font = axis.axis_label_text_font = FONT
        axis.major_label_text_font_size, axis.axis_label_text_font_size = "11px", "12px"
        axis.axis_label_text_font_style = "normal"
        axis.major_label_text_color = axis.axis_label_text_color = "#4a515c"
    plot.xgrid.grid_line_color = None
    plot.ygrid.grid_line_color = "#eceff3"
    return plot


def legend_above(plot: Any) -> None:  # noqa: ANN401 - a Bokeh figure
    """Put the legend above the plot, so that it never hides data; a click hides a series."""
    legend = plot.legend[0]
    plot.add_layout(legend, "above")
    legend.orientation, legend.click_policy = "horizontal", "hide"
    legend.border_line_color, legend.padding, legend.margin = None, 0, 0
    legend.label_text_font, legend.label_text_font_size = FONT, "12px"
    legend.ncols = 4
