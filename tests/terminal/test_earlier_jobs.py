"""Jobs of a killed run: found by their numbers, cancelled once, and only those of this volume."""

import os
import stat

import pytest

from scripts.lib.job import UserError
from scripts.terminal import earlier_jobs
from scripts.terminal.earlier_jobs import Notes

# a scheduler of text files: a line "number state log" a job
SQUEUE = """#!/bin/sh
echo "squeue $*" >> calls
[ -e away ] && { echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1; }
cat jobs
"""
BJOBS = """#!/bin/sh
echo "bjobs $*" >> calls
tr ' ' '|' < jobs
"""
CANCEL = """#!/bin/sh
echo "$(basename $0) $*" >> calls
[ -e stubborn ] || : > jobs
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    texts = {"squeue": SQUEUE, "bjobs": BJOBS, "scancel": CANCEL, "bkill": CANCEL}
    for name, text in texts.items():
        (programs / name).write_text(text)
        (programs / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(earlier_jobs, "_POLL_S", 0.01)
    return tmp_path


def leave(work, rule, number):
    Notes(work).keep(number, [(rule, "export")])


def everything(rule, rule_file):
    return True


def scheduler_has(work, *rows):
    (work / "jobs").write_text("".join(f"{' '.join(row)}\n" for row in rows))


def calls(work):
    return [line.split()[0] for line in (work / "calls").read_text().splitlines()]


@pytest.mark.parametrize(
    ("scheduler", "state", "cancel"), [("slurm", "RUNNING", "scancel"), ("lsf", "PEND", "bkill")]
)
def test_jobs_of_this_volume_that_still_run_are_cancelled_and_named(work, scheduler, state, cancel):
    for number in ("17", "18", "19"):
        leave(work, "render_slab", number)
    leave(work, "convert_layers", "20")
    own, other = f"{work}/.snakemake/logs/x.log", "/elsewhere/.snakemake/x.log"
    ended = {"slurm": "COMPLETED", "lsf": "DONE"}[scheduler]
    scheduler_has(work, ("17", state, own), ("18", state, other), ("19", ended, own))
    told = []
    earlier_jobs.cancel(scheduler, work, lambda rule, file: rule == "render_slab", told.append)
    assert f"{cancel} 17" in (work / "calls").read_text().splitlines()
    assert len(told) == 1
    assert told[0].startswith("1 job (17) of an earlier run that was killed: cancelled before")
    assert "20" not in (work / "calls").read_text()
    assert list(Notes(work).kept()) == ["20"]


def test_without_jobs_of_an_earlier_run_nothing_is_asked(work):
    earlier_jobs.cancel("slurm", work, everything, pytest.fail)
    leave(work, "a", "1")
    earlier_jobs.cancel("other", work, everything, pytest.fail)
    assert not (work / "calls").exists()


def test_a_scheduler_that_does_not_answer_stops_the_run(work):
    leave(work, "a", "1")
    (work / "away").touch()
    with pytest.raises(UserError, match=r"squeue: expected an answer.*Unable to contact"):
        earlier_jobs.cancel("slurm", work, everything, pytest.fail)


def test_jobs_that_do_not_end_stop_the_run_with_the_command(work, monkeypatch):
    monkeypatch.setattr(earlier_jobs, "LIMIT_S", 0.05)
    leave(work, "a", "1")
    (work / "stubborn").touch()
    scheduler_has(work, ("1", "RUNNING", f"{work}/.snakemake/x.log"))
    with pytest.raises(UserError, match=r"End them with `scancel 1`, then start again"):
        earlier_jobs.cancel("slurm", work, everything, lambda text: None)
