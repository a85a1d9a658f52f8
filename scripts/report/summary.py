"""Summary: the figures of a run, one block per stage, as plain JSON (docs/design.md).

Every stage has a ``status``: ``good``, ``absent`` when the run has not got there, and by `judge`
``look`` when a person should look at something or ``not good``. Units stand in the names.
Everything that differs from one identical run to the next (seconds, memory, MB/s) is under
``costs``.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lib.arrays import Array
from scripts.lib.names import STAGE_STOPS, WIDE_RUN
from scripts.lib.verdicts import ABSENT, GOOD, worst
from scripts.report import costs, exported
from scripts.report.finding import Finding, ordered, state_of
from scripts.report.gather import Evidence, Table

Figures = dict[str, Any]
VERSION = "0.2.0"  # of the project, as in CITATION.cff
STAGES = ("transfer", "ingest", "match", "review", "solve", "zcorr", "correct", "export")
QUANTILES = {"p05": 5, "p25": 25, "p50": 50, "p75": 75, "p95": 95}
_FAILURE = re.compile(r"([A-Za-z0-9_.-]+):([A-Za-z_]+)")  # "crossPass1:few_inliers(7<20)"


def summarise(evidence: Evidence, *, volume: str) -> Figures:
    """Return all figures of a run.

    Parameters
    ----------
    evidence
        What the run left.
    volume
        Name of the volume.

    Returns
    -------
    dict
        A block for each stage, without verdict; JSON values, units in the names.
    """
    made = {
        "transfer": transfer,
        "ingest": ingest,
        "match": match,
        "review": review,
        "solve": solve,
        "zcorr": zcorr,
        "correct": correct,
        "export": export,
    }
    out: Figures = {"volume": volume, "code_version": VERSION}
    out |= {stage: plain(figures(evidence)) for stage, figures in made.items()}
    out["solve"]["counts"] = headline(evidence)
    if evidence.score is not None:
        out["score"] = plain(evidence.score)
    out["costs"] = plain(costs.figures(evidence, out["export"]))
    return out


def judge(figures: Figures, findings: Sequence[Finding], eased: Sequence[str] = ()) -> Figures:
    """Return the figures with the state of each stage and the verdict on the whole, with reasons.

    Notes, whose state is good, are no reasons.

    Parameters
    ----------
    figures
        What `summarise` returns.
    findings
        In any order.
    eased
        Limits that the config has made wider, of `eased.eased`: the last of the reasons.

    Returns
    -------
    dict
        As ``report/summary.json``.
    """
    out = {
        key: value for key, value in figures.items() if key not in ("volume", "verdict", "needs")
    }
    told = [one for one in ordered(findings) if one.state != GOOD]
    for stage in STAGES:
        own = [one.reason for one in told if one.stage == stage]
        absent = figures[stage]["status"] == ABSENT and not own
        state = ABSENT if absent else state_of(told, stage)
        out[stage] = {"status": state, "reasons": own} | {
            key: value for key, value in figures[stage].items() if key not in ("status", "reasons")
        }
    state = worst(out[stage]["status"] for stage in STAGES)
    reasons = [f"{one.stage}: {one.reason}" for one in told] + [f"limits: {one}" for one in eased]
    verdict = {"state": state, "reasons": reasons} | ({"eased": list(eased)} if eased else {})
    needs = [one.record for one in told]
    return {"volume": figures["volume"], "verdict": verdict, "needs": needs} | out


def headline(evidence: Evidence) -> Figures:
    """Count every tile once: placed, patched, missing, excluded or not placed.

    Parameters
    ----------
    evidence
        What the run left.

    Returns
    -------
    dict
        Tiles; together all that were acquired or are missing.
    """
    solved, review = evidence["solved"], evidence["review"]
    ids = set(solved["tile_id"].tolist())
    patches = set(review["tile_id"][review["state"] == "patched"].tolist())
    excluded = set(review["tile_id"][review["state"] == "excluded"].tolist()) - ids
    there = set(zip(*(solved[name].tolist() for name in ("z", "row", "column")), strict=True))
    holes = [
        (hole["z"], *map(int, key.split("-")[1:]))
        for hole in holes_of(evidence["layers"])
        for key in hole["missing"]
    ]
    known = set(review["tile_id"].tolist()) - excluded - ids
    return {
        "placed": len(ids - patches),
        "patched": len(ids & patches),
        "missing": sum(hole not in there for hole in holes),
        "excluded": len(excluded),
        "not_placed": len(known),
    }


def plain(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return JSON values only: numpy scalars become numbers, what is not finite becomes None.

    Parameters
    ----------
    value
        Mappings and lists of numbers, numpy scalars and texts.

    Returns
    -------
    Any
        Floats with nine decimals.
    """
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return round(value, 9) if math.isfinite(value) else None
    return value


