"""Causes: why a gate does not open, in one sentence each, before what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from scripts.lib.names import STAGE_STOPS
from scripts.review.edges import runs
from scripts.review.evidence import Evidence
from scripts.review.statistics import in_words
from scripts.review.suspects import NO_STRUCTURE

NAMED = 4  # parts, reasons or layers in one sentence
FEW_SAVED = 0.5  # share of the pairs of a kind: below it the matching is the cause
NEAR = ("montage", "dz1", "dz2")  # kinds of pairs; how far others match is the tissue's affair
LEAST_PART = 0.02  # of the tiles: what is smaller is no part of the volume
_COUNTS = ("run", "stage", "processed", "saved", "saved_pct", *STAGE_STOPS.values())


def causes(found: Evidence) -> list[str]:
    """Say what lies behind the checks that fail.

    Parameters
    ----------
    found
        What the gate looks at.

    Returns
    -------
    list of str
        Sentences without a full stop, those that explain most first.
    """
    disorder = found.figures.get("order") or {}
    if disorder:  # what lies beside one another does not match then, and falls into parts
        return [disorder["says"], *_flips(found)]
    asked = (_exchanged, _unsaved, _flips, _bare_layers, _parts, _bare_edges)
    return [sentence for one in asked for sentence in one(found)]


def _exchanged(found: Evidence) -> Iterator[str]:
    """Yield the cells that show each other's image: good ones, that look damaged where they are."""
    rows = found.exchanged
    shown = "; ".join(f"{' and '.join(one['cells'])} of z {one['z']:g}" for one in rows[:NAMED])
    more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
    if rows:
        yield (
            f"cells {shown}{more} are exchanged: each shows what the other shows in the layers"
            " around, as where files got each other's name; nothing of them is damaged"
        )


def _unsaved(found: Evidence) -> Iterator[str]:
    """Yield what became of the pairs where most of them were not saved."""
    saved = found.figures["saved"]
    low = {
        kind: one
        for kind, one in saved.items()
        if kind in NEAR and one["planned"] and one["saved"] < FEW_SAVED * one["planned"]
    }
    if not low:
        return
    yield from _bare_cells(found)
    counts = " and ".join(
        f"{one['saved']} of {one['planned']} {in_words(kind)}" for kind, one in low.items()
    )
    why = Counter[str]()
    for row in found.summary:
        why.update({name: int(n or 0) for name, n in row.items() if name not in _COUNTS})
    words = ", ".join(f"{word} ({n})" for word, n in why.most_common(NAMED) if n)
    yield f"{counts} were saved{f': {words}' if words else ''}; match.preset is {found.preset}"


def _bare_cells(found: Evidence) -> Iterator[str]:
    """Yield the cells of resin that nothing joins: no matching is at fault for their pairs."""
    cells: dict[str, list[float]] = {}
    for row in found.tiles:
        if row.get("kind") == "resin" and row["state"] != "ok":
            cells.setdefault(f"{row['row']},{row['column']}", []).append(float(row["z"]))
    count = sum(map(len, cells.values()))
    if count < max(1, LEAST_PART * len(found.tiles)):
        return
    most = sorted(cells.items(), key=lambda item: -len(item[1]))
    shown = "; ".join(f"cell {cell}, z {_range(min(z), max(z))}" for cell, z in most[:NAMED])
    more = f" and {len(cells) - NAMED} more cells" if len(cells) > NAMED else ""
    yield (
        f"{count} of {len(found.tiles)} tiles show bare resin ({shown}{more}): they have nothing to"
        " match, and their pairs count among those that were not saved"
    )


def _flips(found: Evidence) -> Iterator[str]:
    layers = found.figures.get("contrast_flips", [])
    if layers:
        shown = ", ".join(f"{z:g}" for z in layers[:NAMED])
        more = f" and {len(layers) - NAMED} more" if len(layers) > NAMED else ""
        yield (
            f"contrast flips at z {shown}{more}: there most tiles look like the negative of the"
            " layer before, and nothing matches"
        )


def _bare_layers(found: Evidence) -> Iterator[str]:
    """Yield the layers that leave the volume as a whole, since none of their tiles shows tissue."""
    layers: dict[float, list[bool]] = {}
    for row in found.tiles:
        shows_none = row.get("kind") == "resin" or NO_STRUCTURE in row["reason"]
        bare = shows_none and row["reason"].startswith("auto:")
        layers.setdefault(float(row.get("z") or 0), []).append(bare)
    empty = [z for z, bare in layers.items() if all(bare)]
    if len(empty) >= max(1, LEAST_PART * len(layers)):
        ranges = [_range(run[0], run[-1]) for run in runs(empty)]
        more = f" and {len(ranges) - NAMED} more" if len(ranges) > NAMED else ""
        yield (
            f"layers z {', '.join(ranges[:NAMED])}{more} show no tissue: all tiles are noise or"
            f" bare resin ({len(empty)} of {len(layers)} layers), and nothing matches there"
        )


def parts_of(found: Evidence) -> list[Mapping[str, Any]]:
    """Return the parts that no match joins, those of a few tiles left out.

    Parameters
    ----------
    found
        What the gate looks at.

    Returns
    -------
    list of dict
        As ``review/clusters.json`` describes them, by their first layer.
    """
    clusters = found.figures["after"]["clusters"]
    if len(clusters) < 2:  # what lies outside of the largest part would leave
        clusters = found.figures.get("before", {}).get("clusters", [])
    least = LEAST_PART * sum(one["tiles"] for one in clusters)
    return sorted(
        (one for one in clusters if one["tiles"] >= least), key=lambda one: float(one["z_first"])
    )


def _parts(found: Evidence) -> Iterator[str]:
    parts = parts_of(found)
    if len(parts) < 2:
        return
    along_z = all(a["z_last"] < b["z_first"] for a, b in zip(parts[:-1], parts[1:], strict=True))
    number = f"the volume is in {_number(len(parts))} parts"
    if along_z:
        between = [
            _range(a["z_last"] + 1, b["z_first"] - 1)
            if b["z_first"] - a["z_last"] > 1
            else f"{a['z_last']:g} to {b['z_first']:g}"
            for a, b in zip(parts[:-1], parts[1:], strict=True)
        ]
        where = " and ".join(_range(one["z_first"], one["z_last"]) for one in parts[:NAMED])
        yield f"{number}, z {where}; nothing matches across z {', '.join(between[:NAMED])}"
    else:
        yield f"{number}: " + "; ".join(_place(one) for one in parts[:NAMED])


def _bare_edges(found: Evidence) -> Iterator[str]:
    for cells, (left, layers) in found.seams().items():
        if left == layers:
            yield (
                f"cells {cells[0]},{cells[1]} and {cells[2]},{cells[3]} have no match in any of"
                f" their {layers} layers"
            )


def _place(part: Mapping[str, Any]) -> str:
    cells = " ".join(part["cells"][:NAMED])
    return f"cells {cells}, z {_range(part['z_first'], part['z_last'])}"


def _range(first: float, last: float) -> str:
    return f"{first:g}" if first == last else f"{first:g}–{last:g}"


def _number(n: int) -> str:
    return {2: "two", 3: "three", 4: "four"}.get(n, str(n))
