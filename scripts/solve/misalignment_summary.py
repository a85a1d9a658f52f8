"""What is left of misalignment in a few figures, and the places where it is too much.

Mean squares are debiased (`shifts.Shift`), so the root of their mean estimates what a known
truth would give. Places that follow one another along z are one finding: a tile that lies off does
so against both neighbours, and a row of tiles that has drifted apart does so for many layers.

What could not be measured is not known, and is a reason to look: a tile that lies beyond all that
is looked for shows as this and as nothing else. Measured places around it may decide it all the
same (`loops`). Bare resin is not asked, nor what nothing joins.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scripts.lib.arrays import Array
from scripts.lib.documents import LeftOver, Misalignment, Misplaced
from scripts.lib.drawing.shifts import enough
from scripts.lib.numerics.window_fit import LEAST_AFFINE, LEAST_USED, student
from scripts.lib.verdicts import GOOD, LOOK, NOT_GOOD
from scripts.solve import agreeing_seams, layer_order, strange_tiles
from scripts.solve.corners import Corners
from scripts.solve.loops import SURE, Loops

MOST_PLACES = 200  # named in the summary; the table has all
KINDS = {"step": "layers", "seam": "tiles of a layer", "patch": "a patch and its layers"}
_LAST = ("step", "patch", "seam")  # of the findings without a shift, after those of the order
_APART = 2  # layers between places that are still one finding

Row = Mapping[str, str]


@dataclass(frozen=True)
class Limits:
    """From which shift on a place is named (`look_px`), and from which it is wrong (`stop_px`)."""

    look_px: float
    stop_px: float
    unconfirmed_pct: float  # of the places with matches that the pixels cannot confirm
    order: layer_order.Limits


@dataclass(frozen=True)
class Known:
    """What else is known of the tiles."""

    matched: frozenset[tuple[str, str]]  # ids in text order that the matches of the solve join
    resin: frozenset[str] = frozenset()  # ids of tiles without texture

    def due(self, row: Row) -> bool:
        """Tell whether the pixels of a row's two tiles ought to show where they lie.

        Parameters
        ----------
        row
            Of `misalignment.COLUMNS`.

        Returns
        -------
        bool
            True where neither is resin, and they are one cell of two layers or matches join them;
            of resin where matches join them and some pixels speak: a corner of tissue is there.
        """
        if row["p_id"] in self.resin or row["q_id"] in self.resin:
            return self.joined(row) and measured(row)
        return (row["kind"] != "seam" and row["p_cell"] == row["q_cell"]) or self.joined(row)

    def joined(self, row: Row) -> bool:
        """Tell whether matches join the tiles of a row.

        Parameters
        ----------
        row
            Of `misalignment.COLUMNS`.

        Returns
        -------
        bool
            By the pairs of the solve.
        """
        return (min(row["p_id"], row["q_id"]), max(row["p_id"], row["q_id"])) in self.matched


def summarised(rows: Sequence[Row], tiles: Known, limits: Limits, pixel_nm: float) -> Misalignment:
    """Compute figures, findings and the state of an alignment.

    Parameters
    ----------
    rows
        Rows of `misalignment.COLUMNS`, as texts.
    tiles
        What else is known of the tiles.
    limits
        Of the verdict.
    pixel_nm
        Side of a pixel, nm.

    Returns
    -------
    Misalignment
        ``state`` and ``reasons``; ``steps`` and ``seams`` with ``places``, ``measured``,
        ``rms_px``, ``error_px`` (of the rms), ``rms_nm``, ``p95_px``, ``max_px``, ``alike`` and
        ``alike_p05`` (median and 5th percentile of the correlation of grey levels, -1 to 1),
        ``corners_px`` and ``corners_p95_px`` (what a corner may be off and not be told: two
        standard errors, median and 95th percentile);
        ``findings``, worst first.
    """
    kinds = {kind: [row for row in rows if row["kind"] == kind] for kind in KINDS}
    size = _Sizes(Corners.of([row for row in rows if measured(row)]))
    meet = [
        row
        for row in rows
        if measured(row)
        and size.surely(row) <= limits.look_px
        and not size.vague(row, limits.look_px)
    ]
    loops = Loops.of(meet)
    found = [one for own in kinds.values() for one in _findings(own, tiles, loops, limits, size)]
    found += layer_order.findings(rows, limits.order)
    found.sort(key=lambda one: (-(one["px"] or 0.0), one["kind"] in _LAST, one["z_first"]))
    state, reasons = _verdict(found, rows, tiles, loops, limits)
    # those that stop the run are all there: the gate reads them here
    most = max(MOST_PLACES, sum((one["px"] or 0.0) > limits.stop_px for one in found))
    return {
        "state": state,
        "reasons": reasons,
        "steps": _figures(kinds["step"], pixel_nm),
        "seams": _figures(kinds["seam"], pixel_nm),
        "findings": found[:most],
    }


def measured(row: Row) -> bool:
    """Tell whether enough windows of a row speak for its place.

    Parameters
    ----------
    row
        Of `misalignment.COLUMNS`.

    Returns
    -------
    bool
        As `shifts.Shift.measured`.
    """
    return enough(int(row["used"]), int(row["tried"]))


def _figures(rows: Sequence[Row], pixel_nm: float) -> LeftOver:
    known = [row for row in rows if measured(row)]
    out: LeftOver = {
        "places": len(rows),
        "measured": len(known),
        "rms_px": None,
        "error_px": None,
        "rms_nm": None,
        "p95_px": None,
        "max_px": None,
    }
    if not known:
        return out
    # the error of fewer windows is not known, so it cannot be taken off
    sure = [row for row in known if int(row["used"]) >= LEAST_USED] or known
    square, noise, px = (_column(sure, name) for name in ("square_px2", "noise_px2", "px"))
    rms, error = root(square, noise)
    out["rms_px"], out["error_px"], out["rms_nm"] = rms, error, rms * pixel_nm
    out["p95_px"], out["max_px"] = float(np.percentile(px, 95)), float(px.max())
    if len(alike := _known(known, "alike")):
        out["alike"], out["alike_p05"] = float(np.median(alike)), float(np.percentile(alike, 5))
    if len(unseen := SURE * _known(known, "corner_error_px")):
        out["corners_px"] = float(np.median(unseen))
        out["corners_p95_px"] = float(np.percentile(unseen, 95))
    return out


def root(square: Array, noise: Array) -> tuple[float, float | None]:
    """Compute the root of mean squares less their noise, and its error.

    Two things may be wrong: what the places happen to be, and what was taken off. That is right for
    an alignment that knows nothing of these pixels. One that followed them (it was solved by
    matches of the same tissue) took tissue and noise for shifts: then they are in the truth, not in
    what is seen, and lie as far above the mean square as was taken off below it.

    Parameters
    ----------
    square
        (n,) mean square shift of each place less its noise, px².
    noise
        (n,) that noise, px².

    Returns
    -------
    rms : float
        Px.
    error : float or None
        Standard error, px; None of a single place.
    """
    mean, unseen = float(square.mean()), 2 * float(noise.mean())
    rms = math.sqrt(max(mean, 0.0))
    if len(square) < 2:
        return rms, None
    spread = float(square.std(ddof=1)) / math.sqrt(len(square))
    chance = spread / (2 * rms) if rms > 0 else math.sqrt(spread)
    followed = math.sqrt(max(mean + unseen, 0.0)) - rms
    return rms, math.hypot(chance, max(followed, 0.0))


def _column(rows: Iterable[Row], name: str) -> Array:
    return np.array([float(row[name]) for row in rows])


def _known(rows: Iterable[Row], name: str) -> Array:
    values = _column(rows, name)
    return values[np.isfinite(values)]


def _findings(
    rows: Sequence[Row], tiles: Known, loops: Loops, limits: Limits, size: _Sizes
) -> list[Misplaced]:
    """Return the findings of one kind: runs of places beyond the limit, and of unknown ones."""
    off = [row for row in rows if measured(row) and size.surely(row) > limits.look_px]
    seen = {id(row) for row in off}
    # a wrong peak of one window may lie anywhere: alone it tells that something is to be seen
    confirmed = agreeing_seams.confirmed(rows, limits.look_px)
    told = {id(row) for row in confirmed}
    seen |= told
    beyond = [row for row in off if int(row["used"]) >= LEAST_USED] + confirmed
    alone = [row for row in off if int(row["used"]) < LEAST_USED and id(row) not in told]
    # nor does a place whose error alone exceeds the limit say that tiles meet
    unseen = [
        row
        for row in rows
        if id(row) not in seen and (not measured(row) or size.vague(row, limits.look_px))
    ]
    strange = {id(row) for row in strange_tiles.unlike(rows, tiles.resin)}
    lost = [
        row
        for row in (*unseen, *alone)
        if id(row) in strange or (tiles.due(row) and not loops.close(row, limits.look_px))
    ]
    return [_finding(run, size) for run in _runs(beyond)] + [
        _finding(run, None) for run in _runs(lost)
    ]


@dataclass(frozen=True)
class _Sizes:
    """How far places lie off."""

    corners: Corners

    def of(self, row: Row) -> tuple[float, float]:
        """Return how far a place lies off and the standard error, px.

        Whichever is surest of the mean shift, of the rms over the place, which a turn or a stretch
        about the middle has alone, and of the shift at its worst corner. Errors of the scatter of a
        few windows are made those of many by Student's t, which those of corners regard already.
        """
        wider = _student(row)
        mean = float(row["px"]), wider * float(row["error_px"])
        rms = math.sqrt(max(float(row["square_px2"]), 0.0)), wider * float(row["rms_error_px"])
        return max(mean, rms, self.corners(row), key=lambda one: one[0] - SURE * one[1])

    def vague(self, row: Row, limit: float) -> bool:
        """Tell whether a shift as large as the limit could not be told from none."""
        return SURE * float(row["error_px"]) > limit

    def surely(self, row: Row) -> float:
        """Return how far a place lies off less `SURE` standard errors, px."""
        value, error = self.of(row)
        return value - SURE * error


def _student(row: Row) -> float:
    """Return Student's t of the windows of a place over its value for many, at `SURE`."""
    used = int(row["used"])
    if used < LEAST_USED:  # the error is not that of their scatter
        return 1.0
    turned = math.isfinite(float(row["corner_error_px"]))
    terms = (6 if used >= LEAST_AFFINE else 4) if turned else 2
    return student(2 * used - terms)


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