def quantiles(values: Array) -> Figures:
    """Return count, min, max, mean and quantiles of finite values; only a count when none is.

    Parameters
    ----------
    values
        (n,), any unit.

    Returns
    -------
    dict
        In the unit of `values`; see `QUANTILES`.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return {"count": 0}
    named = {name: np.percentile(known, q) for name, q in QUANTILES.items()}
    return {"count": len(known), "min": known.min(), **named, "max": known.max()} | {
        "mean": known.mean()
    }


def _counts(values: Iterable[Any]) -> dict[str, int]:
    names, counts = np.unique(np.array(list(values), dtype=str), return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


# ---------------------------------------------------------------------------------------------
# one function per stage
# ---------------------------------------------------------------------------------------------


def transfer(evidence: Evidence) -> Figures:
    """Return layers and tiles converted, and the tiles that were set aside."""
    table, bad = evidence["transfer"], evidence["quarantine"]
    if not table.found:
        return {"status": ABSENT}
    return {
        "status": GOOD,
        "layers": len(table),
        "layers_by_status": _counts(table["status"]),
        "tiles": int(table["tiles"].sum()),
        "tiles_expected": int(table["expected"].sum()),
        "tiles_quarantined": len(bad),
        "quarantined": bad.rows(),
    }


def ingest(evidence: Evidence) -> Figures:
    """Return numbered layers, declared holes, pauses and restarts."""
    table = evidence["layers"]
    if not table.found:
        return {"status": ABSENT}
    holes = holes_of(table)
    return {
        "status": GOOD,
        "layers": len(table),
        "tiles": int(table["tiles"].sum()),
        "z_first": int(table["z"].min()) if len(table) else None,
        "z_last": int(table["z"].max()) if len(table) else None,
        "layers_by_status": _counts(table["status"]),
        "holes": holes,
        "restarts": evidence["restarts"].rows(),
        "settings_changed": _settings_changed(evidence.documents["metadata"]),
        "chunks": len(evidence["chunks"]),
    }


def _settings_changed(metadata: Mapping[str, Any] | None) -> list[Figures] | None:
    """Return field, number of changes and z of the first; None without ingest/metadata.json."""
    if metadata is None:
        return None
    return [
        {"field": one["field"], "count": one["count"], "z": one["changes"][0]["z"]}
        for one in metadata["changed"]
    ]


def holes_of(layers: Table) -> list[Figures]:
    """Return every layer that lacks tiles: z, layer id, status and the keys of missing tiles.

    Parameters
    ----------
    layers
        Table ``layers`` of the evidence.

    Returns
    -------
    list of dict
        In order of z.
    """
    lacking = layers.where((layers["missing"] != "") | (layers["status"] == "gap"))
    return [
        {
            "z": row["z"],
            "layer_id": row["layer_id"],
            "status": row["status"],
            "missing": [key for key in row["missing"].split(",") if key],
        }
        for row in lacking.rows()
    ]


def match(evidence: Evidence) -> Figures:
    """Return pairs tried and saved, per run, stage and z distance."""
    table = evidence.results
    if not table.found:
        return {"status": ABSENT}
    tried, saved = len(table) - _again(table), int(table["saved"].sum())
    runs = {name: _run(table.where(table["run"] == name)) for name in _ordered(table["run"])}
    return {
        "status": GOOD,
        "pairs_tried": tried,
        "pairs_saved": saved,
        "saved_pct": 100 * saved / tried if tried else None,
        "matches": int(table["count"][table["saved"] == 1].clip(min=0).sum()),
        "runs": runs,
        "decisions": _decided(evidence["decided"]),
    }


def _again(table: Table) -> int:
    """Count the failed rows of pairs that the wide search saved: each pair was tried once."""
    found = table.where((table["run"] == WIDE_RUN) & (table["saved"] == 1))
    if not len(found):
        return 0
    ends = set(zip(found["p_id"].tolist(), found["q_id"].tolist(), strict=True))
    failed = table.where(table["saved"] != 1)
    each = zip(failed["p_id"].tolist(), failed["q_id"].tolist(), strict=True)
    return sum(one in ends for one in each)


def _decided(table: Table) -> list[Figures]:
    """Count what became of the pairs that people decided on, entry by entry."""
    rows = ((r["entry"], r["action"], r["became"], r["reason"]) for r in table.rows())
    names = ("entry", "action", "became", "reason")
    return [dict(zip(names, row, strict=True)) | {"pairs": n} for row, n in Counter(rows).items()]


def _ordered(values: NDArray[Any]) -> list[str]:
    return list(dict.fromkeys(values.tolist()))


def _run(table: Table) -> Figures:
    saved = table["saved"] == 1
    by_dz = {}
    for dz in np.unique(table["dz"]).tolist():
        here = table["dz"] == dz
        by_dz[str(dz)] = {"tried": int(here.sum()), "saved": int((here & saved).sum())}
    return {
        "pairs_tried": len(table),
        "pairs_saved": int(saved.sum()),
        "matches_per_pair": quantiles(table["count"][saved].astype(float)),
        "residual_px": quantiles(table["rms_px"][saved]),
        "dz": by_dz,
        "stages": stage_counts(table),
    }


def stage_counts(table: Table) -> dict[str, Figures]:
    """Count, per match stage in order of use, the pairs processed, saved and why not saved.

    Parameters
    ----------
    table
        Results of a run of the matching.

    Returns
    -------
    dict
        By stage.
    """
    out: dict[str, Figures] = {}

    def of(stage: str) -> Figures:
        return out.setdefault(stage, {"processed": 0, "saved": 0, "failed": {}})

    each = (table[name].tolist() for name in ("stage", "saved", "reason"))
    # of two million pairs most are saved, without a reason
    alike = Counter(zip(*each, strict=True))
    for (stage, saved, reason), n in alike.items():
        for name, kind in _FAILURE.findall(reason):
            of(name)["processed"] += n * (kind not in STAGE_STOPS)
            of(name)["failed"][kind] = of(name)["failed"].get(kind, 0) + n
        if saved == 1:
            of(stage)["processed"] += n
            of(stage)["saved"] += n
    # a later stage is never processed more often than an earlier one
    return dict(sorted(out.items(), key=lambda item: (-item[1]["processed"], item[0])))


def review(evidence: Evidence) -> Figures:
    """Count connected clusters, tiles outside of the largest, edges without a link, the gate."""
    table = evidence["review"]
    if not table.found:
        return {"status": ABSENT}
    states = _counts(table["state"])
    named = table["cluster"][table["cluster"] > 0]
    sizes = sorted(np.unique(named, return_counts=True)[1].tolist(), reverse=True)
    odd = table.where((table["state"] != "ok") & (table["state"] != "patched"))
    gate = evidence.documents["gate"]
    return {
        "status": GOOD,
        "gate": "passed" if gate is not None else "not passed",
        "checks": gate["checks"] if gate is not None else [],
        "tiles": len(table),
        "tiles_by_state": states,
        "clusters": sum(size > 1 for size in sizes),
        "largest_cluster": sizes[0] if sizes else 0,
        "unconnected_tiles": states.get("unconnected", 0),
        "excluded_tiles": states.get("excluded", 0),
        "patched_tiles": states.get("patched", 0),
        "weak_edges": len(evidence["edges"]),
        "not_ok": [
            {k: row[k] for k in ("tile_id", "z", "row", "column", "state", "reason")}
            for row in odd.rows()
        ],
    }


def warnings_of(gate: Mapping[str, Any] | None) -> list[str]:
    """Return the messages of the gate's checks that passed with a warning."""
    checks = [] if gate is None else gate["checks"]
    return [check["message"] for check in checks if check["status"] == "warning"]


