"""Findings: where a person should look next, worst first, and what to change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from scripts.lib import commands
from scripts.lib.arrays import Array, Index
from scripts.lib.numerics import robust
from scripts.lib.verdicts import GOOD, LOOK
from scripts.report import agreeing, declared, lacking, meeting, summary
from scripts.report.finding import Finding, ordered, spans
from scripts.report.gather import Evidence
from scripts.report.judged import Rules, judged

OUTLIER_SIGMAS = 5.0  # robust: from median and median absolute deviation
MOST_PER_KIND = 5


def findings(evidence: Evidence, figures: Mapping[str, Any], rules: Rules) -> list[Finding]:
    """Return all findings, worst first: those beyond a limit, then what else stands out.

    Parameters
    ----------
    evidence
        What the run left.
    figures
        What `summary.summarise` returns.
    rules
        The limits.

    Returns
    -------
    list of Finding
        At most `MOST_PER_KIND` of each kind that stands out.
    """
    parts = (
        _gaps,
        lacking.missing,
        _exchanged,
        _elsewhere,
        _idle_decisions,
        _closed_gate,
        _loose_tiles,
        _quarantined,
        _noted,
        _residuals,
        _dips,
    )
    noticed = [finding for part in parts for finding in part(evidence)]
    noticed += [*declared.filled(evidence, rules.fill_gaps), *declared.excluded_layers(evidence)]
    noticed += _problems(evidence, rules)
    agreed = agreeing.findings(
        evidence,
        align=rules.align,
        final=rules.final,
        least=rules.least,
        z_range=rules.z_range,
        held_layers=rules.held_layers,
    )
    return ordered(
        [*meeting.findings(evidence), *agreed, *judged(evidence, figures, rules), *noticed]
    )


def outliers(values: Array, *, high: bool) -> Index:
    """Return the indices of robust outliers; none among fewer than eight values.

    Parameters
    ----------
    values
        (n,), NaN = unknown.
    high
        Those above the median, else those below.

    Returns
    -------
    Index
        Farther than `OUTLIER_SIGMAS` from the median in units of the scaled median absolute
        deviation, worst first.
    """
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


def _noted(evidence: Evidence) -> Iterator[Finding]:
    """Yield what the transfer said of layers that have all their tiles."""
    table = evidence["transfer"]
    for row in table.where((table["status"] == "ok") & (table["message"] != "")).rows()[
        :MOST_PER_KIND
    ]:
        advice = (
            "one that shows nothing has no part in the contrast of its layer: the review proposes"
        )
        advice += " a patch"
        yield Finding("transfer", row["message"], row["layer_id"], advice)


def _elsewhere(evidence: Evidence) -> Iterator[Finding]:
    """Yield what the wide search found where the stage positions did not say."""
    for row in evidence["wide"].rows()[:MOST_PER_KIND]:
        z, away = (row["z_first"], row["z_last"]), (row["dx_px"], row["dy_px"])
        if away == (0, 0):
            yield Finding(
                "match",
                f"{row['tiles']} tiles (cells {row['cells']}) are joined by {row['pairs']} pairs"
                " over seams so narrow that only many layers together tell their place",
                f"z {spans(range(z[0], z[1] + 1))}",
                "nothing to do; look at these seams in the pictures",
            )
            continue
        yield Finding(
            "match",
            f"{row['tiles']} tiles (cells {row['cells']}) were found {away[0]}, {away[1]} px from"
            f" their stage positions, and joined by {row['pairs']} pairs",
            f"z {spans(range(z[0], z[1] + 1))}",
            "nothing to do; ingest.stage_offsets would correct the positions",
            lines=f"ingest:\n  stage_offsets:\n    - {{z_first: {z[0]}, z_last: {z[1]},"
            f" x_px: {away[0]}, y_px: {away[1]}}}\n",
        )


def _exchanged(evidence: Evidence) -> Iterator[Finding]:
    """Yield cells that show each other's image, whatever was decided about the tiles."""
    clusters = evidence.documents["clusters"]
    rows: Sequence[Mapping[str, Any]] = (
        clusters.get("exchanged", []) if isinstance(clusters, Mapping) else []
    )
    for row in rows[:MOST_PER_KIND]:
        a, b = row["cells"]
        z = f"z_first: {row['z']:g}, z_last: {row['z']:g}"
        yield Finding(
            "review",
            f"cells {a} and {b} are exchanged: each shows what the other shows in the layers"
            " around, as where files got each other's name",
            f"z {row['z']:g}",
            "nothing of them is damaged: the entry gives each its own image, their patches may go",
            LOOK,
            "ingest:\n  exchange:\n"
            f'    - {{cells: ["{a}", "{b}"], {z}, reason: images of each other}}',
        )


def _idle_decisions(evidence: Evidence) -> Iterator[Finding]:
    """Yield decisions about pairs that find none."""
    table = evidence["decided"]
    for row in table.where(table["became"] == "no such pair").rows():
        advice = "take the entry out of the config, or name the pairs that are meant"
        yield Finding("match", f"{row['entry']} ({row['action']}) finds no pair", "", advice)


def _gaps(evidence: Evidence) -> Iterator[Finding]:
    table = evidence["layers"]
    for row in table.where(table["status"] == "gap").rows()[:MOST_PER_KIND]:
        reserved = row["layer_id"] == ""  # a z that ingest.layers reserves has no layer
        yield Finding(
            "ingest",
            "a z reserved by a declared gap" if reserved else "a layer without any readable tile",
            f"z {row['z']}" if reserved else f"z {row['z']} ({row['layer_id']})",
            "its z is kept; export.fill_gaps decides what is shown there",
            GOOD if reserved or row["declared"] else LOOK,
        )


def _closed_gate(evidence: Evidence) -> Iterator[Finding]:
    if evidence["review"].found and evidence.documents["gate"] is None:
        advice = "see review/index.html; the gate's message says what to change"
        yield Finding("review", "the gate before the solve is closed", "", advice, LOOK)


def _loose_tiles(evidence: Evidence) -> Iterator[Finding]:
    for message in summary.warnings_of(evidence.documents["gate"])[:MOST_PER_KIND]:
        yield Finding("review", message, "gate", "see the table of match stages", LOOK)
    table = evidence["review"]
    odd = table.where((table["state"] == "unconnected") | (table["state"] == "small_cluster"))
    cells = sorted(set(zip(odd["row"].tolist(), odd["column"].tolist(), strict=True)))
    for row, column in cells[:MOST_PER_KIND]:
        here = odd.where((odd["row"] == row) & (odd["column"] == column))
        yield Finding(
            "review",
            f"{len(here)} tiles of row {row}, column {column} are outside of the main cluster",
            f"z {spans(sorted(here['z'].tolist()))}",
            (
                "put the entries of review/proposals.yaml that you agree with into the config;"
                f" {commands.module('scripts.review.decide', '--write')} puts all of them there"
            ),
            LOOK,
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


def _problems(evidence: Evidence, rules: Rules) -> Iterator[Finding]:
    turned = declared.turned(evidence, rules.keep_contrast)
    by_problem: dict[tuple[str, str], list[int]] = {}
    for problem, advice, z in lacking.problems(evidence):
        if z in turned and problem.endswith(declared.RELATIVE):
            said = f"{problem}: transfer.keep_contrast says that the contrast turns there"
            yield Finding("zcorr", said, f"z {z}", "nothing to do", GOOD)
            continue
        by_problem.setdefault((problem, advice), []).append(z)
    for (problem, advice), layers in list(by_problem.items())[:MOST_PER_KIND]:
        yield Finding("zcorr", problem, f"z {spans(layers)}", advice, LOOK)


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
