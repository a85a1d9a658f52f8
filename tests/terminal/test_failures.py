"""Failures: the last message of a job's log, or how the job was ended, in words."""

import re
from pathlib import Path

import pytest
from snakemake.exceptions import LockException

from scripts.lib import commands, job
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
    lines = failures.told([*jobs, other], tmp_path)
    assert lines == [
        "✗ 200 jobs of match_pairs failed (0000, 0001, 0002, …)",
        "no answer for chunk 0000",
        f"log: {tmp_path / '0.log'}",
        "✗ close failed",
        "else",
        f"log: {tmp_path / 'job.log'}",
    ]


def test_of_many_kinds_the_first_are_told_and_the_others_counted():
    lines = failures.told([Failure(rule) for rule in "abcde"], Path("/w"))
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