def solve(evidence: Evidence) -> Figures:
    """Return residuals of the global solve, and how far tiles moved from the stage position."""
    table = evidence["solved"]
    if not table.found:
        return {"status": ABSENT}
    residual = quantiles(table["rms_px"])
    moved = np.hypot(table["dx_px"], table["dy_px"])
    return {
        "status": GOOD,
        "tiles": len(table),
        "pairs": len(evidence["pairs"]),
        "residual_px": residual,
        "pair_residual_px": quantiles(evidence["pairs"]["rms_px"]),
        "moved_px": quantiles(moved),
        "scale": quantiles(np.sqrt(np.abs(table["scale_x"] * table["scale_y"]))),
        "misalignment": evidence.documents["misalignment"],
        "details": evidence.documents["solve"],
    }


def zcorr(evidence: Evidence) -> Figures:
    """Return correlation with the next layer, thickness, and how far z was moved."""
    layers = qc_layers(evidence)
    if layers is None:
        return {"status": ABSENT}
    problems = [{"z": row["z"], "problem": row["problem"]} for row in layers if row.get("problem")]
    shift = np.array([corrected - z for z, corrected in sorted(evidence.z_coords.items())])
    return {
        "status": GOOD,
        "layers": len(layers),
        "correlation_next": quantiles(qc_column(layers, "cc_next")),
        "thickness_layers": quantiles(qc_column(layers, "delta_z")),
        "z_correction_layers": {
            "rms": np.sqrt(np.mean(shift**2)) if len(shift) else None,
            "max": np.abs(shift).max() if len(shift) else None,
        },
        "lost_before_z": [row["z"] for row in layers if row.get("lost_before")],
        "measured_thickness_layers": _inferred(evidence).get("measured_thickness"),
        "distance_deviation_layers": _inferred(evidence).get("distance_deviation_layers"),
        "thickness_significance": _significance(evidence),
        "problems": problems,
    }


