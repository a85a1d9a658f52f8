"""Findings: where a person should look next, worst first, and what to change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scripts.lib.arrays import Array, Index
from scripts.lib.numerics import robust
from scripts.report import summary
from scripts.report.gather import Evidence

OUTLIER_SIGMAS = 5.0  # robust: from median and median absolute deviation
MOST_PER_KIND = 5


@dataclass(frozen=True)
class Finding:
    """One thing to look at."""

    stage: str
    what: str
    where: str
    advice: str


def findings(evidence: Evidence) -> list[Finding]:
    """Return all findings in data order."""
    parts = (_quarantined, _gaps, _weak_matches, _loose_tiles, _residuals, _problems, _dips)
    return [finding for part in parts for finding in part(evidence)]


def outliers(values: Array, *, high: bool) -> Index:
    """Return the indices of robust outliers, worst first; none among fewer than eight values."""
    known = np.isfinite(values)
    if known.sum() < 8:
        return np.empty(0, np.intp)
    centre = float(np.median(values[known]))
    spread = robust.deviation(values[known], centre)
    far = np.where(known, (values - centre) * (1 if high else -1), -np.inf)
    order = np.argsort(-far, kind="stable")
    return np.asarray(order[far[order] > OUTLIER_SIGMAS * max(spread, 1e-9)])


def _quarantined(evidence: Evidence) -> Iterator[Finding]:
    for row in evidence["quarantine"].rows()[:MOST_PER_KIND]:
        reason = row["reason"].removeprefix(f"{row['dat']}: ")
        yield Finding(
            "transfer",
            f"tile {row['tile_key']} could not be read: {reason}",
            row["layer_id"],
            "copy the file from the microscope again, or leave the hole",
        )


def _gaps(evidence: Evidence) -> Iterator[Finding]:
    table = evidence["layers"]
    for row in table.where(table["status"] == "gap").rows()[:MOST_PER_KIND]:
        reserved = row["layer_id"] == ""  # a z that ingest.layers reserves has no layer
        yield Finding(
            "ingest",
            "a z reserved by a declared gap" if reserved else "a layer without any readable tile",
            f"z {row['z']}" if reserved else f"z {row['z']} ({row['layer_id']})",
            "its z is kept; export.fill_gaps decides what is shown there",
        )


def _weak_matches(evidence: Evidence) -> Iterator[Finding]:
    table = evidence.results
    near = table.where(table["dz"] <= 1)
    for run in dict.fromkeys(near["run"].tolist()):
        part = near.where(near["run"] == run)
        failed = part.where(part["saved"] == 0)
        if len(failed) > 0.1 * len(part):
            lower = np.minimum(failed["p_group"], failed["q_group"])
            z = sorted(set(lower.astype(int).tolist()))
            yield Finding(
                "match",
                f"{len(failed)} of {len(part)} {run} pairs of neighbours have no matches",
                f"z {spans(z)}",
                "resin has none; for tissue look at the tiles, then at match.preset",
            )


def _loose_tiles(evidence: Evidence) -> Iterator[Finding]:
    for message in summary.warnings_of(evidence.documents["gate"])[:MOST_PER_KIND]:
        yield Finding("review", message, "gate", "see the table of match stages")
    table = evidence["review"]
    odd = table.where((table["state"] == "unconnected") | (table["state"] == "small_cluster"))
    cells = sorted(set(zip(odd["row"].tolist(), odd["column"].tolist(), strict=True)))
    for row, column in cells[:MOST_PER_KIND]:
        here = odd.where((odd["row"] == row) & (odd["column"] == column))
        yield Finding(
            "review",
            f"{len(here)} tiles of row {row}, column {column} are outside of the main cluster",
            f"z {spans(sorted(here['z'].tolist()))}",
            "paste the entries of review/proposals.yaml that you agree with into the config",
        )


def _residuals(evidence: Evidence) -> Iterator[Finding]:
    table = evidence["solved"]
    for i in outliers(table["rms_px"], high=True)[:MOST_PER_KIND]:
        yield Finding(
            "solve",
            f"residual {table['rms_px'][i]:.2f} px, the median is "
            f"{np.nanmedian(table['rms_px']):.2f} px",
            f"{table['tile_id'][i]} (z {table['z'][i]})",
            "look at the tile; exclude it under review.exclude when it is damaged",
        )


def _problems(evidence: Evidence) -> Iterator[Finding]:
    rows = summary.qc_layers(evidence) or []
    by_problem: dict[str, list[int]] = {}
    for row in rows:
        if row.get("problem"):
            by_problem.setdefault(str(row["problem"]), []).append(int(row["z"]))
    for problem, z in list(by_problem.items())[:MOST_PER_KIND]:
        advice = (
            "look at their pictures in zcorr/thickness.html; zcorr/proposals.yaml has the lines for"
            " the config that leave out the tiles"
        )
        yield Finding("zcorr", problem, f"z {spans(z)}", advice)


def _dips(evidence: Evidence) -> Iterator[Finding]:
    rows = [row for row in summary.qc_layers(evidence) or [] if not row.get("problem")]
    correlation = summary.qc_column(rows, "cc_next")
    for i in outliers(correlation, high=False)[:MOST_PER_KIND]:
        yield Finding(
            "zcorr",
            f"correlation with the next layer is only {correlation[i]:.3f}",
            f"z {int(rows[i]['z'])}",
            "step through these layers in the viewer; trim tiles or add matches, solve again",
        )


def spans(z: list[int]) -> str:
    """Return sorted whole numbers as runs: ``1-7, 20, 30-31``."""
    runs: list[list[int]] = []
    for value in z:
        if runs and value <= runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    shown = [f"{a}" if a == b else f"{a}-{b}" for a, b in runs[:6]]
    return ", ".join(shown) + (", …" if len(runs) > 6 else "")
