"""Normal forms, flattening and point packing without a database."""

from __future__ import annotations

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.render_ws import matches, model, resolve
from scripts.render_ws.errors import BadRequest, ServiceError


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("2024-03-05T06:07:08.00Z", "2024-03-05T06:07:08.000Z"),
        ("2024-03-05T06:07:08.123Z", "2024-03-05T06:07:08.123Z"),
        ("2024-03-05T06:07:08.5Z", "2024-03-05T06:07:08.005Z"),  # digits count milliseconds
        ("2024-3-5T6:7:8.0Z", "2024-03-05T06:07:08.000Z"),
        ("2023-14-32T00:00:61.000Z", "2024-03-03T00:01:01.000Z"),  # lenient: parts roll over
        (1000, "1970-01-01T00:00:01.000Z"),
    ],
)
def test_dates_are_read_leniently(sent, read):
    assert model.timestamp(sent) == read


@pytest.mark.parametrize("sent", ["yesterday", "2024-03-05", 1.5, True, "0000-01-01T0:0:0.0Z"])
def test_what_is_no_date_is_refused(sent):
    with pytest.raises(BadRequest):
        model.timestamp(sent)


def test_numbers_and_texts_are_converted_as_jackson_does():
    layout = {"sectionId": 7.5, "imageRow": "3", "imageCol": 2.9, "stageX": "1e3", "camera": True}
    found = model.tile_spec({"tileId": 12, "layout": layout, "z": "4"})
    assert found["tileId"] == "12"
    assert found["z"] == 4.0
    assert found["layout"] == {
        "sectionId": "7.5",
        "camera": "true",
        "imageRow": 3,
        "imageCol": 2,
        "stageX": 1000.0,
    }


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"tileId": "a", "z": "low"}, "tile 'a': z: expected a number"),
        ({"tileId": "a", "z": "NaN"}, "tile 'a': z: expected a number"),
        ({"tileId": "a", "layout": []}, "expected an object"),
        ({"tileId": "a", "mipmapLevels": {"top": {}}}, "whole numbers"),
        ({"tileId": "a", "transforms": {"type": "magic"}}, "'magic' is not known"),
        ({"z": 1}, "no tileId"),
    ],
)
def test_faulty_tile_is_refused_with_its_name_and_field(spec, words):
    with pytest.raises(BadRequest, match=words):
        model.tile_spec(spec)


def test_mipmap_levels_are_sorted_as_numbers():
    levels = {str(n): {"imageUrl": "x"} for n in (10, 9, 0)}
    found = model.tile_spec({"tileId": "a", "mipmapLevels": levels})["mipmapLevels"]
    assert list(found) == ["0", "9", "10"]


def test_normal_form_is_its_own_normal_form():
    spec = {
        "tileId": "a",
        "z": 1,
        "minX": 3,
        "channels": [{"name": "c"}],
        "transforms": {
            "specList": [
                {"className": "c", "dataString": "1"},
                {"type": "interpolated", "a": {"refId": "r", "type": "ref"}, "b": {}, "lambda": 1},
            ],
            "type": "list",
        },
    }
    once = model.tile_spec(spec)
    assert model.tile_spec(once) == once


def _leaf(data: str, **more: object) -> dict[str, object]:
    return {"type": "leaf", "className": model.__name__, "dataString": data, **more}


def test_circular_references_are_refused():
    shared = {"a": {"type": "ref", "refId": "b"}, "b": {"type": "ref", "refId": "a"}}
    with pytest.raises(ServiceError, match="cannot be resolved"):
        resolve.flatten(shared["a"], shared)


def test_labels_of_a_list_are_joined_with_those_of_its_parts():
    spec = {
        "type": "list",
        "metaData": {"labels": ["outer"]},
        "specList": [_leaf("1", id="i", metaData={"labels": ["inner"]}), _leaf("2")],
    }
    labels = [leaf["metaData"]["labels"] for leaf in resolve.flatten(spec, {})]
    assert labels == [["inner", "outer"], ["outer"]]


