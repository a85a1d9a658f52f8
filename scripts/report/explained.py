"""Explained: what each figure of the report is, in which unit, and which values are good."""

from __future__ import annotations

CARDS = {
    "left between neighbouring layers": (
        "What is left of the misalignment of a layer and the next, measured on the "
        "pixels of the aligned stack, root of the mean square with its error, px. Good: "
        "below half a px; the eye sees one."
    ),
    "left at seams": (
        "What is left where two tiles of a layer overlap, measured on pixels, root of "
        "the mean square with its error, px. Good: below 0.3 px."
    ),
    "layers": "Layers of the volume, declared gaps among them.",
    "tiles": "Tiles that were imaged and numbered.",
    "pairs with matches": (
        "Pairs of tiles that were compared and have matches, of all that were compared. "
        "Good: above 90 %; bare resin has none."
    ),
    "residual, median": (
        "How far the matches of a tile are from one another after the solve, median of "
        "the tiles, px. It says whether matches agree, not whether they are right. "
        "Good: below 0.5 px."
    ),
    "correlation with next, median": (
        "Likeness of a layer with the next one, 1 = equal. Good: above 0.7 for tissue "
        "at 8 nm; it falls with noise and with thicker layers."
    ),
    "jitter against the truth, rms": (
        "Error of the place of a tile against the same tile in the next layer; known "
        "for simulated acquisitions only, px."
    ),
    "voxels exported": "Size of the volume at full resolution.",
}
PLOTS = {
    "left_over": (
        "Per layer: misalignment that is left, measured on pixels, px. Flat and below "
        "0.5 is good; a peak is a layer to look at, a plateau a run of layers."
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
}
