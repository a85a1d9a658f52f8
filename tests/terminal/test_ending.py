"""Ending: the verdict in one line, where things are, and the command that comes next."""

import json

import pytest

from scripts.lib import commands
from scripts.terminal import ending

ARGV = ["zcorr", "--profile", "profiles/local", "--configfile", "my v.yaml"]


@pytest.fixture(autouse=True)
def started(monkeypatch):
    """A run that was started in one way."""
    monkeypatch.setenv("VOLUME_COMMAND", "")
    commands.remember(ARGV, ["zcorr"])


@pytest.mark.parametrize(
    ("states", "line"),
    [
        ({"match": "good", "solve": "good"}, "✓ good"),
        ({"match": "good", "solve": "absent"}, "✓ good"),
        ({"match": "look", "solve": "good"}, "! look: match: a, b"),
        ({"match": "look", "solve": "not good"}, "✗ not good: solve: a, b"),
        ({}, "! look: there is no verdict in report/summary.json"),
        ({"match": "absent"}, "! look: there is no verdict in report/summary.json"),
    ],
)
def test_the_verdict_is_the_worst_of_the_stages_with_its_reasons(states, line):
    blocks = {stage: {"status": each, "reasons": ["a", "b"]} for stage, each in states.items()}
    assert ending.verdict({"volume": "v", "costs": {"jobs": 1}} | blocks) == line


def test_a_stage_ends_with_what_it_made_and_what_comes_next(tmp_path):
    lines = ending.lines(tmp_path, ["zcorr"])
    assert lines[0] == f"✓ zcorr is done: {tmp_path / 'zcorr/Zcoords.txt'}"
    assert lines[1].startswith("next: snakemake correct --profile")


def test_the_whole_ends_with_verdict_report_volumes_and_promotion(tmp_path):
    for name, content in {
        "report/summary.json": {"solve": {"status": "good"}},
        "export/volume.json": {"targets": [{"path": "v.n5/em"}, {"path": "v.zarr/em"}]},
    }.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(json.dumps(content))
    assert ending.lines(tmp_path, []) == [
        "✓ good",
        f"report: {tmp_path / 'report/index.html'}",
        f"volume: {tmp_path / 'v.n5/em'}",
        f"volume: {tmp_path / 'v.zarr/em'}",
        "next, once you have looked: snakemake promote --profile profiles/local --configfile"
        " 'my v.yaml'",
    ]
