"""What is left of misalignment in a few figures, and the places where it is too much.

Mean squares are debiased (`misalignment.Shift`), so the root of their mean estimates what a known
truth would give. Places that follow one another along z are one finding: a tile that lies off does
so against both neighbours, and a row of tiles that has drifted apart does so for many layers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.lib.arrays import Array
from scripts.lib.verdicts import GOOD, LOOK, NOT_GOOD
from scripts.solve.misalignment import LEAST_USED, enough

SURE = 2.0  # standard errors by which a shift has to exceed a limit
MOST_PLACES = 200  # named in the summary; the table has all
_APART = 2  # layers between places that are still one finding

Row = Mapping[str, str]
Figures = dict[str, Any]


@dataclass(frozen=True)
class Limits:
    """From which shift on a place is named (`look_px`), and from which it is wrong (`stop_px`)."""

    look_px: float
    stop_px: float
    unconfirmed_pct: float  # of the places with matches that the pixels cannot confirm


def summarised(
    rows: Sequence[Row], matched: frozenset[tuple[str, str]], limits: Limits, pixel_nm: float
) -> Figures:
    """Compute figures, findings and the state of an alignment.

    Parameters
    ----------
    rows
        Rows of `misalignment.COLUMNS`, as texts.
    matched
        Pairs of tile ids (in text order) that the matches of the solve join.
    limits
        Of the verdict.
    pixel_nm
        Side of a pixel, nm.

    Returns
    -------
    dict
        ``state`` and ``reasons``; ``steps`` and ``seams`` with ``places``, ``measured``,
        ``rms_px``, ``error_px`` (of the rms), ``rms_nm``, ``p95_px``, ``max_px``; ``findings``,
        worst first.
    """
    kinds = {kind: [row for row in rows if row["kind"] == kind] for kind in ("step", "seam")}
    out: Figures = {f"{kind}s": _figures(own, pixel_nm) for kind, own in kinds.items()}
    found = [one for own in kinds.values() for one in _findings(own, matched, limits)]
    found.sort(key=lambda one: (one["px"] is None, -(one["px"] or 0.0), one["z_first"]))
    state, reasons = _verdict(found, rows, matched, limits)
    return {"state": state, "reasons": reasons} | out | {"findings": found[:MOST_PLACES]}


def measured(row: Row) -> bool:
    """Tell whether enough windows of a row speak for its place.

    Parameters
    ----------
    row
        Of `misalignment.COLUMNS`.

    Returns
    -------
    bool
        As `misalignment.Shift.measured`.
    """
    return enough(int(row["used"]), int(row["tried"]))


def _figures(rows: Sequence[Row], pixel_nm: float) -> Figures:
    known = [row for row in rows if measured(row)]
    out: Figures = {"places": len(rows), "measured": len(known)}
    if not known:
        return out | dict.fromkeys(("rms_px", "error_px", "rms_nm", "p95_px", "max_px"))
    # the error of fewer windows is not known, so it cannot be taken off
    sure = [row for row in known if int(row["used"]) >= LEAST_USED] or known
    square, px = (_column(sure, name) for name in ("square_px2", "px"))
    rms = math.sqrt(max(float(square.mean()), 0.0))
    spread = float(square.std(ddof=1)) / math.sqrt(len(sure)) if len(sure) > 1 else math.nan
    error = spread / (2 * rms) if rms > 0 else math.sqrt(spread) if spread == spread else None
    return out | {
        "rms_px": rms,
        "error_px": error,
        "rms_nm": rms * pixel_nm,
        "p95_px": float(np.percentile(px, 95)),
        "max_px": float(px.max()),
    }


def _column(rows: Iterable[Row], name: str) -> Array:
    return np.array([float(row[name]) for row in rows])


def _findings(
    rows: Sequence[Row], matched: frozenset[tuple[str, str]], limits: Limits
) -> list[Figures]:
    """Return the findings of one kind: runs of places beyond the limit, and of unconfirmed ones."""
    beyond = [row for row in rows if measured(row) and _surely(row) > limits.look_px]
    lost = [row for row in rows if _unconfirmed(row, matched)]
    return [
        _finding(run, told) for told, part in ((True, beyond), (False, lost)) for run in _runs(part)
    ]


def _surely(row: Row) -> float:
    """Return the shift of a place less `SURE` standard errors, px."""
    return float(row["px"]) - SURE * float(row["error_px"])


def _unconfirmed(row: Row, matched: frozenset[tuple[str, str]]) -> bool:
    """Tell whether matches join the two tiles of a row, and its pixels do not show it."""
    pair = min(row["p_id"], row["q_id"]), max(row["p_id"], row["q_id"])
    return not measured(row) and pair in matched


def _runs(rows: Sequence[Row]) -> list[list[Row]]:
    """Join rows of the same cells whose layers follow one another, then runs of the same layers."""

    def cells(row: Row) -> tuple[str, str, str]:
        return row["kind"], row["p_cell"], row["q_cell"]

    runs: list[list[Row]] = []
    for _, group in itertools.groupby(sorted(rows, key=lambda r: (cells(r), int(r["z"]))), cells):
        own: list[list[Row]] = []
        for row in group:
            if own and int(row["z"]) - int(own[-1][-1]["z"]) <= _APART:
                own[-1].append(row)
            else:
                own.append([row])
        runs += own
    return _joined(runs)


def _joined(runs: Sequence[list[Row]]) -> list[list[Row]]:
    """Join runs of different cells in the same layers: a whole layer is off."""
    by_layers: dict[tuple[str, int, int], list[Row]] = {}
    for run in runs:
        key = run[0]["kind"], int(run[0]["z"]), int(run[-1]["z"])
        by_layers.setdefault(key, []).extend(run)
    return list(by_layers.values())


def _finding(run: Sequence[Row], known: bool) -> Figures:
    worst = max(run, key=lambda row: float(row["px"]) if known else -int(row["z"]))
    z = [int(row["z"]) for row in run]
    return {
        "kind": worst["kind"],
        "z_first": min(z),
        "z_last": max(int(row["other_z"]) for row in run),
        "cells": sorted({f"{row['p_cell']}/{row['q_cell']}" for row in run}),
        "places": len(run),
        "px": float(worst["px"]) if known else None,
        "error_px": float(worst["error_px"]) if known else None,
        "worst": {name: worst[name] for name in ("z", "other_z", "p_id", "q_id", "x", "y")},
    }


def _verdict(
    found: Sequence[Figures],
    rows: Sequence[Row],
    matched: frozenset[tuple[str, str]],
    limits: Limits,
) -> tuple[str, list[str]]:
    """Return the state of the alignment and its reasons, worst first."""
    reasons = [sentence(one) for one in found if one["px"] is not None]
    lost = sum(_unconfirmed(row, matched) for row in rows)
    joined = sum((min(r["p_id"], r["q_id"]), max(r["p_id"], r["q_id"])) in matched for r in rows)
    share = 100 * lost / joined if joined else 0.0
    if share > limits.unconfirmed_pct:
        reasons.append(
            f"{lost} of {joined} places that matches join ({share:.0f} %) cannot be confirmed on"
            " the pixels: what lies there is not alike, or further apart than is looked for"
        )
    bad = any(one["px"] is not None and one["px"] > limits.stop_px for one in found)
    return (NOT_GOOD if bad else LOOK if reasons else GOOD), reasons


def sentence(finding: Mapping[str, Any]) -> str:
    """Say a finding in one sentence.

    Parameters
    ----------
    finding
        One of ``findings`` of `summarised`, with a shift.

    Returns
    -------
    str
        Kind, place, px with standard error, and the two tiles.
    """
    z = f"z {finding['z_first']}" + (
        f" to {finding['z_last']}" if finding["z_last"] > finding["z_first"] else ""
    )
    what = {"step": "layers do not meet", "seam": "tiles of a layer do not meet"}[finding["kind"]]
    worst = finding["worst"]
    return (
        f"{z}: {what}, {finding['px']:.1f} ± {finding['error_px']:.1f} px between"
        f" {worst['p_id']} and {worst['q_id']} (cells {', '.join(finding['cells'][:4])})"
    )
