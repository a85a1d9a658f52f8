"""Plots: the frame of interactive figures, and pages that hold them and need no network.

Colors are those of Okabe and Ito, told apart by people of all color visions; nothing is said by
color alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, LinearColorMapper, OpenURL, TapTool
from bokeh.models.annotations import ColorBar, Span, Title
from bokeh.plotting import figure
from numpy.typing import NDArray

Values = NDArray[Any]

BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
VERMILION, SKY, PURPLE, GRAY = "#D55E00", "#56B4E9", "#AA4499", "#8a8f98"
INDIGO = "#332288"
CYCLE = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, GRAY, INDIGO)
MARKS = ("circle", "square", "triangle", "diamond", "inverted_triangle", "hex", "star", "plus")
SHARE = ("#D55E00", "#E89B5E", "#F3CFA8", "#DCE6EE", "#9CC3DF", "#4D98C7", "#0072B2")
DEPTH = ("#E8EEF3", "#C9DCEA", "#9CC3DF", "#5FA3CE", "#2B7DB5", "#0B5590", "#1B2A5C")
DASHES = ("solid", "dashed", "dotted", "dotdash")
MOST_POINTS = 3000  # of a line: more than a screen shows
MOST_BINS = 600  # of a map
MOST_LINES = 20
NARROW_PX, LETTER_PX = 300, 6.5  # of a plot on a phone, of a letter of a legend
FONT = "system-ui, -apple-system, 'Segoe UI', sans-serif"


def frame(title: str, x: str, y: str, *, height: int = 260, **options: Any) -> Any:  # noqa: ANN401
    """Return an empty figure of the house style, as wide as its page.

    Parameters
    ----------
    title, x, y
        Texts of the figure and its axes, with units.
    height
        CSS px.
    **options
        Of Bokeh's `figure`.

    Returns
    -------
    Bokeh figure
        Transparent, so that it stands on light and dark pages.
    """
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
    plot.background_fill_color = plot.border_fill_color = None
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
    """Put the legend above the plot, so that it never hides data; a click hides a series.

    Parameters
    ----------
    plot
        A Bokeh figure whose series have labels.
    """
    legend = plot.legend[0]
    if legend not in plot.above:
        plot.add_layout(legend, "above")
    legend.orientation, legend.click_policy = "horizontal", "hide"
    legend.border_line_color, legend.padding, legend.margin = None, 0, 0
    legend.background_fill_color = None
    legend.label_text_font, legend.label_text_font_size = FONT, "12px"
    longest = max(len(str(item.label["value"])) for item in legend.items)
    # as many columns as a phone has room for
    legend.ncols = int(np.clip(NARROW_PX // (LETTER_PX * longest + 30), 1, 3))


def thin(x: Values, values: Values, most: int = MOST_POINTS) -> tuple[Values, Values]:
    """Thin a series so that its peaks stay.

    Parameters
    ----------
    x, values
        (n,) in any order; NaN = no value.
    most
        Points that are kept, about.

    Returns
    -------
    tuple of ndarray
        Both in order of `x`; of a long series the least and greatest of groups of neighbors.
    """
    known = np.flatnonzero(np.isfinite(np.asarray(values, float)))
    known = known[np.argsort(x[known], kind="stable")]
    x, values = x[known], values[known]
    if len(x) <= most:
        return x, values
    picked = set()
    for group in np.array_split(np.arange(len(x)), max(1, most // 2)):
        picked |= {int(group[values[group].argmin()]), int(group[values[group].argmax()])}
    index = np.array(sorted(picked))
    return x[index], values[index]


def lines(
    title: str,
    x: str,
    y: str,
    series: Mapping[str, tuple[Values, Values]],
    *,
    dots: int = 0,
    line: bool = True,
    dashed: bool = False,
    tip: str = "0.000",
    start: float | None = None,
    legend: bool | None = None,
    opens: str = "",
    **options: Any,  # noqa: ANN401 - as `frame`
) -> Any:  # noqa: ANN401 - a Bokeh figure or None
    """Draw series over one axis.

    Parameters
    ----------
    title, x, y
        Texts of the figure and its axes, with units.
    series
        Label to (n,) x and (n,) values; the first `MOST_LINES` are drawn, long ones thinned.
    dots
        Size of the points, CSS px; 0 = none.
    line
        Join the points.
    dashed
        Give every series a dash of its own.
    tip
        Format of the value under the pointer.
    start
        Where the axis of values begins.
    legend
        Show the labels; by default of two and more.
    opens
        Address that a click on a point opens, ``@x`` for its place; empty: none.
    **options
        Of `frame`.

    Returns
    -------
    Bokeh figure or None
        None without any value.
    """
    drawn = {label: thin(*pair, max(200, 2 * MOST_POINTS // len(series)))
             for label, pair in list(series.items())[:MOST_LINES]}  # fmt: skip
    if not any(len(at) for at, _ in drawn.values()):
        return None
    plot = frame(title, x, y, **options)
    named = len(series) > 1 if legend is None else legend
    for i, (label, (at, values)) in enumerate(drawn.items()):
        source = ColumnDataSource({"x": at, "y": values, "name": [label] * len(at)})
        style: dict[str, Any] = {"source": source, "color": CYCLE[i % len(CYCLE)]}
        style |= {"legend_label": label} if named else {}
        if line:
            dash = DASHES[i % len(DASHES)] if dashed else "solid"
            plot.line("x", "y", line_width=1.6, line_dash=dash, **style)
        if dots:
            plot.scatter("x", "y", size=dots, marker=MARKS[i % len(MARKS)], **style)
    if start is not None:
        plot.y_range.start = start
    tips = [("", "@name")] if named else []
    plot.add_tools(HoverTool(tooltips=[*tips, (x, "@x"), (y, f"@y{{{tip}}}")]))
    if opens:
        plot.add_tools(TapTool(callback=OpenURL(url=opens, same_tab=True)))
    if named:
        legend_above(plot)
    return plot


def mark(plot: Any, x: Values, y: Values, label: str, words: Sequence[str] = ()) -> None:  # noqa: ANN401
    """Mark points of a figure.

    Parameters
    ----------
    plot
        Bokeh figure.
    x, y
        (n,) places of the points.
    label
        Said in the legend.
    words
        Said of each point under the pointer; by default the label.
    """
    if not len(x):
        return
    source = ColumnDataSource({"x": x, "y": y, "name": list(words) or [label] * len(x)})
    plot.scatter("x", "y", source=source, marker="diamond", size=10, fill_color="white",
                 line_color=VERMILION, line_width=2, legend_label=label)  # fmt: skip
    legend_above(plot)


def at_x(plot: Any, places: Iterable[float]) -> Any:  # noqa: ANN401 - a Bokeh figure
    """Draw dotted lines upright through a figure.

    Parameters
    ----------
    plot
        Bokeh figure, or None.
    places
        On the axis of x; the first `MOST_BINS` are drawn.

    Returns
    -------
    Bokeh figure or None
        The same.
    """
    for place in list(places)[:MOST_BINS] if plot else ():
        span = Span(location=place, dimension="height", line_color="#20242b", line_dash="dotted")
        plot.add_layout(span)
    return plot


def level(plot: Any, value: float) -> Any:  # noqa: ANN401 - a Bokeh figure
    """Draw a line across a figure, at a value to compare with.

    Parameters
    ----------
    plot
        Bokeh figure, or None.
    value
        On the axis of y.

    Returns
    -------
    Bokeh figure or None
        The same.
    """
    if plot:
        plot.add_layout(Span(location=value, dimension="width", line_color="#c4c9d1"))
    return plot


def histogram(title: str, x: str, groups: Mapping[str, Values], edges: Values) -> Any:  # noqa: ANN401
    """Draw how values are distributed, in percent of each group.

    Parameters
    ----------
    title, x
        Texts of the figure and of what is counted, with its unit.
    groups
        Label to (n,) values; those above the last edge count for the last bin.
    edges
        (bins + 1,) of the bins.

    Returns
    -------
    Bokeh figure or None
        One step line for each group that has values.
    """
    there = {label: values for label, values in groups.items() if len(values)}
    if not there:
        return None
    plot = frame(title, x, "share of the pairs, %")
    for i, (label, values) in enumerate(there.items()):
        count = np.histogram(np.minimum(values, edges[-1]), edges)[0]
        plot.step((edges[1:] + edges[:-1]) / 2, 100 * count / len(values), mode="center",
                  color=CYCLE[i], line_width=2, line_dash=DASHES[i],
                  legend_label=f"{label} ({len(values):,})")  # fmt: skip
    plot.y_range.start = 0
    legend_above(plot)
    return plot


def bars(
    title: str,
    y: str,
    rows: Sequence[str],
    runs: Mapping[str, Any],
    *,
    color: Mapping[str, Any],
    tips: Sequence[tuple[str, str]],
) -> Any:  # noqa: ANN401 - a Bokeh figure
    """Draw runs of z, one row for each cell of the grid.

    Parameters
    ----------
    title, y
        Texts of the figure and of its rows.
    rows
        Names of the rows, lowest first.
    runs
        Series by label: columns ``cell``, ``left``, ``right`` (z) and what `tips` names.
    color
        By label.
    tips
        Lines under the pointer: (name, field); ``@name`` is the label.

    Returns
    -------
    Bokeh figure
        With a legend when there are several series.
    """
    plot = frame(title, "z", y, height=120 + 30 * len(rows), y_range=list(rows))
    for label, columns in runs.items():
        named = {"legend_label": label} if len(runs) > 1 else {}
        source = ColumnDataSource(columns | {"name": [label] * len(columns["cell"])})
        style = {"source": source, "color": color[label], "line_color": None} | named
        plot.hbar(y="cell", left="left", right="right", height=0.86, **style)
    plot.add_tools(HoverTool(tooltips=list(tips)))
    plot.ygrid.grid_line_color = None
    if len(runs) > 1:
        legend_above(plot)
    return plot


def share_map(title: str, y: str, cells: Values, z: Values, good: Values) -> Any:  # noqa: ANN401
    """Map the share of what is good over z (binned) and grid cells, in percent.

    Parameters
    ----------
    title, y
        Texts of the figure and of its rows.
    cells
        (n,) names of grid cells.
    z
        (n,) layers.
    good
        (n,) 1 or 0.

    Returns
    -------
    Bokeh figure or None
        None without any row.
    """
    if not len(z):
        return None
    binned = _Binned.of(cells, z)
    count = np.bincount(binned.at, minlength=binned.size)
    total = np.bincount(binned.at, good, minlength=binned.size)
    here = np.flatnonzero(count)
    columns = binned.columns(here) | {
        "pairs": count[here], "share": np.round(100 * total[here] / count[here], 1)
    }  # fmt: skip
    mapper = LinearColorMapper(palette=list(SHARE), low=0, high=100)
    tips = [("saved", "@share %"), ("pairs", "@pairs")]
    return _map((title, y), binned, columns, ("share", mapper, "%"), tips)


def worst_map(title: str, y: str, cells: Values, z: Values, values: Values, unit: str) -> Any:  # noqa: ANN401
    """Map the greatest value over z (binned) and grid cells.

    Parameters
    ----------
    title, y
        Texts of the figure and of its rows.
    cells
        (n,) names of grid cells.
    z
        (n,) layers.
    values
        (n,) at least 0; the darkest color stands for the 99th percentile and more.
    unit
        Of the values.

    Returns
    -------
    Bokeh figure or None
        None without any row.
    """
    if not len(z):
        return None
    binned = _Binned.of(cells, z)
    worst = np.full(binned.size, -1.0)
    np.maximum.at(worst, binned.at, values)
    here = np.flatnonzero(worst >= 0)
    columns = binned.columns(here) | {"value": worst[here].round(3)}
    high = max(float(np.percentile(values, 99)), 1e-6)
    mapper = LinearColorMapper(palette=list(DEPTH), low=0, high=high)
    return _map((title, y), binned, columns, ("value", mapper, unit), [("worst", f"@value {unit}")])


@dataclass(frozen=True)
class _Binned:
    """Grid cells and bins over z: names of the cells, edges of the bins, the place of each value.

    A place is a number below `size`, cell by cell.
    """

    names: Values
    edges: Values
    at: Values

    @staticmethod
    def of(cells: Values, z: Values) -> _Binned:
        names, row = np.unique(cells.astype(str), return_inverse=True)
        edges = bins(z)
        column = np.searchsorted(edges, z, side="right") - 1
        return _Binned(names, edges, row * (len(edges) - 1) + column)

    @property
    def size(self) -> int:
        return len(self.names) * (len(self.edges) - 1)

    def columns(self, here: Values) -> dict[str, Any]:
        """Return the bars of some places."""
        i, j = np.divmod(here, len(self.edges) - 1)
        first, last = self.edges[j], self.edges[j + 1] - 1
        spans = zip(first, last, strict=True)
        z = [f"{a:g}" if a == b else f"{a:g} to {b:g}" for a, b in spans]
        return {"left": first - 0.5, "right": last + 0.5, "cell": self.names[i], "z": z}


def _map(
    texts: tuple[str, str],
    binned: _Binned,
    columns: Mapping[str, Any],
    shown: tuple[str, LinearColorMapper, str],
    tips: Sequence[tuple[str, str]],
) -> Any:  # noqa: ANN401 - a Bokeh figure
    """Draw a map of cells over z: title and rows, the column that is shown, its colors and unit."""
    name, mapper, unit = shown
    color = {"": {"field": name, "transform": mapper}}
    rows, every = binned.names[::-1].tolist(), [("cell", "@cell"), ("z", "@z"), *tips]
    plot = bars(*texts, rows, {"": columns}, color=color, tips=every)
    bar = ColorBar(color_mapper=mapper, width=10, padding=4, title=unit, title_text_font=FONT,
                   background_fill_color=None)  # fmt: skip
    plot.add_layout(bar, "right")
    return plot


def band(plot: Any, x: Values, low: Values, high: Values, label: str) -> Any:  # noqa: ANN401 - a Bokeh figure
    """Draw a band, as of an error, below the series of a figure.

    Parameters
    ----------
    plot
        Bokeh figure, or None.
    x, low, high
        (n,) in order of `x`.
    label
        Said in the legend.

    Returns
    -------
    Bokeh figure or None
        The same.
    """
    if plot and len(x):
        drawn = plot.varea(
            x=x, y1=low, y2=high, fill_color=BLUE, fill_alpha=0.18, legend_label=label
        )
        drawn.level = "underlay"
        legend_above(plot)
    return plot


def bins(z: Values) -> Values:
    """Return the edges of bins over z.

    Parameters
    ----------
    z
        (n,) layers, at least one.

    Returns
    -------
    ndarray
        (bins + 1,) at most about `MOST_BINS`: one layer each, wider for long stacks.
    """
    low, high = int(z.min()), int(z.max()) + 1
    width = max(1, -(-(high - low) // MOST_BINS))
    return np.arange(low, high + width, width)
