"""Costs: what rules asked for stands beside what they used, and the estimate beside the sum."""

import math
from typing import Any, cast

import pytest

from scripts.report import costs
from scripts.report.gather import Evidence

ASKED = {"match_pairs": {"cores": 2, "mem_mb": 2900, "runtime_min": 240}}


def job(s, rss=math.nan):
    return {"s": s, "cpu_time": s / 2, "max_rss": rss}


def evidence(history=None):
    return Evidence(
        tables={},
        documents={"estimate": history},
        results=cast(Any, None),
        costs={
            "match_pairs": [job(3600, 400), job(1800, 900), job(7200, 500)],
            "match_trial": [job(36_000)],
            "check_gate": [job(0.2)],
        },
        asked=ASKED,
    )


@pytest.fixture
def figures():
    return costs.figures(evidence(), {})


def test_what_was_asked_for_stands_beside_what_was_used(figures):
    rule = figures["rules"]["match_pairs"]
    assert (rule["asked_cores"], rule["asked_mb"], rule["asked_min"]) == (2, 2900, 240)
    assert (rule["median_s"], rule["longest_s"]) == (3600, 7200)
    assert (rule["median_mb"], rule["peak_mb"]) == (500, 900)
    assert rule["core_hours"] == pytest.approx(2 * 3.5)


def test_what_nobody_measured_or_asked_is_a_dash(figures):
    rule = figures["rules"]["check_gate"]
    assert rule["peak_mb"] is None
    cells = dict(zip(costs.HEADER, costs.rows(figures)[-1], strict=True))
    assert {cells[key] for key in ("peak memory", "memory asked", "time asked")} == {"–"}


def test_the_estimate_is_held_against_the_jobs_it_was_about():
    history = [
        {"jobs_done": 40, "core_hours": 9.0, "rules": ["match_pairs", "check_gate"]},
        {"jobs_done": 0, "core_hours": 6.3, "rules": ["match_pairs", "check_gate"]},
    ]
    figures = costs.figures(evidence(history), {})
    assert figures["estimate"]["factor"] == pytest.approx(0.9, rel=1e-3)
    note = costs.section(figures).note
    assert "The estimate made before the run said 6.3 core-hours, its jobs used 7." in note


def test_a_history_of_an_earlier_version_is_read_as_far_as_it_goes():
    old, new = {"jobs_done": 0, "core_hours": 1.0}, {"jobs_done": 9, "core_hours": 7.0, "rules": []}
    assert costs.figures(evidence([old]), {})["estimate"] is None
    assert costs.figures(evidence([old, new]), {})["estimate"]["jobs_done"] == 9


def test_without_an_estimate_there_is_no_word_of_one(figures):
    assert "estimate" not in costs.section(figures).note
