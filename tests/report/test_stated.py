"""What config, headers and names of files state, against what the images show."""

import dataclasses

import pytest
import yaml

from scripts.report import overlap
from tests.report.conftest import judge
from tests.report.test_judged import nearer


@pytest.mark.parametrize(("px", "told"), [(200.0, "more"), (-200.0, "less"), (90.0, "")])
def test_an_overlap_that_is_not_the_stated_one_is_told_with_the_line(good, px, told):
    """At 8 nm 200 px are 1.6 um, 90 px are less than the limit."""
    found = [one for one in judge(nearer(good, px))[1] if "report.limits.overlap_um" in one.what]
    assert [one.state for one in found] == ["look"] * bool(told)
    for one in found:
        assert f"columns overlap by 1.60 um {told} than stage positions say" in one.what
        assert one.lines == ""
    old = {"constants": [{"field": "FileVersion", "values": [8]}], "varying": [], "changed": []}
    documents = dict(good.documents) | {"metadata": old}
    given = dataclasses.replace(nearer(good, px), documents=documents)
    lines = [one.lines for one in judge(given)[1] if "report.limits.overlap_um" in one.what]
    wanted = {"more": "3.60", "less": "0.40", "": ""}
    assert lines == [f"ingest:\n  tile_overlap_um: {wanted[told]}"] * bool(told)


def test_the_overlap_of_few_layers_or_of_one_column_is_not_judged(good):
    assert overlap.wider_px(good["solved"].where(good["solved"]["z"] < 3)) == {}
    one = good["solved"].where(good["solved"]["column"] == 0)
    assert list(overlap.wider_px(one)) == ["rows"]


def test_exchanged_cells_are_a_reason_to_look_with_the_entry_whatever_was_decided(good):
    """With `review.auto` their tiles leave or are patched: the report has the entry still."""
    documents = dict(good.documents)
    documents["clusters"] = documents["clusters"] | {
        "exchanged": [{"cells": ["0,0", "0,1"], "z": 8.0}]
    }
    verdict, found = judge(dataclasses.replace(good, documents=documents))
    (one,) = [each for each in found if "are exchanged" in each.what]
    assert (one.state, one.where) == ("look", "z 8")
    (entry,) = yaml.safe_load(one.lines)["ingest"]["exchange"]
    assert entry["cells"] == ["0,0", "0,1"]
    assert (entry["z_first"], entry["z_last"]) == (8, 8)
    assert "are exchanged" in verdict["verdict"]["reasons"][0]
