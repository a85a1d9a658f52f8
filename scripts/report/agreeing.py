"""Agreeing: what one stage left is what the next one took: no tile lost between them, no z changed.

Every stage is judged by its own figures. A tile that one table has and the next has not is in none
of them, and looks like a place that was never imaged.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from scripts.lib import commands, growing
from scripts.lib.verdicts import LOOK, NOT_GOOD
from scripts.report import grid, summary
from scripts.report.finding import Finding, spans
from scripts.report.gather import Evidence, Table

MOST = 5  # places of a kind that are named
STEP_LAYERS = 1e-3  # by which two files may differ in a step of z: they are texts of six digits


def findings(
    evidence: Evidence,
    *,
    align: str,
    final: str,
    least: int,
    z_range: Sequence[float] | None = None,
    held_layers: float | None = 0.0,
) -> Iterator[Finding]:
    """Yield what does not agree.

    Parameters
    ----------
    evidence
        What a run left.
    align, final
        Names of the stacks that the solve and the last correction made.
    least
        Tiles from which on a cell is named where single ones are chance.
    z_range
        First and last layer that were to be solved; None: all.
    held_layers
        By how much a step of z may differ from the inferred one, layers: ``zcorr.keep_thickness``
        while a volume grows. None: steps were scaled, and are none of those that were inferred.

    Yields
    ------
    Finding
        Each with its place.
    """
    yield from _not_placed(evidence, z_range)
    yield from _taken_out(evidence, least)
    yield from _not_measured(evidence)
    yield from _stacks(evidence, align, final)
    yield from _without_z(evidence)
    yield from _steps_of_z(evidence, held_layers)


def _not_placed(evidence: Evidence, z_range: Sequence[float] | None) -> Iterator[Finding]:
    """Tiles that the review knows and has not taken out, and that the solve has no place for."""
    if not (evidence["solved"].found and evidence["review"].found):
        return
    low, high = z_range or (-math.inf, math.inf)
    placed = set(evidence["solved"]["tile_id"].tolist())
    review = evidence["review"]
    ids, z, rows, columns, states = (
        review[name].tolist() for name in ("tile_id", "z", "row", "column", "state")
    )
    lost: dict[str, list[int]] = defaultdict(list)
    for name, at, row, column, state in zip(ids, z, rows, columns, states, strict=True):
        if name not in placed and state not in grid.NEAR and low <= at <= high:
            lost[grid.cell(row, column)].append(at)
    advice = "publish the trimmed stack again; or name them under review.exclude"
    command = commands.again("publish_trimmed")
    yield from _by_cell(lost, "are neither placed nor taken out", advice, command=command)


def _taken_out(evidence: Evidence, least: int) -> Iterator[Finding]:
    """Tiles that left without being asked, with tissue of their cell below and above.

    Bare resin surrounds a specimen. Amid tissue it is a detector that was off, or a hole.
    """
    review = evidence["review"]
    if not (review.found and evidence["solved"].found):
        return
    ends = _ends(evidence["solved"])
    lost: dict[str, list[int]] = defaultdict(list)
    columns = ("z", "row", "column", "state", "reason")
    for z, row, column, state, reason in zip(*(review[n].tolist() for n in columns), strict=True):
        name = grid.cell(row, column)
        low, high = ends.get(name, (z, z))
        if state == "excluded" and reason.startswith("auto") and low < z < high:
            lost[name].append(z)
    often = {name: z for name, z in lost.items() if len(z) >= least}
    advice = "look at them in review/index.html; name them under review.exclude when it is right so"
    yield from _by_cell(often, "left without being asked, amid tissue", advice, stage="review")


def _ends(tiles: Table) -> Mapping[str, tuple[int, int]]:
    """Return the first and last layer of each cell of the grid."""
    ends: dict[str, tuple[int, int]] = {}
    for z, row, column in zip(*(tiles[n].tolist() for n in ("z", "row", "column")), strict=True):
        low, high = ends.get(name := grid.cell(row, column), (z, z))
        ends[name] = min(low, z), max(high, z)
    return ends


def _not_measured(evidence: Evidence) -> Iterator[Finding]:
    """Tiles that were placed, and that nothing was measured against."""
    lost = _alone(evidence)
    advice = "nothing overlaps them in their layer or near it: are they where they should be?"
    yield from _by_cell(lost, "were placed, and no tile of the stack lies where they lie", advice)


def _alone(evidence: Evidence) -> dict[str, list[int]]:
    """Return the layers of tiles that were placed and not measured, by cell."""
    table, solved = evidence["misalignment"], evidence["solved"]
    lost: dict[str, list[int]] = defaultdict(list)
    if not table.found or len(solved) < 2:
        return lost
    known = {*table["p_id"].tolist(), *table["q_id"].tolist()}
    each = (solved[name].tolist() for name in ("tile_id", "z", "row", "column"))
    for name, z, row, column in zip(*each, strict=True):
        if name not in known:
            lost[grid.cell(row, column)].append(z)
    return lost


def _by_cell(
    lost: Mapping[str, list[int]],
    what: str,
    advice: str,
    stage: str = "solve",
    *,
    command: str = "",
) -> Iterator[Finding]:
    """Name lost tiles by their cell of the grid, those that lack most first."""
    for cell, z in sorted(lost.items(), key=lambda item: -len(item[1]))[:MOST]:
        count = f"{len(z)} tile{'s' if len(z) > 1 else ''}"
        what_ = f"{count} of cell {cell} (row-column) {what}"
        yield Finding(stage, what_, f"z {spans(z)}", advice, LOOK, command=command)


def _stacks(evidence: Evidence, align: str, final: str) -> Iterator[Finding]:
    """Numbers of tiles in the stacks that follow the solve."""
    receipts = evidence.stacks
    counts = {name: receipts[name]["tile_count"] for name in (align, final) if name in receipts}
    placed, lost = len(evidence["solved"]), _alone(evidence)
    where = f"z {spans({z for layers in lost.values() for z in layers})}" if lost else ""
    for name, count in counts.items():
        if evidence["solved"].found and count != placed:
            yield Finding(
                "solve" if name == align else "correct",
                f"stack {name} holds {count:,} tiles, and the solve has placed {placed:,}"
                + "".join(f"; nothing lies in cell {cell}" for cell in list(lost)[:MOST]),
                where,
                "publish the aligned stack again",
                NOT_GOOD,
                command=commands.again("publish_align"),
            )


def _without_z(evidence: Evidence) -> Iterator[Finding]:
    """Layers with tiles that have no place along z: the export leaves them out."""
    if not (evidence.z_coords and evidence["solved"].found):
        return
    lost = set(evidence["solved"]["z"].tolist()) - set(evidence.z_coords)
    if lost:
        yield Finding(
            "zcorr",
            f"{len(lost)} layers have tiles and no line in zcorr/Zcoords.txt",
            f"z {spans(lost)}",
            "infer z again",
            NOT_GOOD,
            command=commands.again("infer_z"),
        )


def _steps_of_z(evidence: Evidence, held_layers: float | None) -> Iterator[Finding]:
    """Find steps of z that go back, or that are not those that were inferred."""
    inferred = {} if held_layers is None else _inferred(evidence)
    # steps of layers that stay, and what is spread over the new ones so that the end is right
    error = _error(evidence) if held_layers else 0.0
    known = sorted(evidence.z_coords.items())
    told = 0
    for (before, low), (z, high) in zip(known, known[1:], strict=False):
        step, expected = high - low, inferred.get(z)
        most = STEP_LAYERS + 2 * max(held_layers or 0.0, error * (expected or 0.0))
        back, other = step <= 0, expected is not None and abs(step - expected) > most
        if (back or other) and told < MOST:
            told += 1
            shown = "" if expected is None else f", and {expected:.3f} were inferred"
            yield Finding(
                "zcorr",
                f"z goes {'back' if back else 'on'} by {abs(step):.3f} layers in"
                f" zcorr/Zcoords.txt{shown}",
                f"z {before}-{z}",
                "the export follows zcorr/Zcoords.txt: write it again",
                NOT_GOOD,
                command=commands.again("check_thickness"),
            )


def _error(evidence: Evidence) -> float:
    """Return the share of its thickness by which a layer may stay off what was inferred."""
    document = evidence.documents["qc"]
    figures = document.get("figures", {}) if isinstance(document, Mapping) else {}
    return growing.error_of_thickness(figures)


def _inferred(evidence: Evidence) -> Mapping[int, float]:
    """Return the step of each layer from the one before it, layers, as zcorr/qc.json has it."""
    rows = summary.qc_layers(evidence) or []
    return {int(row["z"]): row["delta_z"] for row in rows if row.get("delta_z") is not None}