def _significance(evidence: Evidence) -> float | None:
    """Return the significance of the correction; older files have that of all changes alone."""
    figures = _inferred(evidence)
    return figures.get("correction_significance", figures.get("significance"))


def _inferred(evidence: Evidence) -> Figures:
    """Return what qc.json says of the whole inference, beside its layers."""
    document = evidence.documents["qc"]
    return dict(document.get("figures", document)) if isinstance(document, Mapping) else {}


def qc_layers(evidence: Evidence) -> list[Figures] | None:
    """Return the rows of zcorr/qc.json in order of z; None when there is none.

    Parameters
    ----------
    evidence
        What the run left.

    Returns
    -------
    list of Figures or None
        Rows of `zcorr.qc`.
    """
    document = evidence.documents["qc"]
    if document is None:
        return None
    rows = document["layers"] if isinstance(document, Mapping) else document
    return sorted(rows, key=lambda row: float(row["z"]))


def qc_column(layers: list[Figures], name: str) -> Array:
    """Return one column of the layers' quality table; NaN where it has no value.

    Parameters
    ----------
    layers
        What `qc_layers` returns.
    name
        Name of the column.

    Returns
    -------
    Array
        (n,).
    """
    return np.array([np.nan if row.get(name) is None else row[name] for row in layers], float)


def correct(evidence: Evidence) -> Figures:
    """Return the corrections applied after the alignment, in order."""
    steps = dict(evidence.corrections)
    return {"status": GOOD if evidence["solved"].found else ABSENT, "steps": steps}


def export(evidence: Evidence) -> Figures:
    """Say what was exported."""
    document = evidence.documents["volume"]
    if document is None:
        return {"status": ABSENT}
    return {
        "status": GOOD,
        "voxels": math.prod(document["shape_zyx"]),
        "levels": len(document["levels"]),
        "paths": [target["path"] for target in document["targets"]],
        "seams": exported.figures(evidence),
    } | {key: document[key] for key in ("stack", "shape_zyx", "dtype", "voxel_nm_zyx")}
