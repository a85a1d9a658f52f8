"""The lines of decisions, and what a taken-over stack leaves out, by hand-made tables."""

import pytest
import yaml

from scripts.lib.files import write_table
from scripts.review import decisions, gate


@pytest.mark.parametrize("value", [3, 3.0, -2.0, 3.5, 0.125, 30000])
def test_numbers_are_written_whole_where_they_are(value):
    text = decisions.as_yaml([{"cells": ["0-1"], "z_first": value, "reason": "torn: z #3"}])
    assert yaml.safe_load(text) == {
        "exclude": [{"cells": ["0-1"], "z_first": value, "reason": "torn: z #3"}]
    }
    assert ("." in text) == (value != int(value))


def absent(path, *rows):
    names = ("tile_id", "state", "stack")
    write_table(path, names, [dict(zip(names, row, strict=True)) for row in rows])
    return str(path)


def test_tiles_that_a_taken_over_stack_lacks_are_left_out_with_its_name(tmp_path):
    table = absent(
        tmp_path / "a.tsv", ("a", "there", "old"), ("b", "absent", "v1"), ("c", "absent", "v2")
    )
    (entry,) = decisions.not_taken(table)
    assert entry["tiles"] == ["b", "c"]
    assert entry["reason"].startswith("auto: ")
    assert "v1" in entry["reason"]


def test_nothing_is_left_out_where_all_tiles_are_there_or_nothing_is_taken_over(tmp_path):
    assert decisions.not_taken(absent(tmp_path / "a.tsv", ("a", "there", "old"))) == []
    assert decisions.not_taken(None) == []


@pytest.mark.parametrize("of", [40, 4000])
def test_no_line_accepts_that_all_tiles_are_left_out(of):
    rows = [
        {"tile_id": f"t{k}", "reason": "auto: torn", "kind": "tissue"}
        | {"row": "0", "column": "0", "z": str(k)}
        for k in range(of)
    ]
    lost = gate.check_auto(rows, gate.Limits())[1]
    assert (lost.status, lost.accept) == ("failed", {})
    rows[0] |= {"reason": ""}
    assert gate.check_auto(rows, gate.Limits())[1].accept
