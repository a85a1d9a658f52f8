"""Patterns of names: what fits, what it says, and what is no pattern."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.lib.job import UserError
from scripts.transfer.name_pattern import NamePattern, Place


@pytest.mark.parametrize(
    ("pattern", "path", "place"),
    [
        ("slice_{z}.tif", "slice_0012.tif", Place(12, None, 0, 0, None)),
        ("slice_{z:d}.tif", "deep/er/slice_0012.tif", Place(12, None, 0, 0, None)),
        ("slice_{z}.tif", "slice_0012.tiff", None),
        ("slice_{z}.tif", "my slice_0012.tif", None),
        ("*{z}.tif", "run2_0012.tif", Place(12, None, 0, 0, None)),
        ("*{z}.tif", "0012.tif", Place(12, None, 0, 0, None)),
        ("*{z}.tif", "s.tif", None),
        ("*_{z}_z=*um.tif", "slice_00012_z=0.0960um.tif", Place(12, None, 0, 0, None)),
        ("{row}-{column}/s{z}.tif", "3-4/s5.tif", Place(5, None, 3, 4, None)),
        ("{row}-{column}/s{z}.tif", "more/3-4/s5.tif", None),
        ("t{row:1}_{column:1}.tif", "t1_2.tif", Place(None, None, 0, 1, None)),
        ("t{row:1}_{column:1}.tif", "t0_2.tif", None),
        ("from_{first_z}.tif", "from_100.tif", Place(None, 100, 0, 0, None)),
        ("z{z}_ch{channel}.tif", "z7_ch1.tif", Place(7, None, 0, 0, 1)),
        ("a+(b).{z}.tif", "a+(b).1.tif", Place(1, None, 0, 0, None)),
        ("a.{z}.tif", "axzz1.tif", None),
    ],
)
def test_a_name_says_what_the_pattern_reads(pattern, path, place):
    assert NamePattern.of(pattern).place(path) == place


@given(z=st.integers(0, 10**6), width=st.integers(1, 8), text=st.text("abc_. ", max_size=5))
def test_a_number_after_anything_is_a_whole_one(z, width, text):
    assert NamePattern.of("*{z}.tif").place(f"{text}{z:0{width}d}.tif").z == z


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("s_{zed}.tif", "expected {z}, {first_z}, {row}, {column}, {channel}, or with"),
        ("s_{z}_{z}.tif", "{z} twice"),
        ("s_{z:04d}.tif", "found {z:04d}"),
        ("s_{z.tif", "a single {"),
        ("s_z}.tif", "a single }"),
        ("s_{}.tif", "found {}"),
        ("{first_z}_{z}.tif", "found {z} and {first_z}"),
    ],
)
def test_what_is_no_pattern_is_named(pattern, said):
    with pytest.raises(UserError, match=r"transfer\.source\.pattern: ") as error:
        NamePattern.of(pattern)
    assert said in str(error.value)
