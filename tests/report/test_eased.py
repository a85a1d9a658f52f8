"""Limits that a config made wider, beside their defaults."""

import copy

import pytest

from scripts.lib import schema, yaml_files
from scripts.report import eased, first_screen, summary
from scripts.report.volumes import ROOT
from scripts.terminal import ending
from tests.report.conftest import NAMES, SCHEMA

RULES = yaml_files.read(SCHEMA)


@pytest.fixture(scope="module")
def defaults():
    config = yaml_files.read(ROOT / "config/config.yaml")
    schema.validate(config, RULES)
    return config


def changed(config, key, value):
    config = copy.deepcopy(config)
    *path, last = key.split(".")
    at = config
    for name in path:
        at = at[name]
    at[last] = value
    return config


def test_the_defaults_are_no_wider_than_themselves(defaults):
    assert eased.eased(defaults, RULES) == []


@pytest.mark.parametrize(
    ("key", "wider", "stricter", "line"),
    [
        ("review.max_unconnected_tiles", 12, 0, "raised to 12 (default 0)"),
        ("review.min_saved_share_dz1", 0.5, 0.95, "lowered to 0.5 (default 0.9)"),
        ("review.max_contrast_flips", 3, 0, "raised to 3 (default 0)"),
        ("solve.misalignment.stop_px", 9, 3, "raised to 9 (default 4)"),
        ("zcorr.gate_problem_pct", 60, 5, "raised to 60 (default 10)"),
        ("report.limits.residual_px.look", 3, 1, "raised to 3 (default 1.5)"),
        ("report.limits.correlation_next.not_good", 0.01, 0.2, "lowered to 0.01 (default 0.15)"),
        ("transfer.max_bad_share", 0.5, 0.01, "raised to 0.5 (default 0.05)"),
    ],
)
def test_a_wider_limit_is_told_with_its_default_and_a_stricter_one_is_not(
    defaults, key, wider, stricter, line
):
    assert eased.eased(changed(defaults, key, wider), RULES) == [f"limit {key} {line}"]
    assert eased.eased(changed(defaults, key, stricter), RULES) == []


def test_places_that_were_accepted_are_counted(defaults):
    config = changed(defaults, "zcorr.accept_layers", [3, 4])
    assert eased.eased(config, RULES) == ["2 accepted by zcorr.accept_layers (default none)"]


def test_the_first_screen_the_reasons_and_the_terminal_say_so():
    figures = {"volume": "v"} | {stage: {"status": "good"} for stage in summary.STAGES}
    lines = ["limit a raised to 2 (default 1)"]
    found = summary.judge(figures, [], lines)
    assert found["verdict"]["reasons"] == [f"limits: {lines[0]}"]
    shown = first_screen.verdict(found, "")
    assert (shown.reasons, shown.eased) == ([], lines)
    assert ending.verdict(found) == ["✓ good", f"  {lines[0]}"]
    assert "eased" not in summary.judge(figures, [])["verdict"]
    assert "eased" not in NAMES
