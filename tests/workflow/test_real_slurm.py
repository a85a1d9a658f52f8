"""The profile for Slurm on a real Slurm: every way in which a job or a controller fails."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
import yaml

from tests.workflow import real_slurm
from tests.workflow.conftest import ROOT
from tests.workflow.real_slurm import Slurm, wait

pytestmark = [
    pytest.mark.workflow,
    pytest.mark.xdist_group("slurm"),
    pytest.mark.skipif(bool(real_slurm.missing()), reason=real_slurm.missing()),
]
LIMIT_S = 900
BEGINS_S = 300  # until a job of a run begins, on a host that has other work
AWAY_S = float(os.environ.get("SLURM_AWAY_S", "25"))  # the controller, while jobs run
NAP_S = 40  # of the job that takes too much memory; nobody but the controller ends it
PROFILE = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
SNAKEFILE = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from snakemake.logging import logger
from scripts.terminal import earlier_jobs, patience
from scripts.terminal.console import Console
CONSOLE = Console(workflow)
rule all:
    input: expand("{{n}}.out", n=["memory", "time", "long", "after"])
rule memory:
    output: "memory.out"
    log: "logs/memory.log"
    resources: mem_mb=lambda wc, attempt: 250 * attempt
    shell: "echo 'layer 12 of 40' > {{log}}; python3 -c 'import time; a = bytearray(200 << 20);"
        " time.sleep({NAP_S})'; touch {{output}}"
rule time:
    output: "time.out"
    log: "logs/time.log"
    resources: runtime=lambda wc, attempt: attempt, mem_mb=lambda wc, attempt: 600 * attempt
    shell: "echo 'slow' > {{log}}; if mkdir tried; then sleep 300; fi; touch {{output}}"
rule long:
    output: "long.out"
    resources: mem_mb=600
    shell: "touch long.begun; sleep $(cat nap); touch {{output}}"
rule after:
    input: "long.out"
    output: "after.out"
    resources: mem_mb=600
    shell: "touch {{output}}"
onstart:
    CONSOLE.start()
    earlier_jobs.cancel("slurm", Path.cwd(), lambda rule, file: True, logger.warning)
    patience.of_run(workflow, logger.warning)
onsuccess: CONSOLE.succeeded()
onerror: CONSOLE.failed(log)
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    cluster = Slurm(tmp_path_factory.mktemp("slurm"))
    try:
        try:
            cluster.start()
        except TimeoutError:
            pytest.skip(f"Slurm's daemons do not begin here within {real_slurm.LIMIT_S} s")
        yield cluster
    finally:
        cluster.stop()


class Run:
    """Snakemake with the profile as it is, but for the account that nobody keeps, and waits."""

    def __init__(self, folder, cluster):
        (folder / "Snakefile").write_text(SNAKEFILE)
        (folder / "profile").mkdir()
        resources = [r for r in PROFILE["default-resources"] if not r.startswith("slurm_account")]
        quick = {"latency-wait": 10, "seconds-between-status-checks": 2}
        quick |= {"slurm-init-seconds-before-status-checks": 2, "default-resources": resources}
        (folder / "profile/config.yaml").write_text(yaml.safe_dump(PROFILE | quick))
        self.folder, self.environment = folder, os.environ | cluster.environment

    def start(self, *targets, nap_s=15):
        (self.folder / "nap").write_text(f"{nap_s}")
        return subprocess.Popen(
            [sys.executable, "-m", "snakemake", *targets, "--profile", "profile"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def end(process):
    try:
        return process.communicate(timeout=LIMIT_S)[0]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            print(process.communicate()[0])


def test_jobs_fail_and_the_controller_goes_away_and_the_run_ends_well(tmp_path, slurm):
    process = Run(tmp_path, slurm).start()
    try:
        wait(lambda: (tmp_path / "long.begun").exists(), BEGINS_S)
        slurm.drain()
        slurm.stop_controller()
        time.sleep(AWAY_S)  # `long` ends meanwhile, and `after` is handed in
        slurm.start_controller()
        time.sleep(5)
        slurm.resume()
        said = end(process)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            print(process.communicate()[0])
    assert process.returncode == 0, said
    failed = re.findall(r"^[\d:]+ +(?:rules|test)? *(\w+) +failed: (.*)$", said, re.MULTILINE)
    told = dict(failed)
    killed = {"time"} | ({"memory"} if AWAY_S < NAP_S else set())
    assert set(told) == killed, said
    if "memory" in killed:
        assert told["memory"] == (
            "out of memory (planned with 250 MB); last words of its log: layer 12 of 40;"
            " attempt 2 of 3 follows"
        ), said
    assert told["time"].startswith("out of time (1 min); last words of its log: slow"), said
    assert len(failed) == len(killed), said
    asked = slurm.ask("squeue", "--states=all", "-h", "--Format=MinMemory:9,TimeLimit:9,STDOUT:400")
    of = {name: sorted(r.split()[:2] for r in asked.splitlines() if name in r) for name in told}
    if "memory" in killed:
        assert of["memory"] == [["250M", "1:00:00"], ["500M", "1:00:00"]]
    assert of["time"] == [["600M", "1:00"], ["600M", "2:00"]]


def test_jobs_of_a_killed_run_are_cancelled_before_their_work_is_redone(tmp_path, slurm):
    run = Run(tmp_path, slurm)
    first = run.start("long.out", nap_s=300)
    try:
        wait(lambda: (tmp_path / "long.begun").exists(), BEGINS_S)
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
    (tmp_path / "long.begun").unlink()
    again = run.start("long.out", "--nolock", nap_s=0)
    said = end(again)
    assert again.returncode == 0, said
    assert "1 job (" in said
    assert "of an earlier run that was killed: cancelled before" in said
    assert "CANCELLED" in (slurm.ask("squeue", "--states=all", "--format=%T") or "")
