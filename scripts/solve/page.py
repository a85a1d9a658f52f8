"""The page of a solve, and of two side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scripts.lib.documents import Solve
from scripts.lib.pages import page
from scripts.lib.pages.page import Pictures, Plots, Section, Table, Text
from scripts.lib.pages.pictures import Shown
from scripts.lib.pages.text import flat

MOST_ROWS = 30  # of a table; all are in the files beside
Row = Mapping[str, str]
Figures = Mapping[str, Any]
_OVERLAYS = (
    "Two matched tiles over one another as the solve placed them, pixel for pixel: the first in"
    " magenta, the second in green, grey where they agree. A pair that was wrong and left out may"
    " well agree here: then the matches were wrong and the tiles are right."
)
_NOTE = (
    "Residuals tell how well matches agree, not which solve is right: a freer model always agrees"
    " better. Look at scale, rotation and the distance from the stage as well."
)


def render(
    figures: Solve, worst: Sequence[Row], pictures: Sequence[Shown], plots: Mapping[str, Any]
) -> str:
    """Return the page of one solve.

    Parameters
    ----------
    figures
        ``solve/solve.json``.
    worst
        Rows of ``solve/worst_pairs.tsv``.
    pictures
        Overlays of some of them.
    plots
        Bokeh figures by name.

    Returns
    -------
    str
        HTML.
    """
    sections = [_wrong_pairs(worst), _worst_layers(figures), _restarts(figures), _steps(figures)]
    if pictures:
        sections.append(
            Section("The largest errors, with pictures", [Pictures(pictures)], _OVERLAYS)
        )
    sections.append(Section("Along z", [Plots(list(plots))]))
    lead = [Text(_sentence(figures), "note")]
    return page.render("Solve", sections, here="solve/solve.html", lead=lead, figures=plots)


def compare(
    names: Sequence[str],
    parameters: Sequence[Figures],
    figures: Sequence[Solve],
    plots: Mapping[str, Any],
) -> str:
    """Return the page of two solves side by side.

    Parameters
    ----------
    names
        Names of the two solves.
    parameters
        Their parameters.
    figures
        Their figures, as in ``solve/solve.json``.
    plots
        Bokeh figures by name.

    Returns
    -------
    str
        HTML.
    """
    sections = [
        _beside("Parameters", names, [flat(one) for one in parameters]),
        _beside("Figures", names, [flat(_compared(one)) for one in figures]),
        Section("Along z", [Plots(list(plots))]),
    ]
    return page.render(
        "Two solves side by side", sections, here="solve/compare.html", lead=[Text(_NOTE, "note")],
        figures=plots,
    )  # fmt: skip


def _sentence(figures: Solve) -> str:
    residual = figures["residual_px"]
    return (
        f"{figures['tiles']} tiles in {figures['layers']} layers, model {figures['model']};"
        f" {figures['pairs']} pairs, {figures['pairs_wrong']} of them wrong and left out (they"
        f" held {100 * figures['share_of_error_of_wrong_pairs']:.1f} % of the error). Residual of"
        f" the others: median {residual['median']:.2f} px, 99 % below {residual['p99']:.2f} px."
        f" Gradient that is left: {figures['precision']:.1g} of that at the stage positions."
    )


def _section(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]], note: str,
             where: str = "") -> Section:  # fmt: skip
    table = Table("", header, rows, most=MOST_ROWS, where=where)
    return Section(title, [table] if rows else [], note)


def _wrong_pairs(worst: Sequence[Row]) -> Section:
    names, figures = ("p_id", "q_id", "dz", "count"), ("rms_px", "typical_px", "weight")
    rows = [
        [
            *(row[name] for name in names),
            *(f"{float(row[name]):.2f}" for name in figures),
            f"{100 * float(row['share_of_error']):.1f}",
            "wrong" if row["wrong"] == "1" else "",
        ]
        for row in worst
    ]
    header = ["p", "q", "dz", "points", "rms px", "typical px", "weight", "share of error, %", ""]
    title, where = "Pairs with the largest share of the error", "solve/worst_pairs.tsv"
    return _section(title, header, rows, f"From {where}.", where)


def _worst_layers(figures: Solve) -> Section:
    rows = [[row["z"], f"{row['rms_px']:.3f}"] for row in figures["worst_layers"]]
    title, where = "Layers whose residual is more than twice the median", "solve/layers.tsv"
    return _section(title, ["z", "rms px"], rows, f"From {where}.", where)


def _restarts(figures: Solve) -> Section:
    groups = figures["restart_offsets_px"]
    rows = [[g["z_first"], f"{g['dx']:.2f}", f"{g['dy']:.2f}"] for g in groups]
    return _section(
        "Offsets of the stage between restarts",
        ["from z", "x, px", "y, px"],
        rows if len(rows) > 1 else [],
        "Unknowns of the solve: how far each run of layers lies from where the stage says.",
    )


def _steps(figures: Solve) -> Section:
    rows = [
        [one["z_first"], *(f"{one[name]:.5f}" for name in ("scale_x", "scale_y", "shear"))]
        + [f"{one['rotation_mrad']:.2f}"]
        for one in figures["restart_steps"]
    ]
    return _section(
        "Steps of scale and rotation",
        ["from z", "scale x", "scale y", "shear", "rotation, mrad"],
        rows,
        "Runs of layers that the microscope shows in another size, shape or direction than the"
        " longest run, beyond what the headers say. They are corrected.",
    )


def _beside(title: str, names: Sequence[str], values: Sequence[Mapping[str, str]]) -> Section:
    keys = list(dict.fromkeys(key for one in values for key in one))
    rows = [[key, *(one.get(key, "") for one in values)] for key in keys]
    differ = [i for i, row in enumerate(rows) if len(set(row[1:])) > 1]
    return Section(title, [Table("", ["", *names], rows, marked=differ)])


def _compared(figures: Solve) -> Figures:
    left_out = ("worst_tiles", "worst_layers", "worst_pairs", "restart_offsets_px", "restart_steps")
    return {key: value for key, value in figures.items() if key not in left_out}
