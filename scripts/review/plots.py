"""Saved shares and match counts over the layers, with restarts.

Of outliers the worst are shown, so that a page of 25,000 layers opens as fast as one of sixty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scripts.lib.arrays import Index, Int64
from scripts.lib.numerics.robust import MAD_TO_SD
from scripts.lib.pages import plots
from scripts.review.statistics import Pairs

MOST_SERIES = 12
MOST_OUTLIERS = 150  # of a series
FEW_SIGMAS = 4.0  # robust; a count so far below the median of its neighborhood is an outlier
NEIGHBORHOOD = 101  # layers
HISTOGRAM_BIN = 7.7  # matches; the bins of the reference's plots


def all_plots(pairs: Pairs, restarts: Sequence[float]) -> dict[str, Any]:
    """Make every plot that there is data for.

    Parameters
    ----------
    pairs
        Columns of all attempted pairs.
    restarts
        z of the restarts.

    Returns
    -------
    dict
        Bokeh figures by name, None where there is no data.
    """
    same_cell = (pairs["dz"] == 1) & (pairs["p_cell"] == pairs["q_cell"])
    consecutive, inside = pairs.where(same_cell), pairs.where(pairs["dz"] == 0)
    found = {
        "share": share_map(pairs),
        "cells": counts(consecutive, "p_cell", "Matches between consecutive layers, by cell"),
        "edges": counts(inside, "edge", "Matches within a layer, by edge"),
    }
    marked = {name: plots.at_x(plot, [z - 0.5 for z in restarts]) for name, plot in found.items()}
    return marked | {"histogram": histogram(pairs)}


def share_map(pairs: Pairs) -> Any:  # noqa: ANN401 - a Bokeh figure or None
    """Map the share of saved pairs over z and cell; a pair counts for both its cells.

    Parameters
    ----------
    pairs
        Columns of all attempted pairs.

    Returns
    -------
    Bokeh figure or None
        Cells in rows, z in columns.
    """
    # p is the lower layer of a pair only when it comes first as text
    p_z = np.array([float(group) for group in pairs["p_group"]])
    z = np.concatenate([p_z, 2 * pairs["z"] + pairs["dz"] - p_z])
    cells = np.concatenate([pairs["p_cell"], pairs["q_cell"]])
    saved = np.tile(pairs["saved"] == 1, 2)
    return plots.share_map("Share of pairs with matches", "row,column", cells, z, saved)


def outliers(count: Int64) -> Index:
    """Return places of counts far below those around them, worst first.

    Parameters
    ----------
    count
        (n,) matches of pairs in order of z.

    Returns
    -------
    Index
        At most `MOST_OUTLIERS`.
    """
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


def counts(pairs: Pairs, key: str, title: str) -> Any:  # noqa: ANN401 - a Bokeh figure or None
    """Plot the count of matches against z, a line per cell or edge; failed pairs count 0.

    Parameters
    ----------
    pairs
        Columns of the pairs to show.
    key
        Column of the cell or edge; the first `MOST_SERIES` of them are drawn.
    title
        Its title.

    Returns
    -------
    Bokeh figure or None
        Outliers are marked.
    """
    series = {}
    odd: list[tuple[Any, Any, str]] = []
    for name in np.unique(pairs[key].astype(str))[:MOST_SERIES].tolist():
        part = pairs.where(pairs[key] == name)
        order = np.argsort(part["z"], kind="stable")
        z, count = part["z"][order], np.where(part["saved"] == 1, part["count"], 0)[order]
        series[name] = (z, count)
        odd += [(z[i], count[i], name) for i in outliers(count)]
    plot = plots.lines(title, "z", "matches", series, tip="0", start=0, legend=True, height=300)
    if odd:
        at, low, names = zip(*odd, strict=True)
        plots.mark(plot, np.array(at), np.array(low), "far below the layers around", names)
    return plot


def histogram(pairs: Pairs) -> Any:  # noqa: ANN401 - a Bokeh figure or None
    """Show how many matches saved pairs have, within layers and between them.

    Parameters
    ----------
    pairs
        Columns of all attempted pairs.

    Returns
    -------
    Bokeh figure or None
        Matches per saved pair; None when no pair is saved.
    """
    saved = pairs.where(pairs["saved"] == 1)
    if not len(saved):
        return None
    count, dz = saved["count"], saved["dz"]
    top = max(float(np.percentile(count, 99.5)), HISTOGRAM_BIN)
    edges = np.arange(0, top + 2 * HISTOGRAM_BIN, HISTOGRAM_BIN)
    groups = {
        "same layer": count[dz == 0], "next layer": count[dz == 1], "further": count[dz > 1],
    }  # fmt: skip
    return plots.histogram("Matches per saved pair", "matches", groups, edges)
