"""What a person meets: listing, stopping at a stage, resuming, changing one parameter."""

import html
import json
import os
import re
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import cv2
import numpy as np
import pytest
import yaml
from werkzeug.test import Client

from scripts.lib import files
from scripts.render_ws.app import create_app
from tests.workflow.conftest import HOLE, MASKED_PX, NASTY, executed

ROOT = Path(__file__).resolve().parents[2]
INNER = slice(HOLE.start + 4, HOLE.stop - 4)  # the scan correction moves its sides
pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

BEFORE_SOLVE = {
    "plan_transfer",
    "convert_layers",
    "close_transfer",
    "number_layers",
    "publish_acquire",
    "plan_chunks",
    "derive_pairs",
    "match_pairs",
    "close_matches",
    "survey_tiles",
    "propose_patches",
    "publish_patches",
    "match_patches",
    "settle_patches",
    "review_connectivity",
    "check_gate",
    "publish_trimmed",
}


def rules_of(done):
    """Names of the rules in the table of jobs that Snakemake prints."""
    table = done.stdout.partition("Job stats:")[2].partition("\n\n")[0]
    return {line.split()[0] for line in table.splitlines()[3:] if line.strip()} - {"total"}


def test_dry_run_lists_the_pending_work(history):
    assert history.dry.returncode == 0, history.dry.stdout
    assert {"plan_transfer", "all"} <= rules_of(history.dry)
    assert "Jobs of chunks are not listed" in history.dry.stdout
    assert "snakemake estimate --profile" in history.dry.stdout


def test_a_stage_as_target_stops_after_that_stage(history):
    assert history.ingest.returncode == 0, history.ingest.stdout
    assert "ingest/chunks.tsv" in history.after_ingest
    assert "stacks/v1_acquire.json" in history.after_ingest
    assert not [path for path in history.after_ingest if path.startswith(("match", "review"))]


def test_a_killed_run_resumes_without_redoing_finished_chunks(history):
    assert history.resumed.returncode == 0, history.resumed.stdout
    finished = {
        path: seen
        for path, seen in history.after_kill.items()
        if path.startswith(("transfer/", "ingest/", "match/results", "match/pairs", "stacks/"))
    }
    assert len([path for path in finished if path.startswith("match/results")]) >= 2
    assert {path: history.after_resume[path] for path in finished} == finished


def test_a_second_run_does_nothing(history):
    assert history.again.returncode == 0, history.again.stdout
    assert "Nothing to be done" in history.again.stdout
    assert executed(history.again) == []


def test_the_run_ends_with_a_report_and_volumes(history):
    work = history.volume.work
    summary = json.loads((work / "report/summary.json").read_text())
    assert summary["score"]["relative"]["rms_px"] < 1
    assert (work / "report/index.html").stat().st_size > 0
    assert list(work.glob("*.n5/em/fibsem-uint8/s0/attributes.json"))
    assert list(work.glob("*.zarr/recon-1/em/fibsem-uint8/s0/.zarray"))


def test_tiles_layers_and_volumes_come_over_the_service_from_a_folder_of_any_name(history):
    work = history.volume.work
    assert NASTY in str(work)
    service = Client(create_app(work / "render-ws.db", files=work))
    stack = "/render-ws/v1/owner/demo/project/demo/stack/v1_acquire_trimmed_align"
    spec = service.get(f"{stack}/z/2/tile-specs").json[0]
    tile = picture(service.get(f"{stack}/tile/{spec['tileId']}/png-image"))
    assert not tile[..., 3][:, :MASKED_PX].any()
    inside = tile[8:-8, 8:-8]  # the scan correction bends the edges
    assert inside[..., 3].all()
    assert np.ptp(inside[..., 0]) > 50
    spec = service.get(f"{stack}/z/3/tile-specs").json[0]
    hole = picture(service.get(f"{stack}/tile/{spec['tileId']}/png-image"))[..., 3]
    assert not hole[INNER, INNER].any()
    assert hole[60:100, 4:-4].all()
    layer = picture(service.get(f"{stack}/z/2/box/0,0,300,300,1/png-image"))
    assert layer[..., 3].mean() > 200
    level = service.get("/files/demo.n5/em/fibsem-uint8/s0/attributes.json", buffered=True)
    assert json.loads(level.data)["blockSize"] == [64, 64, 5]


def picture(answer):
    """Pixels of an answer, y, x, channel."""
    assert answer.status_code == 200, answer.text
    return cv2.imdecode(np.frombuffer(answer.data, np.uint8), cv2.IMREAD_UNCHANGED)


def test_links_of_the_report_lead_to_files_whatever_the_folder_is_called(history):
    page = history.volume.work / "report/index.html"
    links = re.findall(r'(?:href|src)="([^"#]+)"', page.read_text())
    local = [each for each in map(html.unescape, links) if not re.match(r"\w+:", each)]
    assert local
    for each in local:
        assert (page.parent / unquote(each.partition("#")[0])).exists(), each


