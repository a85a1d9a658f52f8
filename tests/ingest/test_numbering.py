import pytest

from scripts.ingest import chunks
from scripts.ingest.numbering import number
from scripts.lib.job import UserError


def transferred(*seconds, tiles=2):
    """Rows of the transfer table for layers at seconds of one day (86400 and more: later days)."""
    return [
        {
            "layer_id": layer(s),
            "tiles": str(tiles),
            "align_h5": f"h5/{s}.h5" if tiles else "",
        }
        for s in seconds
    ]


def layer(s):
    day, rest = divmod(s, 86400)
    return f"M-1_24-03-{7 + day:02d}_{rest // 3600:02d}{rest // 60 % 60:02d}{rest % 60:02d}"


def known(rows):
    return [{name: str(value) for name, value in row.items()} for row in rows]


def test_z_counts_from_one_in_order_of_time_with_gaps_in_full_seconds():
    rows = number([], transferred(0, 40, 86500), {})
    assert [r["z"] for r in rows] == [1, 2, 3]
    assert [r["gap_before_s"] for r in rows] == [0, 40, 86460]
    assert [r["status"] for r in rows] == ["ok"] * 3


def test_holes_and_lost_layers_are_declared():
    table = transferred(0) + transferred(40, tiles=0) + transferred(80, tiles=1)
    rows = number([], table, {layer(80): ["0-0-1"], layer(40): ["0-0-0", "0-0-1"]})
    assert [(r["status"], r["missing"]) for r in rows] == [
        ("ok", ""), ("gap", "0-0-0,0-0-1"), ("partial", "0-0-1"),
    ]  # fmt: skip


def test_new_layers_go_to_the_end_and_known_ones_keep_their_z():
    first = number([], transferred(0, 40), {})
    rows = number(known(first), transferred(0, 40, 80, 120), {})
    assert rows[:2] == first
    assert [r["z"] for r in rows] == [1, 2, 3, 4]


def test_a_known_layer_that_lost_its_tiles_becomes_a_gap_and_a_late_tile_fills_it():
    first = number([], transferred(0, 40, 80), {})
    table = transferred(0) + transferred(40, tiles=0) + transferred(80)
    lost = number(known(first), table, {})
    assert [(r["z"], r["status"]) for r in lost] == [(1, "ok"), (2, "gap"), (3, "ok")]
    assert number(known(lost), transferred(0, 40, 80), {}) == first


def test_a_late_layer_in_between_stops_and_says_what_to_declare():
    first = number([], transferred(0, 80), {})
    words = rf"{layer(40)}\. z is frozen: add them to ingest.drop_layers"
    with pytest.raises(UserError, match=words):
        number(known(first), transferred(0, 40, 80), {})
    assert number(known(first), transferred(0, 40, 80), {}, [layer(40)]) == first


def test_a_dropped_layer_has_no_z_unless_it_had_one_already():
    assert len(number([], transferred(0, 40, 80), {}, [layer(40)])) == 2
    first = number([], transferred(0, 40, 80), {})
    rows = number(known(first), transferred(0, 40, 80), {}, [layer(40)])
    assert [(r["z"], r["status"]) for r in rows] == [(1, "ok"), (2, "gap"), (3, "ok")]


def test_a_layer_that_vanished_stops_and_is_named():
    first = number([], transferred(0, 40), {})
    with pytest.raises(UserError, match=f"not in transfer/layers.tsv any more: {layer(40)}"):
        number(known(first), transferred(0), {})


@pytest.mark.parametrize(("last", "sizes"), [(9, [3, 3, 3]), (10, [3, 3, 3, 1]), (2, [2])])
def test_every_chunk_but_the_last_is_full(last, sizes):
    rows = chunks.plan(1, last, 3)
    assert [r["z_last"] - r["z_first"] + 1 for r in rows] == sizes
    assert [r["chunk"] for r in rows] == [f"{i:04d}" for i in range(len(sizes))]
    assert all(b["z_first"] == a["z_last"] + 1 for a, b in zip(rows, rows[1:], strict=False))
