"""Ending: the verdict in one line, where things are, and the command that comes next."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from scripts.lib import commands
from scripts.terminal import ending

ARGV = ["zcorr", "--profile", "profiles/local", "--configfile", "my v.yaml"]


@pytest.fixture(autouse=True)
def started(monkeypatch):
    """A run that was started in one way."""
    monkeypatch.setenv("VOLUME_COMMAND", "")
    commands.remember(ARGV)


@pytest.mark.parametrize(
    ("verdict", "line"),
    [
        ({"state": "good", "reasons": []}, "✓ good"),
        ({"state": "look", "reasons": ["match: a", "solve: b"]}, "! look: match: a\n  solve: b"),
        (
            {"state": "look", "reasons": list("abcde")},
            "! look: a\n  b\n  c\n  and 2 more reasons: in the report",
        ),
        ({"state": "not good", "reasons": ["solve: b"]}, "✗ not good: solve: b"),
        ({"state": "absent", "reasons": []}, "! look: there is no verdict in report/summary.json"),
    ],
)
def test_the_verdict_is_that_of_the_report_with_its_reasons(verdict, line):
    other = {"solve": {"status": "not good", "reasons": ["of another time"]}}
    assert ending.verdict({"volume": "v", "verdict": verdict} | other) == line.splitlines()


@pytest.mark.parametrize("state", ["good", "look"])
def test_tiles_that_are_not_as_imaged_are_counted_at_the_end_whatever_the_verdict(state):
    counts = {"placed": 1053, "patched": 0, "missing": 1, "excluded": 2, "not_placed": 0}
    verdict = {"state": state, "reasons": ["solve: bad"] * (state == "look")}
    _, line = ending.verdict({"verdict": verdict, "solve": {"counts": counts}})
    assert line.startswith("  tiles: 1,053 placed, 1 missing, 2 excluded: which, where")
    counts |= {"missing": 0, "excluded": 0}
    assert len(ending.verdict({"verdict": verdict, "solve": {"counts": counts}})) == 1


def test_a_report_without_a_verdict_is_worth_a_look():
    assert ending.verdict({})[0].startswith("! look: there is no verdict")


def test_a_stage_ends_with_what_it_made_and_what_comes_next(tmp_path):
    lines = ending.lines(tmp_path, ["zcorr"])
    assert lines[0] == f"✓ zcorr is done: {tmp_path / 'zcorr/Zcoords.txt'}"
    assert lines[1].startswith("next: snakemake correct --profile")


def test_the_whole_ends_with_verdict_report_volumes_and_promotion(tmp_path):
    for name, content in {
        "report/summary.json": {"verdict": {"state": "good", "reasons": []}},
        "export/volume.json": {"targets": [{"path": "v.n5/em"}, {"path": "v.zarr/em"}]},
    }.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(json.dumps(content))
    assert ending.lines(tmp_path, []) == [
        "✓ good",
        f"report: {tmp_path / 'report/index.html'}",
        f"volume: {tmp_path / 'v.n5/em'}",
        f"volume: {tmp_path / 'v.zarr/em'}",
        "next, once you have looked: set export.promote_root; then this renames the volume into"
        " that folder, for good:",
        "  snakemake promote --profile profiles/local --configfile 'my v.yaml'",
    ]


def test_the_place_of_finished_volumes_is_named_where_the_config_has_it(tmp_path):
    assert "renames the volume into /done, for good:" in ending.lines(tmp_path, [], "/done")[-2]


def test_an_estimate_is_shown_as_a_whole(tmp_path):
    (tmp_path / "estimate").mkdir()
    (tmp_path / "estimate/estimate.txt").write_text("44 layers\nall  3 core-hours\n")
    lines = ending.lines(tmp_path, ["estimate"])
    assert lines[0].startswith("✓ estimate is done: ")
    assert lines[1:3] == ["44 layers", "all  3 core-hours"]


def test_the_commands_that_the_readme_has_for_an_own_volume_lead_from_one_to_the_next(tmp_path):
    readme = Path(__file__).resolve().parents[2].joinpath("README.md").read_text()
    typed = re.findall(
        r"^snakemake (?:(\w+) )?--profile profiles/local.*?(?: #.*)$", readme, re.MULTILINE
    )
    assert typed == ["doctor", "estimate", ""]
    for target, following in pairwise(typed):
        last = ending.lines(tmp_path, [target])[-1]
        assert last.startswith(f"next: {commands.run(following or 'all')}")


def test_what_a_target_is_said_to_have_made_is_an_output_of_a_rule():
    root = Path(__file__).resolve().parents[2]
    rules = "".join(path.read_text() for path in root.glob("rules/*.smk"))
    files = [made for made, _ in ending.MADE.values() if "." in made]
    beside = ["doctor/doctor.json"]  # written whether or not the doctor passes
    assert [made for made in files if f'"{made}"' not in rules] == beside
