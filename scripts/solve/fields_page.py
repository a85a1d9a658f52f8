"""The page of the fields: what the affines have left over place and layer, and what was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scripts.lib.arrays import Array, Int64
from scripts.lib.pages import page, pictures, plots
from scripts.lib.pages.page import Pictures, Plots, Section, Table, Text
from scripts.solve.displacements import Displacements

HERE = "solve/refinement.html"
_ENLARGED = 24  # px of the picture for each place
_NOTE = (
    "Each place is a window of a tile against the next layer, as the affines placed them, less the"
    " mean of that place over all layers (the trend of the tissue)."
)
_BANDS = (
    "Modes of a tile, the coarsest first: how far they move from layer to layer, how alike that is"
    " one to eight layers on, and which share of it comes and goes as bends do. What tissue does"
    " goes on in one direction and is nowhere negative."
)


def render(
    figures: Mapping[str, Any], parts: Sequence[Displacements], cells: Mapping[str, str],
    shape: tuple[int, int],
) -> str:  # fmt: skip
    """Return the page.

    Parameters
    ----------
    figures
        ``solve/refinement.json``.
    parts
        Displacements.
    cells
        Cell by tile id, of the tiles of one lattice.
    shape
        Rows and columns of its windows.

    Returns
    -------
    str
        HTML.
    """
    place, z, px = _left(parts, cells)
    sections = []
    if len(z):
        shown = _map(place, px, shape)
        sections.append(Section("Over place", [Pictures([shown])], _NOTE))
        names = np.array([f"{k // shape[1]}-{k % shape[1]}" for k in place])
        drawn = {
            "over": plots.worst_map("What is left", "row-column of a tile", names, z, px, "px")
        }
        sections.append(Section("Over layers", [Plots(list(drawn))], "Layers from left to right."))
    else:
        drawn = {}
    header = ["modes", "px", *(f"{k} on" for k in range(1, 9)), "bends"]
    rows = [
        [band["modes"], f"{band['px']:.3f}", *band["over_layers"], f"{band['bent_share']:.2f}"]
        for band in figures.get("bands", ())
    ]
    sections.append(Section("What moves, and what bends", [Table("", header, rows)], _BANDS))
    lead = [Text(sentence(figures), "note")]
    return page.render("Fields of tiles", sections, here=HERE, lead=lead, figures=drawn)


def sentence(figures: Mapping[str, Any]) -> str:
    """Say what was chosen.

    Parameters
    ----------
    figures
        ``solve/refinement.json``.

    Returns
    -------
    str
        One sentence.
    """
    if figures["prior"] is None:
        return f"No tile gets a field: {figures['reason']}."
    return (
        f"Tiles bend by {figures['bent_px']:.2f} px from layer to layer; fields are expected to"
        f" leave {figures['left_px']:.2f} px (bending {figures['prior']['bending']:g}, size"
        f" {figures['prior']['ridge']:g})."
    )


def _left(parts: Sequence[Displacements], cells: Mapping[str, str]) -> tuple[Int64, Array, Array]:
    """Return place, layer and px of all windows, less the mean of their place."""
    found = []
    for part in parts:
        own = np.array([tile_id in cells for tile_id in part.p_id], bool)
        use = np.flatnonzero((part.window >= 0) & own[part.pair])
        pair = part.pair[use]
        key = np.array([f"{cells[i]}/" for i in part.p_id[pair]], dtype=np.str_)
        names = np.char.add(key, part.window[use].astype(np.str_))
        _, at = np.unique(names, return_inverse=True)
        mean = [
            np.bincount(at, part.shift[use, k]) / np.maximum(np.bincount(at), 1) for k in (0, 1)
        ]
        left = part.shift[use] - np.column_stack(mean)[at] if len(use) else np.empty((0, 2))
        found.append(np.column_stack([part.window[use], part.z[pair], np.hypot(*left.T)]))
    whole = np.concatenate(found) if found else np.empty((0, 3))
    return whole[:, 0].astype(np.int64), whole[:, 1], whole[:, 2]


def _map(place: Int64, px: Array, shape: tuple[int, int]) -> pictures.Shown:
    """Draw the rms of each place of a tile."""
    count = np.bincount(place, minlength=shape[0] * shape[1])
    square = np.bincount(place, px**2, minlength=shape[0] * shape[1])
    rms = np.sqrt(square / np.maximum(count, 1)).reshape(shape)
    high = max(float(rms.max()), 1e-6)
    picture = np.kron(pictures.grey(rms, 0, high), np.ones((_ENLARGED, _ENLARGED), np.uint8))
    caption = (
        f"rms over all layers, px; black 0, white {high:.2f}; mean {float(rms.mean()):.2f},"
        f" least {float(rms.min()):.2f}"
    )
    return pictures.shown(picture, "What is left at each place of a tile", caption, pixelated=True)
