"""Failures: the last message of a job's log, or how the job was ended, in words."""

import re
import shutil
from pathlib import Path

import pytest
from snakemake.exceptions import LockException, MissingRuleException

from scripts.lib import commands, files, job
from scripts.lib.gates import GATES, PAGES, TABLES, to_look_at
from scripts.terminal import failures
from scripts.terminal.failures import Failure

STAMP = "2026-01-02 03:04:05,678"


def log(folder, text, name="job.log"):
    path = folder / name
    path.write_text(text)
    return str(path)


def test_the_last_message_of_a_job_is_whole_and_nothing_else():
    text = (
        f"{STAMP} INFO job: rule check_gate wildcards {{}}\n{STAMP} ERROR urllib3: not of a job\n"
        f"{STAMP} ERROR job: the volume is in two parts\nreview:\n  bridge: [4, 11]\n"
    )
    assert failures.last_message(text) == ("the volume is in two parts\nreview:\n  bridge: [4, 11]")


def test_a_job_that_ended_well_has_no_message():
    assert failures.last_message(f"{STAMP} INFO job: done in 1.0 s\n") == ""


def test_of_a_traceback_only_what_was_raised_is_told():
    text = (
        f"{STAMP} ERROR job: rule x failed\nTraceback (most recent call last):\n"
        '  File "a.py", line 1, in <module>\n    f()\nKeyError: 1\n\nDuring handling:\n\n'
        'Traceback (most recent call last):\n  File "a.py", line 2, in f\n    g()\n'
        "ValueError: two\nlines\n"
    )
    said = failures.last_message(text)
    assert said == "A fault of the workflow itself, not of the config: ValueError: two\nlines"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Command 'x' died with <Signals.SIGKILL: 9>.", "memory runs out.* 3000 MB"),
        ("returned non-zero exit status 137.", "memory runs out.* 3000 MB"),
        ("SLURM status is: 'OUT_OF_MEMORY'", "memory runs out.* 3000 MB"),
        ("SLURM status is: 'TIMEOUT'", r"time was over \(60 minutes\)"),
        ("Command 'x' died with <Signals.SIGTERM: 15>.", "ended from outside"),
        ("Command 'x' died with <Signals.SIGBUS: 7>.", "crashed in a compiled library"),
        ("returned non-zero exit status 3.", "status 3 before it could write its log"),
        ("SLURM status is: 'NODE_FAIL'.", "node that it ran on failed"),
        ("SLURM status is: 'CANCELLED'.", "ended from outside"),
        (
            "LSF job submission failed. The error message was No such queue",
            "take.*: No such queue$",
        ),
        (
            "SLURM sbatch failed. The error message was 'sbatch: Invalid account'.\n"
            "    sbatch call:\n        sbatch --parsable and 400 lines more",
            "did not take the job: sbatch: Invalid account$",
        ),
        ("", "ended without a message"),
    ],
)
def test_an_end_without_a_message_is_told_in_words(said, words):
    job = Failure("match_pairs", resources={"mem_mb": 3000, "runtime": 60}, said=said)
    text = failures.message(job).replace("\n", " ")
    assert re.search(words, text), text


def test_the_log_of_the_cluster_tells_why_it_killed_a_job(tmp_path):
    logs = (log(tmp_path, ""), log(tmp_path, "TERM_RUNLIMIT: job killed after", "lsf.log"))
    job = Failure("match_pairs", logs=logs, said="LSF status is: 'EXIT'")
    assert "match_pairs:runtime=" in failures.message(job)


SLURM_LOG = "slurmstepd: error: StepId=1.batch exceeded memory limit (9 > 8), being killed\n"
SLURM_LOG += "slurmstepd: error: *** JOB 1 ON n CANCELLED AT 2026-01-01T00:00:00"
LSF_LOG = "TERM_OWNER: job killed by owner.\nExited with signal termination: 15."


