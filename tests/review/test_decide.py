"""Decisions are written into the YAML of a volume, and nothing else in it changes."""

import difflib

import pytest
import yaml

from scripts.lib import files, running, sections
from scripts.lib.job import UserError
from scripts.lib.service.receipts import CollectionReceipt
from scripts.review import decide

ADDED = {
    "exclude": [{"cells": ["0,0"], "z_first": 1, "z_last": 4, "reason": 'a "b": #c\nd'}],
    "bridge": [{"cells": ["0,0", "0,1"], "z_first": 1, "z_last": 2, "reason": "seam"}],
}
TEXTS = {
    "no section": "volume: v  # name\nsolve:\n  model: affine\n",
    "an empty section": "volume: v\nreview:  # decisions\n# solve\nsolve: {model: affine}\n",
    "no end of line": "volume: v\nreview:\n  auto: false",
    "a block": (
        "volume: v\nreview:\n  # by hand\n  auto: false # yes\n\n# next\nsolve:\n  model: rigid\n"
    ),
    "a list as a block": (
        "review:\n    exclude:\n    # first\n    - tiles: [a]\n      reason: b  # why\n"
        "    # after\n    auto: true\nvolume: v\n"
    ),
    "items deeper than the key": "review:\n  exclude:\n    - {tiles: [a], reason: b}\n",
    "a list in flow style": "review:\n  exclude: [{tiles: [a], reason: b}]  # one\nvolume: v\n",
    "a list over lines": "review:\n  exclude: [\n    {tiles: [a], reason: b}\n    ]\nvolume: v\n",
    "an empty list": "review:\n  exclude: []  # none yet\n  auto: true\nvolume: v\n",
    "a key without value": "review:\n  exclude:  # none yet\n  auto: true\n",
    "a section in flow style": "review: {auto: true, exclude: []}\nvolume: v\n",
    "a reason of two lines": (
        "review:\n  exclude:\n  - tiles: [a]\n    reason: |\n      one\n      two\n\n"
        "# next\nvolume: v\n"
    ),
    "a reason of two lines at the end": (
        "review:\n  exclude:\n  - tiles: [a]\n    reason: |\n      one\n      two\nvolume: v\n"
    ),
    "lines of another system": "volume: v\r\nreview:\r\n  auto: false\r\nsolve: {model: rigid}\r\n",
    "letters beyond ascii": "volume: v\nreview:\n  exclude: [{tiles: [a], reason: Übergröße}]\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_decisions_are_added_and_comments_and_all_else_stay(text):
    old = yaml.safe_load(text)
    new = sections.with_added(text, "review", ADDED, "x.yaml")
    found = yaml.safe_load(new)
    before = old.get("review") or {}
    for key, entries in ADDED.items():
        assert found["review"].pop(key) == [*(before.pop(key, None) or []), *entries]
    assert found.pop("review") == before
    old.pop("review", None)
    assert found == old
    comments = [line.partition("#")[2] for line in text.splitlines() if "#" in line]
    assert all(f"#{each}" in new for each in comments)
    diff = list(difflib.ndiff(text.splitlines(), new.splitlines()))
    assert sum(line.startswith("- ") for line in diff) <= 2  # lists in flow style, in their line
    assert ("\r\n" in text) == ("\r\n" in new)
    assert new.count("\r\n") in (0, new.count("\n"))


def test_settings_are_added_or_changed_in_their_place():
    text = "review:\n  max_clusters: 1 # parts\nvolume: v\n"
    new = sections.with_added(text, "review", {"max_clusters": 2, "max_auto_share": 0.5}, "x.yaml")
    assert new == "review:\n  max_clusters: 2 # parts\n  max_auto_share: 0.5\nvolume: v\n"


@pytest.mark.parametrize(
    "text",
    [
        "{volume: v}\n",
        "base: &r {auto: true}\nreview: *r\n",
        "review: 3\n",
        "review:\n  exclude: 3\n",
        "a: &e [{tiles: [b], reason: c}]\nreview:\n  exclude: *e\n",
    ],
)
def test_what_cannot_be_changed_for_sure_is_refused_with_the_lines(text):
    with pytest.raises(UserError) as caught:
        sections.with_added(text, "review", {"exclude": ADDED["exclude"]}, "x.yaml")
    message = str(caught.value)
    assert message.startswith("x.yaml: cannot be changed for sure (")
    assert "\n  exclude:\n  - {cells: " in message


@pytest.fixture
def volume(tmp_path):
    """A finished review of 30 layers of one cell, where the first tile has no match."""
    work = tmp_path / "work"
    rows = [{"tile_id": f"t{z}", "z": z, "row": 0, "column": 0, "kind": "tissue", "reason": "",
             "state": "unconnected" if z == 1 else "ok"} for z in range(1, 31)]  # fmt: skip
    cluster = {"tiles": 29, "cells": ["0,0"], "z_first": 2.0, "z_last": 30.0}
    figures = {"after": {"clusters": [cluster]}, "saved": {}, "pairs_attempted": 3}
    for name, path in decide.FILES.items():
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        files.write_table(work / path, list(rows[0]), rows if name == "tiles" else [])
    files.write_json(work / "review/clusters.json", figures)
    entry = '{cells: ["0,0"], z_first: 1, z_last: 1, reason: "resin"}'
    (work / "review/proposals.yaml").write_text(f"exclude:\n  - {entry}\n")
    CollectionReceipt("o", "p_v1", 3, 3, 0, "d", {}, {}).write(work / "matches/p_v1.json")
    config = tmp_path / "volume.yaml"
    config.write_text(
        f"volume: v # mine\nwork_dir: {work}\nrender: {{owner: o, project: p}}\n"
        "acquisition: {rows: 1, columns: 1, pixel_nm: 8, z_nm: 8}\n"
        f"transfer: {{dat_root: {tmp_path}}}\nreview:\n  max_patched_share: 0.2 # many\n"
    )
    return config


def test_the_change_is_shown_and_made_only_when_asked_for(volume, capsys):
    before = volume.read_text()
    assert decide.main([str(volume)]) == 0
    shown = capsys.readouterr().out
    assert '+  - {cells: ["0,0"], z_first: 1, z_last: 1, reason: "resin"}' in shown
    assert "nothing is written without --write" in shown
    assert volume.read_text() == before
    assert decide.main([str(volume), "--write"]) == 0
    after = volume.read_text()
    assert after.startswith(before)
    assert (
        f"now start:\n  snakemake --profile profiles/local --configfile {volume}\n"
        in capsys.readouterr().out
    )
    assert yaml.safe_load(after)["review"]["exclude"][0]["reason"] == "resin"
    # what is there already is not written twice
    assert decide.main([str(volume), "--write"]) == 0
    assert volume.read_text() == after


def test_where_the_gate_opens_the_proposals_of_the_page_are_offered_once(volume, capsys):
    text = volume.read_text() + "  max_unconnected_tiles: 1\n"
    volume.write_text(text)
    assert decide.main([str(volume), "--write"]) == 0
    assert '+  - {cells: ["0,0"], z_first: 1' in capsys.readouterr().out
    assert decide.main([str(volume)]) == 0
    assert "nothing else is proposed" in capsys.readouterr().out
    volume.write_text(text + "  auto: true\n")
    assert decide.main([str(volume)]) == 0
    assert "nothing else is proposed" in capsys.readouterr().out


def test_the_command_to_start_again_is_that_of_the_last_run(volume, capsys):
    news = running.News(
        1.0, "review", 1, 2, 0.5, None, (), "snakemake --profile lsf --configfile v"
    )
    running.write(volume.parent / "work", "volume", news)
    assert decide.main([str(volume), "--write"]) == 0
    assert "now start:\n  snakemake --profile lsf --configfile v\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("volume: v\n\n# how\nsolve:\n  model: rigid\n", "\n\nreview:"),
        ("volume: v\nsolve:\n  model: rigid\n", "rigid\nreview:"),
    ],
)
def test_a_new_section_stands_apart_where_the_others_do(text, line):
    assert line in sections.with_added(text, "review", {"max_clusters": 2}, "x.yaml")


def test_what_has_no_price_here_and_a_review_that_is_not_there_are_errors(volume, capsys):
    assert decide.main([str(volume), "--at-a-price", "max_auto_share"]) == 1
    assert "the gate offers nothing at a price" in capsys.readouterr().err
    (volume.parent / "work/review/tiles.tsv").unlink()
    assert decide.main([str(volume)]) == 1
    assert "tiles.tsv: not there yet" in capsys.readouterr().err
