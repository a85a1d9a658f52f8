"""Claims: who works on which part of a volume, and what becomes of a run that is gone."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.exceptions import WorkflowError

from scripts.lib.job import UserError
from scripts.terminal import claims
from scripts.terminal.claims import Claims

ROOT = Path(__file__).resolve().parents[2]
# another run: claims what its arguments name, says so, and stays
RUN = """
import sys, time, subprocess
from pathlib import Path
from scripts.terminal.claims import Claims
mine = Claims(Path(sys.argv[1]), print)
mine.take(sys.argv[2:])
child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL)
print("ready", child.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def runs(monkeypatch):
    """Start other runs; all end with the test."""
    monkeypatch.setenv("VOLUME_RUN", "")
    started = []

    def start(work, *targets):
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(work), *targets],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        child = int(process.stdout.readline().split()[1])
        while not Path(f"/proc/{child}/environ").read_bytes():  # the kernel is still starting it
            time.sleep(0.01)
        return process, child

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def take(work, *targets):
    told = []
    mine = Claims(work, told.append)
    mine.take(targets)
    return mine, told


def gone(pid):
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if not claims._runs(pid):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("rule", "file", "part"),
    [
        ("convert_layers", "transfer", "transfer"),
        ("cache_headers", "ingest", "headers"),
        ("copy_masks", "ingest", "headers"),
        ("number_layers", "ingest", "volume"),
        ("number_preview", "preview", "preview"),
        ("plot_preview_metadata", "preview", "preview"),
        ("all", "Snakefile", "volume"),
    ],
)
def test_every_rule_belongs_to_a_part(rule, file, part):
    assert claims.part_of(rule, file) == part


def test_one_run_at_a_time_works_on_a_part(tmp_path, runs):
    other, _ = runs(tmp_path, "match")
    with pytest.raises(UserError) as refused:
        take(tmp_path)
    assert f"volume: another run is at work on it: {other.pid} on " in str(refused.value)
    assert "remove" not in str(refused.value)


def test_a_transfer_and_a_preview_run_beside_the_rest(tmp_path, runs):
    runs(tmp_path, "transfer")
    rest, _ = take(tmp_path, "all")
    assert rest.held == {"volume", "headers"}
    assert set(rest.elsewhere) == {"transfer"}
    preview, told = take(tmp_path, "preview")
    assert preview.held == {"preview"}
    assert set(preview.elsewhere) == {"transfer", "headers"}
    assert told == []
    rest.release()
    preview.release()


def test_what_was_claimed_is_free_after_the_run(tmp_path):
    mine, _ = take(tmp_path, "all")
    assert mine.held == {"volume", "headers", "transfer"}
    mine.release(["transfer"])
    assert mine.held == {"volume", "headers"}
    mine.release()
    assert not list((tmp_path / ".snakemake/claims").glob("*.json"))


def test_a_killed_run_is_taken_over_and_its_jobs_are_ended_first(tmp_path, runs):
    other, child = runs(tmp_path, "transfer")
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert claims._runs(child)
    mine, told = take(tmp_path, "transfer")
    assert gone(child)
    assert mine.held == {"transfer"}
    (line,) = told
    assert line.startswith(f"transfer: the run {other.pid} on {socket.gethostname()} since ")
    assert line.endswith("is gone: its claim is taken over, and 1 job that it left are ended.")
    mine.release()


def test_another_process_with_the_number_of_a_dead_one_is_not_taken_for_it(tmp_path, runs):
    mine, _ = take(tmp_path, "transfer")
    path = tmp_path / ".snakemake/claims/transfer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"started": "before the boot"}))
    again, told = take(tmp_path, "transfer")
    assert "is gone: its claim is taken over" in told[0]
    again.release()
    mine.release()


def test_a_run_on_another_host_is_left_alone_and_the_file_is_named(tmp_path):
    mine, _ = take(tmp_path, "transfer")
    path = tmp_path / ".snakemake/claims/transfer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"host": "elsewhere"}))
    with pytest.raises(UserError, match=rf"on elsewhere since .* remove {path}"):
        take(tmp_path, "transfer")
    mine.release()
    assert path.exists()  # it is not ours any more


