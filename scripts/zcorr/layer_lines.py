"""Entries of ``ingest.layers``: layers that show one image twice, slices that were lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scripts.zcorr.qc import TWICE


def of(rows: Sequence[Mapping[str, Any]], names: Mapping[int, str]) -> str:
    """Return the entries.

    Parameters
    ----------
    rows
        Rows of `qc.rows`.
    names
        Layer id by z.

    Returns
    -------
    str
        Section ``ingest`` as YAML; empty when there is none.
    """
    there = [row["z"] for row in rows if row["z"] in names]
    before = dict(zip(there[1:], there[:-1], strict=True))
    lines = []
    for row in rows:
        z = row["z"]
        if (row["problem"] or "").startswith(TWICE) and z in names:
            lines.append(
                f"    - {{drop: {names[z]}, renumber: true, keep_z: false, reason: the image of the"
                f" next layer}}  # z {z}\n"
            )
        if row["lost_before"] and z in before:
            lines.append(
                f"    - {{gap: 1, after: {names[before[z]]}, renumber: true, reason: a slice was"
                f" lost}}  # between z {before[z]} and {z}\n"
            )
    return f"ingest:\n  layers:\n{''.join(lines)}" if lines else ""
