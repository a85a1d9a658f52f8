"""Every job of the whole volume at 240,000 tiles: CPU, memory at the peak, and how both grow.

The volume is simulated (`simulated_volume`): tables, matches and small files, no pixel work but the
few pictures of pages. Without measuring, a volume of a few layers goes through the same jobs, which
holds the arguments here and those of the job scripts together.

What was stopped goes on after the last job that ended, where the folder is given:

    GLOBAL_FOLDER=/scratch/global pytest --benchmark-enable tests/benchmarks/test_bench_global.py
"""

import importlib
import json
import math
import os
import shutil
from pathlib import Path

import pytest

from tests.benchmarks import whole_volume_jobs
from tests.benchmarks.simulated_volume import CELLS, Volume

PAGE = Path(__file__).resolve().parents[2] / "docs/scale.md"
MARKS = ("<!-- global: written by make bench -->\n", "<!-- end of global -->\n")
LARGE, SMALL = 240_000, 30_000  # tiles
SEC26 = 108_155  # tiles of a published volume: the goals are for both
DRAWN = {"review_page", "picture_solve", "make_report"}  # seconds for pages


def costs(folder, monkeypatch, layers, chunk):
    """CPU s and MB of each job, by rule, and whether it is one of many; those on record stand."""
    folder.mkdir(exist_ok=True, parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("RENDER_WS_URL", f"sqlite:///{folder}/r.db")
    volume, record = Volume(layers, chunk), Path("costs.json")
    found = json.loads(record.read_text()) if record.exists() else {}
    if not found:
        volume.transfer()
    given = whole_volume_jobs.config(volume)
    for stage in whole_volume_jobs.STAGES:
        for job in stage(volume, given):
            if job.rule in found:
                continue
            for name in job.before:
                getattr(volume, name)()
            found[job.rule] = (*whole_volume_jobs.cost(job), job.of_chunk)
            record.write_text(json.dumps(found))
    return found


def test_jobs_of_the_whole_volume(bench, tmp_path, monkeypatch):
    if not bench.measuring:
        pytest.skip("the quick form is below")
    folder = Path(os.environ.get("GLOBAL_FOLDER", tmp_path))
    small, large = (
        costs(folder / str(tiles), monkeypatch, tiles // len(CELLS), 256)
        for tiles in (SMALL, LARGE)
    )
    report(bench, small, large)
    before, _, rest = PAGE.read_text().partition(MARKS[0])
    PAGE.write_text(
        before + MARKS[0] + lines(small, large) + MARKS[1] + rest.partition(MARKS[1])[2]
    )
    shutil.rmtree(folder)  # 8 GB


def lines(small, large):
    """The table of docs/scale.md, for jobs of which there is a figure at either size."""
    out = [
        "",
        "| job | CPU s, 30,000 | 240,000 tiles | MB at the peak, 30,000 | 240,000 |",
        "|---|---|---|---|---|",
    ]
    for rule, (seconds, peak, of_chunk) in small.items():
        name = f"`{rule}`, one of many" if of_chunk else f"`{rule}`"
        more = [
            f"{value:,.{k}f}" for value, k in zip(large.get(rule, ())[:2], (1, 0), strict=False)
        ]
        cells = (f"{seconds:,.1f}", *(more[:1] or "–"), f"{peak:,.0f}", *(more[1:] or "–"))
        out.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(out) + "\n\n"


def report(bench, small, large):
    """Figures of each job, and of the chain of all that do not run side by side."""
    chain = {}
    for rule, (seconds, peak, of_chunk) in large.items():
        before = small[rule]
        # of one of many jobs the work is the same in any volume
        power = math.log(seconds / before[0]) / math.log(LARGE / SMALL)
        beside = {"at_30000_tiles": before[0], "power_of_tiles": power, "one_of_many": of_chunk}
        bench.row(f"global.{rule}.cpu_s", seconds, "CPU s", better="lower", **beside)
        bench.row(f"global.{rule}.peak_mb", peak, "MB", better="lower", at_30000_tiles=before[1])
        if not of_chunk:
            share = (SEC26 - SMALL) / (LARGE - SMALL)
            chain[rule] = seconds, before[0] + share * (seconds - before[0])
    whole, sec26 = (math.fsum(values) / 60 for values in zip(*chain.values(), strict=True))
    bench.row(
        "global.serial_cpu_min", whole, "CPU min", better="lower", at_108155_tiles=sec26, goal=10
    )


def test_the_jobs_take_the_arguments_that_the_benchmark_gives(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")

    def run(job):
        if job.rule not in DRAWN:
            importlib.import_module(f"scripts.{job.script}").main(**job.arguments)
        return 1.0, 1.0

    monkeypatch.setattr(whole_volume_jobs, "cost", run)
    costs(tmp_path / "quick", monkeypatch, 18, 8)
    assert (tmp_path / "quick/export/volume.json").exists()
