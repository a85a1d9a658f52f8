"""The doctor's look at the times of layers: layers of which no `.dat` file is there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scripts.lib import commands
from scripts.lib.numerics import cadence
from scripts.transfer.finding import NOTE, Case, Finding

_MOST_NAMED = 5


def lacking(case: Case) -> Iterator[Finding]:
    """Tell of times between two layers that are a multiple of what a layer takes.

    A note: times in names are a hint, the headers' FIBSliceNum is read by ingest.

    Parameters
    ----------
    case
        The volume.

    Yields
    ------
    Finding
        One at most.
    """
    names = sorted(case.layers, key=lambda name: name.order)
    times = np.array([name.time.timestamp() for name in names])
    gap_s = np.diff(times, prepend=np.nan)
    limit = float(case.config["ingest"]["restart"]["max_gap_s"])
    missing, usual = cadence.by_time(gap_s, limit)
    entries = case.config["ingest"]["layers"]
    gaps = {str(entry.get("after")): int(entry["gap"]) for entry in entries if "gap" in entry}
    moved = {str(entry["move"]) for entry in entries if "move" in entry}
    found = [
        (i, int(missing[i]) - gaps.get(names[i - 1].layer_id, 0))
        for i in np.flatnonzero(missing).tolist()
        if not {names[i - 1].layer_id, names[i].layer_id} & moved
    ]
    found = [(i, count) for i, count in found if count > 0]
    if not found:
        return
    shown = "; ".join(
        f"{count} between {names[i - 1].layer_id} and {names[i].layer_id} ({gap_s[i]:.0f} s, where"
        f" {usual[i]:.0f} s are usual)"
        for i, count in found[:_MOST_NAMED]
    )
    more = f"; and {len(found) - _MOST_NAMED} more places" if len(found) > _MOST_NAMED else ""
    lines = ", ".join(
        f"{{gap: {count}, after: {names[i - 1].layer_id}, reason: no file of it}}"
        for i, count in found[:_MOST_NAMED]
    )
    yield Finding(
        NOTE,
        "transfer.dat_root",
        f"times as if {sum(n for _, n in found)} layer(s) had no files: {shown}{more}",
        "files of every layer",
        "Nothing to do where the microscope has paused; else bring the files, or keep the places"
        " now, before layers are numbered:"
        f" {commands.module('scripts.lib.paste', '--write')} puts in the line (give it that, then"
        f" Ctrl-D) ingest: {{layers: [{lines}]}}",
    )
