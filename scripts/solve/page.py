"""Page of a solve, and of two side by side: one file without references to others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from scripts.lib.pages.plots import embed
from scripts.solve.overlays import Overlay

MOST_ROWS = 30  # of a table; all are in the files beside
_TEMPLATE = Path(__file__).with_name("page.html.j2")
Row = Mapping[str, str]
Figures = Mapping[str, Any]
Table = dict[str, Any]


def render(
    figures: Figures, worst: Sequence[Row], pictures: Sequence[Overlay], plots: Mapping[str, Any]
) -> str:
    """Return the page of one solve: `worst` are rows of ``worst_pairs.tsv``, `plots` figures."""
    return _page(
        "Solve",
        [_sentence(figures)],
        [_wrong_pairs(worst), _worst_layers(figures), _restarts(figures)],
        pictures,
        plots,
    )


def compare(
    names: Sequence[str],
    parameters: Sequence[Figures],
    figures: Sequence[Figures],
    plots: Mapping[str, Any],
) -> str:
    """Return the page of two solves side by side."""
    note = (
        "Residuals tell how well matches agree, not which solve is right: a freer model always"
        " agrees better. Look at scale, rotation and the distance from the stage as well."
    )
    tables = [
        _beside("Parameters", names, [flat(one) for one in parameters]),
        _beside("Figures", names, [flat(_compared(one)) for one in figures]),
    ]
    return _page("Two solves side by side", [note], tables, [], plots)


def _page(
    title: str,
    notes: Sequence[str],
    tables: Sequence[Table],
    pictures: Sequence[Overlay],
    plots: Mapping[str, Any],
) -> str:
    script, parts = embed(plots)
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_TEMPLATE.read_text()).render(
        title=title,
        notes=notes,
        tables=tables,
        pictures=pictures,
        script=Markup(script),  # noqa: S704 - Bokeh's own
        plots=[Markup(part) for part in parts.values()],  # noqa: S704
    )


def _sentence(figures: Figures) -> str:
    residual = figures["residual_px"]
    return (
        f"{figures['tiles']} tiles in {figures['layers']} layers, model {figures['model']};"
        f" {figures['pairs']} pairs, {figures['pairs_wrong']} of them wrong and left out (they"
        f" held {100 * figures['share_of_error_of_wrong_pairs']:.1f} % of the error). Residual of"
        f" the others: median {residual['median']} px, 99 % below {residual['p99']} px. What is"
        f" left of the forces: {figures['precision']:g} of those at the stage positions."
    )


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]], note: str) -> Table:
    more = f" {len(rows) - MOST_ROWS} more are in the table." if len(rows) > MOST_ROWS else ""
    shown = [{"cells": row, "differs": False} for row in rows[:MOST_ROWS]]
    return {"title": title, "header": header, "rows": shown, "note": note + more}


def _wrong_pairs(worst: Sequence[Row]) -> Table:
    names = ("p_id", "q_id", "dz", "count", "rms_px", "typical_px", "weight", "share_of_error")
    rows = [
        [*(row[name] for name in names), "wrong" if row["wrong"] == "1" else ""] for row in worst
    ]
    return _table(
        "Pairs with the largest share of the error",
        ["p", "q", "dz", "points", "rms px", "typical px", "weight", "share of error", ""],
        rows,
        "From solve/worst_pairs.tsv.",
    )


def _worst_layers(figures: Figures) -> Table:
    rows = [[row["z"], f"{row['rms_px']:.3f}"] for row in figures["worst_layers"]]
    return _table(
        "Layers whose residual is more than twice the median", ["z", "rms px"], rows,
        "From solve/layers.tsv.",
    )  # fmt: skip


def _restarts(figures: Figures) -> Table:
    groups = figures["restart_offsets_px"]
    rows = [[g["z_first"], f"{g['dx']:.2f}", f"{g['dy']:.2f}"] for g in groups]
    return _table(
        "Offsets of the stage between restarts",
        ["from z", "x, px", "y, px"],
        rows if len(rows) > 1 else [],
        "Unknowns of the solve: how far each run of layers lies from where the stage says.",
    )


def _beside(title: str, names: Sequence[str], values: Sequence[Mapping[str, str]]) -> Table:
    keys = list(dict.fromkeys(key for one in values for key in one))
    rows = []
    for key in keys:
        cells = [one.get(key, "") for one in values]
        rows.append({"cells": [key, *cells], "differs": len(set(cells)) > 1})
    return {"title": title, "header": ["", *names], "rows": rows, "note": ""}


def _compared(figures: Figures) -> Figures:
    left_out = ("worst_tiles", "worst_layers", "worst_pairs", "restart_offsets_px")
    return {key: value for key, value in figures.items() if key not in left_out}


def flat(value: Figures, prefix: str = "") -> dict[str, str]:
    """Return nested figures as dotted key -> text."""
    out: dict[str, str] = {}
    for key, each in value.items():
        if isinstance(each, Mapping):
            out |= flat(each, f"{prefix}{key}.")
        else:
            out[f"{prefix}{key}"] = f"{each:.6g}" if isinstance(each, float) else str(each)
    return out
