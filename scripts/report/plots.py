"""Interactive figures of the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lib.pages import plots
from scripts.lib.pages.plots import BLUE, GREEN, ORANGE, PURPLE, VERMILION
from scripts.report import meeting
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
Series = tuple[NDArray[Any], NDArray[Any]]


def all_plots(evidence: Evidence) -> dict[str, Any]:
    """Make every plot that the run has data for."""
    return {
        "left_over": meeting.plot(evidence["misalignment"]),
        "left_over_map": meeting.heat_map(evidence["misalignment"], evidence["solved"]),
        "match_counts": match_counts(evidence.results),
        "match_share": match_share(evidence.results, evidence["review"]),
        "review_states": review_states(evidence["review"], evidence["layers"]),
        "residuals": residuals(evidence["solved"]),
        "residual_histogram": residual_histogram(evidence["pairs"]),
        "deviation": deviation(evidence["solved"]),
        "correlation": correlation(evidence),
        "thickness": thickness(evidence),
        "grey_values": grey_values(evidence),
        "black_and_white": black_and_white(evidence),
    }


def grey_values(evidence: Evidence) -> Any:  # noqa: ANN401 - a Bokeh figure or None
    """Plot the histogram of the 16-bit grey values, with what is black and white in 8 bit."""
    found = evidence.documents.get("contrast")
    if not found:
        return None
    at = found["first"] + found["per_bin"] * (np.arange(len(found["counts"])) + 0.5)
    series = {"layers looked at": (at, np.array(found["counts"]) / sum(found["counts"]) * 100)}
    title = "Grey values of 16 bit; dotted: black and white in 8 bit (median)"
    plot = plots.lines(title, "grey value", "% of pixels", series, start=0)
    return plots.at_x(plot, [float(np.median(found[end])) for end in ("low", "high")])


def black_and_white(evidence: Evidence) -> Any:  # noqa: ANN401 - a Bokeh figure or None
    """Plot what becomes black and white in 8 bit against z, where that differs."""
    found = evidence.documents.get("contrast")
    if not found or len(found["z"]) < 2:
        return None
    z = np.array(found["z"])
    names = {"white": "high", "black": "low"}
    series = {name: (z, np.array(found[end])) for name, end in names.items()}
    title = f"Black and white in 8 bit, by the rule {found['rule']}"
    return plots.lines(title, "z", "grey value of 16 bit", series, tip="0")


def _cells(table: Table) -> list[str]:
    """Return the name of each row's grid cell, ``row-column``."""
    return [f"{r}-{c}" for r, c in zip(table["row"], table["column"], strict=True)]


def match_counts(results: Table) -> Any:  # noqa: ANN401 - a Bokeh figure or None
    """Plot the median number of matches of saved pairs against z, one line per run and distance."""
    saved = results.where(results["saved"] == 1)
    series = {}
    for run, dz in sorted(set(zip(saved["run"].tolist(), saved["dz"].tolist(), strict=True))):
        part = saved.where((saved["run"] == run) & (saved["dz"] == dz))
        # p and q stand in text order ("10.0" before "9.0"): the lower layer is the smaller number
        lower = np.minimum(part["p_group"], part["q_group"])
        label = f"{run.replace('_', ' ')}" + (f", {dz} apart" if dz else "")
        series[label] = _median_by(lower, part["count"])
    title = "Matches per saved pair (median)"
    return plots.lines(
        title, "z", "matches", series, dots=4, tip="0", start=0, legend=True, height=300
    )


