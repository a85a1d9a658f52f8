"""A volume that grows: the work of a wave of ten percent new layers, and the volume after it."""

import csv
import hashlib
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml

from scripts.lib import files
from tests.benchmarks import growing_work
from tests.workflow import conftest
from tests.workflow.conftest import ROOT, make_volume

FIRST, ALL, CHUNK = 100, 110, 10  # layers at first, and after the wave; of a chunk
TILE = (240, 256)  # px, high and wide
SECTIONS = {
    "chunks": {"layers": CHUNK},
    "transfer": {"layers_per_job": CHUNK},
    "export": {"block_zyx_px": [CHUNK, 64, 64]},  # as deep as a chunk, as the defaults are
    "report": {"truth": None},
}
LIMIT_S = 3600
# world px of an export that was outgrown once and got room: the first wave that reaches beyond the
# tiles of all before, by a pixel, draws everything again, and none of the many after it
ROOMY = [-64.0, -64.0, 336.0, 320.0]
ACQUISITION = [
    *("--layers", str(ALL), "--grid", "1", "1", "--tile", *map(str, TILE), "--seed", "5"),
    *("--resin-layers", "0", "--corrupt-layer", "0", "--restart-layer", "0"),
]


def acquire(folder):
    argv = [sys.executable, "-m", "scripts.demo.acquire", str(folder), *ACQUISITION]
    subprocess.run(argv, cwd=ROOT, check=True, timeout=LIMIT_S)
    files = sorted(folder.rglob("*.dat"))
    times = sorted({path.name.rsplit("_", 1)[0] for path in files})
    return [path for path in files if path.name.rsplit("_", 1)[0] in set(times[FIRST:])]


def run(volume, *argv):
    done = volume.snakemake(*argv)
    assert done.returncode == 0, done.stdout


def acquired(volume, **values):
    config = yaml.safe_load(volume.config.read_text())
    config["acquisition"] |= values
    volume.config.write_text(yaml.safe_dump(config))


def imaging_ended(volume, last):
    acquired(volume, last_dat=last.name.rsplit("_", 1)[0])


def spent(volume):
    """CPU seconds of every job by its benchmark file below its rule, with the time of the file."""
    found, root = {}, volume.work / "benchmarks"
    for path in root.glob("**/*.tsv"):
        with path.open() as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        cpu = rows[-1]["cpu_time"]  # seconds of the wall are those of all that a machine does
        found[path.relative_to(root)] = (
            path.stat().st_mtime_ns,
            float(cpu) if cpu not in ("NA", "-") else 0.0,
        )
    return found


def made_since(before, volume):
    """CPU seconds of the jobs that have run since `before` was taken."""
    return {p: s for p, (at, s) in spent(volume).items() if before.get(p, (0,))[0] != at}


def cpu_of_jobs(volume, written_after_ns=0):
    """CPU seconds of the jobs by their logs: at work, and until they began, of what they import."""
    said = [
        re.findall(
            r"INFO job: done in .* of CPU ([\d.]+) s and ([\d.]+) s to start", path.read_text()
        )
        for path in volume.work.glob("logs/**/*.log")
        if path.stat().st_mtime_ns > written_after_ns
    ]
    seconds = np.array([each[-1] for each in said if each], float).reshape(-1, 2)
    return seconds.sum(axis=0)


def content(volume):
    return {
        path.relative_to(volume.work): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(volume.work.glob("demo.*/**/*"))
        if path.is_file() and "attributes" not in path.name and not path.name.startswith(".z")
    }


def places(volume):
    """Where layers of one tile lie: its place (n, 2), px, and corrected z (n,)."""
    tiles = files.read_json(volume.work / "solve/kept/transforms.json.gz")["tiles"]
    z_of = sorted((float(tile.split(".")[-2]), each[4:]) for tile, each in tiles.items())
    lines = (volume.work / "zcorr/Zcoords.txt").read_text().splitlines()
    z = {float(a): float(b) for a, b in map(str.split, lines)}
    return np.array([xy for _, xy in z_of]), np.array([z[one] for one, _ in z_of])


def of_stage(seconds):
    total = {}
    for path, s in seconds.items():
        total[path.parts[0]] = total.get(path.parts[0], 0.0) + s
    return dict(sorted(total.items(), key=lambda each: -each[1])[:8])