def test_interpolated_transform_lies_between_its_two():
    shift = "mpicbg.trakem2.transform.TranslationModel2D"
    parts = {n: {"type": "leaf", "className": shift, "dataString": d} for n, d in AB.items()}
    spec = {"type": "interpolated", **parts, "lambda": 0.25}
    assert resolve.chain([spec]).apply(np.zeros((1, 2))).tolist() == [[2.5, 5.0]]


AB = {"a": "0 0", "b": "10 20"}


@pytest.mark.parametrize(("count", "left"), [(0, 0), (1, 0), (2, 1), (3, 2), (5, 2)])
def test_matching_frame_has_at_most_two_transforms_and_not_the_last(count, left):
    leaves = [_leaf(str(i)) for i in range(count)]
    assert resolve.matching_leaves(leaves) == leaves[:left]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=40))
def test_packed_points_come_back_bit_by_bit(values):
    points = np.array([values] * 5)
    found = matches.unpack(matches.pack(points), len(values))
    assert found.tobytes() == points.tobytes()


def test_pairs_are_ordered_by_utf_16_units():
    # U+1F600 is a surrogate pair (D83D ...) and sorts before U+FFFD in UTF-16, after it otherwise
    assert matches.ordered(("g", "\ufffd", "g", "\U0001f600")) == (
        ("g", "\U0001f600", "g", "\ufffd"),
        True,
    )
    assert matches.ordered(("10.0", "x", "9.0", "a"))[1] is False


IDS = {"pGroupId": "1", "pId": "a", "qGroupId": "1", "qId": "b"}


@pytest.mark.parametrize(
    "points",
    [
        {"p": [[1]], "q": [[1, 2], [3, 4]], "w": [1, 1]},
        {"p": [[1, 2], [3]], "q": [[1, 2], [3, 4]], "w": [1, 1]},
        {"w": [1]},
        {"p": [[1, 2], [3, 4]], "q": [[1, 2], [3, 4], [5, 6]], "w": [1, 1]},
        {"p": [[1, 2], [3, 4], [5, 6]], "q": [[1, 2, 3], [4, 5, 6]], "w": [1, 1, 1]},
        {"p": [[1, 2]] * 4, "q": [[1, 2]] * 4, "w": [1, 1, 1]},
        {"p": [[1, 2, 3]], "q": [[1, 2, 3]], "w": [1, 1, 1]},
        {"p": [1, 2], "q": [1, 2], "w": []},
    ],
)
def test_points_of_unequal_forms_are_refused(points):
    with pytest.raises(BadRequest, match=r"a and b|no list of canvas matches"):
        matches.prepare(orjson.dumps([IDS | {"matches": points}]))


@pytest.mark.parametrize("wrong", ["null", '"1"', "true", "1e400", "[1]", "1" + "0" * 400])
@pytest.mark.parametrize("place", ["p", "q", "w"])
def test_what_is_no_number_is_refused_by_its_place(place, wrong):
    points = {"p": "[[1],[1]]", "q": "[[1],[1]]", "w": "[1]"}
    points[place] = points[place].replace("1", wrong, 1)
    sent = ",".join(f'"{name}":{text}' for name, text in points.items())
    data = orjson.dumps([IDS])[:-2] + f',"matches":{{{sent}}}}}]'.encode()
    with pytest.raises(BadRequest, match=rf"\$\[0\]\.matches\.{place}|list of canvas"):
        matches.prepare(data)


@pytest.mark.parametrize(
    "data", [b"{", b"{}", b"[1]", b"\xff", b"[" * 100_000, b'[{"matches":' * 9999, b'[{"pId":[]}]']
)
def test_what_is_no_list_of_matches_is_refused(data):
    with pytest.raises(BadRequest):
        matches.prepare(data)
