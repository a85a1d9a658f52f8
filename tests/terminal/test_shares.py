"""Progress: the share of a run never falls, though checkpoints add jobs and take some away."""

import pytest

from scripts.terminal.progress import WEIGHTS, Progress, duration

STAGE_OF = {"plan": "transfer", "convert": "transfer", "match": "match", "render": "export"}


def test_the_share_never_falls_and_stays_below_one_until_the_end():
    progress = Progress(STAGE_OF, "export")
    progress.plan({"plan": 1, "all": 1})
    progress.finish("plan")
    seen = [progress.share]
    progress.plan({"convert": 400})
    for _ in range(400):
        progress.finish("convert")
        seen.append(progress.share)
    progress.plan({"convert": 400, "match": 2})
    progress.finish("match")
    seen.append(progress.share)
    assert seen == sorted(seen)
    assert seen[0] < 0.2
    assert seen[-1] < 0.75


def test_a_whole_run_ends_at_one():
    progress = Progress(STAGE_OF, "report")
    progress.plan({"plan": 1})
    progress.finish("plan")
    progress.plan({"match": 1, "render": 1})
    for rule in ("match", "render"):
        progress.finish(rule)
    assert progress.share < 1  # the report is not planned yet
    progress.stage_of = STAGE_OF | {"make_report": "report"}
    progress.plan({"make_report": 1})
    progress.finish("make_report")
    assert progress.share == pytest.approx(1)
    assert progress.left_s(100) == pytest.approx(0)


def test_a_stage_that_is_hidden_by_a_checkpoint_counts():
    shown, hidden = Progress(STAGE_OF, "match"), Progress(STAGE_OF, "export")
    for progress in (shown, hidden):
        progress.plan({"match": 2})
        progress.finish("match")
    assert shown.share == pytest.approx(0.5)
    assert hidden.share < 0.5 * WEIGHTS["match"] / (WEIGHTS["match"] + WEIGHTS["export"])


def test_a_second_start_goes_on_where_the_first_one_ended():
    first = Progress(STAGE_OF, "report")
    first.plan({"plan": 1, "match": 10, "render": 2, "all": 1})
    for rule in ["plan"] + 6 * ["match"]:
        first.finish(rule)
    second = Progress(STAGE_OF, "report")
    second.plan({"plan": 1, "match": 10, "render": 2, "all": 1}, {"plan": 1, "match": 6})
    assert second.share == pytest.approx(first.share)
    assert second.left_s(1) is None
    second.finish("match")
    assert second.count("match") == "7 of 10"
    assert second.share > first.share


def test_the_time_left_of_a_second_start_is_that_of_its_own_work():
    progress = Progress(STAGE_OF)
    progress.plan({"match": 100}, {"match": 60})
    for _ in range(10):
        progress.finish("match")
    assert progress.left_s(100) == pytest.approx(300)


def test_jobs_that_a_checkpoint_shows_as_done_are_no_work_of_this_run():
    progress = Progress(STAGE_OF, "report")
    progress.plan({"plan": 1})
    progress.finish("plan")
    progress.plan({"plan": 1, "match": 100}, {"match": 80})  # the one that ends is not yet done
    assert progress.count("match") == "80 of 100"
    for _ in range(10):
        progress.finish("match")
    assert progress.before < progress.share < 1


def test_jobs_are_counted_by_rule_and_targets_are_none():
    progress = Progress(STAGE_OF)
    progress.plan({"match": 3, "plan": 1, "all": 1})
    progress.finish("match")
    progress.finish("all")
    assert progress.count("match") == "1 of 3"
    assert progress.count("plan") == ""
    assert progress.count("all") == ""


def test_the_time_left_follows_from_the_share_and_is_not_guessed_at_the_start():
    progress = Progress(STAGE_OF)
    progress.plan({"match": 100})
    progress.finish("match")
    assert progress.left_s(10) is None
    for _ in range(24):
        progress.finish("match")
    assert progress.left_s(100) == pytest.approx(300)


@pytest.mark.parametrize(("seconds", "text"), [(40, "40 s"), (720, "12 min"), (12600, "3.5 h")])
def test_durations_are_said_as_people_say_them(seconds, text):
    assert duration(seconds) == text
