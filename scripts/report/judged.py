"""Judged: the figures of a run against absolute limits (``report.limits`` of the config)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.lib import commands, verdicts
from scripts.lib.documents import MisplacedPair
from scripts.lib.verdicts import ABSENT, GOOD, LOOK, NOT_GOOD, Limit
from scripts.report import declared, grid, meeting, overlap
from scripts.report.finding import Finding, spans
from scripts.report.gather import Evidence, Table

Figures = Mapping[str, Any]
MOST = 5  # places of a kind that are named
FOR_THICKNESS = 30  # layers from which on changes of thickness can be told from noise
MATCHES = "look at the match trial of such a pair; match.preset decides how tiles are compared"

HARMED = (
    "no match.preset joins a tile that shows nothing: look at it in review/index.html, and decide"
    " in review.patch, review.exclude or review.keep"
)


@dataclass(frozen=True)
class Rules:
    """The limits by name, and the grid that the config names."""

    limits: Mapping[str, Limit]
    least: int  # tiles or pairs from which on a share counts
    rows: int
    columns: int
    pixel_nm: float
    align: str  # stack that the solve made
    final: str  # stack that is exported
    z_range: Sequence[float] | None = None  # layers that were to be solved; None: all
    fill_gaps: str | None = None  # export.fill_gaps
    overlap_um: float = 2.0  # ingest.tile_overlap_um
    keep_contrast: Sequence[Mapping[str, Any]] = ()  # transfer.keep_contrast
    held_layers: float | None = 0.0  # of a step of z, while the volume grows; None: z was scaled

    @staticmethod
    def of(section: Mapping[str, Any], names: Mapping[str, Any]) -> Rules:
        """Take the rules from ``report.limits`` and from the names of the volume.

        Parameters
        ----------
        section
            ``report.limits`` of the config.
        names
            Grid, pixel size and stacks of the volume.

        Returns
        -------
        Rules
            Lengths in px and nm, as their names say.
        """
        return Rules(
            limits=verdicts.limits(section),
            least=section["least"],
            z_range=names.get("z_range"),
            held_layers=names.get("held_layers", 0.0),
            fill_gaps=names.get("fill_gaps"),
            overlap_um=names.get("overlap_um", 2.0),
            keep_contrast=names.get("keep_contrast", ()),
            **{name: names[name] for name in ("rows", "columns", "pixel_nm", "align", "final")},
        )


def judged(evidence: Evidence, figures: Figures, rules: Rules) -> Iterator[Finding]:
    """Yield a finding for each figure beyond its limit, in the order in which they are reported.

    Parameters
    ----------
    evidence
        What the run left.
    figures
        What `summary.summarise` returns.
    rules
        The limits.

    Yields
    ------
    Finding
        Its state is that of the figure.
    """
    parts: tuple[Callable[[Evidence, Figures, Rules], Iterator[Finding]], ...] = (
        _pixel_size, _grid, _holes, _unmatched, _runs, _left_out, _strained, _misplaced, _clusters,
        _residuals, _worst_tile, _shapes, _scaled_runs, _correlation, _thickness, _exported_seams,
    )  # fmt: skip
    for part in parts:
        yield from part(evidence, figures, rules)
    yield from overlap.judged(evidence, rules.limits, rules.pixel_nm, rules.overlap_um)


def _beyond(
    rules: Rules, name: str, value: float | None, unit: str, *, text: str = "{}"
) -> tuple[str, str]:
    """Return the state of a figure, and the figure beside its limit in words."""
    limit = rules.limits[name]
    state = limit.state(value)
    shown = "not known" if value is None or value != value else f"{value:.3g}{unit}"
    passed = limit.not_good if state == NOT_GOOD else limit.look
    key = f"report.limits.{name}"
    return state, f"{text.format(shown)}; the limit is {passed:g}{unit} ({key})"


# ---------------------------------------------------------------------------------------------
# what is there
# ---------------------------------------------------------------------------------------------


def _pixel_size(evidence: Evidence, _figures: Figures, rules: Rules) -> Iterator[Finding]:
    """Pixel size of the config against that of most headers."""
    said = declared.header_pixel_nm(evidence)
    if not said:
        return
    apart = 100 * abs(rules.pixel_nm - said) / said
    text = f"acquisition.pixel_nm is {rules.pixel_nm:g}, headers say {said:g}: {{}} apart"
    state, words = _beyond(rules, "pixel_size_pct", apart, " %", text=text)
    if state != GOOD:
        advice = (
            "the volume has voxels of the wrong size unless it was measured; then raise"
            " report.limits.pixel_size_pct.look"
        )
        lines = f"acquisition:\n  pixel_nm: {said:g}"
        yield Finding("ingest", words, "all layers", advice, state, lines)


def _grid(evidence: Evidence, _figures: Figures, rules: Rules) -> Iterator[Finding]:
    """Rows and columns of the grid that no layer has."""
    found = grid.missing(evidence["layers"])
    absent = grid.absent_lines(found, rules.rows, rules.columns)
    lines = [line.partition(" ")[0] for line in absent]
    for line, kind in zip(absent, lines, strict=True):
        count = rules.rows if kind == "row" else rules.columns
        yield Finding(
            "ingest",
            f"no layer has a tile in {line} of the grid",
            f"{rules.rows} rows × {rules.columns} columns",
            f"acquisition.{kind}s is {count}: correct it if the microscope took fewer, else copy"
            " the files that are missing",
            NOT_GOOD,
            f"acquisition:\n  {kind}s: {count - lines.count(kind)}",
        )


def _holes(evidence: Evidence, figures: Figures, rules: Rules) -> Iterator[Finding]:
    """Tiles that are missing, of all and by cell of the grid."""
    found = grid.missing(evidence["layers"])
    lost = sum(share.found for share in found.values())
    total = lost + (figures["ingest"].get("tiles") or 0)
    if lost >= rules.least:
        state, words = _beyond(rules, "missing_pct", 100 * lost / total, " %")
        if state != GOOD:
            what = f"{lost:,} of {total:,} tiles are missing: {words}"
            yield Finding("ingest", what, "all layers", "copy them from the microscope", state)
    for cell, share in sorted(found.items(), key=lambda item: -item[1].found)[:MOST]:
        state, words = _beyond(rules, "cell_missing_pct", share.pct, " %")
        if share.found >= rules.least and state != GOOD:
            yield Finding(
                "ingest",
                f"tile {cell} (row-column) is missing in {share.found} of {share.total} layers:"
                f" {words}",
                f"z {spans(share.z)}",
                "copy the files from the microscope, or correct acquisition.rows and .columns",
                state,
            )


# ---------------------------------------------------------------------------------------------
# matches
# ---------------------------------------------------------------------------------------------


def _unmatched(evidence: Evidence, _figures: Figures, rules: Rules) -> Iterator[Finding]:
    """Edges of the grid with few matches or none."""
    if not evidence.results.found:
        return
    shares = grid.edges(evidence)
    for (a, b), share in sorted(shares.items(), key=lambda item: item[1].pct):
        lost = share.total - share.found
        state, words = _beyond(rules, "edge_saved_pct", share.pct, " %")
        if lost < rules.least or state == GOOD:
            continue
        what = f"no layer has matches between tiles {a} and {b}"
        if share.found:
            what = f"{lost} of {share.total} layers have no matches between tiles {a} and {b}"
        advice, why = _why(share, lost)
        yield Finding("match", f"{what}{why}: {words}", f"z {spans(share.z)}", advice, state)


def _runs(evidence: Evidence, _figures: Figures, rules: Rules) -> Iterator[Finding]:
    """Share of saved pairs of each run, within a layer and to the next one."""
    if not evidence.results.found:
        return
    for run, share in grid.runs(evidence).items():
        lost = share.total - share.found
        state, words = _beyond(rules, "saved_pct", share.pct, " %")
        if lost >= rules.least and state != GOOD:
            name = run.replace("_", " ")
            what = f"{share.found:,} of {share.total:,} {name} pairs have matches"
            advice, why = _why(share, lost)
            where = f"z {spans(share.z)}" if share.z else ""
            yield Finding("match", f"{what}{why}: {words}", where, advice, state)


def _why(share: grid.Share, lost: int) -> tuple[str, str]:
    """Return what to do about pairs without matches, and what is said of their tiles."""
    if not share.harmed:
        return MATCHES, ""
    said = f"; in {share.harmed} of the {lost} a tile is damaged or a patch"
    return (HARMED if 2 * share.harmed > lost else f"{MATCHES}; {HARMED}"), said


def _left_out(evidence: Evidence, _figures: Figures, rules: Rules) -> Iterator[Finding]:
    """Pairs that the solve left out: two in a row of one edge, or too many of it."""
    found = grid.left_out(evidence)
    for one in sorted(found, key=lambda one: (-one.in_a_row, one.z)):
        state, words = _beyond(rules, "left_out_pct", one.share.pct, " %")
        many = one.share.found >= rules.least and state != GOOD
        if not many and one.in_a_row < 2:
            continue
        # the matches were wrong, and the tiles lie right by others
        most_px = rules.limits["seam_residual_px"].look
        right = not many and meeting.confirmed(evidence["misalignment"], one.pairs, most_px)
        a, b = one.edge
        place = f"tile {a}" if a == b else f"tiles {a} and {b}"
        yield Finding(
            "solve",
            f"{one.share.found} of {one.share.total} {one.kind} pairs of {place} were left out of"
            f" the solve as wrong, up to {one.in_a_row} in a row"
            + (f": {words}" if many else "; the pixels meet all the same" if right else ""),
            f"z {spans(one.z)}",
            "look at the seam: where it is off, these matches were right and others wrong",
            state if many else GOOD if right else LOOK,
        )


def _strained(evidence: Evidence, _figures: Figures, rules: Rules) -> Iterator[Finding]:
    """Pairs that are wrong by their residual and stay, for nothing else joins what they join.

    Such a pair is judged by what it leaves unknown: the standard error of the mean of its matches.
    """
    most_px = rules.limits["lone_pair_px"].look
    solved = evidence.documents["solve"]
    for row in solved.get("strained_pairs", []) if solved else []:
        z = sorted((row["p_z"], row["q_z"]))
        state, words = _beyond(rules, "lone_pair_px", row["rms_px"] / row["count"] ** 0.5, " px")
        if state == GOOD or meeting.confirmed(
            evidence["misalignment"], [(row["p_id"], row["q_id"])], most_px
        ):
            continue
        yield Finding(
            "solve",
            f"what lies here is joined by one pair alone, and its {row['count']} matches miss by"
            f" {row['rms_px']:.1f} px, those of others by {row['typical_px']:.1f} px: how the tiles"
            f" lie to each other is known to {words}",
            f"z {spans(map(int, z))}",
            f"look at {row['p_id']} over {row['q_id']}: where they do not meet, leave out the"
            " layers of little tissue (review.exclude), or mend their matches",
            state,
        )


def _misplaced(evidence: Evidence, _figures: Figures, _rules: Rules) -> Iterator[Finding]:
    """Tiles in the place of another cell: they meet what is there, and leave a hole."""
    solved = evidence.documents["solve"]
    by_edge: dict[tuple[str, str], list[MisplacedPair]] = {}
    for row in solved.get("misplaced_pairs", ()) if solved else ():
        by_edge.setdefault((row["p_cell"], row["q_cell"]), []).append(row)
    for (a, b), rows in sorted(by_edge.items(), key=lambda item: -len(item[1]))[:MOST]:
        worst = max(rows, key=lambda row: abs(row["dx_px"]) + abs(row["dy_px"]))
        yield Finding(
            "solve",
            f"tiles {a} and {b} lie {worst['dx_px']:g}, {worst['dy_px']:g} px otherwise to each"
            " other than the stage says, more than half a tile: one shows the image of another"
            " cell, and its own place is a hole, or the stage is wrong",
            f"z {spans(row['z'] for row in rows)}",
            f"look at {worst['p_id']} and {worst['q_id']}, and at what the microscope wrote: where"
            " each shows the other's place ingest.exchange gives each its own image, else leave out"
            " the one that shows another place (review.exclude)",
            LOOK,
        )


def _clusters(evidence: Evidence, figures: Figures, rules: Rules) -> Iterator[Finding]:
    """Share of the tiles in the largest cluster."""
    review = figures["review"]
    if review["status"] == ABSENT:
        return
    total = review["tiles"] - review["excluded_tiles"]
    share = 100 * review["largest_cluster"] / total if total else None
    state, words = _beyond(rules, "cluster_pct", share, " %")
    if state != GOOD:
        yield Finding(
            "review",
            f"{review['largest_cluster']:,} of {total:,} tiles are connected by matches: {words}",
            "",
            "what lies outside of the largest cluster is placed by the stage alone",
            state,
        )


# ---------------------------------------------------------------------------------------------
# the solve
# ---------------------------------------------------------------------------------------------


def _residuals(evidence: Evidence, figures: Figures, rules: Rules) -> Iterator[Finding]:
    """Medians of the residuals: of tiles in px and nm, of pairs in a layer and to the next."""
    if figures["solve"]["status"] == ABSENT:
        return
    tiles = figures["solve"]["residual_px"].get("p50")
    nm = None if tiles is None else tiles * rules.pixel_nm
    seam, step = (_median(evidence["pairs"], dz) for dz in (0, 1))
    told = (
        ("residual_px", tiles, " px", "the matches of a tile agree to {} (median of tiles)"),
        ("residual_nm", nm, " nm", "the matches of a tile agree to {} (median of tiles)"),
        ("seam_residual_px", seam, " px", "matches between tiles of a layer agree to {} (median)"),
        ("step_residual_px", step, " px", "matches to the next layer agree to {} (median)"),
    )
    for name, value, unit, text in told:
        if value is None and name.endswith(("seam_residual_px", "step_residual_px")):
            continue  # a single tile has no seam
        state, words = _beyond(rules, name, value, unit, text=text)
        if state != GOOD:
            advice = "look at the worst pairs; for seams: is ingest.scan_correction right?"
            yield Finding("solve", words, "all layers", advice, state)


def _median(pairs: Table, dz: int) -> float | None:
    """Return the median residual of the pairs at a distance that the solve used."""
    own = pairs["rms_px"][(pairs["dz"] == dz) & (pairs["weight"] > 0)]
    own = own[np.isfinite(own)]
    return float(np.median(own)) if len(own) else None


def _worst_tile(evidence: Evidence, _figures: Figures, rules: Rules) -> Iterator[Finding]:
    """Name the tile whose matches agree least."""
    table = evidence["solved"]
    known = np.where(np.isfinite(table["rms_px"]), table["rms_px"], -1.0)
    if not len(known):
        return
    i = int(np.argmax(known))
    state, words = _beyond(rules, "tile_residual_px", float(known[i]), " px")
    if state != GOOD:
        count = int((known >= rules.limits["tile_residual_px"].look).sum())
        yield Finding(
            "solve",
            f"the matches of {count:,} tiles disagree, the worst by {words}",
            f"{table['tile_id'][i]} (z {table['z'][i]})",
            "look at the tile; when it is damaged, take it out",
            state,
            f"review:\n  exclude:\n    - {{tiles: [{table['tile_id'][i]}], reason: say why}}",
        )


def _shapes(evidence: Evidence, _figures: Figures, rules: Rules) -> Iterator[Finding]:
    """Tiles that were scaled or turned more than a microscope does."""
    table = evidence["solved"]
    if not len(table):
        return
    scale = 100 * np.maximum(abs(table["scale_x"] - 1), abs(table["scale_y"] - 1))
    turn = np.maximum(abs(table["rotation_mrad"]), 1000 * abs(table["shear"]))
    for name, values, unit, verb in (
        ("scale_pct", scale, " %", "scaled"),
        ("rotation_mrad", turn, " mrad", "turned or sheared"),
    ):
        i = int(np.argmax(np.where(np.isfinite(values), values, -1)))
        worst = float(values[i])
        text = f"{math.degrees(worst / 1000):.2g}° = {{}}" if unit == " mrad" else "{}"
        state, words = _beyond(rules, name, worst, unit, text=text)
        if state != GOOD:
            count = int((values >= rules.limits[name].look).sum())
            yield Finding(
                "solve",
                f"{count:,} {'tile is' if count == 1 else 'tiles are'} {verb} too much,"
                f" the worst by {words}",
                f"{table['tile_id'][i]} (z {table['z'][i]})",
                "few or wrong matches tilt a tile: exclude it, or raise solve.rigid_lambda",
                state,
            )


def _scaled_runs(evidence: Evidence, _figures: Figures, rules: Rules) -> Iterator[Finding]:
    """Tell of runs of layers in another magnification than their headers say."""
    solved = evidence.documents["solve"]
    for row in solved.get("restart_steps", [])[:MOST] if solved else []:
        scale = max((row["scale_x"], row["scale_y"]), key=lambda value: abs(value - 1))
        state, words = _beyond(rules, "restart_scale_pct", 100 * abs(scale - 1), " %")
        if state != GOOD:
            yield Finding(
                "solve",
                f"images are scaled by {scale:.3f} from here on, as no header says: {words}",
                f"z {row['z_first']:g}",
                "it is corrected to the longest run; was the magnification changed there? Then"
                " acquisition.pixel_nm is right for one of the two alone",
                state,
            )


# ---------------------------------------------------------------------------------------------
# z
# ---------------------------------------------------------------------------------------------


def _correlation(_evidence: Evidence, figures: Figures, rules: Rules) -> Iterator[Finding]:
    """Median correlation of layers with the next."""
    if figures["zcorr"]["status"] == ABSENT:
        return
    value = figures["zcorr"]["correlation_next"].get("p50")
    state, words = _beyond(
        rules, "correlation_next", value, "", text="layers correlate with the next by {} (median)"
    )
    if state != GOOD:
        advice = "are the layers aligned, and is there tissue in them? See zcorr/thickness.html"
        yield Finding("zcorr", words, "all layers", advice, state)


def _thickness(_evidence: Evidence, figures: Figures, rules: Rules) -> Iterator[Finding]:
    """Measured thickness beside the nominal one, and whether its changes are above noise."""
    zcorr = figures["zcorr"]
    measured = zcorr.get("measured_thickness_layers")
    if measured is not None:
        factor = max(measured, 1 / measured) if measured > 0 else float("inf")
        state, words = _beyond(rules, "thickness_factor", factor, "")
        if state != GOOD:
            yield Finding(
                "zcorr",
                f"layers are {measured:.3g} of the nominal thickness, a factor of {words}",
                "all layers",
                "are acquisition.z_nm and pixel_nm right? Residual jitter makes layers look thick",
                state,
            )
    apart = zcorr.get("distance_deviation_layers")
    if apart is not None:
        text = "distances of layers disagree by {} layers with the z that fits them all"
        state, words = _beyond(rules, "distance_deviation_layers", apart, "", text=text)
        if state != GOOD:
            advice = "layers in a wrong order, damage or jitter that is left?"
            yield Finding("zcorr", words, "all layers", advice, state)
    sure = zcorr.get("thickness_significance")
    if sure is not None and zcorr["layers"] >= FOR_THICKNESS:
        text = "changes of thickness are sure by {} (9.2: one even stack in 100 looks so)"
        state, words = _beyond(rules, "thickness_significance", sure, "", text=text)
        if state != GOOD:
            advice = "z is spaced evenly: no change of thickness was found"
            yield Finding("zcorr", words, "all layers", advice, state)


# ---------------------------------------------------------------------------------------------
# the volume
# ---------------------------------------------------------------------------------------------


def _exported_seams(_evidence: Evidence, figures: Figures, rules: Rules) -> Iterator[Finding]:
    """Seams in the stored voxels: their shift, how grey levels correlate, and what is not found."""
    seams = figures["export"].get("seams")
    if not seams:
        return
    again = commands.again("render_slab")
    other = "the voxels are not what the alignment was judged by: export them again"
    if worst := seams.get("worst"):
        text = "tiles of a layer do not meet in the exported voxels, by {} for sure"
        state, words = _beyond(rules, "exported_seam_px", worst["sure_px"], " px", text=text)
        if state != GOOD:
            before = worst["judged_px"]
            told = "was not measured" if before is None else f"was judged by {before:.2f} px"
            yield Finding(
                "export",
                f"{words}; {worst['px']:.2f} ± {worst['error_px']:.2f} px between {worst['p_id']}"
                f" and {worst['q_id']}, where the alignment {told}",
                f"z {worst['z']}",
                other if before is not None else "look at the seam",
                state,
                command=again if before is not None else "",
            )
    if seams["lost"] >= rules.least:
        share = 100 * seams["lost"] / seams["judged"]
        state, words = _beyond(rules, "exported_seam_lost_pct", share, " %")
        if state != GOOD:
            what = (
                f"{seams['lost']} of {seams['judged']} seams that the alignment was judged by are"
                f" not found in the exported voxels: {words}"
            )
            yield Finding("export", what, "", other, state, command=again)
    if "correlation" in seams:
        text = "grey levels correlate across seams by {} (median)"
        value = seams["correlation"]
        state, words = _beyond(rules, "exported_seam_correlation", value, "", text=text)
        if state != GOOD:
            yield Finding("export", words, "", "noise, or tiles that differ? Look at seams", state)
