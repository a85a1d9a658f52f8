"""A tile whose seams show nothing alike is named, though a chain of other places holds it."""

import pytest

from scripts.solve import strange_tiles
from tests.solve.test_misalignment import good, instead, verdict

CELLS = ("0-0", "0-1")


def silent(rows, layers, *, tried=16):
    """The seams of some layers without one measured window."""
    lost = [
        one | {"used": "0", "tried": str(tried), "px": "nan", "error_px": "nan"}
        for one in rows
        if one["kind"] == "seam" and int(one["z"]) in layers
    ]
    return instead(rows, lost)


def named(rows, resin=()):
    return [int(one["z"]) for one in strange_tiles.unlike(rows, resin)]


@pytest.mark.parametrize("z", [1, 20, 40])
def test_a_tile_whose_seams_are_silent_where_those_around_are_not_is_a_reason_to_look(z):
    rows = silent(good(40), {z})
    assert named(rows) == [z]
    found = verdict(rows)
    assert (found["state"], found["findings"][0]["kind"]) == ("look", "seam")
    assert f"z {z}: it is not known whether tiles of a layer meet" in found["reasons"][0]


def test_a_seam_that_is_silent_in_all_layers_around_tells_nothing_of_a_tile():
    """Resin or an empty corner, whose windows are never measured."""
    assert named(silent(good(40), range(1, 41))) == []
    assert named(silent(good(40), range(11, 31))) == []


def test_few_windows_and_resin_tell_nothing():
    assert named(silent(good(40), {20}, tried=7)) == []
    assert named(silent(good(40), {20}, tried=8)) == [20]
    assert named(silent(good(40), {20}), resin={"0-1.20"}) == []


def test_one_seam_that_was_measured_speaks_for_both_its_tiles():
    rows = silent(good(40), {20})
    below = [
        one | {"q_id": one["q_id"].replace("0-1", "1-0"), "q_cell": "1-0"}
        for one in good(40)
        if one["kind"] == "seam"
    ]
    # tile 0-0 has a seam that was measured; 0-1, which has none, is the strange one
    assert named(rows + below) == [20]
    both = [one | {"p_id": one["p_id"].replace("0-0", "0-1"), "p_cell": "0-1"} for one in below]
    assert named(rows + below + both) == []


def test_a_long_stack_of_silent_tiles_takes_no_longer_by_its_square():
    rows = silent(good(3000), set(range(1, 3000, 9)))
    assert len(named(rows)) == len(range(1, 3000, 9))