def test_a_wave_of_new_layers_costs_its_share_and_ends_with_the_same_volume(
    bench, tmp_path, monkeypatch
):
    if not bench.measuring:
        pytest.skip("three whole runs: make bench")
    monkeypatch.setattr(conftest, "LIMIT_S", LIMIT_S)
    acquisition = tmp_path / "acquisition"
    late = acquire(acquisition)
    shutil.copytree(acquisition, tmp_path / "whole")
    for path in late:
        path.unlink()
    grown = make_volume(tmp_path / "grown", acquisition, **SECTIONS)
    acquired(grown, rows=1, columns=1)
    files.write_json(grown.work / "export/kept/frame.json", {"bounds": ROOMY})
    run(grown)
    before, start_ns = spent(grown), time.time_ns()
    for path in late:
        back = path.relative_to(acquisition)
        shutil.copy(tmp_path / "whole" / back, acquisition / back)
    run(grown)
    wave = made_since(before, grown)
    wave_cpu, wave_lies = cpu_of_jobs(grown, start_ns), places(grown)
    remade = growing_work.remade(grown, start_ns)
    one = make_volume(tmp_path / "one", tmp_path / "whole", **SECTIONS)
    acquired(one, rows=1, columns=1)
    imaging_ended(one, late[-1])  # from the start: the work is the same, and it is run once
    run(one)
    whole_cpu, whole_lies = cpu_of_jobs(one), places(one)
    imaging_ended(grown, late[-1])
    run(grown)
    off = [
        np.diff(a, axis=0) - np.diff(b, axis=0) for a, b in zip(wave_lies, whole_lies, strict=True)
    ]
    bench.row("growth.step_off_px", np.linalg.norm(off[0], axis=1).max(), "px", better="lower")
    bench.row("growth.thickness_off", abs(off[1]).max(), "layers", better="lower")
    at_work, _ = wave_cpu / whole_cpu
    share = wave_cpu.sum() / whole_cpu.sum()
    beside = {
        "without_start_of_jobs": at_work,
        "jobs": len(wave),
        "cpu_s": wave_cpu.tolist(),
        "cpu_s_of_one_run": whole_cpu.tolist(),
    } | of_stage(wave)
    bench.row("growth.work_share_of_10_pct_wave", share, "of one run", better="lower", **beside)
    of_all = {rule: f"{one.worked:g} of {one.jobs}" for rule, one in remade.items() if one.jobs > 1}
    one_run = growing_work.spent(one)
    more = growing_work.more_seconds(9 * ALL, TILE[0] * TILE[1])
    name = f"growth.work_share_extrapolated_to_{10 * FIRST}_layers"
    longer = growing_work.of_more_layers(remade, one_run, ALL // CHUNK, 10, more)
    # at most: as if jobs of the whole volume took ten times as long
    more = {rule: 9 * each.work for rule, each in one_run.items()}
    most = growing_work.of_more_layers(remade, one_run, ALL // CHUNK, 10, more)
    bench.row(name, longer, "of one run", better="lower", at_most=most)
    real, most = growing_work.of_real_size(remade, CHUNK)
    name = "growth.work_share_extrapolated_to_real_size"
    bench.row(name, real, "of one run", better="lower", remade=of_all, cpu_s_of_wave=most)
    equal = int(content(one) == content(grown))
    bench.row("growth.equal", equal, "1 = same bytes", better="higher")
    assert equal


def test_what_is_within_reach_of_a_wave_stays_as_long_as_it_is_in_a_longer_volume():
    chunked = growing_work.Spent(work=11.0, start=5.5, jobs=11)
    once = growing_work.Spent(work=2.0, start=0.5, jobs=1)
    found = {"a": growing_work.Remade(11, 2, 1.5), "b": growing_work.Remade(1, 1, 1.0)}
    one_run = {"a": chunked, "b": once, "never again": growing_work.Spent(1.0, 1.0, 1)}
    share = growing_work.of_more_layers(found, one_run, 11, 10, {"b": 4.0})
    # ten chunks of the wave, half of one at work within reach of it, and the start of another
    assert share == pytest.approx((10.5 * 1 + 11 * 0.5 + 6.5) / (110 * 1.5 + 6.5 + 2))
