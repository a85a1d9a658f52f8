"""The thickness page: correlation with next, thickness, correction and the curve, in one file."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from bokeh.embed import file_html
from bokeh.layouts import column
from bokeh.models import ColumnDataSource
from bokeh.plotting import figure
from bokeh.resources import INLINE
from numpy.typing import NDArray

Array = NDArray[np.float64]

_TOOLS = "xpan,xwheel_zoom,box_zoom,reset,save"
_ID = re.compile(r"\b(?:p\d{4,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b")


def page(title: str, layers: list[dict[str, Any]], offset: Array, curve: Array) -> str:
    """Give the page as HTML with everything inline.

    Parameters
    ----------
    title
        Of the page.
    layers
        Rows of `qc.rows`.
    offset
        (n,) corrected z minus nominal z of each row, layers.
    curve
        (m, R+1) correlation against distance.
    """
    source = ColumnDataSource(
        {
            "z": [row["z"] for row in layers],
            "cc": [_number(row["cc_next"]) for row in layers],
            "dz": [_number(row["delta_z"]) for row in layers],
            "offset": list(offset),
            "problem": [row["problem"] or "" for row in layers],
        }
    )
    bad = source.clone()
    bad.data = {
        k: [v for v, p in zip(values, source.data["problem"], strict=True) if p]
        for k, values in source.data.items()
    }
    first = _track("correlation with the next layer", source, "cc")
    first.scatter("z", "cc", source=bad, color="#c0392b", size=7)
    others = [
        _track("thickness (z − z before), layers", source, "dz", x_range=first.x_range),
        _track("corrected − nominal z, layers", source, "offset", x_range=first.x_range),
    ]
    html = file_html(column(first, *others, _curve(curve)), INLINE, title)
    return _reproducible(html)


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _track(title: str, source: ColumnDataSource, field: str, **options: Any) -> figure:  # noqa: ANN401
    tips = [("z", "@z"), (title.split(" (")[0], f"@{field}{{0.0000}}"), ("problem", "@problem")]
    plot = figure(
        title=title,
        width=1100,
        height=240,
        tools=_TOOLS,
        tooltips=tips,
        x_axis_label="z",
        **options,
    )
    plot.line("z", field, source=source, color="#1f6f8b")
    plot.scatter("z", field, source=source, color="#1f6f8b", size=3)
    return plot


def _curve(curve: Array) -> figure:
    plot = figure(
        title="correlation against distance",
        width=500,
        height=300,
        tools=_TOOLS,
        x_axis_label="distance, layers",
    )
    for row in curve:
        plot.line(np.arange(len(row), dtype=float), row, color="#1f6f8b")
    return plot


def _reproducible(html: str) -> str:
    """Give the ids of the body numbers in order: equal content, equal bytes.

    Bokeh draws element ids at random and counts model ids on within a process.
    """
    names: dict[str, str] = {}
    head, tag, body = html.partition("<body")
    return head + tag + _ID.sub(lambda found: names.setdefault(found[0], f"e{len(names)}"), body)
