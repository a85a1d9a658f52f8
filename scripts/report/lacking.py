"""Layers without any file, and slices that were lost: where z has a gap between good layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from scripts.lib.verdicts import GOOD, LOOK
from scripts.report import declared, summary
from scripts.report.finding import Finding
from scripts.report.gather import Evidence

MOST = 5  # places that are named
# thinner than this between two layers, in layers of the corrected z: one layer, and no gap
_ONE_LAYER = 1.5
_BY_TIME = "time"


def missing(evidence: Evidence) -> Iterator[Finding]:
    """Tell of layers without any file.

    Of times alone it is a hint: where the images say that no more than one layer lies between, the
    microscope has paused, and that changes no verdict.

    Parameters
    ----------
    evidence
        What the run left.

    Yields
    ------
    Finding
        One for each place, of `MOST`.
    """
    rows = evidence["missing_layers"].rows()
    for row in rows[:MOST]:
        low, high = _around(evidence, row["z"])
        what = f"{row['layers']} layers seem" if row["layers"] > 1 else "a layer seems"
        paused = row["by"] == _BY_TIME and _one_layer(low, high)
        entry = f"gap: {row['layers']}, after: {row['after_id']}, renumber: true, reason: no file"
        yield Finding(
            "ingest",
            f"{what} to be missing: {row['evidence']}{_measured(low, high)}"
            + ("; the images say that it was a pause" if paused else ""),
            f"z {row['after']} to {row['z']}",
            "nothing to do where it was a pause"
            if paused
            else "nothing is to be excluded: bring the files, or keep the place of what is missing,"
            " so that z behind it is right (everything after ingest is made anew)",
            GOOD if paused else LOOK,
            "" if paused else f"ingest:\n  layers:\n    - {{{entry}}}",
        )
    if len(rows) > MOST:
        more = f"{len(rows) - MOST} more places where layers seem to be missing"
        yield Finding("ingest", more, "", "all of them are in ingest/missing_layers.tsv", LOOK)


def problems(evidence: Evidence) -> Iterator[tuple[str, str, int]]:
    """Yield what is wrong with each layer by its thickness, and what to do about it.

    Parameters
    ----------
    evidence
        What the run left.

    Yields
    ------
    tuple
        The problem, the advice, z; layers before others that are missing are reported by `missing`,
        layers without an image by what became of them.
    """
    rows = summary.qc_layers(evidence) or []
    last: Mapping[str, Any] = {}
    empty = declared.gap_layers(evidence)
    for row, high in zip(rows, [*rows, last][1:], strict=True):
        if not row.get("problem") or high.get("missing_before"):
            continue
        if row["problem"] == declared.NO_IMAGE and int(row["z"]) in empty:
            continue
        if high.get("lost_before"):
            text = (
                f"{row['problem']}; a slice was lost behind it, {high['delta_z']:.2f} layers wide"
            )
            advice = (
                "nothing is to be excluded, and the corrected z has the gap; zcorr/thickness.html"
                " has the entry of ingest.layers that counts it"
            )
        else:
            text = str(row["problem"])
            advice = "look at their pictures in zcorr/thickness.html"
            if evidence.documents["thickness"]:
                advice += (
                    "; zcorr/proposals.yaml has the lines for the config that leave out the tiles"
                    " of those that fit neither neighbour"
                )
        yield text, advice, int(row["z"])


def _around(evidence: Evidence, z: int) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the rows of the layer before z and of z itself; empty where there is none."""
    rows = [row for row in summary.qc_layers(evidence) or [] if row.get("delta_z") is not None
            or row.get("cc_next") is not None]  # fmt: skip
    at = next((i for i, row in enumerate(rows) if int(row["z"]) == z), 0)
    return (rows[at - 1], rows[at]) if at else ({}, {})


def _one_layer(low: Mapping[str, Any], high: Mapping[str, Any]) -> bool:
    step = high.get("delta_z")
    return step is not None and step < _ONE_LAYER and not low.get("problem")


def _measured(low: Mapping[str, Any], high: Mapping[str, Any]) -> str:
    """Say how far apart the images are."""
    words = ""
    if high.get("delta_z") is not None:
        words += f"; {high['delta_z']:.2f} layers wide in the corrected z"
    if low.get("problem") and low.get("cc_next") is not None:
        words += f", correlation {low['cc_next']:.3f}"
    return words
