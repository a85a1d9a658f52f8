"""The metadata page: header fields over z, constants with their values, in one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from bokeh.models import ColumnDataSource, HoverTool
from markupsafe import Markup

from scripts.ingest import metadata
from scripts.ingest.header_fields import CONSTANTS, PLOTS, TEXTS, UNITS, Plotted
from scripts.ingest.header_table import HeaderTable
from scripts.lib.pages.plots import CYCLE, MARKS, embed, frame, legend_above

TEMPLATES = Path(__file__).parent
POINTS_PER_PLOT = 6000
MOST_LINES = 40


def page(table: HeaderTable, summary: Mapping[str, Any], *, volume: str) -> str:
    """Return the page as HTML that needs no network."""
    figures = {plot.title: _figure(table, plot) for plot in _plots(table, summary)}
    script, parts = embed(figures)
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.get_template("metadata.html.j2").render(
        volume=volume,
        summary=summary,
        warnings=metadata.warnings(summary),
        script=Markup(script),  # noqa: S704 - Bokeh's
        plots={name: Markup(part) for name, part in parts.items()},  # noqa: S704 - Bokeh's
    )


def _plots(table: HeaderTable, summary: Mapping[str, Any]) -> list[Plotted]:
    """Return what is plotted: the varying fields that are there, and constants that changed."""
    there = {one["field"] for one in summary["varying"]}
    changed = {one["field"] for one in summary["changed"]}
    out = [
        Plotted(name, UNITS[name], (name,))
        for name in CONSTANTS
        if name in changed and name not in TEXTS
    ]
    for plot in PLOTS:
        fields = tuple(name for name in plot.fields if name in there)
        if fields:
            out.append(Plotted(plot.title, plot.unit, fields))
    return out


def _figure(table: HeaderTable, plot: Plotted) -> Any:  # noqa: ANN401 - a Bokeh figure
    """Plot fields over z: one line per field, and per tile where tiles of a layer differ."""
    drawn = frame(plot.title, "z", plot.unit or plot.title)
    lines = [line for name in plot.fields for line in _lines(table, name)]
    most = max(200, POINTS_PER_PLOT // max(1, len(lines)))
    for i, (label, mask, name) in enumerate(lines[:MOST_LINES]):
        z, values = metadata.envelope(table.z[mask], table.number(name)[mask], most)
        source = ColumnDataSource({"z": z, "value": values, "kind": [label] * len(z)})
        style: dict[str, Any] = {"source": source, "color": CYCLE[i % len(CYCLE)]}
        if len(lines) > 1:
            style["legend_label"] = label
        drawn.line("z", "value", line_width=1.3, **style)
        drawn.scatter("z", "value", size=3, marker=MARKS[i % len(MARKS)], **style)
    drawn.add_tools(HoverTool(tooltips=[("", "@kind"), ("z", "@z"), ("", "@value{0.[000000]}")]))
    if len(lines) > 1:
        legend_above(drawn)
    return drawn


def _lines(table: HeaderTable, name: str) -> list[tuple[str, Any, str]]:
    """Return (label, mask of tiles, field) of each line."""
    if metadata.differs_in_layer(table, table.number(name)):
        cells = np.unique(table.cell).tolist()
        return [(f"{name} {cell}", table.cell == cell, name) for cell in cells]
    first = np.ones(len(table), bool)
    first[1:] = table.z[1:] != table.z[:-1]
    return [(name, first, name)]
