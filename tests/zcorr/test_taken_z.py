"""Zcoords.txt of another pipeline, and distances that a person knows better."""

import numpy as np
import pytest

from scripts.lib.job import UserError
from scripts.zcorr import scaling, taken_over, zcoords

LAYERS = [1.0, 2.0, 3.0, 5.0]
TEXT = "1 1\n2 2.25\n3 3.5\n5 5.0\n"


def test_coordinates_of_these_layers_are_taken_with_their_gaps():
    z, corrected = taken_over.coordinates(TEXT, LAYERS, "Zcoords.txt")
    assert z.tolist() == [1, 2, 3, 5]
    assert corrected.tolist() == [1, 2.25, 3.5, 5]
    assert zcoords.to_text(z, corrected).splitlines()[1] == "2 2.250000"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 1\n2 2\n3 3\n", "a line for each of the 4 layers z 1 to 5, found 3 lines"),
        (TEXT + "6 6\n", "found 5 lines"),
        ("1 1\n2 2\n3 3\n4 4\n", "line 4: expected z 5, found 4: were layers numbered otherwise"),
        ("1 1\n2 2.5\n3 2.5\n5 5\n", "line 3: expected a corrected z above 2.5, that of the line"),
        ("1 1\n2 nan\n3 3\n5 5\n", "line 2: expected a corrected z above 1"),
        (
            "1 1\n2 two\n3 3\n5 5\n",
            "line 2: expected two numbers, z and corrected z, found '2 two'",
        ),
        ("1 1\n2\n3 3\n5 5\n", "line 2: expected two numbers"),
        ("1 1\n2 2\n3 3\n5 5.9\n", "layer z 5 at the end: expected a corrected z within 0.5"),
        ("", "found 0 lines"),
    ],
)
def test_what_does_not_fit_is_one_line(text, said):
    with pytest.raises(UserError) as error:
        taken_over.coordinates(text, LAYERS, "Zcoords.txt")
    assert said in str(error.value)
    assert str(error.value).startswith("takeover.zcoords: Zcoords.txt: ")
    assert len(str(error.value).splitlines()) == 1


def test_a_part_of_the_layers_keeps_its_own_ends_and_the_ratios_of_its_distances():
    text = "1 1\n2 2.25\n3 3.75\n4 4.25\n5 5.25\n6 6\n"
    z, corrected = taken_over.coordinates(text, [2.0, 3.0, 4.0, 5.0], "Z", part=True)
    assert z.tolist() == [2, 3, 4, 5]
    assert corrected == pytest.approx([2, 3.5, 4, 5])
    with pytest.raises(UserError, match="4 layers z 2 to 5, found 3 lines"):
        taken_over.coordinates("1 1\n2 2\n3 3\n5 5\n", [2.0, 3.0, 4.0, 5.0], "Z", part=True)
    with pytest.raises(UserError, match="found 0 lines"):
        taken_over.coordinates("", [2.0, 3.0], "Z", part=True)


def moved(entries):
    text = "".join(f"{z} {z}.0\n" for z in range(1, 12))
    lines = scaling.scaled(text, entries).splitlines()
    return np.array([line.split()[1] for line in lines], float)


def test_distances_of_a_range_are_multiplied_and_both_ends_stay():
    found = moved([{"z_first": 3, "z_last": 6, "factor": 2.0}])
    step = np.diff(found)
    assert found[[0, -1]].tolist() == [1, 11]
    assert step[2:5] == pytest.approx(2 * step[0], abs=1e-5)
    assert step[5:] == pytest.approx(step[0], abs=1e-5)


def test_an_open_range_that_is_all_changes_nothing_and_two_are_multiplied():
    assert moved([{"factor": 3.0}]) == pytest.approx(np.arange(1, 12))
    twice = moved([{"z_last": 4, "factor": 2.0}, {"z_first": 2, "z_last": 4, "factor": 2.0}])
    step = np.diff(twice)
    assert step[:3] / step[-1] == pytest.approx([2, 4, 4], abs=1e-4)
