"""Layers out of the order of the slice numbers are told, with the entries that help."""

import numpy as np
import pytest
import yaml

from scripts.ingest import numbering, order, validation
from scripts.ingest.declarations import parse
from scripts.ingest.headers import with_prior
from scripts.ingest.settings import Settings
from scripts.lib.job import UserError
from tests.ingest.synthetic_layers import Volume

CONFIG = {"scan_correction": None, "mask": None, "tile_overlap_um": 2}


def sorted_by(number):
    """Positions in the order that the moves lead to."""
    at = list(range(len(number)))
    for move in order.out_of_place(np.array(number, float), [False] * len(number)):
        at.remove(move.at)
        at.insert(at.index(move.after) + 1, move.at)
    return [number[i] for i in at]


@pytest.mark.parametrize(
    ("number", "count"),
    [
        ([5, 6, 8, 7, 9], 1),  # swapped
        ([1, 11, 2, 12, 3, 13, *range(4, 11), 14], 3),  # a clock set back: interleaved
        ([6, 7, 8, 1, 2, 3, 4, 5], 3),  # by more than the layers before: first
        ([2, 1, 3], 1),
        ([1, 3, 2, 4, 5, 8, 7, 9], 2),
    ],
)
def test_layers_out_of_order_are_moved_and_no_other(number, count):
    assert sorted_by(number) == sorted(number)
    assert len(order.out_of_place(np.array(number, float), [False] * len(number))) == count


@pytest.mark.parametrize(
    "number",
    [
        [1, 2, 3, 4],
        [0, 0, 0],
        [np.nan] * 4,
        [1, 2, np.nan, 3],
        [7, 8, 9, 1, 2, 3, 4],  # a new run: numbers are missing between
        [*range(1, 50), *range(1, 30)],  # a new run: numbers twice
        [5],
        [],
    ],
)
def test_other_numbers_are_no_disorder(number):
    assert order.out_of_place(np.array(number, float), [False] * len(number)) == []


def listed(volume, rows):
    expected = validation.Expected(1, 1, 8.0, Settings.of(**CONFIG))
    cached = [{"layer_id": row["layer_id"], "tiles": "0-0-0", "problem": ""} for row in rows]
    days = with_prior(volume.parts())
    return validation.rows(validation.find(rows, cached, days, expected, absent=[]), rows)


def test_the_entries_that_are_proposed_put_a_volume_in_order():
    number = [1, 4, 2, 5, 3, 6, 7]
    change = {z: {"slice": n} for z, n in enumerate(number, start=1)}
    volume = Volume([0] + [40] * 6, change=change)
    rows = volume.rows
    problems = listed(volume, rows)
    assert {row["check"] for row in problems} == {"order"}
    with pytest.raises(UserError, match="clock was set back") as caught:
        validation.require(problems, "page")
    pasted = yaml.safe_load(str(caught.value).partition("\n\n")[2])["ingest"]["layers"]
    keys = {row["layer_id"]: "0-0-0" for row in rows}
    transferred = [row | {"bad": "0"} for row in rows]
    found = numbering.number(rows, transferred, keys, cells=[(0, 0)], declared=parse(pasted))
    of = dict(zip((row["layer_id"] for row in rows), number, strict=True))
    assert [of[row["layer_id"]] for row in found] == sorted(number)


def test_a_decided_order_is_left_as_it_is():
    change = {z: {"slice": n} for z, n in enumerate([1, 3, 2, 4], start=1)}
    volume = Volume([0] + [40] * 3, change=change)
    rows = volume.rows
    assert len(listed(volume, rows)) == 1
    rows[2]["declared"] = "moved: as seen"
    assert listed(volume, rows) == []