def _median_by(keys: NDArray[Any], values: NDArray[Any]) -> Series:
    """Return the keys, each once, and the medians of their values; NaN where one of them is NaN."""
    order = np.lexsort((values, keys))
    unique, first, count = np.unique(keys[order], return_index=True, return_counts=True)
    ordered = np.asarray(values[order], float)
    low, high, last = (ordered[first + k] for k in ((count - 1) // 2, count // 2, count - 1))
    return unique, np.where(np.isnan(last), np.nan, (low + high) / 2)


def match_share(results: Table, tiles: Table) -> Any:  # noqa: ANN401 - a Bokeh figure or None
    """Map the share of saved pairs per z and grid cell; every pair counts for both its tiles."""
    cell = dict(zip(tiles["tile_id"].tolist(), _cells(tiles), strict=True))
    ids = np.concatenate([results["p_id"], results["q_id"]])
    z = np.concatenate([results["p_group"], results["q_group"]])
    names = np.array([cell.get(i, "") for i in ids.tolist()], dtype=object)
    known, saved = names != "", np.tile(results["saved"], 2)
    title = "Share of pairs with matches, by grid cell"
    return plots.share_map(title, "row-column", names[known], z[known], saved[known])


def review_states(tiles: Table, layers: Table) -> Any:  # noqa: ANN401 - a Bokeh figure or None
    """Show the state of every tile of every layer: connected, loose, excluded, missing."""
    if not len(tiles):
        return None
    seen = list(zip(tiles["z"].tolist(), _cells(tiles), tiles["state"].tolist(), strict=True))
    placed = {(z, cell) for z, cell, _ in seen}  # a patch fills the place of a missing tile
    for row in layers.where(layers["missing"] != "").rows():
        cells = [key.split("-", 1)[1] for key in row["missing"].split(",")]
        seen += [(row["z"], c, "missing") for c in cells if (row["z"], c) not in placed]
    found = {state: _runs([(c, z) for z, c, s in seen if s == state]) for state in STATES}
    shown = {state.replace("_", " "): _columns(runs) for state, runs in found.items() if runs}
    color = {state.replace("_", " "): color for state, color in STATES.items()}
    rows = sorted({cell for _, cell, _ in seen}, reverse=True)
    tips = [("", "@name"), ("z", "@z"), ("tile", "@cell")]
    return plots.bars("State of every tile", "row-column", rows, shown, color=color, tips=tips)


def _runs(at: list[tuple[str, int]]) -> list[tuple[str, int, int]]:
    """Join neighbors in z of the same cell: (cell, first z, last z)."""
    out: list[tuple[str, int, int]] = []
    for cell, z in sorted(set(at)):
        if out and out[-1][0] == cell and out[-1][2] == z - 1:
            out[-1] = (cell, out[-1][1], z)
        else:
            out.append((cell, z, z))
    return out


def _columns(runs: Sequence[tuple[str, int, int]]) -> dict[str, list[Any]]:
    return {
        "cell": [cell for cell, _, _ in runs],
        "left": [a - 0.5 for _, a, _ in runs],
        "right": [b + 0.5 for _, _, b in runs],
        "z": [f"{a}" if a == b else f"{a} to {b}" for _, a, b in runs],
    }


def residuals(tiles: Table) -> Any:  # noqa: ANN401 - a Bokeh figure or None
    """Plot the residual of every tile against z, one series per grid cell."""
    cells = np.array(_cells(tiles))
    parts = {cell: tiles.where(cells == cell) for cell in sorted(set(cells.tolist()))}
    series = {cell: (part["z"], part["rms_px"]) for cell, part in parts.items()}
    title = "Residual of each tile after the solve"
    return plots.lines(title, "z", "rms, px", series, dots=5, line=False, start=0, legend=True)


def deviation(tiles: Table) -> Any:  # noqa: ANN401 - a Bokeh figure or None
    """Plot how far each layer moved from its stage position: the drift that was taken out."""
    axes = (("dx_px", "x (right)"), ("dy_px", "y (down)"))
    series = {
        f"{label}, median of the layer": _median_by(tiles["z"], tiles[name]) for name, label in axes
    }
    plot = plots.lines(
        "Distance from the stage position", "z", "px", series, dashed=True, tip="0.00"
    )
    return plots.level(plot, 0)


def residual_histogram(pairs: Table) -> Any:  # noqa: ANN401 - a Bokeh figure or None
    """Show the distribution of the residuals of pairs, montage beside cross-layer pairs."""
    known = pairs.where(np.isfinite(pairs["rms_px"]))
    if not len(known):
        return None
    edges = np.linspace(0, max(float(np.percentile(known["rms_px"], 99.5)), 0.1), 61)
    rms, same = known["rms_px"], known["dz"] == 0
    groups = {"neighboring layers": rms[~same], "same layer": rms[same]}
    return plots.histogram("Residual of pairs after the solve", "rms, px", groups, edges)


def correlation(evidence: Evidence) -> Any:  # noqa: ANN401 - a Bokeh figure or None
    """Plot the correlation with the next layer; layers with a declared problem are marked."""
    layers = qc_layers(evidence) or []
    z = np.array([float(row["z"]) for row in layers])
    value = qc_column(layers, "cc_next")
    title = "Correlation with the next layer"
    plot = plots.lines(title, "z", "correlation", {"correlation": (z, value)}, dots=4)
    odd = [i for i, row in enumerate(layers) if row.get("problem") and np.isfinite(value[i])]
    if plot:
        words = [str(layers[i]["problem"]) for i in odd]
        plots.mark(plot, z[odd], value[odd], "look at these", words)
    return plot


def thickness(evidence: Evidence) -> Any:  # noqa: ANN401 - a Bokeh figure or None
    """Plot the inferred thickness of each layer, and how far its z moved."""
    corrected = sorted(evidence.z_coords.items())
    if len(corrected) < 2:
        return None
    z, found = (np.array(v, float) for v in zip(*corrected, strict=True))
    step = np.diff(found) / np.maximum(np.diff(z), 1)
    series = {"thickness": (z[1:], step), "corrected z − z": (z, found - z)}
    title = "Inferred thickness of the layers"
    plot = plots.level(plots.lines(title, "z", "layers", series, dashed=True), 1)
    error = thickness_error(evidence)
    if error is None:
        return plot
    at, shown = plots.thin(z[1:], step)
    label = "thickness ± 2 standard errors"
    return plots.band(plot, at, shown - 2 * error, shown + 2 * error, label)


def thickness_error(evidence: Evidence) -> float | None:
    """Return the standard error of the thickness of a layer, in nominal layers; None = unknown."""
    document = evidence.documents["qc"]
    figures = document.get("figures", {}) if isinstance(document, dict) else {}
    error = figures.get("thickness_error_sd")
    return None if error is None else float(error)
