"""Meeting: where tiles and layers meet after the alignment, in figures, over z, and in pictures.

What is left was measured on pixels by ``solve`` (``solve/misalignment.json`` and ``.tsv.gz``);
volumes solved before there was such a measure have none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.lib.arrays import Array
from scripts.lib.documents import LeftOver, Misalignment, Solve
from scripts.lib.drawing import boxes, compose
from scripts.lib.drawing.compose import Picture, Placed
from scripts.lib.geometry import Box
from scripts.lib.pages import pictures as shapes
from scripts.lib.pages import plots
from scripts.lib.pages.pictures import Shown
from scripts.lib.pages.text import number
from scripts.lib.verdicts import GOOD, LOOK
from scripts.report import grid, pictures
from scripts.report.album import Stacks
from scripts.report.finding import Finding
from scripts.report.gather import Evidence, Table

SIDE_PX = 120  # of a picture, specimen px
ENLARGED = 3
GAP_PX = 6
MOST = 4  # places shown, of each kind
MOST_REASONS = 6
NOTE = "Measured on the pixels of the aligned stack; it needs no matches and no truth."
KINDS = {"step": "between neighbouring layers", "seam": "at seams"}


@dataclass(frozen=True)
class Place:
    """Two tiles that meet; `middle` is None where they overlap most."""

    p_id: str
    z: int
    q_id: str
    other_z: int
    title: str
    caption: str = ""
    middle: tuple[float, float] | None = None


def cards(document: Misalignment | None) -> list[tuple[str, str]]:
    """Return what is left over as headline figures: rms with its error, px.

    Parameters
    ----------
    document
        ``solve/misalignment.json``, or None.

    Returns
    -------
    list of tuple
        Name and value; empty without the document.
    """
    return [
        (
            f"misalignment {words}",
            with_error(figures["rms_px"], figures["error_px"], figures["rms_nm"]),
        )
        for words, figures in _figures(document)
        if figures["rms_px"] is not None
    ]


def _figures(document: Misalignment | None) -> list[tuple[str, LeftOver]]:
    """Return the figures of each kind of place with its words; none without the document."""
    if document is None:
        return []
    return [(KINDS["step"], document["steps"]), (KINDS["seam"], document["seams"])]


def with_error(value: float, error: float | None, nm: float | None = None) -> str:
    """Return a figure in px with its error.

    Parameters
    ----------
    value, error
        px; None = the error is not known.
    nm
        The same figure in nm, where it is known.

    Returns
    -------
    str
        px to a hundredth, nm to a tenth; less than that to a hundredth.
    """
    px = f"{value:.2f} ± {error:.2f} px" if error is not None else number(value, 2, "px")
    return px if nm is None else f"{px} ({_nm(nm)})"


def _nm(value: float) -> str:
    """Return a distance that is not said to be none because it was rounded."""
    if 0 < value < 0.005:
        return "below 0.01 nm"
    return f"{value:.2f} nm" if 0 < value < 0.05 else f"{value:.1f} nm"


def pixel_nm(document: Misalignment | None) -> float | None:
    """Return the size of a pixel of the figures, nm; None where they do not tell.

    Parameters
    ----------
    document
        ``solve/misalignment.json``, or None.

    Returns
    -------
    float or None
        nm.
    """
    for _, figures in _figures(document):
        px, nm = figures["rms_px"], figures["rms_nm"]
        if px and nm:
            return nm / px
    return None


def steps(solved: Solve | None) -> str:
    """Say where runs of layers begin that the solve turned or scaled as a whole.

    Parameters
    ----------
    solved
        ``solve/solve.json``.

    Returns
    -------
    str
        The first runs, or none.
    """
    words = [
        f"from z {run['z_first']}: rotation {run['rotation_mrad']:.1f} mrad, scale"
        f" {run['scale_x']:.4f} by {run['scale_y']:.4f}"
        for run in (solved.get("restart_steps", []) if solved else [])
    ]
    more = f" and {len(words) - 5} more" if len(words) > 5 else ""
    return "; ".join(words[:5]) + more or "none"


def rows(document: Misalignment | None) -> list[tuple[str, str]]:
    """Return what is left over also in nm, with the worst place and how many were measured.

    Parameters
    ----------
    document
        ``solve/misalignment.json``, or None.

    Returns
    -------
    list of tuple
        Name and value; empty without the document.
    """
    out = []
    for words, figures in _figures(document):
        if figures["rms_px"] is None:
            continue
        text = with_error(figures["rms_px"], figures["error_px"], figures["rms_nm"])
        worst = f"p95 {figures['p95_px']:.2f} · max {figures['max_px']:.2f} px"
        told = f"{figures['measured']:,} of {figures['places']:,} places"
        out.append((f"misalignment {words}", f"{text} · {worst} · {told}"))
        if figures.get("alike") is not None:
            grey = f"{figures['alike']:.3f} · 5 % of the places below {figures['alike_p05']:.3f}"
            out.append((f"correlation of grey levels {words}", grey))
        if figures.get("corners_px") is not None:
            low, high = figures["corners_px"], figures["corners_p95_px"]
            unseen = f"{low:.2f} px · more than {high:.2f} px at 5 % of the places"
            out.append((f"corners {words} may be off unseen by", unseen))
        elif figures["measured"]:
            unseen = "not known: too few windows fit into a tile to show a turn or a stretch"
            out.append((f"corners {words} may be off unseen by", unseen))
    return out


def findings(evidence: Evidence) -> Iterator[Finding]:
    """Yield the reasons of the measure's own verdict; the first has its state.

    Parameters
    ----------
    evidence
        What the run left.

    Yields
    ------
    Finding
        At most `MOST_REASONS`.
    """
    document = evidence.documents["misalignment"]
    if document is None:
        return
    for i, reason in enumerate(document["reasons"][:MOST_REASONS]):
        advice = "look at the pictures of section solve, then at the matches of these tiles"
        state = document["state"] if i == 0 else LOOK
        yield Finding("solve", reason, "", advice, state if state != GOOD else LOOK)


def plot(table: Table) -> Any:  # noqa: ANN401 - a Bokeh figure or None
    """Plot what is left over against z: rms of the places of a layer, and the worst of them.

    Parameters
    ----------
    table
        ``solve/misalignment.tsv.gz``.

    Returns
    -------
    Bokeh figure or None
        None where nothing was measured.
    """
    places = known(table)
    series = {}
    for kind, words in KINDS.items():
        own = places.where(places["kind"] == kind)
        z = np.unique(own["z"])
        each = [own["px"][own["z"] == k] for k in z]
        rms = [float(np.sqrt(np.mean(px**2))) for px in each]
        series[f"{words}, rms"] = (z, np.array(rms))
        series[f"{words}, worst"] = (z, np.array([float(px.max()) for px in each]))
    series = {label: pair for label, pair in series.items() if len(pair[0])}
    if not series:
        return None
    title = "Left over after the alignment, measured on pixels"
    drawn = plots.lines(title, "z", "px", series, dots=4, start=0, dashed=True)
    worst = certain(places)
    z, px = places["z"][[worst]], places["px"][[worst]]
    plots.mark(drawn, z, px, "the worst place that is shown", ["most that is left for certain"])
    return drawn


def known(table: Table) -> Table:
    """Return the places that enough windows speak for.

    Parameters
    ----------
    table
        ``solve/misalignment.tsv.gz``.

    Returns
    -------
    Table
        Its rows whose figure counts.
    """
    return table.where(_measured(table) & np.isfinite(table["px"])) if table.found else table


def sure(table: Table) -> Array:
    """Return what is left for certain: a place with a large error is not the worst.

    Parameters
    ----------
    table
        What `known` returns.

    Returns
    -------
    Array
        (n,) px, less the error.
    """
    return np.asarray(table["px"] - np.nan_to_num(table["error_px"]))


def certain(table: Table) -> int:
    """Return the place that is the worst for certain, the one that pictures show.

    Parameters
    ----------
    table
        What `known` returns, at least one row.

    Returns
    -------
    int
        Its row. A place above it in the plot has a greater error.
    """
    return int(np.argsort(sure(table), kind="stable")[-1])


def heat_map(table: Table, tiles: Table) -> Any:  # noqa: ANN401 - a Bokeh figure or None
    """Map what is left over z and places of the grid: the worst of each, px.

    Parameters
    ----------
    table
        ``solve/misalignment.tsv.gz``.
    tiles
        ``solve/tiles.tsv``, which knows the cells.

    Returns
    -------
    Bokeh figure or None
        None where nothing was measured.
    """
    own = known(table)
    cells = [
        grid.cell(r, c)
        for r, c in zip(tiles["row"].tolist(), tiles["column"].tolist(), strict=True)
    ]
    of_tile = dict(zip(tiles["tile_id"].tolist(), cells, strict=True))
    names = np.array([of_tile.get(name, "") for name in own["p_id"].tolist()], dtype=object)
    use = names != ""
    title = "Left over at each place of the grid, the worst, px"
    return plots.worst_map(title, "row-column", names[use], own["z"][use], own["px"][use], "px")


def _measured(table: Table) -> Any:  # noqa: ANN401 - a boolean column
    """Tell which places enough windows speak for."""
    return (table["used"] >= 3) & (4 * table["used"] >= table["tried"])


def confirmed(table: Table, pairs: Sequence[tuple[str, str]], most_px: float) -> bool:
    """Tell whether the pixels of every pair of tiles were measured and lie within `most_px`.

    Parameters
    ----------
    table
        ``solve/misalignment.tsv.gz``.
    pairs
        Tile ids.
    most_px
        Largest shift that counts as meeting.

    Returns
    -------
    bool
        False without pairs.
    """
    known = table.where(_measured(table) & (table["px"] <= most_px))
    ends = zip(known["p_id"].tolist(), known["q_id"].tolist(), strict=True)
    good = {frozenset(pair) for pair in ends}
    return bool(pairs) and all(frozenset(pair) in good for pair in pairs)


def places(evidence: Evidence) -> list[Place]:
    """Return what is shown: the worst place of each kind, then pairs left out in a row.

    Parameters
    ----------
    evidence
        What the run left.

    Returns
    -------
    list of Place
        At most `MOST` of the pairs.
    """
    return [*_worst(evidence["misalignment"]), *_left_out(evidence)]


def _worst(table: Table) -> Iterator[Place]:
    known = table.where(_measured(table))
    for kind, words in KINDS.items():
        own = known.where(known["kind"] == kind)
        if not len(own):
            continue
        worst = int(np.argmax(sure(own)))
        row = own.where(np.arange(len(own)) == worst).rows()[0]
        at = f"z {row['z']}" + (f" and {row['other_z']}" if kind == "step" else "")
        yield Place(
            row["p_id"],
            row["z"],
            row["q_id"],
            row["other_z"],
            f"worst place {words}, {at}",
            f"{with_error(row['px'], row['error_px'])} between {row['p_id']} and {row['q_id']}",
            (row["x"], row["y"]),
        )


def _left_out(evidence: Evidence) -> Iterator[Place]:
    rowed = [one for one in grid.left_out(evidence) if one.in_a_row >= 2]
    z_of = dict(zip(evidence["solved"]["tile_id"], evidence["solved"]["z"].tolist(), strict=True))
    for one in sorted(rowed, key=lambda one: -one.in_a_row)[:MOST]:
        p, q = one.pairs[len(one.pairs) // 2]
        a, b = one.edge
        caption = f"{p} and {q}: the solve left out {one.in_a_row} pairs in a row"
        yield Place(p, z_of[p], q, z_of[q], f"tiles {a} and {b}, z {z_of[p]}", caption)


def draw(service: Stacks, stack: str, shown: Sequence[Place]) -> list[Shown]:
    """Draw places: the one tile, the other, and both over one another.

    Parameters
    ----------
    service
        Gives tiles.
    stack
        Name of the aligned stack.
    shown
        The places.

    Returns
    -------
    list of Shown
        Those that can be drawn, `ENLARGED` times.
    """
    out = [_drawn(service, stack, place) for place in shown]
    return [one for one in out if one is not None]


def _drawn(service: Stacks, stack: str, place: Place) -> Shown | None:
    sides = [_tile(service, stack, *end) for end in _ends(place)]
    if None in sides:
        return None
    one, other = (side for side in sides if side is not None)
    middle = place.middle or _middle(one.tile.box, other.tile.box)
    if middle is None:
        return None
    box = boxes.of_pixels(middle[0] - SIDE_PX / 2, middle[1] - SIDE_PX / 2, SIDE_PX, SIDE_PX, 1.0)
    drawn = [compose.render([side], box, scale=1.0, blend="last") for side in (one, other)]
    shows = "One tile, the other, and both overlaid: where they differ it is orange or blue."
    caption = f"{place.caption}. {shows}"
    large = np.kron(_beside(drawn), np.ones((ENLARGED, ENLARGED, 1), np.uint8))
    return shapes.shown(large, place.title, caption, form="WEBP", pixelated=True, wide=True)


def _ends(place: Place) -> tuple[tuple[str, int], tuple[str, int]]:
    return (place.p_id, place.z), (place.q_id, place.other_z)


def _tile(service: Stacks, stack: str, tile_id: str, z: int) -> Placed | None:
    placed = compose.place(service.tiles(stack, z, z).with_bounds())
    return next((one for one in placed if one.tile.tile_id == tile_id), None)


def _middle(a: Box, b: Box) -> tuple[float, float] | None:
    """Return the middle of what two boxes share."""
    if not a.intersects(b):
        return None
    x, y = max(a.x0, b.x0) + min(a.x1, b.x1), max(a.y0, b.y0) + min(a.y1, b.y1)
    return x / 2, y / 2


def _beside(drawn: Sequence[Picture]) -> Any:  # noqa: ANN401 - (h, w, 3) uint8
    limits = pictures.contrast(drawn)
    grey = [np.where(one.mask, shapes.grey(one.pixels, *limits), 0) for one in drawn]
    first, second = (each.astype(np.uint8) for each in grey)
    middle = ((first.astype(int) + second) // 2).astype(np.uint8)
    over = np.dstack([first, middle, second])
    return shapes.joined([shapes.colors(first), shapes.colors(second), over], GAP_PX)