class Workflow:
    """Stands for Snakemake's object of a run."""

    is_main_process = True
    dryrun = False

    def __init__(self, *targets):
        named = [("check_transfer", "transfer"), ("number_layers", "ingest"), ("all", "Snakefile")]
        self.rules = [SimpleNamespace(name=n, snakefile=f"/r/{f}.smk") for n, f in named]
        self.dag_settings = SimpleNamespace(targets=set(targets), allowed_rules=frozenset())
        self.jobs = [SimpleNamespace(rule=self.rules[0])]
        self.dag = SimpleNamespace(needrun_jobs=lambda: iter(self.jobs))
        self.planned = []

    def _prepare_dag(self, **how):
        self.planned.append(how)


def test_beside_a_transfer_a_run_makes_all_but_the_transfer(tmp_path, runs, monkeypatch):
    monkeypatch.setenv("VOLUME_BESIDE_TRANSFER", "")  # set by the run: gone after the test
    runs(tmp_path, "transfer")
    told, workflow = [], Workflow()
    mine = claims.of_run(workflow, tmp_path, told.append)
    with pytest.raises(WorkflowError, match="nothing has passed its gate yet"):
        workflow._prepare_dag(nolock=False)
    assert mine.held == set()
    (tmp_path / "transfer").mkdir()
    (tmp_path / "transfer/gate.json").touch()
    (tmp_path / "transfer/layers.tsv").touch()
    workflow._prepare_dag(nolock=False)
    assert workflow.planned == [{"nolock": True}]
    assert workflow.dag_settings.allowed_rules == {"number_layers", "all"}
    assert "this one takes what passed its gate before" in told[0]
    mine.release()


def test_what_a_transfer_makes_again_is_waited_for_where_it_was_there_before(tmp_path):
    folder = tmp_path / "transfer"
    folder.mkdir()
    (folder / "layers.tsv").touch()
    assert not claims.wait_for_transfer(tmp_path, remade_s=60)  # nothing passed yet: at once
    (folder / "passed_once").touch()
    assert not claims.wait_for_transfer(tmp_path, remade_s=0.05, poll_s=0.01)
    threading.Timer(0.2, (folder / "gate.json").touch).start()
    assert claims.wait_for_transfer(tmp_path, remade_s=60, poll_s=0.01)


def test_jobs_of_a_run_beside_a_transfer_wait_too(tmp_path, monkeypatch):
    monkeypatch.setenv("VOLUME_BESIDE_TRANSFER", "1")
    asked = []
    monkeypatch.setattr(claims, "wait_for_transfer", asked.append)
    job = Workflow()
    job.is_main_process = False
    claims.of_run(job, tmp_path, pytest.fail)
    job._prepare_dag()
    assert asked == [tmp_path]
    assert job.planned == [{}]


@pytest.mark.parametrize(
    ("how", "dryrun"), [({"nolock": True}, False), ({}, False), ({"nolock": False}, True)]
)
def test_a_look_and_a_run_without_locks_claim_nothing(tmp_path, how, dryrun):
    workflow = Workflow()
    workflow.dryrun = dryrun
    claims.of_run(workflow, tmp_path, pytest.fail)
    workflow._prepare_dag(**how)
    assert workflow.planned == [how]
    assert not list(tmp_path.iterdir())


def test_the_transfer_is_free_for_others_when_its_jobs_are_done(tmp_path):
    workflow = Workflow("all")
    mine = claims.of_run(workflow, tmp_path, pytest.fail)
    workflow._prepare_dag(nolock=False)
    claims.release_shared(mine, workflow, poll_s=0.01)
    end = time.monotonic() + 10
    while "headers" in mine.held and time.monotonic() < end:
        time.sleep(0.01)
    assert mine.held == {"volume", "transfer"}
    workflow.jobs.clear()
    while "transfer" in mine.held and time.monotonic() < end:
        time.sleep(0.01)
    assert mine.held == {"volume"}
    mine.release()