@pytest.mark.parametrize(
    ("of_the_cluster", "said", "cause"),
    [
        (f"{SLURM_LOG} ***\n", "SLURM status is: 'FAILED'", "out of memory (planned with 3000 MB)"),
        ("TERM_MEMLIMIT: job killed after", "LSF status is: 'EXIT'", "out of memory (planned with"),
        (
            "*** CANCELLED AT 1 DUE TO TIME LIMIT ***",
            "status is: 'TIMEOUT'",
            "out of time (60 min)",
        ),
        (LSF_LOG, "LSF status is: 'EXIT'", "cancelled, by a person or the cluster"),
        ("", "failed due to a node failure, SLURM status is: 'NODE_FAIL'", "its node failed"),
    ],
)
def test_the_reason_is_one_line_with_the_last_words_of_the_log(
    tmp_path, of_the_cluster, said, cause
):
    own = log(tmp_path, f"{STAMP} INFO job: rule x\n{STAMP} INFO levels: 40 of 200 layers\n\n")
    logs = (own, log(tmp_path, of_the_cluster, "cluster.log"))
    job = Failure("x", logs=logs, resources={"mem_mb": 3000, "runtime": 60}, said=said)
    line = failures.reason(job)
    assert line.startswith(cause)
    assert line.endswith("; last words of its log: 40 of 200 layers")
    assert failures.message(job).endswith("\nLast words of its log: 40 of 200 layers")


def test_the_reason_of_a_job_that_spoke_is_the_first_line_of_its_message(tmp_path):
    own = log(tmp_path, f"{STAMP} ERROR job: the gate is closed\nreview:\n  bridge: []\n")
    assert failures.reason(Failure("x", logs=(own,))) == "the gate is closed"


def test_a_message_of_an_earlier_run_is_not_told_again(tmp_path):
    path = log(tmp_path, f"{STAMP} ERROR job: mended since\n")
    job = Failure("x", logs=(path,), before={path: failures.written(path)}, said="exit status 1.")
    assert "mended" not in failures.message(job)
    assert "mended" in failures.message(Failure("x", logs=(path,), said="exit status 1."))


def test_two_hundred_alike_failures_are_told_once(tmp_path):
    jobs = []
    for n in range(200):
        path = log(tmp_path, f"{STAMP} ERROR job: no answer for chunk {n:04d}\n", f"{n}.log")
        jobs.append(Failure("match_pairs", {"chunk": f"{n:04d}"}, (path,)))
    other = Failure("close", {}, (log(tmp_path, f"{STAMP} ERROR job: else\n"),))
    lines = failures.summary([*jobs, other], tmp_path)
    assert lines == [
        "✗ 200 jobs of match_pairs failed (0000, 0001, 0002, …)",
        "no answer for chunk 0000",
        f"log: {tmp_path / '0.log'}",
        "✗ close failed",
        "else",
        f"log: {tmp_path / 'job.log'}",
    ]


def test_a_gate_is_no_failure_and_names_its_page_where_there_is_one(tmp_path):
    files.write_text(tmp_path / "review/index.html", "page")
    assert failures.summary([Failure("check_gate"), Failure("check_thickness")], tmp_path) == [
        "✗ the gate of the review (check_gate) waits for a decision of yours",
        failures.message(Failure("check_gate")),
        f"look at: {tmp_path / 'review/index.html'}",
        "✗ the gate of the thickness (check_thickness) waits for a decision of yours",
        failures.message(Failure("check_thickness")),
    ]


@pytest.mark.parametrize("rule", sorted(GATES))
def test_what_a_gate_names_is_there_and_has_rows_about_it(tmp_path, rule):
    assert to_look_at(rule, tmp_path) == []
    for path in TABLES.get(rule, {}):
        files.write_text(tmp_path / path, "dat\treason\tstatus\n")  # nothing but a header
    assert to_look_at(rule, tmp_path) == []
    assert rule in {*PAGES, *TABLES, "check_contrast"}  # of which the message says all


