from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.lib import names


def test_a_dat_name_gives_scope_time_and_cell():
    name = names.parse_dat("Merlin-6281_24-03-07_101112_0-1-12.dat")
    assert name.layer.layer_id == "Merlin-6281_24-03-07_101112"
    assert name.layer.time == datetime(2024, 3, 7, 10, 11, 12)
    assert (name.tile_key, name.row, name.column) == ("0-1-12", 1, 12)
    assert str(name.layer.folder) == "Merlin-6281/2024/03/07/10"


def test_anything_may_follow_the_column_and_blanks_and_underscores_may_be_in_the_scope():
    assert names.parse_dat("X_21-07-31_152727_0-0-0-InLens.png").tile_key == "0-0-0"
    assert names.parse_dat("X_21-07-31_152727_0-0-0.first512k.dat").column == 0
    assert names.parse_dat("a b_c_21-07-31_152727_0-0-0.dat").layer.scope == "a b_c"


@pytest.mark.parametrize(
    "bad",
    ["", "x.dat", "Merlin_24-03-07_101112.dat", "M_24-3-7_101112_0-0-0.dat", "M_24-03-07_1_0-0"],
)
def test_a_name_outside_of_the_grammar_is_refused_with_an_example(bad):
    with pytest.raises(ValueError, match="is no tile name: expected .*Merlin-6281_24-03-07_101112"):
        names.parse_dat(bad)


@pytest.mark.parametrize("name", [None, "", "x.dat", "M_24-13-07_101112_0-0-0.dat"])
def test_what_may_be_no_dat_name_is_none_then(name):
    assert names.dat_or_none(name) is None
    good = "Merlin-6281_24-03-07_101112_0-1-12.dat"
    assert names.dat_or_none(good) == names.parse_dat(good)


def test_a_time_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="no time that exists: found 24-13-07_101112"):
        names.parse_dat("M_24-13-07_101112_0-0-0.dat")


def test_layers_of_two_scopes_are_in_order_of_time():
    early, late = names.parse_layer("Z-1_24-03-07_101112"), names.parse_layer("A-1_24-03-07_101113")
    assert early.order < late.order


def test_a_layer_is_read_from_its_id_or_from_a_dat_name():
    layer = names.parse_layer("M-1_24-03-07_101112")
    assert names.parse_layer("M-1_24-03-07_101112_0-0-3.dat") == layer


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused(text):
    message = ""
    try:
        names.parse_dat(text)
    except ValueError as error:
        message = str(error)
    assert message == "" or repr(text) in message
