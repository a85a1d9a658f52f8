"""Patience with a scheduler: what the plugins drop or give up on stays on the list."""

import asyncio
from types import SimpleNamespace

import pytest
from snakemake.iocontainers import ResourceList

from scripts.terminal import patience
from scripts.terminal.earlier_jobs import Notes
from scripts.terminal.patience import Patience


class Executor:
    """Stands for a plugin: what a test wants it to say of each query."""

    next_seconds_between_status_checks = 180
    wait = True

    def __init__(self):
        self.answers, self.reported, self.handed_in, self.refusals = [], [], [], []

    async def check_active_jobs(self, active):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        for each in active:
            if answer.get(each.external_jobid) == "done":
                self.report_job_success(each)
            elif answer.get(each.external_jobid) == "failed":
                self.report_job_error(each, msg="status is: 'TIMEOUT'", aux_logs=["a.log"])
            elif answer.get(each.external_jobid):
                yield each

    def run_job(self, job):
        if self.refusals:
            raise self.refusals.pop(0)
        self.handed_in.append(job)

    def report_job_submission(self, info, register_job=True):
        self.reported.append((info.external_jobid, "taken", register_job))

    def report_job_success(self, info):
        self.reported.append((info.external_jobid, "done"))

    def report_job_error(self, info, msg=None, aux_logs=()):
        self.reported.append((info.external_jobid, msg, *aux_logs))


class World:
    """An executor with patience, a clock that a test sets, and what was told."""

    def __init__(self, folder):
        self.notes = Notes(folder)
        self.now, self.told, self.later = 0.0, [], []
        self.executor = Executor()
        self.patience = Patience(
            self.executor, self.told.append, self.notes, clock=lambda: self.now, timer=self._timer
        )
        self.jobs = [SimpleNamespace(external_jobid=each, job=each) for each in "ab"]

    def _timer(self, wait_s, call, argument):
        self.later.append((wait_s, call, argument))

    def ask(self, answer):
        """One query; give the numbers of the jobs that are still active."""
        self.executor.answers.append(answer)

        async def left():
            return [each async for each in self.executor.check_active_jobs(self.jobs)]

        return [each.external_jobid for each in asyncio.run(left())]


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.mark.parametrize("answer", [{}, TypeError("argument of type 'NoneType'")])
def test_jobs_stay_while_the_scheduler_says_nothing(world, answer):
    assert world.ask(answer) == ["a", "b"]
    assert world.executor.reported == []


def test_ends_are_passed_on_as_the_plugin_tells_them(world):
    assert world.ask({"a": "done", "b": "running"}) == ["b"]
    world.jobs = world.jobs[1:]
    assert world.ask({"b": "failed"}) == []
    assert world.executor.reported == [("a", "done"), ("b", "status is: 'TIMEOUT'", "a.log")]


def test_the_numbers_of_jobs_are_noted_until_they_end(world):
    for each in world.jobs:
        rule = SimpleNamespace(name=f"rule_{each.external_jobid}", snakefile="/r/export.smk")
        each.job = SimpleNamespace(rule=rule)
        world.executor.report_job_submission(each, register_job=False)
    assert world.executor.reported == [("a", "taken", False), ("b", "taken", False)]
    assert world.notes.kept() == {each: [(f"rule_{each}", "export")] for each in "ab"}
    world.ask({"a": "done", "b": "running"})
    assert world.notes.kept() == {"b": [("rule_b", "export")]}
    world.ask({"b": "failed"})
    assert world.notes.kept() == {}


def test_a_job_whose_end_could_not_be_passed_on_stays_on_the_list(world, monkeypatch):
    def broken(info):
        raise RuntimeError("of Snakemake")

    monkeypatch.setattr(world.patience, "_report_success", broken)
    assert world.ask({"a": "done", "b": "running"}) == ["a", "b"]
    assert world.notes.kept() == {}


def test_silence_is_told_every_five_minutes_with_its_cause_and_its_end(world):
    world.ask({"a": "running", "b": "running"})
    for world.now in (100, 290, 310, 320, 500, 620):
        world.ask(TypeError("no list"))
        world.patience.watch()
    assert len(world.told) == 2
    assert "No news of 2 jobs from the scheduler for 5 min (TypeError: no list)" in world.told[0]
    world.ask({"a": "running", "b": "running"})
    assert world.told[2] == "The scheduler answers again, after 10 min."
    world.now = 900
    world.patience.watch()
    assert len(world.told) == 3


