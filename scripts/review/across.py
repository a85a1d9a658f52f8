"""Across: two tiles on either side of a gap, to be matched by hand where nothing else helps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from scripts.lib import commands
from scripts.review.causes import parts_of
from scripts.review.evidence import Evidence, Row

PAGE = "docs/match-by-hand.md"


def by_hand(found: Evidence) -> str:
    """Return the last remedy of a volume in parts: the command for two tiles of each gap.

    Parameters
    ----------
    found
        What the gate looks at.

    Returns
    -------
    str
        Lines of text; empty where the volume is in one part.
    """
    parts = parts_of(found)
    pairs = [_nearest(found, a, b) for a, b in zip(parts[:-1], parts[1:], strict=True)]
    told = [commands.module("scripts.match.by_hand", *pair) for pair in pairs if pair]
    if not told:
        return ""
    return "\n".join(
        [
            f"\nWhere nothing else helps, tiles across a gap can be matched by hand ({PAGE}):",
            *told,
            "",
        ]
    )


def _nearest(
    found: Evidence, before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[str, str] | None:
    """Return a tile of either part that lie next to each other: moving, fixed; None without any.

    Where parts follow each other in z, the first of the later part in a cell that both have is put
    on the last of the earlier one; else two tiles of one layer and of neighboring cells.
    """
    pairs = list(_facing(found, before, after) or _beside(found, before, after))
    return min(pairs)[1:] if pairs else None


def _facing(
    found: Evidence, before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[tuple[float, str, str]]:
    if before["z_last"] >= after["z_first"]:
        return []
    old, new = (_at(found, part, z) for part, z in ((before, "z_last"), (after, "z_first")))
    return [(0.0, new[cell]["tile_id"], old[cell]["tile_id"]) for cell in new.keys() & old.keys()]


def _at(found: Evidence, part: Mapping[str, Any], end: str) -> dict[tuple[int, int], Row]:
    """Return the tiles of the first or last layer of a part, by cell."""
    cells = set(part["cells"])
    return {
        _cell(row): row
        for row in found.tiles
        if float(row["z"]) == part[end] and f"{row['row']},{row['column']}" in cells
    }


def _beside(
    found: Evidence, before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[tuple[float, str, str]]:
    """Yield pairs of neighboring cells in the middle of the layers that two parts share."""
    first = max(before["z_first"], after["z_first"])
    last = min(before["z_last"], after["z_last"])
    middle = (first + last) // 2
    rows = [row for row in found.tiles if float(row["z"]) == middle]
    sides = [[r for r in rows if r["cluster"] == str(part["cluster"])] for part in (before, after)]
    for one in sides[0]:
        for other in sides[1]:
            away = sum(abs(a - b) for a, b in zip(_cell(one), _cell(other), strict=True))
            yield float(away), other["tile_id"], one["tile_id"]


def _cell(row: Row) -> tuple[int, int]:
    return int(row["row"]), int(row["column"])
