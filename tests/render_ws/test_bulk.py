"""The quick reader of plain tile specs agrees with the definition, or declines."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.render_ws import bulk, tiles
from scripts.render_ws.errors import BadRequest

PLAIN = {
    "tileId": "a",
    "layout": {"sectionId": "1.0", "imageRow": 0, "imageCol": 1, "stageX": 3, "distanceZ": 0.5},
    "z": 1.0,
    "minX": 0.0,
    "minY": 0,
    "maxX": 9.0,
    "maxY": 9.0,
    "width": 9,
    "height": 9.0,
    "mipmapLevels": {"0": {"imageUrl": "file:/a", "maskUrl": None}},
    "transforms": {
        "type": "list",
        "specList": [
            {"type": "ref", "refId": "s"},
            {"type": "leaf", "className": "c", "dataString": "1 2"},
        ],
    },
}
SHARED = {"s": {"id": "s", "type": "leaf", "className": "c", "dataString": "3"}}

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "1", "1.5", "x", "s"]),
    st.just([]),
    st.just(["a", "a"]),
    st.just(["a", "b"]),
    st.just({}),
)
NAMES = [*PLAIN, "groupId", "labels", "meshCellSize", "filterSpec", "channels", "unknown"]
INNER = [
    *[("layout", name) for name in [*PLAIN["layout"], "temca", "rotation", "unknown"]],
    *[("mipmapLevels", level) for level in ("0", "1", "00")],
    *[("mipmapLevels", "0", name) for name in ("imageUrl", "imageSliceNumber", "unknown")],
    *[("transforms", name) for name in ("type", "id", "specList", "metaData")],
    *[("transforms", "specList", 0, name) for name in ("type", "refId", "id", "metaData")],
    *[("transforms", "specList", 1, name) for name in ("type", "className", "labels", "id")],
]
PLACES = st.sampled_from([*[(name,) for name in NAMES], *INNER])


def body(spec):
    return orjson.dumps({"tileIdToSpecMap": {"a": spec}, "transformIdToSpecMap": SHARED})


def by_definition(data, z):
    return tiles.prepare(orjson.loads(data), derive=False, z=z)


def test_reads_a_plain_spec():
    data = body(PLAIN)
    assert bulk.prepare(data, None) == by_definition(data, None)


@settings(max_examples=300)
@given(st.lists(st.tuples(PLACES, VALUES), min_size=1, max_size=3), st.sampled_from([None, 1.0]))
def test_agrees_or_declines(changes, z):
    spec = orjson.loads(orjson.dumps(PLAIN))
    for (*path, name), value in changes:
        target = spec
        for key in path:
            try:
                target = target[key]
            except (KeyError, IndexError, TypeError):
                target = None
        if isinstance(target, dict):
            target[name] = value
    data = body(spec)
    quick = bulk.prepare(data, z)
    if quick is not None:
        (mine, my_shared), (theirs, shared) = quick, by_definition(data, z)
        assert my_shared == shared
        assert [row[:-1] for row in mine] == [row[:-1] for row in theirs]
        # the same values of the same types under the same names in the same order
        assert [repr(orjson.loads(row[-1])) for row in mine] == [
            repr(orjson.loads(row[-1])) for row in theirs
        ]


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{", b'{"tileIdToSpecMap": {}}', body(PLAIN | {"z": 2.0})],
    ids=["empty", "list", "broken", "no tile", "other layer"],
)
def test_declines_what_is_to_be_refused(data):
    assert bulk.prepare(data, 1.0) is None


def test_an_unknown_reference_is_refused_in_words():
    data = orjson.dumps({"tileIdToSpecMap": {"a": PLAIN}})
    assert bulk.prepare(data, None) is None
    with pytest.raises(BadRequest, match="requires the following transform ids"):
        by_definition(data, None)
