"""The page of the report: verdict, where to look next, and the figures of each stage."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from scripts.lib import commands, gates
from scripts.lib.pages import message as messages
from scripts.lib.pages import page as pages
from scripts.lib.pages.page import (
    Compared,
    Copied,
    Facts,
    Items,
    Part,
    Pictures,
    Plots,
    Section,
    Table,
    Text,
)
from scripts.lib.pages.pictures import Shown
from scripts.lib.pages.text import large, number
from scripts.lib.verdicts import ABSENT, Limit
from scripts.report import costs, explained, exported, first_screen, meeting, watched
from scripts.report.album import STRETCHED, Album
from scripts.report.finding import Finding, spans
from scripts.report.first_screen import Where
from scripts.report.gather import Evidence
from scripts.report.progress import Stop
from scripts.report.summary import STAGES

Figures = Mapping[str, Any]
Rows = list[tuple[str, str]]
HERE, SO_FAR = "report/index.html", "report/so_far.html"
SECTION = "x to the right, z down: stage positions before, as solved after; z as acquired."
TITLES = {
    "transfer": ("Transfer", "Microscope files to HDF5, checked byte by byte."),
    "ingest": ("Ingest", "Layers numbered once and for all, tiles placed where the stage was."),
    "match": ("Match", "Which tiles show the same structures."),
    "review": ("Review", "Is everything connected? The gate before the solve."),
    "solve": ("Solve", "One transform per tile, all at once."),
    "zcorr": ("Z correction", "How thick every layer really is."),
    "correct": ("Corrections", "Steps after the alignment."),
    "export": ("Export", "The volume."),
}
PLOTS = {
    "match": ("match_share", "match_counts"),
    "review": ("review_states",),
    "solve": ("residuals", "residual_histogram", "deviation"),
    "zcorr": ("correlation", "thickness"),
    "export": ("grey_values", "black_and_white"),
}


def page(
    figures: Figures,
    *,
    findings: Sequence[Finding],
    album: Album,
    plots: Mapping[str, Any],
    where: Where,
    compared: Sequence[Part] = (),
    tiles: Mapping[str, Any] | None = None,
    first: Sequence[Section] = (),
    changed: Sequence[Part] = (),
    here: str = HERE,
    limits: Mapping[str, Limit] | None = None,
    left_px: float | None = None,
    wave: str = "",
) -> str:
    """Return the page; `plots` are Bokeh figures by name, `first` stands before all else."""
    told = explained.cards(limits or {}, left_px)
    cut = album.get("solve", [])[:2]  # the same section before and after
    whole = (
        [Compared(cut[0], replace(cut[1], title="The whole section", caption=_of_section(cut[1])))]
        if len(cut) > 1
        else []
    )
    return pages.render(
        f"{figures['volume']} · {'report so far' if here == SO_FAR else 'alignment report'}",
        [
            *first,
            *first_screen.sections(figures, findings, where, here, changed),
            Section("In figures", [Facts(cards(figures), cards=True, help=told)]),
            Section("Before and after", [*whole, *compared]),
            Section("What is left over", _left_over(album, plots), meeting.NOTE, id="left-over"),
            *(_section(stage, figures, album) for stage in STAGES),
            costs.section(figures["costs"]),
        ],
        here=here,
        volume=figures["volume"],
        lead=[first_screen.verdict(figures, f"{_placed(figures)} {wave}".strip())],
        figures=plots,
        tiles=tiles,
        footer="All figures of this page are in summary.json; the text for the tracking issue is"
        f" issue.md. Pipeline {figures['code_version']}.",
    )


def _of_section(shown: Shown) -> str:
    """Return what the slider shows; of few layers also how much thicker they are drawn."""
    drawn = STRETCHED.partition("{}")[0]
    at = shown.caption.find(drawn)
    return f"{SECTION} {shown.caption[at:]}" if at >= 0 else SECTION


def how_far(
    evidence: Evidence, stopped: Sequence[Stop], done: Mapping[str, tuple[int, int]]
) -> list[Section]:
    """Return what stopped a run, with the lines of its message, and what is left to do."""
    parts: list[Part] = []
    for one in stopped:
        parts += [Text(one.headline, "error"), *messages.parts(one.rest)]
        parts.append(Text(f"Log: {one.log}", "note"))
    if stopped:
        note = "when that is mended; it goes on from there, and what is done stays done"
        parts.append(Copied("then type", commands.run(), note))
    closed = {watched.stage_of(one.rule) for one in stopped if one.rule in gates.GATES}
    closed |= {"review"} if _at_gate(evidence) else set()
    rows = [[TITLES[stage][0], *_stage_so_far(evidence, stage, done, closed)] for stage in STAGES]
    table = Table("Stages", ["stage", "state", "chunks done"], rows)
    calm = Text("No log ends with an error.")
    return [
        Section("What stopped it", parts or [calm], id="stopped"),
        Section("How far it is", [table], id="progress"),
    ]


def _stage_so_far(
    evidence: Evidence,
    stage: str,
    done: Mapping[str, tuple[int, int]],
    closed: Collection[str],
) -> tuple[str, str]:
    """Return whether a stage is done, and its chunks; `closed` are those at whose gate it waits."""
    part, whole = done.get(stage, (0, 0))
    chunks = f"{part:,} of {whole:,}" if whole else ""
    if stage in closed:
        return "its gate is not open", chunks
    if stage in evidence.finished:
        return "done", chunks
    if part and _at_gate(evidence):
        return "prepared; waits for the gate of the review", chunks
    return ("begun" if part else "to do"), chunks


def _at_gate(evidence: Evidence) -> bool:
    return "review" not in evidence.finished and evidence["review"].found


def _left_over(album: Album, plots: Mapping[str, Any]) -> list[Part]:
    shown = album.get("left_over", [])
    drawn = Plots(["left_over", "left_over_map"], explained.PLOTS)
    return [drawn, Pictures(shown)] if shown or plots.get("left_over") else []


def _section(stage: str, figures: Figures, album: Album) -> Section:
    title, note = TITLES[stage]
    rows, table = ROWS[stage](figures), TABLES.get(stage)
    shown = album.get(stage, [])
    parts: list[Part] = [Items(figures[stage].get("reasons", ()))]
    parts += [Facts(rows)] if rows else []
    parts += [table(figures[stage])] if table else []
    parts += [
        Plots(PLOTS.get(stage, ()), explained.PLOTS),
        Pictures(shown[2:] if stage == "solve" else shown),
    ]
    return Section(title, parts, note, figures[stage]["status"], stage)


def _placed(figures: Figures) -> str:
    """Count the tiles, each once; before the solve say how far the run has come."""
    solve = figures["solve"]
    if solve["status"] == ABSENT:
        reached = [stage for stage in STAGES if figures[stage]["status"] != ABSENT]
        if not reached:
            return "Not aligned yet: no stage is done."
        return f"Not aligned yet: the run has come as far as {TITLES[reached[-1]][0]}."
    counts = solve["counts"]
    parts = [f"{counts['placed']:,} placed"]
    parts += [
        f"{counts[name]:,} {name.replace('_', ' ')}"
        for name in ("patched", "missing", "excluded", "not_placed")
        if counts[name]
    ]
    text = f"Tiles: {', '.join(parts)}"
    if solve["residual_px"].get("p50") is not None:
        text += f"; matches agree to {solve['residual_px']['p50']:.2f} px (median of tiles)"
    return text + "."


def _range(quantiles: Figures, digits: int, unit: str = "") -> str:
    """Return median, 95th percentile and maximum as one text."""
    if not quantiles.get("count"):
        return "–"
    parts = (f"{quantiles[k]:.{digits}f}" for k in ("p50", "p95", "max"))
    return "median {} · p95 {} · max {}".format(*parts) + (f"\u00a0{unit}" if unit else "")


def cards(figures: Figures) -> Rows:
    """Return the headline figures as (name, value)."""
    out = meeting.cards(figures["solve"].get("misalignment"))
    out.append(("layers", number(figures["ingest"].get("layers"))))
    out.append(("tiles", number(figures["ingest"].get("tiles"))))
    match, zcorr, score = figures["match"], figures["zcorr"], figures.get("score")
    if match["status"] != ABSENT:
        out.append(("pairs with matches", number(match["saved_pct"], 1, "%")))
    if figures["solve"]["status"] != ABSENT:
        residual = figures["solve"]["residual_px"].get("p50")
        out.append(("residual, median", number(residual, 2, "px")))
    if zcorr["status"] != ABSENT:
        middle = zcorr["correlation_next"].get("p50")
        out.append(("correlation with next, median", number(middle, 3)))
    if score and "relative" in score:
        out.append(("jitter against the truth, rms", number(score["relative"]["rms_px"], 2, "px")))
    if figures["export"].get("voxels"):
        out.append(("voxels, x × y × z", _size(figures["export"])))
    return out


# ---------------------------------------------------------------------------------------------
# the numbers of each stage
# ---------------------------------------------------------------------------------------------


def _transfer(figures: Figures) -> Rows:
    f = figures["transfer"]
    if f["status"] == ABSENT:
        return []
    return [
        ("layers", number(f["layers"])),
        ("tiles converted", f"{f['tiles']:,} of {f['tiles_expected']:,}"),
        ("tiles in quarantine", number(f["tiles_quarantined"])),
    ]


def _ingest(figures: Figures) -> Rows:
    f = figures["ingest"]
    if f["status"] == ABSENT:
        return []
    return [
        ("z", f"{f['z_first']} to {f['z_last']}"),
        ("tiles", number(f["tiles"])),
        ("layers with a hole", number(len(f["holes"]))),
        ("restarts", ", ".join(f"z {r['z']} ({r['reason']})" for r in f["restarts"][:5]) or "none"),
        ("microscope settings that changed", _settings(f["settings_changed"])),
        ("chunks", number(f["chunks"])),
    ]


def _settings(changed: Sequence[Mapping[str, Any]] | None) -> str:
    """Name changed header fields, with a link to the page of all fields."""
    if changed is None:
        return "not read"
    names = ", ".join(f"{one['field']} (z {one['z']})" for one in changed[:5]) or "none"
    more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
    link = pages.link("ingest/metadata.html", HERE, "all fields over z")
    return Markup("{}{} · {}").format(names, more, link)


def _match(figures: Figures) -> Rows:
    f = figures["match"]
    if f["status"] == ABSENT:
        return []
    out = [("pairs saved", f"{f['pairs_saved']:,} of {f['pairs_tried']:,} tried")]
    out.append(("matches", number(f["matches"])))
    for name, run in f["runs"].items():
        per_pair = number(run["matches_per_pair"].get("p50"))
        text = f"{run['pairs_saved']:,} of {run['pairs_tried']:,}, {per_pair} matches (median)"
        out.append((name.replace("_", " "), text))
    for one in f["decisions"]:
        text = f"{one['pairs']:,} {one['became']}: {one['reason']}"
        out.append((f"{one['entry']} ({one['action']})", text))
    return out


def _review(figures: Figures) -> Rows:
    f = figures["review"]
    if f["status"] == ABSENT:
        return []
    return [
        ("gate", f["gate"]),
        ("clusters", f"{f['clusters']}, the largest of {f['largest_cluster']:,} tiles"),
        ("unconnected tiles", number(f["unconnected_tiles"])),
        ("excluded tiles", number(f["excluded_tiles"])),
        ("patched tiles", number(f["patched_tiles"])),
        ("gaps between neighbors", number(f["weak_edges"])),
        ("all proposals, statistics and worst pairs", pages.link("review/index.html", HERE)),
    ]


def _solve(figures: Figures) -> Rows:
    f, score = figures["solve"], figures.get("score")
    if f["status"] == ABSENT:
        return []
    out = [
        *meeting.rows(f.get("misalignment")),
        ("tiles", number(f["tiles"])),
        ("pairs used", number(f["pairs"])),
        ("pairs wrong, left out", number((f["details"] or {}).get("pairs_wrong", 0))),
        ("residual of a tile", _range(f["residual_px"], 2, "px")),
        ("moved from the stage", _range(f["moved_px"], 1, "px")),
        (
            "steps of scale or rotation, corrected",
            meeting.steps(f["details"]),
        ),
    ]
    if score and "relative" in score:
        for key, label in (
            ("relative", "jitter against the truth"),
            ("seams", "seams against the truth"),
            ("absolute", "position against the truth"),
        ):
            if key in score:
                was = score["nominal"][key]["rms_px"]
                out.append((label, f"rms {score[key]['rms_px']:.2f} px, was {was:.2f}"))
    return [
        *out,
        ("shape of tiles, all worst pairs and layers", pages.link("solve/solve.html", HERE)),
    ]


def _zcorr(figures: Figures) -> Rows:
    f, score = figures["zcorr"], figures.get("score") or {}
    if f["status"] == ABSENT:
        return []
    next_one, thick = f["correlation_next"], f["thickness_layers"]
    out = [
        (
            "correlation with next",
            f"median {number(next_one.get('p50'), 3)} · least {number(next_one.get('min'), 3)}",
        ),
        (
            "thickness",
            f"{number(thick.get('p05'), 2)} to {number(thick.get('p95'), 2)} layers (90 %)",
        ),
        ("z moved by", number(f["z_correction_layers"]["rms"], 2, "layers (rms)")),
        ("lost slices before z", ", ".join(map(str, f["lost_before_z"])) or "none"),
        ("layers to look at", number(len(f["problems"]))),
    ]
    if f["measured_thickness_layers"] is not None:
        measured = number(f["measured_thickness_layers"], 3, "of nominal, from the pictures")
        out.append(("mean thickness", measured))
    if "z" in score:
        was = score["nominal"]["z"]["rms_layers"]
        text = f"rms {score['z']['rms_layers']:.2f} layers, was {was:.2f}"
        out.append(("depth against the truth", text))
    return [*out, ("regions, layers that do not fit", pages.link("zcorr/thickness.html", HERE))]


def _correct(figures: Figures) -> Rows:
    steps = figures["correct"]["steps"]
    rows = [("steps", ", ".join(steps) if steps else "none configured")]
    return rows + [(name, str(step["changes"])) for name, step in steps.items()]


def _size(exported: Figures) -> str:
    return " × ".join(f"{n:,}" for n in reversed(exported["shape_zyx"] or []))


def _export(figures: Figures) -> Rows:
    f = figures["export"]
    if f["status"] == ABSENT:
        return []
    voxel = " × ".join(f"{n:g}" for n in reversed(f["voxel_nm_zyx"] or []))
    return [
        ("voxels (x × y × z)", f"{_size(f)} = {large(f['voxels'] or 0)}"),
        ("voxel size (x × y × z)", f"{voxel} nm"),
        ("type", str(f["dtype"])),
        ("resolution levels", number(f["levels"])),
        *exported.rows(f["seams"]),
        *(("dataset", path) for path in f["paths"]),
        ("what the export wrote", pages.link("export/volume.json", HERE)),
    ]


ROWS = {
    "transfer": _transfer,
    "ingest": _ingest,
    "match": _match,
    "review": _review,
    "solve": _solve,
    "zcorr": _zcorr,
    "correct": _correct,
    "export": _export,
}


# ---------------------------------------------------------------------------------------------
# tables: (caption, header, rows)
# ---------------------------------------------------------------------------------------------

MOST_ROWS = 12
_RESERVED = "none: a declared gap"


def _quarantine_table(f: Figures) -> Table:
    rows = [
        [q["layer_id"], q["tile_key"], q["reason"].removeprefix(f"{q['dat']}: ")]
        for q in f.get("quarantined", [])
    ]
    return _cut("Tiles in quarantine", ["layer", "tile", "why"], rows)


def _holes_table(f: Figures) -> Table:
    rows = [
        [
            str(h["z"]),
            h["layer_id"] or _RESERVED,
            ", ".join(h["missing"]) or "all",
            h["status"],
        ]
        for h in f.get("holes", [])
    ]
    return _cut("Declared holes", ["z", "layer", "missing tiles", "layer is"], rows)


def _stages_table(f: Figures) -> Table:
    rows = []
    for run, part in f.get("runs", {}).items():
        for stage, counts in part["stages"].items():
            share = 100 * counts["saved"] / counts["processed"] if counts["processed"] else 0
            reasons = sorted(counts["failed"].items(), key=lambda item: -item[1])
            why = ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in reasons)
            numbers = [f"{counts['processed']:,}", f"{counts['saved']:,}", f"{share:.1f} %"]
            rows.append([run.replace("_", " "), stage, *numbers, why])
    header = ["run", "match stage", "pairs tried", "saved", "share", "why not saved"]
    return _cut("Match stages: a pair that fails one goes on to the next", header, rows, most=40)


def _worst_pairs_table(f: Figures) -> Table:
    pairs = (f.get("details") or {}).get("worst_pairs", [])
    rows = [
        [
            pair["p_id"],
            pair["q_id"],
            f"{float(pair['rms_px']):.2f}",
            f"{100 * float(pair['share_of_error']):.1f} %",
            "wrong, left out" if pair["wrong"] else "used",
        ]
        for pair in pairs
    ]
    header = ["tile", "matched with", "rms, px", "share of the error", "judged"]
    return _cut("Pairs with the largest share of the error", header, rows)


def _loose_table(f: Figures) -> Table:
    grouped: dict[tuple[str, str, str], list[int]] = {}
    for t in f.get("not_ok", []):
        key = (f"{t['row']}-{t['column']}", t["state"].replace("_", " "), t["reason"])
        grouped.setdefault(key, []).append(int(t["z"]))
    rows = [
        [cell, spans(sorted(z)), f"{len(z):,}", state, reason]
        for (cell, state, reason), z in grouped.items()
    ]
    header = ["row-column", "z", "tiles", "state", "why"]
    return _cut("Tiles that are not part of the alignment", header, rows)


def _cut(caption: str, header: list[str], rows: list[list[str]], *, most: int = MOST_ROWS) -> Table:
    return Table(caption, header, rows, most=most, where="summary.json")


TABLES = {
    "transfer": _quarantine_table,
    "ingest": _holes_table,
    "match": _stages_table,
    "review": _loose_table,
    "solve": _worst_pairs_table,
}
