"""Damage of a slab that was read back: its faults, and what of it stays good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scripts.export import pyramid, slabs, stored
from scripts.export.journal import Journal
from scripts.export.slabs import Plan

Row = dict[str, Any]

_MOST_LINES = 20


def faults(plan: Plan, record: Mapping[str, Any]) -> list[Row]:
    """Return the records of all levels and targets that are not as stored.

    Parameters
    ----------
    plan
        The export.
    record
        Of a slab.

    Returns
    -------
    list of dict
        Records with level and fault.
    """
    return [
        fault | {"level": level}
        for kind, each in plan.kinds.items()
        for target in each.targets
        for level, rows in enumerate(record[kind])
        for fault in stored.faults(each, target, level, rows)
    ]


def keep_good(
    plan: Plan, record: Mapping[str, Any], found: Sequence[Row], journal: Journal
) -> None:
    """Write the columns without fault into the journal, as an interrupted job would have.

    Parameters
    ----------
    plan
        The export.
    record
        Of the slab.
    found
        Its faults.
    journal
        Of the slab's job.
    """
    journal.remove()
    for area in slabs.areas(plan, 0):
        if not any(_belongs(row, row["level"], area) for row in found):
            rows = {
                kind: [
                    [row for row in rows if _belongs(row, level, area)]
                    for level, rows in enumerate(record[kind])
                ]
                for kind in plan.kinds
            }
            journal.add(area, rows)


def _belongs(row: Mapping[str, Any], level: int, area: tuple[slice, slice]) -> bool:
    """Tell whether a region of a level is part of a column, given at level 0."""
    return all(
        part.start <= start << level < part.stop
        for part, (start, _) in zip(area, row["zyx"][1:], strict=True)
    )


def message(chunk: str, found: Sequence[Row]) -> str:
    """Say what is wrong, the first twenty lines of it, and what the next run will do.

    Parameters
    ----------
    chunk
        Of the slab.
    found
        Its faults.

    Returns
    -------
    str
        For the user.
    """
    lines = "\n  ".join(row["fault"] for row in found[:_MOST_LINES])
    return (
        f"export: slab {chunk} has {len(found)} faults\n  {lines}\nThe damaged blocks are written"
        " again by the next run: render_slab takes the list of them as an input."
    )


def summary(plan: Plan, record: Mapping[str, Any]) -> Row:
    """Count what was read back.

    Parameters
    ----------
    plan
        The export.
    record
        Of the slab.

    Returns
    -------
    dict
        chunk, formats, and regions and voxels by level.
    """
    levels = [{"regions": len(rows), "voxels": pyramid.voxels(rows)} for rows in record["levels"]]
    formats = [target.format for target in plan.targets]
    return {"chunk": record["chunk"], "formats": formats, "levels": levels}
