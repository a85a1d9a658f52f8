"""The time left follows from what jobs take, not from how many there are."""

import itertools

import pytest

from scripts.terminal.pace import Expected, Pace
from scripts.terminal.progress import Progress, name_of

STAGE_OF = {"plan": "match", "match": "match", "render": "export", "make_report": "report"}
EXPECTED = {
    "plan": Expected(100, 1.0),
    "match cross": Expected(50, 60.0),
    "match montage": Expected(50, 10.0),
    "render": Expected(50, 30.0),
    "make_report": Expected(1, 20.0),
}
SECONDS = sum(n * each_s for n, each_s in EXPECTED.values())


def run(progress, slow=1.0, names=EXPECTED):
    """Time, and time left, after each job of a run one after the other; seconds `slow` times."""
    now, number = 0.0, itertools.count()
    for name in names:
        for _ in range(EXPECTED[name].jobs):
            job = next(number)
            progress.pace.begin(job, name, now)
            now += slow * EXPECTED[name].each_s
            progress.pace.end(job, now)
            progress.finish(name)
            yield now, progress.left_s(now)


def watched(**more):
    progress = Progress(STAGE_OF, "report")
    progress.expected = EXPECTED
    progress.plan({name: one.jobs for name, one in EXPECTED.items()}, **more)
    return progress


@pytest.mark.parametrize("slow", [1.0, 2.5])
def test_the_time_left_does_not_rise_when_longer_jobs_follow_short_ones(slow):
    told = [(now, left) for now, left in run(watched(), slow) if left is not None]
    assert len(told) > 150  # of 251; nothing is said before 3 per cent are done
    for now, left in told:
        assert now + left == pytest.approx(slow * SECONDS, rel=0.01)


def test_by_the_number_of_jobs_it_would_have_risen():
    progress = watched()
    progress.expected = {}
    told = dict(run(progress))
    # after the plans; half of the stage's jobs are done, and a tenth of all time would be left
    assert told[100.0] < 0.1 * (SECONDS - 100)


def test_jobs_that_a_checkpoint_hides_count_from_the_first():
    hidden = Progress(STAGE_OF, "report")
    hidden.expected = EXPECTED
    hidden.plan({"plan": 100, "make_report": 1})
    whole = watched()
    for progress in (hidden, whole):
        list(run(progress, names=["plan"]))
    assert hidden.share == pytest.approx(whole.share)
    assert hidden.share == pytest.approx(100 / SECONDS)


def test_a_whole_run_ends_at_one_and_nothing_is_left():
    progress = watched()
    assert list(run(progress))[-1][1] == pytest.approx(0)
    assert progress.share == pytest.approx(1)


def test_a_run_that_goes_on_tells_what_is_left_at_its_own_pace():
    progress = watched(done={"plan": 100, "match cross": 25})
    assert progress.share == pytest.approx(1600 / SECONDS)
    for job in range(5):
        progress.pace.begin(job, "match cross", 120.0 * job)
        progress.pace.end(job, 120.0 * (job + 1))
        progress.finish("match cross")
    assert progress.left_s(600.0) == pytest.approx(2 * (SECONDS - 1600 - 300), rel=0.01)


def test_jobs_side_by_side_and_half_done_ones_count():
    pace, expected = Pace(4), {"match": Expected(8, 100.0)}
    for job in range(4):
        pace.begin(job, "match", 0.0)
    pace.end(0, 100.0)
    # three more have run as long and are nearly done; then one round is left
    assert pace.left_s(100.0, {"match": 7}, expected) == pytest.approx(100 * (7 - 2.7) / 4, rel=0.1)


def test_a_job_that_failed_says_nothing_of_the_pace():
    pace, expected = Pace(), {"match": Expected(2, 10.0)}
    pace.begin(1, "match", 0.0)
    pace.end(1, 500.0, well=False)
    assert pace.left_s(500.0, {"match": 2}, expected) is None
    pace.begin(1, "match", 500.0)
    pace.end(1, 510.0)
    assert pace.left_s(510.0, {"match": 1}, expected) == pytest.approx(510)


def test_pairs_within_and_between_layers_are_counted_apart():
    progress = Progress(STAGE_OF)
    progress.plan({"match cross": 2, "match montage": 3})
    progress.finish(name_of("match", {"run": "cross", "chunk": "0001"}))
    assert progress.count("match") == "1 of 5"
    assert progress.stages() == {"match": (1, 5)}
    assert name_of("plan", {"chunk": "0001"}) == "plan"
