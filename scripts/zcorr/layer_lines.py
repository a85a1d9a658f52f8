"""Entries of ``ingest.layers``: layers shown twice, slices lost, layers without any file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scripts.zcorr.qc import TWICE


def of(
    rows: Sequence[Mapping[str, Any]],
    names: Mapping[int, str],
    missing: Sequence[Mapping[str, str]] = (),
) -> str:
    """Return the entries.

    Parameters
    ----------
    rows
        Rows of `qc.rows`.
    names
        Layer id by z.
    missing
        Rows of ``ingest/missing_layers.tsv``: layers without any file.

    Returns
    -------
    str
        Section ``ingest`` as YAML; empty when there is none.
    """
    there = [row["z"] for row in rows if row["z"] in names]
    before = dict(zip(there[1:], there[:-1], strict=True))
    absent = {int(row["z"]): row["layers"] for row in missing}
    lines = []
    for row in rows:
        z = row["z"]
        if (row["problem"] or "").startswith(TWICE) and z in names:
            lines.append(
                f"    - {{drop: {names[z]}, renumber: true, keep_z: false, reason: the image of the"
                f" next layer}}  # z {z}\n"
            )
        if z in before and (row["lost_before"] or z in absent):
            why = "no file of it" if z in absent else "a slice was lost"
            lines.append(
                f"    - {{gap: {absent.get(z, 1)}, after: {names[before[z]]}, renumber: true,"
                f" reason: {why}}}  # between z {before[z]} and {z}\n"
            )
    return f"ingest:\n  layers:\n{''.join(lines)}" if lines else ""