def test_no_output_names_a_folder_of_this_machine(history):
    named = [
        path
        for path, (_, content) in history.after_resume.items()
        if path.endswith((".json", ".tsv", ".yaml", ".md"))
        and path.startswith(("stacks", "matches", "review", "solve", "ingest", "correct"))
        and str(history.volume.folder).encode() in content
        and "layers" not in path
        and path != "ingest/masks.tsv"  # the files that the config names
    ]
    assert named == []


def test_a_changed_solve_parameter_reruns_solve_and_what_follows_only(history):
    dry = history.volume.snakemake("--dry-run", "--config", "solve={rigid_lambda: 0.05}")
    assert dry.returncode == 0, dry.stdout
    assert "solve_transforms" in rules_of(dry)
    assert "More may follow list_layers, list_pairs and plan_slabs" in dry.stdout
    assert "How many layers are new: python -m scripts.status " in dry.stdout
    assert "make_report" in rules_of(dry)
    assert rules_of(dry) & BEFORE_SOLVE == set()


def test_a_block_damaged_after_the_end_is_named_and_written_again(history):
    block = min(history.volume.work.glob("*.n5/em/fibsem-uint8/s0/*/*/*"))
    whole = block.read_bytes()
    block.write_bytes(whole[:100])
    check = history.volume.snakemake("--forcerun", "check_slab")
    assert check.returncode != 0
    assert "fibsem-uint8/s0 voxels z, y, x" in check.stdout
    mended = history.volume.snakemake()
    assert mended.returncode == 0, mended.stdout
    assert block.read_bytes() == whole
    assert {"render_slab", "close_export"} <= set(executed(mended))
    assert set(executed(mended)) & BEFORE_SOLVE == set()


def test_a_region_is_beside_the_whole_and_takes_its_own_chunks_alone(history):
    dry = history.volume.snakemake(
        *("--dry-run", "promote_region", "promote", "--config"),
        "export={box: {z_px: [1, 4]}, scale: 0.5, promote_root: finished}",
    )
    assert dry.returncode == 0, dry.stdout
    assert {"plan_part", "close_part", "promote_part", "promote_volume"} <= rules_of(dry)
    assert re.search(r"render_part +1\b", dry.stdout)  # one chunk of two holds these layers
    assert rules_of(dry) & {"render_slab", "plan_export", "make_report"} == set()


@contextmanager
def unreadable(files):
    """Put zeros into files, whose sizes and times stay."""
    kept = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
    try:
        for path, (content, at) in kept.items():
            path.write_bytes(bytes(len(content)))
            os.utime(path, ns=(at, at))
        yield
    finally:
        for path, (content, at) in kept.items():
            path.write_bytes(content)
            os.utime(path, ns=(at, at))


def test_another_channel_of_a_16_bit_volume_is_exported_with_the_first(history, acquisition):
    deep = "correct={steps: [16bit], 16bit: {channels: [0, 1]}}"
    # these files have one channel, as the doctor would say: it cannot read them for the moment
    with unreadable(acquisition.rglob("*.dat")):
        dry = history.volume.snakemake("--dry-run", "export", "--config", deep)
    assert dry.returncode == 0, dry.stdout
    wanted = {"plan_sixteen_bit", "publish_channel", "render_slab", "render_part", "close_part"}
    assert wanted <= rules_of(dry)


def test_fields_are_jobs_of_a_config_that_asks_for_them_alone(history):
    """By a dry run; the jobs themselves are tested in tests/solve/test_refine_jobs.py."""
    fields = {"measure_displacements", "choose_refinement", "refine_tiles"}
    asked = history.volume.snakemake("solve", "-n", "--config", "solve={refine: field}")
    assert asked.returncode == 0, asked.stdout
    assert fields | {"publish_align"} <= rules_of(asked)
    # what was solved stands: the affines are those that they were
    assert not rules_of(asked) & (BEFORE_SOLVE | {"gather_moments", "solve_transforms"})
    plain = history.volume.snakemake("solve", "-n", "--forcerun", "publish_align")
    assert "publish_align" in rules_of(plain)
    assert not fields & rules_of(plain)


def test_while_a_volume_grows_only_chunks_of_which_a_layer_changed_are_asked_for(history):
    """By a dry run: 10 layers in two chunks, of which the first one alone reads layer 1."""
    table = history.volume.work / "stacks/layers/v1_acquire.tsv"
    written, as_it_was = table.stat().st_mtime_ns, table.read_text()
    columns, first, rest = as_it_was.split("\n", 2)
    assert first.startswith("1\t")
    table.write_text(f"{columns}\n1\tother\n{rest}")
    dry = history.volume.snakemake("match", "--dry-run")
    table.write_text(as_it_was)
    os.utime(table, ns=(written, written))
    asked = re.findall(r"^rule derive_pairs:\n.*?chunk=(\d+)", dry.stdout, re.DOTALL | re.MULTILINE)
    assert asked, dry.stdout
    assert set(asked) == {"0000"}
    assert "Nothing to be done" in history.volume.snakemake("match", "--dry-run").stdout


