"""Exported: seams of tiles as the stored voxels show them, beside what the alignment was judged by.

The export compares some layers of each chunk (``export/seams.tsv``). Volumes that were exported
before there was such a table have none of these figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from scripts.lib.arrays import Array
from scripts.lib.pages.text import number
from scripts.report import meeting
from scripts.report.gather import Evidence, Table

SURE = 2.0  # standard errors


def figures(evidence: Evidence) -> dict[str, Any]:
    """Return what is left at seams in the exported voxels, in a few figures.

    Parameters
    ----------
    evidence
        What the run left.

    Returns
    -------
    dict
        ``places``, ``layers``, ``measured``; ``p50_px``, ``p95_px``, ``max_px`` of the shift;
        ``correlation`` and ``correlation_p05`` of the grey levels as they lie (median and 5th
        percentile, -1 to 1); ``worst`` place with its shift less two standard errors and what the
        alignment was judged by there, px; ``judged``, the places that the placed pixels measured,
        and ``lost`` of them, in whose voxels no window finds its like. Empty without a table.
    """
    table = evidence["exported_seams"]
    if not table.found or not len(table):
        return {}
    known = meeting.known(table)
    judged, lost = _judged(evidence["misalignment"], table)
    out: dict[str, Any] = {"places": len(table), "layers": len(np.unique(table["voxel_z"]))}
    out |= {"measured": len(known), "judged": judged, "lost": lost}
    if not len(known):
        return out
    px, alike = known["px"], known["correlation"]
    alike = alike[np.isfinite(alike)]
    out |= {"p50_px": float(np.median(px)), "p95_px": float(np.percentile(px, 95))}
    out |= {"max_px": float(px.max()), "worst": _worst(evidence["misalignment"], known)}
    if len(alike):
        out["correlation"] = float(np.median(alike))
        out["correlation_p05"] = float(np.percentile(alike, 5))
    return out


def _judged(placed: Table, table: Table) -> tuple[int, int]:
    """Count the places that placed pixels measured, and those of them without a window."""
    before = _by_pair(meeting.known(placed))
    pairs = zip(table["p_id"].tolist(), table["q_id"].tolist(), strict=True)
    was = np.array([frozenset(pair) in before for pair in pairs], bool)
    return int(was.sum()), int((was & (table["used"] == 0)).sum())


def _by_pair(placed: Table) -> Mapping[frozenset[str], float]:
    own = placed.where(placed["kind"] == "seam")
    columns = (own[name].tolist() for name in ("p_id", "q_id", "px"))
    return {frozenset((p, q)): px for p, q, px in zip(*columns, strict=True)}


def _worst(placed: Table, known: Table) -> dict[str, Any]:
    sure = _sure(known)
    row = known.where(np.arange(len(known)) == int(np.argmax(sure))).rows()[0]
    before = _by_pair(meeting.known(placed)).get(frozenset((row["p_id"], row["q_id"])))
    names = ("z", "p_id", "q_id", "px", "error_px")
    return {name: row[name] for name in names} | {"sure_px": float(sure.max()), "judged_px": before}


def _sure(known: Table) -> Array:
    return np.asarray(known["px"] - SURE * np.nan_to_num(known["error_px"]))


def rows(seams: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the figures as names and values.

    Parameters
    ----------
    seams
        What `figures` returns.

    Returns
    -------
    list of tuple
        Empty where nothing was compared.
    """
    if not seams:
        return []
    told = f"{seams['measured']:,} of {seams['places']:,} places in {seams['layers']:,} layers"
    if not seams["measured"]:
        return [("misalignment at seams in the voxels", told)]
    left = (
        f"median {seams['p50_px']:.2f} · p95 {seams['p95_px']:.2f} · max {seams['max_px']:.2f} px"
    )
    out = [("misalignment at seams in the voxels", f"{left} · {told}")]
    if "correlation" in seams:
        low = number(seams["correlation_p05"], 3)
        text = f"{seams['correlation']:.3f} · 5 % of the places below {low}"
        out.append(("correlation of grey levels across seams in the voxels", text))
    return out
