"""Runs that meet faults by chance end with the same bytes, or with a line that names the cause."""

import hashlib
import shutil

import numpy as np
import pytest

from tests.benchmarks import chaos
from tests.workflow.conftest import acquisition, make_volume  # noqa: F401 - a fixture

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]
SEED = 11
LIMIT_S = 1200
DISK = "400m"  # of the volume: what it needs, and as much again
# made once more in each run, so that there is something to disturb: from here on, 15 jobs and more
AGAIN = ("convert_layers", "match_pairs", "review_connectivity", "correlate_layers")
ONE_CHUNK = {"layers": 10}  # of all layers: thirteen runs take minutes
SHORT = [chaos.kill_snakemake, chaos.second_run]  # what a test of every day has time for
RESULTS = ("h5/**/*.h5", "ingest/*.tsv", "match/results/**/*.gz", "demo.*/**/*")
WORKFLOW_FAULT = "A fault of the workflow itself"


def content(volume):
    """Digests of the files that a person wants."""
    paths = [path for pattern in RESULTS for path in volume.work.glob(pattern) if path.is_file()]
    return {
        path.relative_to(volume.work): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }


def test_faults_by_chance_change_no_byte_and_hang_nothing(bench, acquisition, tmp_path):  # noqa: F811
    targets = () if bench.measuring else ("ingest",)
    rng = np.random.default_rng(SEED)
    faults = list(rng.permutation(chaos.FAULTS)) if bench.measuring else SHORT
    disk = chaos.small_disk(tmp_path / "shaken", DISK)
    with chaos.shaky_service(tmp_path) as (front, url), disk as full_at_last:
        room = {"layers_per_job": 5, "free_space_gb": 0}  # none is kept free: the disk gets full
        sections = {"transfer": room} | ({"chunks": ONE_CHUNK} if bench.measuring else {})
        volume = make_volume(tmp_path / "shaken", acquisition, **sections)
        case = chaos.Case(volume, front, url, rng, *targets)
        hangs, unnamed = [], []
        for fault in faults:
            if fault is chaos.fill_the_disk and not full_at_last:
                continue  # the disk of everything else
            again = ("--forcerun", str(rng.choice(AGAIN))) if bench.measuring else ()
            status, said = case.run(fault, LIMIT_S, *again)
            bench.say(f"{fault.__name__} {again}: {status}")
            if status is None:
                hangs.append(fault.__name__)
            elif status > 0 and ("✗" not in said or WORKFLOW_FAULT in said):
                unnamed.append((fault.__name__, said))
        done = volume.snakemake(*targets, environment=case.environment)
        assert done.returncode == 0, done.stdout
        two = content(volume)
    # in the same place: the digest of a stack, which a volume's attributes name, is also of paths
    shutil.rmtree(volume.folder)
    still = make_volume(volume.folder, acquisition, **sections)
    assert still.snakemake(*targets).returncode == 0
    one = content(still)
    differ = [path for path in one.keys() | two.keys() if one.get(path) != two.get(path)]
    bench.row("chaos.faults", len(case.met), "faults", better="higher", met=case.met)
    bench.row("chaos.bytes_differ", len(differ), "files", better="lower")
    bench.row("chaos.hangs", len(hangs), "runs", better="lower")
    assert len(one) > 10
    assert (differ, hangs, unnamed) == ([], [], [])