def test_a_decision_about_pairs_closes_the_matches_and_matches_nothing_anew(history):
    """By a dry run; the job itself is tested in tests/match/test_match_decisions.py."""
    drop = "{action: drop, kind: cross, z_first: 5, z_last: 6, reason: wrong}"
    dry = history.volume.snakemake("solve", "-n", "--config", f"match={{decisions: [{drop}]}}")
    assert dry.returncode == 0, dry.stdout
    assert {"read_decisions", "close_matches"} <= rules_of(dry)
    untouched = {"derive_pairs", "match_pairs", "search_wide", "survey_tiles", "publish_acquire"}
    assert rules_of(dry) & untouched == set()
    moving, fixed, *_ = files.read_json(history.volume.work / "solve/transforms.json.gz")["tiles"]
    hand = f"{{moving: {moving}, fixed: {fixed}, landmarks: nowhere.csv, scale: 1, reason: r}}"
    told = "match.by_hand[0].landmarks: expected landmarks that BigWarp saved"
    for started in ("-n", "solve"), ("solve",):
        made = history.volume.snakemake(
            *started, "--config", f"match={{by_hand: [{hand}], preset: none.yaml}}"
        )
        assert made.returncode != 0
        assert told in made.stdout
        assert "match.preset" in made.stdout


def test_an_edited_config_file_without_a_changed_value_reruns_nothing(history):
    path = history.volume.config
    text = path.read_text()
    path.write_text(text + "# a remark\n")
    assert "Nothing to be done" in history.volume.snakemake("--dry-run").stdout
    path.write_text(text)


@pytest.mark.parametrize(
    ("table", "rule"), [("chunks", "plan_chunks"), ("missing_layers", "check_layers")]
)
def test_a_table_that_a_killed_job_took_away_is_made_again(history, tmp_path, table, rule):
    path = history.volume.work / f"ingest/{table}.tsv"
    path.rename(tmp_path / "away")
    dry = history.volume.snakemake("--dry-run")
    (tmp_path / "away").rename(path)
    assert rule in rules_of(dry)
    assert "Nothing to be done" in history.volume.snakemake("--dry-run").stdout


def test_a_dry_run_leaves_a_finished_volume_and_snakemake_s_records_alone(history):
    def seen():  # the database's -wal and -shm come and go with whoever reads it
        there = [p for p in history.volume.work.rglob("*") if not p.name.endswith(("-wal", "-shm"))]
        return {path: path.lstat().st_mtime_ns for path in there}

    before = seen()
    dry = history.volume.snakemake("--dry-run", "--forcerun", "solve_transforms")
    assert {"solve_transforms", "make_report"} <= rules_of(dry)
    assert seen() == before


def test_a_dry_run_says_what_would_stop_the_run_at_once(new_volume):
    volume = new_volume("astray")
    dry = volume.snakemake("--dry-run", "--config", "transfer={dat_root: /no/such/folder}")
    assert dry.returncode != 0
    assert "found no such folder; / is the last part of it that exists" in dry.stdout
    assert "File" not in dry.stdout
    assert not volume.work.exists()


def test_the_project_of_the_volume_pays_for_its_jobs(new_volume):
    volume = new_volume("paid")
    dry = volume.snakemake("transfer", "-n", "--config", "cluster={billing_project: payer}")
    assert dry.returncode == 0, dry.stdout
    assert "lsf_project=payer, slurm_account=payer" in dry.stdout
    assert "payer" not in volume.snakemake("transfer", "-n").stdout


def test_moving_the_service_reruns_nothing(history):
    dry = history.volume.snakemake("--dry-run", "--config", "render={url: 'http://127.0.0.1:9'}")
    assert "Nothing to be done" in dry.stdout


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("slove={rigid_lambda: 1}", ["slove: unknown key", "nearest known key is solve"]),
        ("solve={rigid_lamda: 1}", ["solve.rigid_lamda: unknown", "is solve.rigid_lambda"]),
        ("acquisition={rows: two}", ["acquisition.rows: expected integer", "found 'two'"]),
    ],
)
def test_a_fault_of_the_config_is_named_and_stops_the_run(new_volume, override, words):
    done = new_volume("faulty").snakemake("--dry-run", "--config", override)
    assert done.returncode != 0
    assert all(word in done.stdout for word in words), done.stdout
    assert "Traceback" not in done.stdout


def test_a_key_given_twice_stops_the_run_and_both_lines_are_named(new_volume):
    volume = new_volume("twice")
    text = volume.config.read_text()
    volume.config.write_text(f"{text}review:\n  exclude: []\n")
    lines = [n for n, line in enumerate(text.splitlines(), 1) if line == "review:"]
    done = volume.snakemake("--dry-run")
    assert done.returncode != 0
    assert f"review: line {lines[0]} and line {len(text.splitlines()) + 1}" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize("name", ["fib25_single", "fib25_grid"])
def test_an_example_volume_parses_as_it_stands(name):
    config = yaml.safe_load((ROOT / f"config/volumes/{name}.yaml").read_text())
    needed = {"volume", "work_dir", "render", "transfer", "acquisition"}
    assert needed <= config.keys()
    assert {"rows", "columns", "pixel_nm", "z_nm"} <= config["acquisition"].keys()
