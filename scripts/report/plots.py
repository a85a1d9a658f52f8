"""Plots: interactive figures of the report, embedded with everything they need.

Long stacks are thinned to a fixed number of points, so that the page stays small.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, LinearColorMapper
from bokeh.models.annotations import ColorBar, Span
from numpy.typing import NDArray

from scripts.lib.arrays import Array, Int64
from scripts.lib.pages.plots import (
    BLUE,
    CYCLE,
    FONT,
    GREEN,
    MARKS,
    ORANGE,
    PURPLE,
    VERMILION,
    frame,
    legend_above,
)
from scripts.report.gather import Evidence, Table
from scripts.report.summary import qc_column, qc_layers

STATES = {
    "ok": BLUE,
    "small_cluster": ORANGE,
    "unconnected": VERMILION,
    "excluded": PURPLE,
    "patched": GREEN,
    "missing": "#20242b",
}
SHARE = ("#D55E00", "#E89B5E", "#F3CFA8", "#DCE6EE", "#9CC3DF", "#4D98C7", "#0072B2")
MOST_POINTS = 3000
MOST_BINS = 600


def all_plots(evidence: Evidence) -> dict[str, Any]:
    """Make every plot that the run has data for."""
    return {
        "match_counts": match_counts(evidence.results),
        "match_share": match_share(evidence.results, evidence["review"]),
        "review_states": review_states(evidence["review"], evidence["layers"]),
        "residuals": residuals(evidence["solved"]),
        "residual_histogram": residual_histogram(evidence["pairs"]),
        "deviation": deviation(evidence["solved"]),
        "correlation": correlation(evidence),
        "thickness": thickness(evidence),
    }


def thin(z: NDArray[Any], values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return at most `MOST_POINTS` points: medians of equal groups of neighbors in z."""
    order = np.argsort(z, kind="stable")
    z, values = z[order], values[order]
    if len(z) <= MOST_POINTS:
        return z, values
    groups = np.array_split(np.arange(len(z)), MOST_POINTS)
    return (
        np.array([np.median(z[g]) for g in groups]),
        np.array(
            [np.nanmedian(values[g]) if np.isfinite(values[g]).any() else np.nan for g in groups]
        ),
    )


def _cells(table: Table) -> list[str]:
    """Return the name of each row's grid cell, ``row-column``."""
    return [f"{r}-{c}" for r, c in zip(table["row"], table["column"], strict=True)]


# ---------------------------------------------------------------------------------------------
# match
# ---------------------------------------------------------------------------------------------


def match_counts(results: Table) -> Any:  # noqa: ANN401 - a Bokeh figure or None
    """Plot the median number of matches of saved pairs against z, one line per run and distance."""
    saved = results.where(results["saved"] == 1)
    if not len(saved):
        return None
    plot = frame("Matches per saved pair (median)", "z", "matches", height=300)
    kinds = sorted(set(zip(saved["run"].tolist(), saved["dz"].tolist(), strict=True)))
    for i, (run, dz) in enumerate(kinds):
        part = saved.where((saved["run"] == run) & (saved["dz"] == dz))
        # p and q stand in text order ("10.0" before "9.0"): the lower layer is the smaller number
        lower = np.minimum(part["p_group"], part["q_group"])
        z, count = _median_by(lower, part["count"])
        label = f"{run.replace('_', ' ')}" + (f", {dz} apart" if dz else "")
        source = ColumnDataSource({"z": z, "count": count, "kind": [label] * len(z)})
        color = CYCLE[i % len(CYCLE)]
        plot.line("z", "count", source=source, color=color, line_width=1.8, legend_label=label)
        plot.scatter(
            "z",
            "count",
            source=source,
            color=color,
            size=4,
            marker=MARKS[i % len(MARKS)],
            legend_label=label,
        )
    plot.y_range.start = 0
    plot.add_tools(HoverTool(tooltips=[("", "@kind"), ("z", "@z"), ("matches", "@count{0}")]))
    legend_above(plot)
    return plot