def _finding(run: Sequence[Row], size: _Sizes | None) -> Misplaced:
    """Return the finding of a run of places; without `size` nobody knows how far they are off."""
    worst = max(run, key=lambda row: size.of(row)[0] if size else -int(row["z"]))
    z = [int(row[name]) for row in run for name in ("z", "other_z")]
    value, error = size.of(worst) if size else (None, None)
    return {
        "kind": worst["kind"],
        "z_first": min(z),
        "z_last": max(z),
        "cells": sorted({f"{row['p_cell']}/{row['q_cell']}" for row in run}),
        "places": len(run),
        "px": value,
        "error_px": error,
        "worst": layer_order.place(worst),
    }


def _verdict(
    found: Sequence[Misplaced], rows: Sequence[Row], tiles: Known, loops: Loops, limits: Limits
) -> tuple[str, list[str]]:
    """Return the state of the alignment and its reasons, worst first."""
    reasons = [sentence(one) for one in found]
    joined = [row for row in rows if tiles.joined(row)]
    lost = sum(not measured(row) and not loops.close(row, limits.look_px) for row in joined)
    share = 100 * lost / len(joined) if joined else 0.0
    if share > limits.unconfirmed_pct:
        told = sum(one["px"] is not None for one in found)
        reasons.insert(
            told + 1,  # behind one that has a place
            f"{lost} of {len(joined)} places that matches join ({share:.0f} %) cannot be confirmed"
            " on the pixels: what lies there is not alike, or further apart than is looked for",
        )
    bad = any(one["px"] is not None and one["px"] > limits.stop_px for one in found)
    return (NOT_GOOD if bad else LOOK if reasons else GOOD), reasons


def sentence(finding: Misplaced) -> str:
    """Say a finding in one sentence.

    Parameters
    ----------
    finding
        One of ``findings`` of `summarised`.

    Returns
    -------
    str
        Kind, place, px with standard error where it is known, and the two tiles.
    """
    if finding["kind"] not in KINDS:
        return layer_order.sentence(finding)
    z = f"z {finding['z_first']}" + (
        f" to {finding['z_last']}" if finding["z_last"] > finding["z_first"] else ""
    )
    worst, cells = finding["worst"], f"(cells {', '.join(finding['cells'][:4])})"
    if finding["px"] is None:
        return (
            f"{z}: it is not known whether {KINDS[finding['kind']]} meet, the pixels of"
            f" {worst['p_id']} and {worst['q_id']} are not alike, further apart than is looked"
            f" for, or too few {cells}"
        )
    return (
        f"{z}: {KINDS[finding['kind']]} do not meet, {finding['px']:.1f} ±"
        f" {finding['error_px']:.1f} px between {worst['p_id']} and {worst['q_id']} {cells}"
    )
