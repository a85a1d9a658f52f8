"""The jobs of the whole volume in order of the workflow, with the arguments that their rules give.

Each runs in a process of its own in the folder of a simulated volume (`simulated_volume`).
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path

from scripts.lib import flow, schema, yaml_files
from scripts.match import stage_files
from scripts.review.evidence import Limits as GateLimits
from scripts.review.suspects import Limits as VerdictLimits
from tests.benchmarks.simulated_volume import COLUMNS, RENDER, ROWS, RUNS

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = yaml_files.read(ROOT / "config/schema.yaml")
MAIN = """
import importlib, json, pathlib, sys
from scripts.lib.job import look_for_cycles_seldom
look_for_cycles_seldom()
importlib.import_module(sys.argv[1]).main(**json.loads(sys.argv[2]))
status = pathlib.Path("/proc/self/status").read_text()
print(status.partition("VmHWM:")[2].split()[0])
"""  # the peak of the process alone: getrusage begins with its parent's
ACQUIRE, TRIMMED = "v1_acquire", "v1_acquire_trimmed"
ALIGN = f"{TRIMMED}_align"
STRAIGHT, FINAL = f"{ALIGN}_straight", f"{ALIGN}_straight_ic"


def receipt(stack):
    return f"stacks/{stack}.json"


@dataclass(frozen=True)
class Job:
    """A rule with its script, the arguments, and what must be made up before it."""

    rule: str
    script: str
    arguments: dict
    before: tuple = field(default=())  # names of methods of `Volume`
    of_chunk: bool = False  # one of many, which run side by side


def config(volume):
    """A config of the simulated volume with all defaults."""
    made = {
        "volume": "bench", "work_dir": "build/bench", "render": dict(RENDER),
        "acquisition": {"rows": ROWS, "columns": COLUMNS, "pixel_nm": 8, "z_nm": 8},
        "transfer": {"dat_root": "dat"}, "chunks": {"layers": volume.chunk},
        "review": {"auto": True},
        "correct": {"steps": ["straighten", "intensity"]},
        "export": {"block_zyx_px": [64, 8, 8]},
    }  # fmt: skip
    schema.validate(made, SCHEMA)
    return made


def cost(job):
    """Run a job in a process of its own: its CPU seconds, and MB at its peak."""
    command = [sys.executable, "-c", MAIN, f"scripts.{job.script}", json.dumps(job.arguments)]
    one = {name: "1" for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")}
    log = Path("logs", f"{job.rule}.log")
    log.parent.mkdir(exist_ok=True)
    with log.open("wb") as stream:
        child = subprocess.Popen(
            command,
            env={**os.environ, **one, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=stream,
        )
        said = child.stdout.read()
        child.stdout.close()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, f"{job.rule}: {log.read_text()[-3000:]}"
    return used.ru_utime + used.ru_stime, int(said.split()[-1]) / 1024


def of_ingest(volume, given):
    acquisition, ingest = given["acquisition"], given["ingest"]
    size = {key: acquisition[key] for key in ("rows", "columns")}
    nm = {key: acquisition[key] for key in ("pixel_nm", "z_nm")}
    specs = {
        key: ingest[key] for key in ("scan_correction", "mask", "tile_overlap_um", "stage_offsets")
    }
    table = {"layers": "ingest/layers.tsv", "headers": "ingest/headers.tsv"}
    pages = {"problems": "ingest/problems.tsv", "page": "ingest/validation.html"}
    restarts = {"restart_table": "ingest/restarts.tsv"}
    yield Job("close_transfer", "transfer.close_transfer", {
        "converted": volume.converted(), "dat_root": "dat", **size, "layers": "transfer/layers.tsv",
        "bad_tiles": "transfer/quarantine.tsv"})  # fmt: skip
    spans = volume.spans()
    if spans:
        chunks = [f"transfer/converted/{chunk}.tsv" for chunk in next(iter(spans.values()))]
        yield Job("read_headers", "ingest.read_headers", {
            "converted": chunks, "out": "ingest/one.npz"}, of_chunk=True)  # fmt: skip
    yield Job("cache_headers", "ingest.cache_headers", {
        "transfer": "transfer/layers.tsv", "table": "ingest/headers.tsv",
        "parts": [f"ingest/read/{span}.npz" for span in spans]}, ("headers",))  # fmt: skip
    yield Job("number_layers", "ingest.number_layers", {
        "transfer": "transfer/layers.tsv", "headers": table["headers"], **size,
        "declared": ingest["layers"], "layers": table["layers"],
        "summary": "ingest/numbering.json"})  # fmt: skip
    yield Job("check_layers", "ingest.check_layers", {
        **table, **specs, "restart": ingest["restart"], **size, "pixel_nm": nm["pixel_nm"], **pages,
        **restarts, "pixel_deviation_pct": ingest["pixel_deviation_pct"],
        "sample_ids": ingest["sample_ids"],
        "missing_table": "ingest/missing_layers.tsv"})  # fmt: skip
    yield Job("publish_acquire", "ingest.publish_acquire", {
        "render": RENDER, **table, **pages, **restarts, **specs, **nm,
        "receipt": receipt(ACQUIRE)})  # fmt: skip
    yield Job("publish_restart", "ingest.publish_restart", {
        "render": RENDER, "acquire": receipt(ACQUIRE), **restarts, **nm,
        "context_layers": ingest["restart"]["context_layers"],
        "receipt": receipt(f"{ACQUIRE}_restart")})  # fmt: skip
    yield Job("plan_chunks", "ingest.plan_chunks", {
        "layers": table["layers"], "size": volume.chunk,
        "chunks": "ingest/chunks.tsv"})  # fmt: skip
    yield Job("list_layers", "ingest.list_layers", {
        "receipt": receipt(ACQUIRE), "out": f"stacks/layers/{ACQUIRE}.tsv",
        "render": RENDER})  # fmt: skip


def of_match(volume, given):
    match, grid = given["match"], {key: given["acquisition"][key] for key in ("rows", "columns")}
    tables = flow.stage_tables(match["preset"], ROOT, stage_files.read_table, **grid)
    surveys = volume.paths("review/survey/{chunk}.tsv.gz")
    pairs, results = (
        [path for run in RUNS for path in volume.paths(f"match/{kind}/{run}/{{chunk}}.tsv.gz")]
        for kind in ("pairs", "results")
    )
    yield Job("check_contrast", "review.check_contrast", {
        "survey": surveys, "layers": "ingest/layers.tsv", "out": "review/contrast.json",
        "most": given["review"]["max_contrast_flips"],
        "kept": given["transfer"]["keep_contrast"]}, ("survey",))  # fmt: skip
    yield Job("search_wide", "match.search_wide", {
        "stack": receipt(ACQUIRE), "results": results, "out": {
            "results": "match/wide/results.tsv.gz", "parts": "match/wide/parts.tsv"},
        "render": RENDER, "collection": "bench_v1", "runs": RUNS, "stage_tables": tables,
        "z_distance": match["z_distance"], "most": match["wide_comparisons"],
        "feature_cache_mb": match["feature_cache_mb"]}, ("matches",))  # fmt: skip
    yield Job("close_matches", "match.close_matches", {
        "pairs": pairs, "results": results, "wide": "match/wide/results.tsv.gz",
        "out": {"receipt": "matches/bench_v1.json", "summary": "match/summary.tsv"},
        "render": RENDER, "collection": "bench_v1", "preset": match["preset"],
        "z_distance": match["z_distance"]})  # fmt: skip


def of_review(volume, given):
    review = given["review"]
    verdicts = {each.name: review[each.name] for each in fields(VerdictLimits)}
    gate = {
        "limits": {each.name: review[each.name] for each in fields(GateLimits)},
        "given": {},
        "preset": given["match"]["preset"],
    }
    decisions = {key: review[key] for key in ("auto", "exclude", "keep", "patch")}
    bridges = {key: review[key] for key in ("bridge", "bridge_from_layers", "bridge_window_layers")}
    surveys = volume.paths("review/survey/{chunk}.tsv.gz")
    of_runs = {run: volume.paths(f"match/pairs/{run}/{{chunk}}.tsv.gz") for run in RUNS}
    results = [p for run in RUNS for p in volume.paths(f"match/results/{run}/{{chunk}}.tsv.gz")]
    results.append("match/wide/results.tsv.gz")
    acquire, matches = receipt(ACQUIRE), "matches/bench_v1.json"
    patched = [f"review/patch_results/1/{run}.tsv.gz" for run in RUNS]
    yield Job("propose_patches", "review.propose_patches", {
        "acquire": acquire, "survey": surveys, "results": results,
        "out": {"proposed": "review/patch_proposals.tsv", "applied": "review/patches/0.tsv"},
        "render": RENDER, "limits": verdicts, **decisions})  # fmt: skip
    yield Job("publish_patches", "review.publish_patches", {
        "acquire": acquire, "patch_table": "review/patches/0.tsv", "plans": of_runs,
        "out": receipt(f"{ACQUIRE}_patch1"), "number": 1, "render": RENDER,
        "pairs_out": {run: f"review/patch_pairs/1/{run}.tsv.gz" for run in RUNS},
        "stack": f"{ACQUIRE}_patch1"})  # fmt: skip
    yield Job("settle_patches", "review.settle_patches", {
        "acquire": acquire, "patch_table": "review/patches/0.tsv", "results": patched,
        "out": "review/patches/1.tsv", "render": RENDER, "number": 1},
        ("patch_results",))  # fmt: skip
    outputs = {name: f"review/{name}.tsv" for name in ("tiles", "edges", "patches", "bridges",
                                                       "statistics")}  # fmt: skip
    outputs |= {"clusters": "review/clusters.json", "proposals": "review/proposals.yaml",
                "matches": "matches/bench_v1_review.json"}  # fmt: skip
    yield Job("review_connectivity", "review.review_connectivity", {
        "inputs": {"acquire": acquire, "matches": matches, "survey": surveys, "results": results,
                   "proposed": "review/patch_proposals.tsv", "applied": "review/patches/0.tsv",
                   "patch_results": patched},
        "out": outputs, "render": RENDER, "collection": "bench_v1_review", "limits": verdicts,
        **decisions, **bridges})  # fmt: skip
    inputs = {
        "acquire": acquire, "results": results, "restarts": "ingest/restarts.tsv",
        **{name: outputs[name] for name in ("clusters", "tiles", "edges", "patches", "statistics",
                                            "proposals")},
        "matches": matches, "summary": "match/summary.tsv", "layers": "ingest/layers.tsv",
    }  # fmt: skip
    yield Job("review_page", "review.review_page", {
        "inputs": inputs, "out": {"page": "review/index.html", "pictures": "review/pictures.json"},
        "render": RENDER, "volume": "bench", "collection": "bench_v1", "gate": gate})  # fmt: skip
    yield Job("check_gate", "review.check_gate", {
        "inputs": inputs | {"page": "review/index.html"}, "out": "review/gate.json",
        **gate})  # fmt: skip
    yield Job("publish_trimmed", "review.publish_trimmed", {
        "acquire": acquire, "tiles": outputs["tiles"], "patch_table": outputs["patches"],
        "gate": "review/gate.json", "out": receipt(TRIMMED), "render": RENDER,
        "stack": TRIMMED})  # fmt: skip


def of_solve(volume, given):
    solve = given["solve"]
    judged = ("look_px", "stop_px", "unconfirmed_pct", "order_sd", "order_share",
              "repeated_correlation")  # fmt: skip
    others = ("compare", "point_cutoff", "misalignment", "keep_px")
    params = {k: v for k, v in solve.items() if k not in others and not k.startswith("refine")}
    out = {name: f"solve/{name}.tsv" for name in ("tiles", "layers", "worst_pairs")}
    out |= {"transforms": "solve/transforms.json.gz", "pairs": "solve/pairs.tsv.gz",
            "figures": "solve/solve.json"}  # fmt: skip
    collections = ["matches/bench_v1.json", "matches/bench_v1_review.json"]
    results = [p for run in RUNS for p in volume.paths(f"match/results/{run}/{{chunk}}.tsv.gz")]
    yield Job("list_pairs", "solve.list_pairs", {
        "matches": collections, "chunks": "ingest/chunks.tsv", "results": results,
        "wide": "match/wide/results.tsv.gz",
        "out": "solve/pairs_listed.tsv", "render": RENDER})  # fmt: skip
    yield Job("solve_transforms", "solve.solve_transforms", {
        "trimmed": receipt(TRIMMED), "render": RENDER, "params": params, "out": out,
        "matches": collections,
        "parts": volume.paths("solve/moments/{chunk}.npz"),
        "restarts": "ingest/restarts.tsv"}, ("moments",))  # fmt: skip
    yield Job("publish_align", "solve.publish_align", {
        "trimmed": receipt(TRIMMED), "transforms": out["transforms"], "out": receipt(ALIGN),
        "render": RENDER, "stack": ALIGN, "params": params,
        "keep_px": solve["keep_px"]})  # fmt: skip
    yield Job("close_misalignment", "solve.close_misalignment", {
        "parts": volume.paths("solve/misalignment/{chunk}.tsv.gz"), "pairs": out["pairs"],
        "tiles": "review/tiles.tsv", "places": "solve/misalignment.tsv.gz",
        "out": "solve/misalignment.json", "pixel_nm": 8,
        "section": {key: solve["misalignment"][key] for key in judged}},
        ("misalignment",))  # fmt: skip
    yield Job("picture_solve", "solve.picture_solve", {
        "align": receipt(ALIGN), "layers": out["layers"], "worst": out["worst_pairs"],
        "figures": out["figures"], "render": RENDER,
        "out": {"page": "solve/solve.html", "pictures": "solve/pictures.json"}})  # fmt: skip


OF_OTHER_JOBS = (
    "gate_problem_pct gate_few_layers accept_layers scale min_picture_px comparison_range"
    " resin_masking resin_sigma_px resin_content_threshold window_px windows region_px picture_px"
)


def of_zcorr(volume, given):
    names = {"coordinates": "coordinates.txt", "report": "qc.json", "page": "thickness.html",
             "proposals": "proposals.yaml", "regions": "regions.npz"}  # fmt: skip
    out = {name: f"zcorr/{path}" for name, path in names.items()}
    yield Job("infer_z", "zcorr.infer_z", {
        "correlations": volume.paths("zcorr/correlations/{chunk}.npz"),
        "layers": volume.paths("zcorr/layers/{chunk}.npz"), "names": "ingest/layers.tsv",
        "out": out, "volume": "bench",
        "grid": [ROWS, COLUMNS],
        "zcorr": {k: v for k, v in given["zcorr"].items() if k not in OF_OTHER_JOBS.split()}},
        ("correlations",))  # fmt: skip
    yield Job("check_thickness", "zcorr.check_thickness", {
        "inputs": out | {"layers": "ingest/layers.tsv"},
        "out": {"gate": "zcorr/gate.json", "coordinates": "zcorr/Zcoords.txt"},
        **{k: given["zcorr"][k] for k in OF_OTHER_JOBS.split()[:3]}})  # fmt: skip


def of_correct(volume, given):
    voxel_nm, settings = {"pixel_nm": 8, "z_nm": 8}, given["correct"]["intensity"]
    compared, overlaps, maps = (
        volume.paths(f"correct/{kind}/{{chunk}}.npz") for kind in ("compared", "overlaps", "maps")
    )
    for step, before, after in (("straighten", ALIGN, STRAIGHT), ("intensity", STRAIGHT, FINAL)):
        found, evidence = {"out": f"correct/{step}.json", "arrays": f"correct/{step}.npz"}, []
        if step == "intensity":
            evidence = ["correct/levels.npz", *maps]
            yield Job("compare_layers", "correct.compare_layers", {
                "layers": volume.paths("zcorr/layers/{chunk}.npz")[:2], "chunk": "0001",
                "out": "correct/one.npz", "method": settings["layers"],
                "cutoff_share": settings["cutoff_share"]},
                ("compared", "overlaps"), of_chunk=True)  # fmt: skip
            yield Job("level_layers", "correct.level_layers", {
                "compared": compared, "overlaps": overlaps, "out": "correct/levels.npz",
                "method": settings["layers"],
                "hold_layers": settings["hold_layers"]})  # fmt: skip
            yield Job("balance_tiles", "correct.balance_tiles", {
                "source": receipt(before), "chunks": "ingest/chunks.tsv", "chunk": "0001",
                "measured": overlaps[:3], "levels": "correct/levels.npz", "render": RENDER,
                "out": "correct/one.npz", "settings": settings}, of_chunk=True)  # fmt: skip
        yield Job(f"correct_step_{step}", "correct.correct_step", {
            "source": receipt(before), "evidence": evidence, **found, "name": step,
            "render": RENDER, "settings": given["correct"][step], "voxel_nm": voxel_nm},
            ("maps",) if evidence else ())  # fmt: skip
        yield Job(f"publish_corrected_{step}", "correct.publish_corrected", {
            "source": receipt(before), "parameters": found["out"], "arrays": found["arrays"],
            "receipt": receipt(after), "stack": after, "render": RENDER,
            "voxel_nm": voxel_nm})  # fmt: skip


PLANNED = (
    "formats block_zyx_px shard_blocks_zyx levels task_px n5_codec n5_codec_level zarr_codec"
    " zarr_codec_level review"
)


def of_export(volume, given):
    export, slabs = given["export"], volume.paths("export/slabs/{chunk}.json")
    planned = {key: export[key] for key in PLANNED.split()} | {"dtype": "uint8"}
    shown = {key: export[key] for key in ("data_url", "neuroglancer_url")}
    yield Job("plan_export", "export.plan_export", {
        "receipt": receipt(FINAL), "chunks": "ingest/chunks.tsv", "out": "export/plan.json",
        "volume": "bench", "voxel_nm": {"pixel_nm": 8, "z_nm": 8}, "export": planned})  # fmt: skip
    drawn = ("blend", "interpolation", "z_correction", "fill_gaps")
    yield Job("plan_slabs", "export.plan_slabs", {
        "plan": "export/plan.json", "receipt": receipt(FINAL), "chunks": "ingest/chunks.tsv",
        "coordinates": "zcorr/Zcoords.txt", "out": "export/slabs.tsv", "render": RENDER,
        "export": {key: export[key] for key in drawn}})  # fmt: skip
    yield Job("close_export", "export.close_export", {
        "plan": "export/plan.json", "slab_records": slabs, "pyramid": "export/pyramid.json",
        "out": "export/volume.json", "volume": "bench", **shown}, ("voxels",))  # fmt: skip


def of_report(volume, given):
    stacks = {"acquire": ACQUIRE, "align": ALIGN, "final": FINAL}
    names = {
        "volume": "bench", "work_dir": "build/bench", **stacks, "collection": "bench_v1",
        "corrections": [["straighten", ALIGN, STRAIGHT], ["intensity", STRAIGHT, FINAL]],
        "pixel_nm": 8, "z_nm": 8, "z_range": None, "rows": ROWS, "columns": COLUMNS,
        "runs": len(RUNS),
    }  # fmt: skip
    results = [p for run in RUNS for p in volume.paths(f"match/results/{run}/{{chunk}}.tsv.gz")]
    outputs = {"page": "index.html", "summary": "summary.json", "issue": "issue.md"}
    outputs |= {"picture": "section.png"}
    yield Job("make_report", "report.make_report", {
        "results": [*results, "match/wide/results.tsv.gz"],
        "receipts": [receipt(one) for one in (*stacks.values(), STRAIGHT)],
        "corrections": ["correct/straighten.json", "correct/intensity.json"],
        "outputs": {name: f"report/{path}" for name, path in outputs.items()}, "render": RENDER,
        "names": names, "limits": given["report"]["limits"], "truth_path": None, "dat_root": ".",
        "asked": {}})  # fmt: skip


STAGES = (of_ingest, of_match, of_review, of_solve, of_zcorr, of_correct, of_export, of_report)
