"""Variants of a run's first stage on a stratified sample, and which one to choose.

A sweep names fields of a stage and values to try, ``{"featureRender.renderScale": [0.25, 0.5]}``;
every combination is one variant. A variant is judged by what it saves, less what is false: a model
that lies more than `FALSE_PX` from the median model of all variants that saved the pair. Of equals
the one nearer to that median wins, then the one of greater coverage; seconds are shown, not judged.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from scripts.lib import geometry
from scripts.lib.arrays import Array, Bytes
from scripts.lib.files import digest
from scripts.lib.numerics.models import fit_rigid, fit_translation
from scripts.match import presets, tables
from scripts.match.canvases import Canvases
from scripts.match.pairs import Pair
from scripts.match.presets import Stage
from scripts.match.stages import Attempt

FALSE_PX = 10.0  # the error limit of the reference's cross stages
COLUMNS = (
    "run",
    "variant",
    "pairs",
    "saved_pct",
    "false_pct",
    "points",
    "coverage_pct",
    "rms_px",
    "apart_px",
    "cpu_s_per_pair",
    "chosen",
)
_PICTURE_PX = 320

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Variant:
    """One combination of a sweep: its fields, and the stage as the table would hold it."""

    name: str
    raw: Json
    stage: Stage


@dataclass(frozen=True, eq=False)
class Tried:
    """A variant and what became of the sample."""

    variant: Variant
    attempts: tuple[Attempt, ...]


def sample(rows: Sequence[Mapping[str, str]], count: int) -> list[Mapping[str, str]]:
    """Choose `count` planned pairs evenly over thirds of z, cells and distances; repeatable.

    Parameters
    ----------
    rows
        Columns of a pair table, and ``p_cell`` and ``q_cell``.
    count
        Pairs at most.

    Returns
    -------
    list of dict
        Some of the rows; the same for the same rows.
    """
    if not rows:
        return []
    z = [float(row["p_group"]) for row in rows]
    low, extent = min(z), max(max(z) - min(z), 1e-9)
    strata: dict[tuple[Any, ...], list[Mapping[str, str]]] = {}
    for row, layer in zip(rows, z, strict=True):
        third = min(int(3 * (layer - low) / extent), 2)
        strata.setdefault((row["dz"], row["p_cell"], row["q_cell"], third), []).append(row)
    queues = [
        sorted(strata[key], key=lambda row: digest([row["p_id"], row["q_id"]]))
        for key in sorted(strata, key=lambda key: digest(list(key)))
    ]
    rounds = itertools.zip_longest(*queues)
    chosen = [row for one in rounds for row in one if row is not None]
    return chosen[:count]


def variants(table: Json, run: str, sweep: Mapping[str, Sequence[Any]]) -> list[Variant]:
    """Return every combination, each laid over the run's first stage of its method.

    Parameters
    ----------
    table
        a stage table.
    run
        Name of the run.
    sweep
        Values to try by field, nested fields as ``featureRender.renderScale``.

    Returns
    -------
    list of Variant
        As many as the product of the numbers of values.

    Raises
    ------
    UserError
        When a combination is no valid stage.
    """
    body = table["runs"][run]
    known = presets.read_run(table, run).stages
    found = []
    for values in itertools.product(*sweep.values()):
        fields = dict(zip(sweep, values, strict=True))
        method = fields.get("method", known[0].method)
        same = [i for i, stage in enumerate(known) if stage.method == method]
        raw = dict(body["stages"][same[0]]) if same else {"method": method}
        raw["stageName"] = f"{run}Trial"
        for name, value in fields.items():
            raw = _with(raw, name.split("."), value)
        one = {**table, "runs": {run: {**body, "stages": [raw]}}}
        name = ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in fields.items())
        found.append(Variant(name, raw, presets.read_run(one, run).stages[0]))
    return found


def _with(raw: Json, path: Sequence[str], value: Any) -> dict[str, Any]:  # noqa: ANN401 - any value
    head, *rest = path
    inner = raw.get(head) or {}
    return {**raw, head: _with(inner, rest, value) if rest else value}


def judged(run: str, tried: Sequence[Tried], side_px: float) -> list[dict[str, Any]]:
    """Return a row of COLUMNS for each variant; exactly one is chosen, unless none saves a pair.

    Parameters
    ----------
    run
        Name of the run.
    tried
        The variants on the same sample.
    side_px
        Longer side of the tiles, full-scale px; shifts are compared on a square half as wide.

    Returns
    -------
    list of dict
        `COLUMNS`; lengths in full-scale px, CPU time in s, medians over the saved pairs.
    """
    models = np.stack([[_corners(a, side_px) for a in one.attempts] for one in tried])
    with np.errstate(all="ignore"):
        middle = np.stack([_median(column) for column in models.swapaxes(0, 1)])
    apart = np.sqrt(((models - middle) ** 2).sum(axis=3).mean(axis=2))  # (variants, pairs)
    rows = [_row(run, one, away) for one, away in zip(tried, apart, strict=True)]
    best = max(rows, key=_merit)
    best["chosen"] = best["saved_pct"] > best["false_pct"]
    return rows


def _median(models: Array) -> Array:
    saved = models[~np.isnan(models[:, 0, 0])]
    return np.median(saved, axis=0) if len(saved) else models[0]


def _corners(attempt: Attempt, side_px: float) -> Array:
    """Where the shift takes the corners of a square around the matches; NaN for a failed pair.

    A shift alone: the turn of a narrow strip is known too poorly to compare it.
    """
    record = attempt.matches
    if record is None:
        return np.full((4, 2), np.nan)
    at = record.p.mean(axis=0) + geometry.corners(side_px / 2, side_px / 2) - side_px / 4
    fit = fit_translation(record.p, record.q, record.w)
    return np.asarray(geometry.apply(fit, at) - at)


def _row(run: str, one: Tried, apart: Array) -> dict[str, Any]:
    saved = [a for a in one.attempts if a.matches is not None]
    good = apart[~np.isnan(apart)]
    return {
        "run": run,
        "variant": one.variant.name,
        "pairs": len(one.attempts),
        "saved_pct": round(100 * len(saved) / max(len(one.attempts), 1), 1),
        "false_pct": round(100 * float((good > FALSE_PX).sum()) / max(len(one.attempts), 1), 1),
        "points": _middle([len(a.matches.p) for a in saved if a.matches], 0),
        "coverage_pct": _middle([a.outcome.coverage_pct for a in saved], 1),
        "rms_px": _middle([a.outcome.rms_px for a in saved], 3),
        "apart_px": _middle(good, 3),
        "cpu_s_per_pair": _middle([a.seconds for a in one.attempts], 3),
        "chosen": False,
    }


def _middle(values: Iterable[float], digits: int) -> float | None:
    found = [v for v in values if not np.isnan(v)]
    return round(float(np.median(found)), digits) if found else None


def _merit(row: Mapping[str, Any]) -> tuple[float, float, float]:
    apart = row["apart_px"] if row["apart_px"] is not None else np.inf
    # a false model costs more than a lost pair: it bends the solve
    return row["saved_pct"] - 3 * row["false_pct"], -round(apart, 2), row["coverage_pct"] or 0.0


def with_choice(table: Json, run: str, chosen: Variant) -> dict[str, Any]:
    """Return the table with the chosen stage before the stages of the run.

    Parameters
    ----------
    table
        a stage table.
    run
        Name of the run.
    chosen
        The variant.

    Returns
    -------
    dict
        a copy; the stage stops where the first stage of the run did, unless it says so itself.
    """
    body = table["runs"][run]
    limits = [s.get("maxNeighborDistance") for s in body["stages"]]
    first = dict(chosen.raw)
    if limits and "maxNeighborDistance" not in first and limits[0] is not None:
        first["maxNeighborDistance"] = limits[0]
    stages = [first, *(s for s in body["stages"] if s["stageName"] != chosen.raw["stageName"])]
    return {**table, "name": "trial", "runs": {**table["runs"], run: {**body, "stages": stages}}}


def picture(attempt: Attempt, stage: Stage, canvases: Canvases) -> Bytes:
    """Draw p (red) and q (cyan) laid on it by the matches, which are drawn in; p, q if none.

    Parameters
    ----------
    attempt
        a pair after its stages.
    stage
        How the tiles are drawn.
    canvases
        What the tiles of the job are drawn with.

    Returns
    -------
    Bytes
        (h, w, 3) RGB, `_PICTURE_PX` on its longer side.
    """
    pair = attempt.pair
    fields = [
        canvases.picture(tile, stage, position)
        for tile, position in ((pair.p_id, pair.p_position), (pair.q_id, pair.q_position))
    ]
    (p, start_p), (q, start_q) = fields
    scale = stage.render.scale
    record = attempt.matches
    if record is None:
        h = min(p.shape[0], q.shape[0])
        out = cv2.cvtColor(np.hstack([p[:h], q[:h]]), cv2.COLOR_GRAY2BGR)
    else:
        at_p, at_q = (record.p - start_p) * scale, (record.q - start_q) * scale
        model = fit_rigid(at_p, at_q, record.w)
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        moved = cv2.warpAffine(q, model, p.shape[::-1], flags=how)
        out = cv2.merge([moved, moved, p])
        for x, y in np.rint(at_p).astype(int):
            cv2.circle(out, (int(x), int(y)), max(2, p.shape[1] // 150), (0, 220, 255), -1)
    factor = _PICTURE_PX / max(out.shape[:2])
    small = cv2.resize(out, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return np.asarray(small[..., ::-1], np.uint8)


def sampled(rows: Sequence[Mapping[str, str]]) -> list[Pair]:
    """Return the pairs of sampled rows.

    Parameters
    ----------
    rows
        Columns of a pair table; others are ignored.

    Returns
    -------
    list of Pair
        In the order of the rows.
    """
    names = Pair.__dataclass_fields__
    own = [{k: v for k, v in row.items() if k in names} for row in rows]
    return [tables.read_pair(row) for row in own]
