"""The estimate as a person reads it on the terminal: a table of at most 30 lines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scripts.transfer.estimate import MOST_NOTES, Limits
from scripts.transfer.extent import Extent
from scripts.transfer.storage import Kept, peak_gb

HEADER = ("stage", "jobs", "done", "core-hours", "used", "asked MB", "expected", "wall time left")


def lines(
    extent: Extent,
    stages: Sequence[Mapping[str, Any]],
    stored: Sequence[Kept],
    limits: Limits,
    found: Mapping[str, Any],
) -> list[str]:
    """Return the estimate in lines.

    Parameters
    ----------
    extent
        Size of the volume.
    stages
        Sums of the stages.
    stored
        Space.
    limits
        What runs side by side.
    found
        Number of rules with ``rates`` of each kind (``table``, ``measured``, ``done``), ``notes``
        of what does not fit, and ``earlier`` estimates with what was used.

    Returns
    -------
    list of str
        The first says how large the volume is.
    """
    size = (
        f"{extent.layers:,} layers, {extent.tiles:,} tiles of {extent.tile_mpx:.2f} Mpx,"
        f" {_hours(extent.gvoxels)} Gvoxel, from {extent.source}"
    )
    total = {key: sum(each[key] for each in stages) for key in _SUMS}
    total |= {key: max(each[key] for each in stages) for key in ("asked_mb", "peak_mb")}
    table = [HEADER, *map(_cells, stages), _cells({"stage": "all", **total})]
    widths = [max(len(row[i]) for row in table) for i in range(len(HEADER))]
    side = f"{limits.parallel} {'jobs' if limits.cluster else 'cores'} side by side"
    rates, notes, earlier = (found[key] for key in ("rates", "notes", "earlier"))
    shown = [
        *notes[:MOST_NOTES],
        *([f"{len(notes) - MOST_NOTES} more"] * (len(notes) > MOST_NOTES)),
    ]
    return [
        size,
        *("  ".join(map(_padded, row, widths)).rstrip() for row in table),
        f"wall time with {side}, without the wait of a queue",
        _space(stored),
        f"rates: {rates.get('measured', 0)} rules as measured on this volume,"
        f" {rates.get('done', 0)} done, {rates.get('table', 0)} as in config/rates.tsv",
        *(f"! {note}" for note in shown),
        *map(_compared, [*earlier[:1], *earlier[1:][-1:]]),
    ]


_SUMS = ("jobs", "jobs_done", "core_hours", "used_core_hours", "wall_h")


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        row["stage"],
        f"{row['jobs']:,}",
        f"{row['jobs_done']:,}",
        _hours(row["core_hours"]),
        _hours(row["used_core_hours"]),
        f"{row['asked_mb']:,.0f}",
        f"{row['peak_mb']:,.0f}",
        _span(row["wall_h"]),
    )


def _padded(cell: str, width: int) -> str:
    return cell.ljust(width) if cell[:1].isalpha() else cell.rjust(width)


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}"


def _span(hours: float) -> str:
    if hours < 1 / 60:
        return f"{hours * 3600:.0f} s"
    return f"{hours * 60:.0f} min" if hours < 2 else f"{hours:,.1f} h"


def _space(stored: Sequence[Kept]) -> str:
    now = math.fsum(each.now_gb for each in stored)
    kinds = ", ".join(f"{each.kind} {_hours(each.whole_gb)}" for each in stored)
    return f"space: {_hours(now)} GB now, {_hours(peak_gb(stored))} GB at the peak ({kinds})"


def _compared(each: Mapping[str, Any]) -> str:
    return (
        f"the estimate after {each['jobs_done']:,} jobs said {_hours(each['core_hours'])}"
        f" core-hours for what has ended since, {_hours(each['used_core_hours'])} were used:"
        f" a factor of {each['factor']:.2f}"
    )
