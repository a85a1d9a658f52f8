"""The page of the review; also there when the gate fails."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from scripts.lib import commands
from scripts.lib.pages import message as messages
from scripts.lib.pages import page as pages
from scripts.lib.pages.page import (
    Code,
    Facts,
    Html,
    Part,
    Pictures,
    Plots,
    Section,
    Table,
    Text,
)
from scripts.lib.pages.pictures import Shown
from scripts.lib.service.records import CanvasMatches, TileSpec
from scripts.review import pictures
from scripts.review.patches import Place
from scripts.review.statistics import Pairs
from scripts.review.survey import Read

MOST_PROPOSALS = 40  # with pictures; the tables name all
MOST_PAIRS = 6
MOST_ROWS = 60  # of a table
Row = Mapping[str, str]
_LATER = Markup('<div id="thickness"><p>{}</p></div>\n<script src="thickness.js"></script>')


def patch_strips(rows: Sequence[Row], at: Mapping[Place, TileSpec], read: Read) -> list[Shown]:
    """Show the tiles that are, or should be, patched; the highest scores first.

    Parameters
    ----------
    rows
        Rows of ``review/patches.tsv``.
    at
        Tile specs by place.
    read
        Gives the image of a tile.

    Returns
    -------
    list of Shown
        At most `MOST_PROPOSALS`.
    """
    out = []
    for row in sorted(rows, key=lambda row: -float(row["score"] or 0))[:MOST_PROPOSALS]:
        place = (float(row["z"]), int(row["row"]), int(row["column"]))
        title = f"patch · {row['state']} · z {row['z']}, cell {row['row']},{row['column']}"
        caption = f"{row['reason']} (score {row['score']}); taken from {row['source_id']}"
        shown = pictures.strip(place, at, read, title, caption)
        out += [shown] if shown else []
    return out


def trim_strips(
    entries: Sequence[Mapping[str, Any]], tiles: Sequence[Row], at: Mapping[Place, TileSpec],
    read: Read,
) -> list[Shown]:  # fmt: skip
    """Show the last layer of each range that is, or should be, trimmed, with the one after it.

    Parameters
    ----------
    entries
        Proposals, form of ``review.exclude``.
    tiles
        Rows of ``review/tiles.tsv``, for their scores.
    at
        Tile specs by place.
    read
        Gives the image of a tile.

    Returns
    -------
    list of Shown
        At most `MOST_PROPOSALS`.
    """
    out = []
    for entry in entries[:MOST_PROPOSALS]:
        row, column = (int(n) for n in entry["cells"][0].split(","))
        inside = [
            float(tile["score"])
            for tile in tiles
            if (int(tile["row"]), int(tile["column"])) == (row, column)
            and entry["z_first"] <= float(tile["z"]) <= entry["z_last"]
            and tile["score"]
        ]
        score = f"score {np.median(inside):.2f}" if inside else "no score"
        title = f"trim · cell {row},{column}, z {entry['z_first']:g} to {entry['z_last']:g}"
        place = (float(entry["z_last"]), row, column)
        shown = pictures.strip(place, at, read, title, f"{entry['reason']} ({score})")
        out += [shown] if shown else []
    return out


def thickness_strips(
    entries: Sequence[Mapping[str, Any]], at: Mapping[Place, TileSpec], read: Read
) -> list[Shown]:
    """Show the tiles that the thickness would take out, each of one layer.

    Parameters
    ----------
    entries
        Proposals, form of ``review.exclude``.
    at
        Tile specs by place.
    read
        Gives the image of a tile.

    Returns
    -------
    list of Shown
        At most `MOST_PROPOSALS`.
    """
    out = []
    for entry in entries[:MOST_PROPOSALS]:
        row, column = (int(n) for n in entry["cells"][0].split(","))
        title = f"thickness · z {entry['z_first']:g}, cell {row},{column}"
        place = (float(entry["z_first"]), row, column)
        shown = pictures.strip(place, at, read, title, str(entry["reason"]))
        out += [shown] if shown else []
    return out


def thickness_part(shown: Sequence[Shown], count: int, lines: str) -> str:
    """Return the script that fills the page's place for the proposals of the thickness.

    A script, since pages opened from a disk may read nothing else of the files beside them.

    Parameters
    ----------
    shown
        Pictures of some of them.
    count
        How many there are.
    lines
        The proposals as YAML.

    Returns
    -------
    str
        JavaScript.
    """
    few = f"{len(shown)} of {count:,} shown" if count > len(shown) else f"{count}"
    where = Markup(
        "Tiles of layers that, aligned, fit neither neighbor ({}); the layers as aligned, and all"
        ' correlations, are in <a href="../zcorr/thickness.html">the page of the thickness</a>.'
    ).format(few)
    paste = (
        "To take them out of the next solve, add to the config"
        f" ({commands.module('scripts.lib.paste', '--write')} puts it into a section that is"
        " there):"
    )
    block = f"review:\n{textwrap.indent(lines, '  ')}"
    parts: list[Part] = [Text(where), Pictures(shown), Text(paste), Code(block)]
    text = pages.fragment(parts if count else [Text("None.")]).strip()
    return f'document.getElementById("thickness").innerHTML = {json.dumps(text)};\n'


def worst(pairs: Pairs) -> list[int]:
    """Return the rows of the saved pairs of one layer or the next with the fewest matches.

    Parameters
    ----------
    pairs
        Columns of all attempted pairs.

    Returns
    -------
    list of int
        At most `MOST_PAIRS` indices, half of them of one layer.
    """
    near = np.flatnonzero((pairs["saved"] == 1) & (pairs["dz"] <= 1))
    chosen: list[int] = []
    for kind in (0, 1):
        part = near[pairs["dz"][near] == kind]
        order = np.lexsort((-np.nan_to_num(pairs["rms_px"][part]), pairs["count"][part]))
        chosen += part[order][: MOST_PAIRS // 2].tolist()
    return chosen


def pair_picture(pairs: Pairs, i: int, found: CanvasMatches, tiles: Mapping[str, TileSpec],
                 read: Read) -> Shown:  # fmt: skip
    """Show a pair with its matches.

    Parameters
    ----------
    pairs
        Columns of all attempted pairs.
    i
        Index of the pair.
    found
        Its matches.
    tiles
        Tile specs by tile id.
    read
        Gives the image of a tile.

    Returns
    -------
    Shown
        A JPEG.
    """
    title = f"{pairs['count'][i]} matches · {pairs['run'][i]}, stage {pairs['stage'][i]}"
    caption = f"{found.p_id} and {found.q_id}, residual {pairs['rms_px'][i]:.2f} px"
    return pictures.pair(found, tiles[found.p_id], tiles[found.q_id], read, title, caption)


def page(
    *,
    volume: str,
    figures: Mapping[str, Any],
    sections: Sequence[tuple[str, Sequence[Shown]]],
    tables: Sequence[Table],
    proposals: str,
    plots: Mapping[str, Any],
    closed: tuple[str, str] | None = None,
) -> str:
    """Return the page of the review.

    Parameters
    ----------
    volume
        Name of the volume.
    figures
        ``review/clusters.json``.
    sections
        Titles and pictures.
    tables
        What `tables` gives.
    proposals
        ``review/proposals.yaml`` as text.
    plots
        Bokeh figures by name.
    closed
        What a closed gate says, and the lines that open it; None when it opens.

    Returns
    -------
    str
        HTML.
    """
    later = "They come with the stage after the solve, zcorr; open the page again then."
    paste = (
        "What is proposed (with review.auto: true: what was done)."
        f" {commands.module('scripts.review.decide')} shows it as a change of the config, beside"
        " what is there; --write makes it."
    )
    return pages.render(
        f"{volume} · review of the matches",
        [
            *(Section(title, [Pictures(shown)] if shown else []) for title, shown in sections),
            Section(
                "Over the layers",
                [Plots(list(plots))],
                "Dotted lines are restarts of the microscope.",
            ),
            Section("Lines for the config", [Text(paste), Code(proposals)]),
            Section("Proposals of the thickness", [Html(_LATER.format(later))]),
            Section("Tables", list(tables)),
        ],
        here="review/index.html",
        volume=volume,
        lead=[*_banner(closed), Facts(_rows(figures))],
        figures=plots,
    )


def _banner(closed: tuple[str, str] | None) -> list[Part]:
    """Say first that the gate does not open, why, and which lines open it."""
    if closed is None:
        return []
    message, lines = closed
    return [*messages.parts(message, "warn"), *messages.parts(lines)]


def _rows(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    after, kinds = figures["after"], figures["kinds"]
    sizes = [one["tiles"] for one in after["clusters"]]
    return [
        ("tiles", f"{figures['tiles']:,}"),
        ("pairs", f"{figures['pairs_saved']:,} joined, {figures['pairs_attempted']:,} tried"),
        ("clusters", f"{len(sizes)}, the largest of {max(sizes, default=0):,} tiles"),
        ("unconnected tiles", f"{after['unconnected']:,}"),
        ("resin", f"{kinds['resin']:,} tiles"),
        ("damaged, not patched", f"{kinds['damaged']:,} tiles"),
        ("patches", f"{figures['patches_held']:,} of {figures['patches']:,} hold"),
        ("excluded", f"{figures['excluded']:,}, {figures['excluded_auto']:,} automatically"),
        ("bridges", f"{figures['derived_pairs']:,} derived pairs"),
    ]


def tables(
    figures: Mapping[str, Any],
    tiles: Sequence[Row],
    edges: Sequence[Row],
    statistics: Sequence[Row],
) -> list[Table]:
    """Return the tables of the page.

    Parameters
    ----------
    figures
        ``review/clusters.json``.
    tiles, edges, statistics
        Rows of the tables of these names in ``review/``.

    Returns
    -------
    list of Table
        Clusters, loose tiles, gaps, statistics; at most `MOST_ROWS` rows each.
    """
    shown = ["by", "run", "key", "planned", "saved", "saved_pct", "matches_median", "rms_px_median"]
    clusters = [
        [c["cluster"], f"{c['tiles']:,}", f"{c['z_first']:g} to {c['z_last']:g}",
         " ".join(c["cells"][:12])]
        for c in figures["after"]["clusters"]
    ]  # fmt: skip
    loose = [
        [t["tile_id"], t["state"], t["kind"], t["reason"]]
        for t in tiles
        if t["state"] in ("unconnected", "small_cluster")
    ]
    gaps = sorted(edges, key=lambda row: -int(row["layers"]))
    listed: list[tuple[str, list[str], list[list[Any]]]] = [
        ("Clusters", ["cluster", "tiles", "z", "cells"], clusters),
        ("Tiles outside the largest cluster", ["tile", "state", "kind", "reason"], loose),
        ("Edges without matches, longest first", ["cells", "z", "layers", "bridged"],
         [[f"{g['row_a']},{g['column_a']} – {g['row_b']},{g['column_b']}",
           f"{g['z_first']} to {g['z_last']}", g["layers"], g["bridged"]] for g in gaps]),
        ("Pairs by stage, distance, cell and edge", shown,
         [[row[name] for name in shown] for row in statistics if row["by"] != "z"]),
    ]  # fmt: skip
    return [Table(*one, most=MOST_ROWS, where="review/*.tsv") for one in listed]