def test_a_day_of_silence_ends_the_run(world):
    world.now = patience.LIMIT_S + 1
    with pytest.raises(TimeoutError, match="no answer of the scheduler for 24 h"):
        world.ask({})
    with pytest.raises(ValueError, match="whatever"):
        world.ask(ValueError("whatever"))


def test_queries_are_never_three_minutes_apart(world):
    world.ask({"a": "running", "b": "running"})
    assert world.executor.next_seconds_between_status_checks == patience.LONGEST_SLEEP_S


AWAY = (
    "SLURM sbatch failed. The error message was 'sbatch: error: Batch job submission failed: Unable"
    " to contact slurm controller (connect failure)'."
)


def test_a_job_that_finds_no_scheduler_is_handed_in_again(world):
    world.executor.refusals = [RuntimeError(AWAY), RuntimeError("LSF is down. Please wait ...")]
    world.executor.run_job("j")
    while world.later:
        _, call, argument = world.later.pop(0)
        call(argument)
    assert world.executor.handed_in == ["j"]
    assert len(world.told) == 1
    assert "takes no jobs (Unable to contact slurm controller)" in world.told[0]


def test_a_submission_that_the_plugin_reports_as_a_failure_is_handed_in_again(world):
    refused = SimpleNamespace(external_jobid=None, job="j")
    world.executor.report_job_error(refused, msg=AWAY)
    assert world.executor.reported == []
    assert [each[2] for each in world.later] == ["j"]


def test_a_job_that_the_scheduler_refuses_fails_at_once(world):
    world.executor.refusals = [RuntimeError("Invalid account or account/partition combination")]
    with pytest.raises(RuntimeError, match="Invalid account"):
        world.executor.run_job("j")
    refused = SimpleNamespace(external_jobid=None, job="j")
    world.executor.report_job_error(refused, msg="more memory than any node has")
    assert world.executor.reported == [(None, "more memory than any node has")]
    assert world.later == []


class Job:
    """Stands for a job: what the rule asks for at an attempt, and what the job asks for."""

    wildcards_dict, input, attempt = {}, (), 1

    def __init__(self):
        self.rule, self._resources = self, self.expand_resources({}, (), 1)

    @property
    def resources(self):
        return self._resources

    def expand_resources(self, wildcards, given, attempt, skip_evaluation=()):
        asked = {"mem_mb": 1000 * attempt, "runtime": 60 * attempt, "lsf_queue": "long"}
        return ResourceList(fromdict=asked)

    def asks(self):
        return self.resources.mem_mb, self.resources.get("runtime"), self.resources.lsf_queue

    def again(self):
        """As Snakemake does after a failure."""
        self.attempt += 1
        self._resources = self.expand_resources({}, (), self.attempt)


@pytest.mark.parametrize(
    ("said", "mem_mb", "runtime"),
    [
        ("status is: 'OUT_OF_MEMORY'", 2000, 60),
        ("status is: 'TIMEOUT'", 1000, 120),
        ("status is: 'CANCELLED'", 1000, 60),
        ("status is: 'NODE_FAIL'", 1000, 60),
        ("status is: 'FAILED'", 2000, 120),
    ],
)
def test_only_what_was_the_cause_of_a_failure_grows(world, said, mem_mb, runtime):
    job = Job()
    world.executor.run_job(job)
    world.executor.report_job_error(SimpleNamespace(external_jobid="1", job=job), msg=said)
    job.again()
    world.executor.run_job(job)
    assert job.asks() == (mem_mb, runtime, "long")
    world.executor.report_job_error(
        SimpleNamespace(external_jobid="2", job=job), msg="status is: 'OUT_OF_MEMORY'"
    )
    job.again()
    world.executor.run_job(job)
    assert job.asks() == (mem_mb + 1000, runtime, "long")


def test_the_scheduler_s_log_tells_the_cause_where_the_plugin_does_not(world, tmp_path):
    (tmp_path / "lsf.log").write_text(
        "TERM_RUNLIMIT: job killed after reaching LSF run time limit."
    )
    job = Job()
    world.executor.report_job_error(
        SimpleNamespace(external_jobid="1", job=job),
        msg="LSF status is: 'EXIT'",
        aux_logs=[str(tmp_path / "lsf.log"), None],
    )
    job.again()
    world.executor.run_job(job)
    assert job.asks() == (1000, 120, "long")
    assert world.told == []


def test_nothing_is_handed_in_after_a_run_was_stopped(world):
    world.executor.wait = False
    world.executor.refusals = [RuntimeError(AWAY)]
    with pytest.raises(RuntimeError):
        world.executor.run_job("j")