@pytest.mark.parametrize(
    ("table", "row", "named"),
    [
        ("misfits", "a.dat\tno tile\t", True),
        ("misfits", "a.dat\t\t", False),  # an exact copy
        ("quarantine", "a.dat\ttruncated\t", True),
        ("layers", "\t\tfailed", True),
        ("layers", "\t\tok", False),
    ],
)
def test_the_gate_of_the_transfer_names_the_table_that_says_why(tmp_path, table, row, named):
    for each in ("misfits", "quarantine", "layers"):
        text = f"dat\treason\tstatus\n{row if each == table else ''}\n".rstrip("\n") + "\n"
        files.write_text(tmp_path / f"transfer/{each}.tsv", text)
    shown = [f"look at: {tmp_path}/transfer/{table}.tsv"] if named else []
    lines = failures.summary([Failure("check_transfer")], tmp_path)
    assert [line for line in lines if line.startswith("look at")] == shown


def test_of_many_kinds_the_first_are_told_and_the_others_counted():
    lines = failures.summary([Failure(rule) for rule in "abcde"], Path("/w"))
    assert [line for line in lines if line.startswith("✗")] == [f"✗ {r} failed" for r in "abc"]
    assert lines[-1] == "… and 2 more kinds of failures"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'WorkflowError in file "/a/common.smk", line 22:\nconfig:\n  slove: unknown key\n'
            '  File "/a/common.smk", line 26, in <module>\n',
            "config:\n  slove: unknown key",
        ),
        ("No rule to produce x", "No rule to produce x"),
    ],
)
def test_snakemake_s_own_frame_is_taken_off(text, expected):
    assert failures.without_header(text) == expected


@pytest.mark.parametrize(("typed", "near"), [("exportt", "the nearest is export; "), ("qqq", "")])
def test_a_misspelt_target_is_told_with_the_nearest_and_all(typed, near):
    told = failures.without_header(f"MissingRuleException:\n{MissingRuleException(typed)}")
    assert told.startswith(f"There is no target {typed}; {near}without one all is done. Targets: ")
    assert "transfer, ingest, match" in told


def test_a_folder_that_cannot_be_made_is_named_with_its_key():
    text = "PermissionError in file \"/a/Snakefile\", line 3:\n[Errno 13] Permission denied: '/x/y'"
    assert failures.without_header(text).startswith(
        "work_dir: cannot write '/x/y': Permission denied. Set work_dir to a folder"
    )


def test_a_locked_folder_is_told_with_the_command_that_unlocks_it(monkeypatch):
    monkeypatch.setenv("VOLUME_COMMAND", "")
    commands.remember(["ingest", "--profile", "lsf", "--configfile", "a b.yaml"])
    monkeypatch.chdir("/")
    told = failures.without_header(f"LockException:\n{LockException()}")
    assert told.startswith("/ is locked: another run is at work there, or one was killed.")
    assert "type: snakemake --profile lsf --configfile 'a b.yaml' --unlock; then" in told


def test_a_full_disk_names_the_size_that_the_volume_needs(monkeypatch):
    monkeypatch.setenv("VOLUME_NEEDS", "")
    text = "OSError:\n[Errno 28] No space left on device: '/v/.snakemake'"
    assert "needs" not in failures.without_header(text)
    job.remember_needs("up to 9.0 GB")
    assert "device; the volume needs up to 9.0 GB" in failures.without_header(text).replace("'", "")


def test_a_job_that_had_no_room_for_its_log_says_so(tmp_path, monkeypatch):
    failure = Failure("number_layers", logs=(log(tmp_path, ""),), said="exit status 1.")
    assert "disk" not in failures.message(failure)
    full = shutil.disk_usage(tmp_path)._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: full)
    for said in (failures.message(failure), failures.reason(failure)):
        assert "No space left on device (0.0 GB are free there" in said
        assert str(tmp_path) in said
    told = Failure("x", logs=failure.logs, said="SLURM status is: 'TIMEOUT'")
    assert "its time was over" in failures.message(told).lower()


def test_a_full_disk_that_names_no_file_is_no_fault_of_the_workflow():
    said = failures.without_header(
        "OSError in file x.smk, line 3:\n[Errno 28] No space left on device"
    )
    assert said.startswith("work_dir: cannot be written: No space left on device.")
    traced = (
        "Traceback (most recent call last):\n  File\nOSError: [Errno 28] No space left on device"
    )
    assert "work_dir" in failures.without_header(traced)
