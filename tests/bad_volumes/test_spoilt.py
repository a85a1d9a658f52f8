"""A finished volume that is spoilt anywhere is never called good; one that is not spoilt is.

Some of the 200 spoilings of `make bench` (tests/benchmarks/test_bench_trust.py), one of each kind.
"""

from dataclasses import replace

import pytest

from scripts.lib.verdicts import GOOD
from tests.bad_volumes import spoil
from tests.bad_volumes.spoil import KINDS
from tests.bad_volumes.spoilt_cases import SPOILT, volume

pytestmark = pytest.mark.xdist_group("finished")  # one volume for all
# each kind once: those of the table with other numbers there
OTHERS = [i for i, kind in enumerate(KINDS) if kind.__name__ not in SPOILT]


def test_what_is_not_spoilt_is_good():
    figures, _ = volume().judged(volume().start)
    assert figures["verdict"] == {"state": GOOD, "reasons": []}


def test_the_stated_error_of_what_is_left_covers_the_truth():
    """Small noisy tiles, solved by matches of the same tissue: the pixels alone show too little."""
    figures, _ = volume().judged(volume().start)
    true, told = volume().score(volume().start), figures["solve"]["misalignment"]
    for kind, name in (("steps", "relative"), ("seams", "seams")):
        assert abs(told[kind]["rms_px"] - true[name]) < 2 * told[kind]["error_px"], kind


@pytest.mark.parametrize("seed", OTHERS, ids=[KINDS[i].__name__ for i in OTHERS])
def test_what_is_spoilt_is_told_in_the_first_line_with_its_place(seed):
    spoilt = spoil.spoil(volume(), 1000 + seed - 1000 % len(KINDS))
    figures, _ = volume().judged(spoilt.state)
    reasons = figures["verdict"]["reasons"]
    assert spoil.fault(spoilt, reasons) == "", (spoilt.what, reasons[:1])


def test_a_volume_of_one_cell_is_not_spoilt_in_what_several_have():
    one = replace(volume().settings, rows=1, columns=1)
    left = set(KINDS) - set(spoil.kinds(one))
    assert left == {spoil.swapped_tiles, spoil.shifted_column, spoil.missing_column}
    assert spoil.kinds(volume().settings) == list(KINDS)


def test_a_cell_is_measured_across_its_hole():
    """What lies above a missing tile is compared with what lies below it."""
    gone = next(t for t in volume().start.tiles.tiles if (t.z, t.cell) == (4, (0, 1)))
    state = volume().start.replace_tiles(lambda tile: None if tile is gone else tile)
    steps = {
        (row["z"], row["p_cell"]): (row["other_z"], row["q_cell"])
        for row in volume().measured_again(state.tiles)
        if row["kind"] == "step"
    }
    assert steps[3, "0-1"] == (5, "0-1")
    assert steps[3, "0-0"] == (4, "0-0")


def test_what_is_measured_again_in_part_is_what_is_measured_as_a_whole():
    """The harness takes rows of tiles that did not change from the finished volume."""

    def key(row):
        return row["z"], row["kind"], row["p_id"], row["q_id"]

    state = spoil.spoil(volume(), 11).state
    found, expected = volume().measured_again(state.tiles), volume().measure(state.tiles)
    assert sorted(found, key=key) == sorted(expected, key=key)


def test_a_move_that_no_line_names_is_silent_and_one_named_elsewhere_is_so():
    """The judge of the spoilings itself."""
    moved = spoil.Spoilt("k", "w", None, (7,), ("0-1",), 2.0)
    place = (
        "solve: z 6 to 8: layers do not meet, 2.0 ± 0.1 px between a_0-0-1.7.0 and b (cells 0-1)"
    )
    assert spoil.fault(moved, []) == "silent"
    assert spoil.fault(moved, [place]) == ""
    assert spoil.fault(moved, ["solve: z 16 to 18: layers do not meet (cells 0-1)"]) == "elsewhere"
    assert spoil.fault(moved, ["solve: z 6 to 8: layers do not meet (cells 0-0)"]) == "elsewhere"
    small = spoil.Spoilt("k", "w", None, (7,), (), 0.9)
    assert spoil.fault(small, []) == ""
