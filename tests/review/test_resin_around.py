"""Resin around the specimen is expected, however much of a volume it is; amid tissue it is not."""

import pytest

from scripts.review import gate, remedies, resin
from scripts.review.evidence import Evidence


def column(kinds, cell=(0, 0), auto="r"):
    """Rows of review/tiles.tsv by letters r, t, d, from z 1 on; those of `auto` are excluded."""
    names = {"r": "resin", "t": "tissue", "d": "damaged"}
    return [
        {
            "tile_id": f"{cell[1]}.{z}",
            "z": str(z),
            "row": str(cell[0]),
            "column": str(cell[1]),
            "kind": names[kind],
            "state": "excluded" if kind in auto else "ok",
            "reason": f"auto: {names[kind]}" if kind in auto else "",
        }
        for z, kind in enumerate(kinds, 1)
    ]


def around(kinds):
    """Letters of the column, those around the specimen as capitals."""
    found = resin.around(column(kinds))
    return "".join(k.upper() if f"0.{z}" in found else k for z, k in enumerate(kinds, 1))


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ("rrrrttttt", "RRRRttttt"),  # imaging has just begun
        ("tttttrrrr", "tttttrrrr"),  # the specimen has ended, or the signal was lost
        ("rrrtttrrr", "RRRtttrrr"),
        ("rrrrrr", "RRRRRR"),  # a whole column
        ("rrtrrttrrtttt", "RRtRRttRRtttt"),  # dust in resin
        ("rrdrrtttt", "RRdRRtttt"),
        ("rrrtttrrrtttrr", "RRRtttrrrtttrr"),  # between tissue
        ("tttttt", "tttttt"),
        ("rrrrtt", "RRRRtt"),  # two layers of tissue so far
    ],
)
def test_it_comes_before_and_after_the_body_or_is_all_of_a_column(kinds, expected):
    assert around(kinds) == expected


def shares(tiles):
    check, _ = gate.check_auto(tiles, gate.Limits(few_tiles=0))
    return check


def test_half_of_a_volume_may_be_resin_at_its_start():
    tiles = [tile for c in range(4) for tile in column("r" * 60 + "t" * 40, (0, c))]
    assert shares(tiles).status == "passed"
    assert shares(tiles).found == 0


def test_a_whole_column_and_the_corner_of_a_grid_may_be_resin():
    tiles = [*column("r" * 30), *column("r" * 30, (0, 1)), *column("t" * 30, (0, 2))]
    assert shares(tiles).status == "passed"


def test_a_column_may_end_while_others_go_on():
    tiles = [*column("ttttrrrr"), *column("tttttttt", (0, 1))]
    assert shares(tiles).found == 0
    both = [*column("ttttrrrr"), *column("ttttttrr", (0, 1))]
    assert shares(both).found == 4 / 16  # the last two layers show nothing at all


def test_as_much_resin_amid_tissue_stops_as_before():
    tiles = [tile for c in range(4) for tile in column("ttt" + "r" * 10 + "ttt", (0, c))]
    check = shares(tiles)
    assert (check.status, check.found) == ("failed", 0.625)
    assert check.accept == {"max_auto_share": 0.63}


def test_tissue_without_matches_counts_wherever_it_lies():
    tiles = column("tttttttt" + "t" * 4, auto="t")
    assert shares(tiles).status == "failed"


def proposed(tiles):
    """What a gate offers when these exclusions mend it."""
    entry = {"cells": ["0,0"], "z_first": 1.0, "z_last": 8.0, "reason": "resin"}
    check = gate.Check("clusters", 2, "<= 1", "failed", "two", {"exclude": [entry]})
    found = Evidence({}, tiles, [], [], "", 0)
    return remedies.remedy([check], found, gate.Limits(), {})


def test_lines_that_leave_out_resin_around_the_specimen_have_no_price():
    assert "exclude" in proposed(column("rrrrrrrrtttt", auto="")).mend
    assert "exclude" not in proposed(column("ttttttttrrrr", auto="")).mend