def _median_by(keys: NDArray[Any], values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    order = np.argsort(keys, kind="stable")
    unique, starts = np.unique(keys[order], return_index=True)
    groups = np.split(values[order], starts[1:])
    return thin(unique, np.array([np.median(group) for group in groups], float))


def match_share(results: Table, tiles: Table) -> Any:  # noqa: ANN401 - a Bokeh figure or None
    """Map the share of saved pairs per z and grid cell; every pair counts for both its tiles."""
    if not len(results) or not len(tiles):
        return None
    cell = dict(zip(tiles["tile_id"].tolist(), _cells(tiles), strict=True))
    ids = np.concatenate([results["p_id"], results["q_id"]])
    z = np.concatenate([results["p_group"], results["q_group"]])
    saved = np.concatenate([results["saved"], results["saved"]])
    names = np.array([cell.get(i, "") for i in ids.tolist()], dtype=object)
    known = names != ""
    return _map(
        "Share of pairs with matches, by grid cell",
        names[known],
        z[known],
        saved[known] * 100.0,
        palette=SHARE,
        span=(0, 100),
        unit="%",
    )


def _map(
    title: str,
    cells: NDArray[Any],
    z: NDArray[Any],
    values: Array,
    *,
    palette: Sequence[str],
    span: tuple[float, float],
    unit: str,
) -> Any:  # noqa: ANN401 - a Bokeh figure
    """Map the mean of `values` over z (binned) and grid cell (row-column)."""
    rows = sorted(set(cells.tolist()), reverse=True)
    edges = _bins(z)
    column = np.searchsorted(edges, z, side="right") - 1
    row = np.searchsorted(sorted(rows), cells.astype(str))
    shape = (len(rows), len(edges) - 1)
    total, count = np.zeros(shape), np.zeros(shape)
    known = np.isfinite(values)
    np.add.at(total, (row[known], column[known]), values[known])
    np.add.at(count, (row[known], column[known]), 1)
    at = np.argwhere(count > 0)
    source = ColumnDataSource(
        {
            "left": edges[at[:, 1]] - 0.5,
            "right": edges[at[:, 1] + 1] - 0.5,
            "z": [_bin_name(edges[j], edges[j + 1]) for j in at[:, 1]],
            "cell": [sorted(rows)[i] for i in at[:, 0]],
            "value": total[at[:, 0], at[:, 1]] / count[at[:, 0], at[:, 1]],
        }
    )
    mapper = LinearColorMapper(palette=list(palette), low=span[0], high=span[1])
    plot = frame(title, "z", "row-column", height=120 + 30 * len(rows), y_range=rows)
    plot.hbar(
        y="cell",
        left="left",
        right="right",
        height=0.9,
        source=source,
        color={"field": "value", "transform": mapper},
        line_color=None,
    )
    bar = ColorBar(color_mapper=mapper, width=10, padding=4, title=unit, title_text_font=FONT)
    plot.add_layout(bar, "right")
    plot.add_tools(
        HoverTool(tooltips=[("z", "@z"), ("tile", "@cell"), ("", f"@value{{0.00}} {unit}")])
    )
    plot.ygrid.grid_line_color = None
    return plot


def _bins(z: NDArray[Any]) -> Int64:
    """Return edges of whole-number bins over z: one layer each, wider for long stacks."""
    low, high = int(z.min()), int(z.max()) + 1
    width = max(1, -(-(high - low) // MOST_BINS))
    edges = np.arange(low, high + width, width)
    return edges if edges[-1] >= high else np.append(edges, high)


def _bin_name(low: float, high: float) -> str:
    return f"{low:g}" if high - low == 1 else f"{low:g} to {high - 1:g}"


# ---------------------------------------------------------------------------------------------
# review
# ---------------------------------------------------------------------------------------------


def review_states(tiles: Table, layers: Table) -> Any:  # noqa: ANN401 - a Bokeh figure or None
    """Show the state of every tile of every layer: connected, loose, excluded, missing."""
    if not len(tiles):
        return None
    z, cells, states = tiles["z"].tolist(), _cells(tiles), tiles["state"].tolist()
    placed = set(zip(z, cells, strict=True))  # a patch fills the place of a missing tile
    for row in layers.where(layers["missing"] != "").rows():
        for key in row["missing"].split(","):
            cell = key.split("-", 1)[1]
            if (row["z"], cell) not in placed:
                z.append(row["z"])
                cells.append(cell)
                states.append("missing")
    rows = sorted(set(cells), reverse=True)
    plot = frame(
        "State of every tile", "z", "row-column", height=110 + 30 * len(rows), y_range=rows
    )
    for state, color in STATES.items():
        runs = _runs([(c, k) for k, c, s in zip(z, cells, states, strict=True) if s == state])
        if not runs:
            continue
        source = ColumnDataSource(
            {
                "cell": [c for c, _, _ in runs],
                "left": [a - 0.5 for _, a, _ in runs],
                "right": [b + 0.5 for _, _, b in runs],
                "state": [state.replace("_", " ")] * len(runs),
                "z": [f"{a}" if a == b else f"{a} to {b}" for _, a, b in runs],
            }
        )
        plot.hbar(
            y="cell",
            left="left",
            right="right",
            height=0.8,
            source=source,
            color=color,
            line_color=None,
            legend_label=state.replace("_", " "),
        )
    plot.add_tools(HoverTool(tooltips=[("", "@state"), ("z", "@z"), ("tile", "@cell")]))
    plot.ygrid.grid_line_color = None
    legend_above(plot)
    return plot


def _runs(at: list[tuple[str, int]]) -> list[tuple[str, int, int]]:
    """Join neighbors in z of the same cell: (cell, first z, last z)."""
    out: list[tuple[str, int, int]] = []
    for cell, z in sorted(set(at)):
        if out and out[-1][0] == cell and out[-1][2] == z - 1:
            out[-1] = (cell, out[-1][1], z)
        else:
            out.append((cell, z, z))
    return out


# ---------------------------------------------------------------------------------------------
# solve
# ---------------------------------------------------------------------------------------------


def residuals(tiles: Table) -> Any:  # noqa: ANN401 - a Bokeh figure or None
    """Plot the residual of every tile against z, one series per grid cell."""
    return _by_cell(
        tiles, "rms_px", "Residual of each tile after the solve", "rms, px", line=False, start=0
    )


def deviation(tiles: Table) -> Any:  # noqa: ANN401 - a Bokeh figure or None
    """Plot how far each tile moved in x from its stage position: the drift that was taken out."""
    if not len(tiles):
        return None
    plot = frame("Distance from the stage position", "z", "px")
    for i, (name, label, dash) in enumerate(
        (("dx_px", "x (right)", "solid"), ("dy_px", "y (down)", "dashed"))
    ):
        z, moved = _median_by(tiles["z"], tiles[name])
        source = ColumnDataSource({"z": z, "moved": moved, "axis": [label] * len(z)})
        plot.line(
            "z",
            "moved",
            source=source,
            color=CYCLE[i],
            line_width=1.8,
            line_dash=dash,
            legend_label=f"{label}, median of the layer",
        )
    plot.add_layout(Span(location=0, dimension="width", line_color="#c4c9d1"))
    plot.add_tools(HoverTool(tooltips=[("z", "@z"), ("@axis", "@moved{0.00} px")], mode="vline"))
    legend_above(plot)
    return plot


def _by_cell(
    tiles: Table, name: str, title: str, unit: str, *, line: bool, start: float | None
) -> Any:  # noqa: ANN401 - a Bokeh figure or None
    if not len(tiles):
        return None
    plot = frame(title, "z", unit)
    cells = np.array(_cells(tiles))
    for i, cell in enumerate(sorted(set(cells.tolist()))[:20]):
        part = tiles.where(cells == cell)
        z, values = thin(part["z"], part[name])
        source = ColumnDataSource({"z": z, "value": values, "cell": [cell] * len(z)})
        style: dict[str, Any] = {
            "source": source,
            "color": CYCLE[i % len(CYCLE)],
            "legend_label": cell,
        }
        if line:
            plot.line("z", "value", line_width=1.5, **style)
        plot.scatter("z", "value", size=5, marker=MARKS[i % len(MARKS)], alpha=0.85, **style)
    if start is not None:
        plot.y_range.start = start
    plot.add_tools(HoverTool(tooltips=[("tile", "@cell"), ("z", "@z"), ("", "@value{0.000} px")]))
    legend_above(plot)
    return plot


def residual_histogram(pairs: Table) -> Any:  # noqa: ANN401 - a Bokeh figure or None
    """Show the distribution of the residuals of pairs, montage beside cross-layer pairs."""
    known = pairs.where(np.isfinite(pairs["rms_px"]))
    if not len(known):
        return None
    edges = np.linspace(0, max(float(np.percentile(known["rms_px"], 99.5)), 0.1), 61)
    plot = frame("Residual of pairs after the solve", "rms, px", "share of the pairs, %")
    for label, mask, color, dash in (
        ("same layer", known["dz"] == 0, ORANGE, "dashed"),
        ("neighboring layers", known["dz"] > 0, BLUE, "solid"),
    ):
        part = known["rms_px"][mask]
        if not len(part):
            continue
        share = 100 * np.histogram(np.minimum(part, edges[-1]), edges)[0] / len(part)
        source = ColumnDataSource({"x": (edges[1:] + edges[:-1]) / 2, "share": share})
        plot.step(
            "x",
            "share",
            source=source,
            mode="center",
            color=color,
            line_width=2,
            line_dash=dash,
            legend_label=f"{label} ({len(part)} pairs)",
        )
    plot.y_range.start = 0
    legend_above(plot)
    return plot


# ---------------------------------------------------------------------------------------------
# z
# ---------------------------------------------------------------------------------------------


def correlation(evidence: Evidence) -> Any:  # noqa: ANN401 - a Bokeh figure or None
    """Plot the correlation with the next layer; layers with a declared problem are marked."""
    layers = qc_layers(evidence)
    if not layers:
        return None
    z = np.array([float(row["z"]) for row in layers])
    value = qc_column(layers, "cc_next")
    plot = frame("Correlation with the next layer", "z", "correlation")
    source = ColumnDataSource(dict(zip(("z", "cc"), thin(z, value), strict=True)))
    plot.line("z", "cc", source=source, color=BLUE, line_width=1.5)
    plot.scatter("z", "cc", source=source, color=BLUE, size=5)
    marked = [i for i, row in enumerate(layers) if row.get("problem") and np.isfinite(value[i])]
    if marked:
        source = ColumnDataSource(
            {
                "z": z[marked],
                "cc": value[marked],
                "problem": [str(layers[i]["problem"]) for i in marked],
            }
        )
        plot.scatter(
            "z",
            "cc",
            source=source,
            marker="diamond_cross",
            size=12,
            fill_color="white",
            line_color=VERMILION,
            line_width=2,
            legend_label="look at these",
        )
        legend_above(plot)
    plot.add_tools(HoverTool(tooltips=[("z", "@z"), ("correlation", "@cc{0.000}")]))
    return plot


def thickness(evidence: Evidence) -> Any:  # noqa: ANN401 - a Bokeh figure or None
    """Plot the inferred thickness of each layer, and how far its z moved."""
    corrected = sorted(evidence.z_coords.items())
    if len(corrected) < 2:
        return None
    z, found = (np.array(v, float) for v in zip(*corrected, strict=True))
    plot = frame("Inferred thickness of the layers", "z", "layers")
    step = np.diff(found) / np.maximum(np.diff(z), 1)
    source = ColumnDataSource(dict(zip(("z", "step"), thin(z[1:], step), strict=True)))
    plot.step(
        "z",
        "step",
        source=source,
        mode="center",
        color=BLUE,
        line_width=1.8,
        legend_label="thickness",
    )
    moved = ColumnDataSource(dict(zip(("z", "moved"), thin(z, found - z), strict=True)))
    plot.line(
        "z",
        "moved",
        source=moved,
        color=ORANGE,
        line_width=1.8,
        line_dash="dashed",
        legend_label="corrected z − z",
    )
    plot.add_layout(Span(location=1, dimension="width", line_color="#c4c9d1"))
    plot.add_tools(HoverTool(tooltips=[("z", "@z"), ("thickness", "@step{0.000}")]))
    legend_above(plot)
    return plot
