"""Explained: what each figure of the report is, in which unit, and which values are good."""

from __future__ import annotations

from collections.abc import Mapping

from scripts.lib.verdicts import Limit

LEFT_OVER = "solve.misalignment.look_px"
# figure -> what it is, the limit that it is judged by, its unit
CARDS = {
    "misalignment between neighbouring layers": (
        "How far a layer still lies beside the next one after the alignment, measured on the "
        "pixels of the aligned stack: root of the mean square over all places, with its standard "
        "error, in px and in nm. The eye sees one px.",
        LEFT_OVER,
        " px",
    ),
    "misalignment at seams": (
        "How far two tiles of a layer still lie beside each other where they overlap, measured on "
        "pixels: root of the mean square, with its standard error, in px and in nm.",
        LEFT_OVER,
        " px",
    ),
    "layers": ("Layers of the volume, declared gaps among them.", "", ""),
    "tiles": ("Tiles that were imaged and numbered.", "", ""),
    "pairs with matches": (
        "Pairs of tiles with matches, of all that were compared; bare resin has none, and layers "
        "further apart have fewer. The verdict counts tissue alone, within layers and between "
        "neighbouring ones (report.limits.saved_pct).",
        "",
        "",
    ),
    "residual, median": (
        "How far the matches of a tile are from one another after the solve, median of "
        "the tiles, px. It says whether matches agree, not whether they are right.",
        "report.limits.residual_px",
        " px",
    ),
    "correlation with next, median": (
        "Likeness of a layer with the next one, 1 = equal; it falls with noise and with thicker "
        "layers.",
        "report.limits.correlation_next",
        "",
    ),
    "jitter against the truth, rms": (
        "Error of the place of a tile against the same tile in the next layer; known "
        "for simulated acquisitions only, px.",
        "",
        "",
    ),
    "voxels, x × y × z": (
        "Size of the volume at full resolution; how large a voxel is stands under Export.",
        "",
        "",
    ),
}
PLOTS = {
    "left_over": (
        "Per layer: misalignment that is left, measured on pixels, px. Flat is good; "
        "a peak is a layer to look at, a plateau a run of layers. The diamond is the worst place "
        "that pictures show: what is left there for certain is most. A point above it has a "
        "greater error."
    ),
    "left_over_map": (
        "The same at each place of the grid (row-column) over z, px. A dark stripe down "
        "is a layer, along a row is a tile position."
    ),
    "match_share": (
        "Share of the pairs that have matches, %, per place of the grid over z. Blue is "
        "good; resin is orange."
    ),
    "match_counts": "Matches of a pair, median. It should not fall towards 20.",
    "review_states": "What became of every tile.",
    "residuals": (
        "How far the matches of each tile disagree after the solve, px. A tile far "
        "above the others is bent, wrong or at the edge of resin."
    ),
    "residual_histogram": (
        "Residuals of pairs, px: those of a layer should be smaller than those across layers."
    ),
    "deviation": (
        "How far the solve moved each layer from where the stage was, px: drift and "
        "jumps that were taken out."
    ),
    "correlation": "Likeness of a layer with the next, 1 = equal. Dips are bad layers.",
    "thickness": (
        "Thickness of each layer, in nominal layers, with twice its standard error as a "
        "band; and how far its z was moved. Flat at 1 is even milling."
    ),
    "grey_values": (
        "How often each grey value of 16 bit is, % of the pixels looked at. What lies left of the "
        "first dotted line is black in 8 bit, right of the second white: both should stand at the "
        "feet of the hill. Elsewhere change export.contrast."
    ),
    "black_and_white": (
        "Which 16-bit values are black and white in 8 bit, over z. Slow changes follow the "
        "specimen and the detector; a step is a change of the microscope's settings."
    ),
}


def cards(limits: Mapping[str, Limit], left_px: float | None = None) -> dict[str, str]:
    """Return what each headline figure is, and which values are good.

    Parameters
    ----------
    limits
        Of ``report.limits``, by name.
    left_px
        ``solve.misalignment.look_px``; None = not known.

    Returns
    -------
    dict of str
        By figure; without its limit nothing is said of what is good.
    """
    known = {f"report.limits.{name}": limit for name, limit in limits.items()}
    if left_px is not None:
        known[LEFT_OVER] = Limit(left_px, 2 * left_px)
    return {
        name: f"{text}{_good(known[key], key, unit) if key in known else ''}"
        for name, (text, key, unit) in CARDS.items()
    }


def _good(limit: Limit, key: str, unit: str) -> str:
    side = "below" if limit.look < limit.not_good else "above"
    return f" Good: {side} {limit.look:g}{unit} ({key})."
