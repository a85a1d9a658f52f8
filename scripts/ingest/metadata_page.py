"""The metadata page: header fields over z, constants with their values."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from scripts.ingest import metadata
from scripts.ingest.header_fields import CONSTANTS, NUMBERS, PLOTS, TEXTS, UNITS, Plotted
from scripts.ingest.header_table import TEXT_FIELDS, HeaderTable
from scripts.lib.pages import page as pages
from scripts.lib.pages import plots
from scripts.lib.pages.page import Items, Part, Plots, Section, Table, Text

Summary = Mapping[str, Any]
FILES = "All figures are in metadata.json, those of each tile in metadata.csv."
CLICK = " A click on a point opens its layer in the report."


def page(table: HeaderTable, summary: Summary, *, volume: str, here: str) -> str:
    """Return the page of the header fields.

    Parameters
    ----------
    table
        Headers of all tiles.
    summary
        As `metadata.summarise` gives it.
    volume
        Name of the volume.
    here
        Path of the page in the working directory.

    Returns
    -------
    str
        HTML.
    """
    opens = f"{report}#find=z @x" if (report := pages.report_of(here)) else ""
    figures = {plot.title: _figure(table, plot, opens) for plot in _plots(table, summary)}
    z = summary["z"]
    lead = f"{summary['tiles']:,} tiles of {summary['layers']:,} layers"
    lead += f", z {z[0]} to {z[1]}" if z else ""
    return pages.render(
        f"{volume} · header fields",
        [
            Section("Settings that changed", _changed(summary)),
            Section("Over z", [Plots(list(figures))]),
            Section("Ranges", [_ranges(summary)]),
            Section("Settings", [_settings(summary)]),
        ],
        here=here,
        volume=volume,
        lead=[Text(f"{lead}. {FILES}{CLICK if opens else ''}", "lead")],
        figures=figures,
    )


def _changed(summary: Summary) -> list[Part]:
    warnings = metadata.warnings(summary)
    parts: list[Part] = [Items(warnings, "warn") if warnings else Text("None.")]
    parts += [Text(f"not readable: {line}", "warn") for line in summary["unreadable"]]
    if summary["unlisted"]:
        parts.append(Text(f"Fields this page does not know: {', '.join(summary['unlisted'])}"))
    return parts


def _ranges(summary: Summary) -> Table:
    header = ["field", "least", "at z", "median", "greatest", "at z", "unit"]
    names = ("field", "min", "z_min", "median", "max", "z_max", "unit")
    return Table("", header, [[one[name] for name in names] for one in summary["varying"]])


def _settings(summary: Summary) -> Table:
    rows = []
    for one in summary["constants"]:
        more = one["count"] - len(one["values"])
        values = " · ".join(one["values"]) + (f" and {more} more" if more > 0 else "")
        rows.append([one["field"], values, one["unit"]])
    marked = [i for i, one in enumerate(summary["constants"]) if one["count"] > 1]
    return Table("", ["field", "value", "unit"], rows, marked=marked)


def _plots(table: HeaderTable, summary: Summary) -> list[Plotted]:
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


def _figure(table: HeaderTable, plot: Plotted, opens: str) -> Any:  # noqa: ANN401 - a Bokeh figure or None
    """Plot fields over z: one line per field, and per tile where tiles of a layer differ."""
    series = {
        label: (table.z[mask], table.number(name)[mask])
        for name in plot.fields
        for label, mask in _lines(table, name)
    }
    return plots.lines(
        plot.title, "z", plot.unit or plot.title, series, dots=3, tip="0.[000000]", opens=opens
    )


def rows(table: HeaderTable, summary: Summary) -> str:
    """Return the fields that vary as CSV, a line for each tile.

    Parameters
    ----------
    table
        Headers of all tiles.
    summary
        As `metadata.summarise` gives it.

    Returns
    -------
    str
        Columns z, tile (row-column) and fields; empty where a header has none.
    """
    varying = {one["field"] for one in (*summary["varying"], *summary["changed"])}
    names = [name for name in (*NUMBERS, *TEXT_FIELDS) if name in varying]
    columns = [[_cell(table, name, value) for value in table.codes(name)] for name in names]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["z", "tile", *names])
    writer.writerows(zip(table.z.tolist(), table.cell.tolist(), *columns, strict=True))
    return out.getvalue()


def _cell(table: HeaderTable, name: str, value: float) -> str:
    if np.isnan(value):
        return ""
    return table.words[int(value)] if name in TEXTS else f"{value:.9g}"


def _lines(table: HeaderTable, name: str) -> list[tuple[str, Any]]:
    """Return label and mask of tiles of each line of a field."""
    if metadata.differs_in_layer(table, table.number(name)):
        cells = np.unique(table.cell).tolist()
        return [(f"{name} {cell}", table.cell == cell) for cell in cells]
    first = np.ones(len(table), bool)
    first[1:] = table.z[1:] != table.z[:-1]
    return [(name, first)]
