"""The estimate of a volume beside what it then takes: tiles of 3 Mpx, the whole workflow."""

import math
import subprocess
import sys

import pytest

from scripts.lib import costs, files
from tests.workflow.conftest import ROOT, make_volume

ACQUISITION = [
    *("--layers", "6", "--grid", "1", "2", "--tile", "1500", "2000", "--seed", "5"),
    *("--resin-layers", "0", "--corrupt-layer", "0", "--restart-layer", "0"),
]
SECTIONS = {
    "chunks": {"layers": 6},
    "export": {"block_zyx_px": [6, 64, 64]},
    "report": {"truth": None},
}
FACTOR = 1.3  # that an estimate may be off
BEGUN = "ingest"  # after whose jobs it is asked for again


def estimated(volume):
    """Core-hours of an estimate as of now, and earlier ones beside what was used."""
    done = volume.snakemake("estimate")
    assert done.returncode == 0, done.stdout
    found = files.read_json(volume.work / "estimate/estimate.json")
    return found["core_hours"], found["earlier"]


def test_what_larger_tiles_take_is_what_was_estimated(bench, tmp_path):
    if not bench.measuring:
        pytest.skip("a whole run: make bench")
    argv = [sys.executable, "-m", "scripts.demo.acquire", str(tmp_path / "seen"), *ACQUISITION]
    subprocess.run(argv, cwd=ROOT, check=True)
    volume = make_volume(tmp_path / "volume", tmp_path / "seen", **SECTIONS)
    volume.change("acquisition", rows=1, columns=2)
    said, _ = estimated(volume)
    for targets in ((BEGUN,), ()):
        done = volume.snakemake(*targets)
        assert done.returncode == 0, done.stdout
        if targets:
            estimated(volume)
    used, judged = estimated(volume)
    spent = costs.read(volume.work / "benchmarks")
    cpu_hours = (
        math.fsum(
            one.cpu_s for one in spent if one.rule != "estimate_volume" and math.isfinite(one.cpu_s)
        )
        / 3600
    )
    beside = {"core_hours": said, "cpu_hours_used": cpu_hours, "core_hours_used": used}
    bench.row("estimate.over_used", judged[0]["factor"], "ratio", better="lower", **beside)
    bench.row("estimate.over_cpu_used", said / cpu_hours, "ratio", better="lower")
    bench.row(f"estimate.after_{BEGUN}.over_used", judged[1]["factor"], "ratio", better="lower")
    assert 1 / FACTOR <= said / cpu_hours <= FACTOR, beside
