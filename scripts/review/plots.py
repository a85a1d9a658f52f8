"""Plots: saved shares and match counts over the layers; restarts are drawn in.

Long stacks are put into at most `MOST_BINS` bins of layers, and of outliers the worst are shown, so
that a page of 25,000 layers opens as fast as one of sixty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, LinearColorMapper
from bokeh.models.annotations import ColorBar, Span

from scripts.lib.arrays import Array, Index, Int64
from scripts.lib.numerics.robust import MAD_TO_SD
from scripts.lib.pages.plots import BLUE, CYCLE, FONT, GRAY, MARKS, VERMILION, frame, legend_above
from scripts.review.statistics import Pairs

MOST_BINS = 500
MOST_SERIES = 12
MOST_OUTLIERS = 150  # of a series
FEW_SIGMAS = 4.0  # robust; a count so far below the median of its neighborhood is an outlier
NEIGHBORHOOD = 101  # layers
HISTOGRAM_BIN = 7.7  # matches; the reference's
SHARE = ("#D55E00", "#E89B5E", "#F3CFA8", "#DCE6EE", "#9CC3DF", "#4D98C7", "#0072B2")


def all_plots(pairs: Pairs, restarts: Sequence[float]) -> dict[str, Any]:
    """Make every plot that there is data for."""
    return {
        "share": share_map(pairs, restarts),
        "cells": counts(
            pairs.where((pairs["dz"] == 1) & (pairs["p_cell"] == pairs["q_cell"])), "p_cell",
            "Matches between consecutive layers, by cell", restarts,
        ),
        "edges": counts(
            pairs.where(pairs["dz"] == 0), "edge", "Matches within a layer, by edge", restarts
        ),
        "histogram": histogram(pairs),
    }  # fmt: skip


def bins(z: Array) -> Array:
    """Return edges of bins over z: one layer each, wider for long stacks."""
    low, high = float(z.min()), float(z.max()) + 1
    width = max(1.0, np.ceil((high - low) / MOST_BINS))
    return np.arange(low, high + width, width)


def share_map(pairs: Pairs, restarts: Sequence[float]) -> Any:  # noqa: ANN401 - a Bokeh figure or None
    """Map the share of saved pairs over z and cell; a pair counts for both its cells."""
    if not len(pairs):
        return None
    z = np.concatenate([pairs["z"], pairs["z"] + pairs["dz"]])
    cell = np.concatenate([pairs["p_cell"], pairs["q_cell"]]).astype(str)
    # p is the lower layer of a pair only when it comes first as text
    swap = np.array([float(group) for group in pairs["p_group"]]) > pairs["z"]
    cell[: len(pairs)][swap], cell[len(pairs) :][swap] = (
        pairs["q_cell"][swap].astype(str),
        pairs["p_cell"][swap].astype(str),
    )
    saved = np.tile(pairs["saved"] == 1, 2)
    names, row = np.unique(cell, return_inverse=True)
    edges = bins(z)
    at = np.searchsorted(edges, z, side="right") - 1
    shape = (len(names), len(edges) - 1)
    flat = np.ravel_multi_index((row, at), shape)
    count = np.bincount(flat, minlength=shape[0] * shape[1])
    good = np.bincount(flat, saved, minlength=len(count))
    here = np.flatnonzero(count)
    i, j = np.unravel_index(here, shape)
    source = ColumnDataSource(
        {
            "left": edges[j] - 0.5,
            "right": edges[j + 1] - 0.5,
            "cell": names[i],
            "share": np.round(100 * good[here] / count[here], 1),
            "pairs": count[here],
        }
    )
    mapper = LinearColorMapper(palette=list(SHARE), low=0, high=100)
    rows = list(names[::-1])
    plot = frame(
        "Share of pairs with matches", "z", "row,column", height=130 + 28 * len(rows), y_range=rows
    )
    color = {"field": "share", "transform": mapper}
    plot.hbar(y="cell", left="left", right="right", height=0.9, source=source, color=color,
              line_color=None)  # fmt: skip
    bar = ColorBar(color_mapper=mapper, width=10, padding=4, title="%", title_text_font=FONT)
    plot.add_layout(bar, "right")
    tips = [("cell", "@cell"), ("z", "@left{0} +"), ("saved", "@share %"), ("pairs", "@pairs")]
    plot.add_tools(HoverTool(tooltips=tips))
    plot.ygrid.grid_line_color = None
    _mark(plot, restarts)
    return plot


def _mark(plot: Any, restarts: Sequence[float]) -> None:  # noqa: ANN401 - a Bokeh figure
    for z in list(restarts)[:MOST_BINS]:
        plot.add_layout(
            Span(location=z - 0.5, dimension="height", line_color="#20242b", line_dash="dotted")
        )


def outliers(count: Int64) -> Index:
    """Return places of counts far below those around them, worst first; counts in order of z."""
    if len(count) < 8:
        return np.empty(0, np.intp)
    half = min(NEIGHBORHOOD, len(count)) // 2
    padded = np.pad(count.astype(float), half, mode="reflect")
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    middle = np.median(around, axis=1)
    spread = MAD_TO_SD * np.median(np.abs(around - middle[:, None]), axis=1)
    # counts below twenty scatter as their root even where their neighbors are all alike
    far = (middle - count) / np.maximum(spread, np.sqrt(np.maximum(middle, 1)) / 2)
    order = np.argsort(-far, kind="stable")
    return np.asarray(order[far[order] > FEW_SIGMAS][:MOST_OUTLIERS], np.intp)


def counts(pairs: Pairs, key: str, title: str, restarts: Sequence[float]) -> Any:  # noqa: ANN401
    """Plot the count of matches against z, a line per cell or edge; failed pairs count 0."""
    if not len(pairs):
        return None
    plot = frame(title, "z", "matches", height=300)
    names = np.unique(pairs[key].astype(str))
    odd: dict[str, list[Any]] = {"z": [], "count": [], "name": []}
    for number, name in enumerate(names[:MOST_SERIES]):
        part = pairs.where(pairs[key] == name)
        order = np.argsort(part["z"], kind="stable")
        z, count = part["z"][order], np.where(part["saved"] == 1, part["count"], 0)[order]
        far = outliers(count)
        odd["z"] += z[far].tolist()
        odd["count"] += count[far].tolist()
        odd["name"] += [str(name)] * len(far)
        edges = bins(z)
        place = np.searchsorted(edges, z, side="right") - 1
        found, start = np.unique(place, return_index=True)
        middle = [float(np.median(group)) for group in np.split(count, start[1:])]
        source = ColumnDataSource(
            {"z": edges[found], "count": middle, "name": [str(name)] * len(found)}
        )
        color = CYCLE[number % len(CYCLE)]
        plot.line("z", "count", source=source, color=color, line_width=1.6, legend_label=str(name))
        if len(found) <= 100:
            plot.scatter("z", "count", source=source, color=color, size=4,
                         marker=MARKS[number % len(MARKS)], legend_label=str(name))  # fmt: skip
    if odd["z"]:
        plot.scatter("z", "count", source=ColumnDataSource(odd), marker="diamond", size=9,
                     fill_color="white", line_color=VERMILION, line_width=2,
                     legend_label="far below the layers around")  # fmt: skip
    plot.y_range.start = 0
    plot.add_tools(HoverTool(tooltips=[("", "@name"), ("z", "@z"), ("matches", "@count{0}")]))
    _mark(plot, restarts)
    legend_above(plot)
    return plot


def histogram(pairs: Pairs) -> Any:  # noqa: ANN401 - a Bokeh figure or None
    """Show how many matches saved pairs have, within layers and between them."""
    saved = pairs.where(pairs["saved"] == 1)
    if not len(saved):
        return None
    plot = frame("Matches per saved pair", "matches", "share of the pairs, %")
    top = max(float(np.percentile(saved["count"], 99.5)), HISTOGRAM_BIN)
    edges = np.arange(0, top + 2 * HISTOGRAM_BIN, HISTOGRAM_BIN)
    for label, mask, color, dash in (
        ("same layer", saved["dz"] == 0, BLUE, "solid"),
        ("next layer", saved["dz"] == 1, VERMILION, "dashed"),
        ("further", saved["dz"] > 1, GRAY, "dotted"),
    ):
        if mask.any():
            found = np.histogram(np.minimum(saved["count"][mask], edges[-1]), edges)[0]
            plot.step((edges[1:] + edges[:-1]) / 2, 100 * found / mask.sum(), mode="center",
                      color=color, line_width=2, line_dash=dash,
                      legend_label=f"{label} ({int(mask.sum()):,})")  # fmt: skip
    plot.y_range.start = 0
    legend_above(plot)
    return plot
