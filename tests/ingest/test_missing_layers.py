"""Layers without any file: told with their place, and not told where that is decided."""

import numpy as np
import pytest
import yaml

from scripts.ingest import declarations, missing, numbering

FIRST = np.datetime64("2021-07-31T00:00:00")


def layer_id(second):
    stamp = str(FIRST + np.timedelta64(int(second), "s"))
    return f"Merlin-1_{stamp[2:10]}_{stamp[11:].replace(':', '')}"


def table(seconds, declared=()):
    """The layer table of layers that were imaged at these seconds."""
    entries = declarations.parse([{"reason": "r"} | entry for entry in declared])
    found = [
        {"layer_id": layer_id(s), "tiles": "1", "bad": "0", "align_h5": "a.h5"} for s in seconds
    ]
    keys = {row["layer_id"]: "0-0-0" for row in found}
    rows = numbering.number([], found, keys, cells=[(0, 0)], declared=entries)
    return [{key: str(value) for key, value in row.items()} for row in rows]


STEADY = [40 * k for k in range(12)]
LACKING = [s for s in STEADY if s not in (160, 200)]  # two layers without files behind z 4


def found(rows, numbers=None, left_out=()):
    return list(missing.find(rows, numbers or {}, left_out, 900))


def test_layers_without_files_are_told_with_place_evidence_and_the_entry_that_keeps_it():
    (one,) = found(table(LACKING))
    assert (one.after, one.z, one.layers, one.by) == (4, 5, 2, "time")
    assert one.evidence == "120 s between them, where 40 s are usual"
    assert "2 layers seem to be missing between z 4 and 5" in one.text
    (entry,) = yaml.safe_load(one.text[one.text.index("- {") :])
    assert entry.items() >= {"gap": 2, "after": layer_id(120), "renumber": True}.items()
    kept = table(LACKING, [entry])
    assert [row["layer_id"] for row in kept[4:6]] == ["", ""]
    assert found(kept) == []


def test_of_a_gap_that_is_too_small_the_rest_is_told():
    (one,) = found(table(LACKING, [{"gap": 1, "after": layer_id(120)}]))
    assert one.layers == 1


def test_a_layer_that_was_left_out_or_moved_is_not_missing():
    assert found(table(LACKING), left_out=[layer_id(160), layer_id(200)]) == []
    one_left = found(table(LACKING), left_out=[layer_id(160)])
    assert [one.layers for one in one_left] == [1]
    moved = {"move": layer_id(160), "after": layer_id(400), "renumber": True}
    assert found(table(STEADY, [moved])) == []


def test_the_counter_decides_where_there_is_one():
    rows = table(LACKING)
    counts = {z: 100 + z for z in range(1, 11)}
    assert found(rows, counts) == []  # a pause: it goes on with the next
    counts |= {z: 102 + z for z in range(5, 11)}
    (one,) = found(rows, counts)
    assert (one.layers, one.by) == (2, "FIBSliceNum")
    assert one.evidence == "FIBSliceNum goes from 104 to 107"
    del counts[5], counts[4]  # headers that could not be read
    (one,) = found(rows, counts)
    assert (one.after, one.z, one.layers) == (5, 6, 2)


@pytest.mark.parametrize("pause", [30, 55, 2000])
def test_a_pause_is_not_told(pause):
    assert found(table([s + (pause if s > 150 else 0) for s in STEADY])) == []
