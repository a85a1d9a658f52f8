import re

import pytest
import yaml

from scripts.ingest import chunks, numbering
from scripts.ingest.declarations import parse
from scripts.lib.job import UserError

CELLS = [(0, 0), (0, 1)]


def layer(s):
    day, rest = divmod(s, 86400)
    return f"M-1_24-03-{7 + day:02d}_{rest // 3600:02d}{rest // 60 % 60:02d}{rest % 60:02d}"


def transferred(*seconds, tiles=2):
    """Rows of the transfer table for layers at seconds of one day (86400 and more: later days)."""
    return [
        {"layer_id": layer(s), "tiles": str(tiles), "bad": "0",
         "align_h5": f"h5/{s}.h5" if tiles else ""}
        for s in seconds
    ]  # fmt: skip


def number(known, rows, entries=(), keys=None, **more):
    keys = {row["layer_id"]: "0-0-0,0-0-1" for row in rows} | (keys or {})
    entries = [{"reason": "r"} | entry for entry in entries]
    return numbering.number(known, rows, keys, cells=CELLS, declared=parse(entries), **more)


def known(rows):
    """What a later run reads of a table."""
    return [{name: str(value) for name, value in row.items()} for row in rows]


def z_of(rows):
    return {row["layer_id"]: row["z"] for row in rows if row["layer_id"]}


def refused(words, *arguments, **more):
    with pytest.raises(UserError, match=words) as caught:
        number(*arguments, **more)
    return str(caught.value)


def offered(message, verb):
    """The entries that a message proposes, as YAML reads them."""
    return yaml.safe_load("\n".join(re.findall(rf"^ *- \{{{verb}.*$", message, re.MULTILINE)))


def test_z_counts_from_one_in_order_of_time_with_gaps_in_full_seconds():
    rows = number([], transferred(0, 40, 86500))
    assert [r["z"] for r in rows] == [1, 2, 3]
    assert [r["gap_before_s"] for r in rows] == [0, 40, 86460]
    assert [r["status"] for r in rows] == ["ok"] * 3


def test_holes_and_lost_layers_are_in_the_table():
    table = transferred(0) + transferred(40, tiles=0) + transferred(80, tiles=1)
    rows = number([], table, keys={layer(80): "0-0-0", layer(40): ""})
    assert [(r["status"], r["missing"]) for r in rows] == [
        ("ok", ""), ("gap", "0-0-0,0-0-1"), ("partial", "0-0-1"),
    ]  # fmt: skip


def test_new_layers_go_to_the_end_and_known_ones_keep_their_z():
    first = number([], transferred(0, 40))
    rows = number(known(first), transferred(0, 40, 80, 120))
    assert rows[:2] == first
    assert [r["z"] for r in rows] == [1, 2, 3, 4]


def test_a_known_layer_that_lost_its_tiles_becomes_a_gap_and_a_late_tile_fills_it():
    first = number([], transferred(0, 40, 80))
    lost = number(known(first), transferred(0) + transferred(40, tiles=0) + transferred(80))
    assert [(r["z"], r["status"]) for r in lost] == [(1, "ok"), (2, "gap"), (3, "ok")]
    assert number(known(lost), transferred(0, 40, 80)) == first


def test_a_layer_that_vanished_stops_with_the_lines_that_make_it_a_gap():
    first = number([], transferred(0, 40))
    message = refused("not in transfer/layers.tsv any more", known(first), transferred(0))
    rows = number(known(first), transferred(0), offered(message, "drop"))
    assert [(r["z"], r["layer_id"], r["status"]) for r in rows] == [
        (1, layer(0), "ok"), (2, layer(40), "gap"),
    ]  # fmt: skip


# -- layers that arrive late -----------------------------------------------------------------


def test_a_late_layer_stops_and_each_offered_entry_does_what_it_says():
    first = number([], transferred(0, 80, 120))
    late = transferred(0, 40, 80, 120)
    message = refused(f"1 layer.s. arrived late: .* before {layer(120)}", known(first), late)
    assert "2 later layers get a higher z" in message
    moved = number(known(first), late, offered(message, "insert"))
    assert z_of(moved) == {layer(0): 1, layer(40): 2, layer(80): 3, layer(120): 4}
    without = number(known(first), late, offered(message, "drop"))
    assert without == first


def test_the_decision_to_renumber_holds_for_its_layer_alone():
    first = number([], transferred(0, 80))
    entry = [{"insert": layer(40), "renumber": True}]
    rows = number(known(first), transferred(0, 40, 80), entry)
    assert number(known(rows), transferred(0, 40, 80), entry) == rows
    refused(f"insert: {layer(20)}", known(rows), transferred(0, 20, 40, 80), entry)


def test_late_layers_fill_the_z_that_a_gap_reserved_and_no_z_moves():
    gap = {"gap": 3, "after": layer(0)}
    first = number([], transferred(0, 200), [gap])
    assert z_of(first) == {layer(0): 1, layer(200): 5}
    assert [r["status"] for r in first] == ["ok", "gap", "gap", "gap", "ok"]
    late = transferred(0, 40, 90, 200)
    message = refused("2 layer.s. arrived late", known(first), late)
    assert "renumber" not in message
    entries = [gap, *offered(message, "insert")]
    assert [entry.get("slot") for entry in entries] == [None, 1, 2]
    rows = number(known(first), late, entries)
    assert z_of(rows) == {layer(0): 1, layer(40): 2, layer(90): 3, layer(200): 5}
    assert number(known(rows), late, entries) == rows
    # one more falls behind those that were filled in; the offer counts from the gap's beginning
    more = transferred(0, 40, 90, 150, 200)
    (offer,) = offered(refused("arrived late", known(rows), more, entries), "insert")
    assert offer["slot"] == 3
    assert z_of(number(known(rows), more, [*entries, offer]))[layer(150)] == 4


def test_the_table_does_not_depend_on_when_things_were_declared():
    entries = [
        {"gap": 2, "after": layer(0)}, {"insert": layer(40), "slot": 2},
        {"drop": layer(240)}, {"drop": layer(280), "keep_z": False},
    ]  # fmt: skip
    seconds = (0, 40, 200, 240, 280, 320)
    early = number([], transferred(0, 200, 240, 280), [entries[0], entries[3]])
    step = number(known(early), transferred(*seconds), entries)
    assert step == number([], transferred(*seconds), entries)
    assert z_of(step) == {layer(0): 1, layer(40): 3, layer(200): 4, layer(240): 5, layer(320): 6}


@pytest.mark.parametrize(
    "entries",
    [
        [{"insert": layer(40), "slot": 1}],
        [{"gap": 1, "after": layer(0)}, {"insert": layer(40), "slot": 2}],
        [{"gap": 2, "after": layer(0)}, {"insert": layer(40), "slot": 2},
         {"insert": layer(50), "slot": 1}],
        [{"gap": 2, "after": layer(0)}, {"insert": layer(40), "slot": 1},
         {"insert": layer(50), "slot": 1}],
    ],
)  # fmt: skip
def test_a_slot_that_is_not_reserved_taken_or_out_of_order_is_refused(entries):
    refused("asks for slot", [], transferred(0, 40, 50, 80), entries)


# -- gaps and dropped layers -------------------------------------------------------------------


def test_a_gap_declared_at_the_end_moves_nothing_and_in_the_middle_needs_a_word():
    first = number([], transferred(0, 40))
    at_end = [{"gap": 2, "after": layer(40)}]
    rows = number(known(first), transferred(0, 40, 80), at_end)
    assert z_of(rows) == {layer(0): 1, layer(40): 2, layer(80): 5}
    late = [{"gap": 2, "after": layer(0)}]
    message = refused(r"reserves 0 z .* declares 2", known(first), transferred(0, 40), late)
    assert "gap: 2" in message
    assert "renumber: true" in message
    declared = [late[0] | {"renumber": True}]
    moved = number(known(first), transferred(0, 40), declared)
    assert z_of(moved) == {layer(0): 1, layer(40): 4}
    assert number(known(moved), transferred(0, 40), declared) == moved
    refused("put back {gap: 2, after", known(moved), transferred(0, 40))


def test_the_pause_after_a_gap_counts_from_the_layer_before_it():
    rows = number([], transferred(0, 100), [{"gap": 1, "after": layer(0)}])
    assert [r["gap_before_s"] for r in rows] == [0, "", 100]


def test_a_dropped_layer_stays_as_a_gap_whenever_it_is_dropped():
    drop = [{"drop": layer(40), "reason": "knife mark"}]
    first = number([], transferred(0, 40, 80), drop)
    assert [(r["z"], r["status"], r["tiles"]) for r in first] == [
        (1, "ok", 2), (2, "gap", 0), (3, "ok", 2),
    ]  # fmt: skip
    assert first[1]["declared"] == "dropped: knife mark"
    assert number(known(number([], transferred(0, 40, 80))), transferred(0, 40, 80), drop) == first


def test_a_layer_without_a_z_never_had_one_or_renumbers():
    drop = {"drop": layer(40), "keep_z": False}
    assert z_of(number([], transferred(0, 40, 80), [drop])) == {layer(0): 1, layer(80): 2}
    first = known(number([], transferred(0, 40, 80)))
    message = refused("have a z already", first, transferred(0, 40, 80), [drop])
    rows = number(first, transferred(0, 40, 80), offered(message, "drop"))
    assert z_of(rows) == {layer(0): 1, layer(80): 2}


def test_an_inserted_layer_can_be_dropped_again():
    entries = [{"gap": 1, "after": layer(0)}, {"insert": layer(40), "slot": 1}]
    first = number([], transferred(0, 40, 80), entries)
    rows = number(known(first), transferred(0, 40, 80), [*entries, {"drop": layer(40)}])
    assert [(r["z"], r["status"]) for r in rows] == [(1, "ok"), (2, "gap"), (3, "ok")]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"drop": layer(0), "gap": 1}, "expected one of drop, gap, insert"),
        ({"after": layer(0)}, "expected one of drop, gap, insert"),
        ({"gap": 1}, "gap needs after"),
        ({"insert": layer(0)}, "needs either slot"),
        ({"insert": layer(0), "slot": 1, "renumber": True}, "needs either slot"),
        ({"drop": layer(0), "slot": 1}, "drop takes keep_z, reason, renumber; found slot"),
        ({"drop": "layer 7"}, "is no layer id"),
        ({"drop": layer(0), "reason": ""}, "needs a reason"),
    ],
)
def test_an_entry_that_is_not_clear_is_named(entry, words):
    with pytest.raises(UserError, match=rf"ingest.layers\[0\]: .*{words}"):
        parse([{"reason": "r"} | entry])


def test_a_layer_id_that_does_not_exist_is_named():
    for entry in (
        {"drop": layer(7)},
        {"gap": 1, "after": layer(7)},
        {"insert": layer(7), "slot": 1},
    ):
        refused(f"names {layer(7)}, which are in neither", [], transferred(0, 40), [entry])


# -- limits --------------------------------------------------------------------------------------


def test_first_and_last_dat_are_respected_with_their_whole_layers():
    rows = transferred(0, 40, 80, 120)
    limits = {"first_dat": f"{layer(40)}_0-0-1.dat", "last_dat": f"{layer(80)}_0-0-0.dat"}
    kept = numbering.within(rows, **limits)
    assert [r["layer_id"] for r in kept] == [layer(40), layer(80)]
    assert numbering.within(rows, scope="M-2") == []
    with pytest.raises(UserError, match="acquisition.last_dat"):
        numbering.within(rows, last_dat="tomorrow")


def test_a_volume_that_ends_earlier_gives_up_its_last_z_and_gets_them_back():
    first = number([], transferred(0, 40, 80))
    short = number(known(first), transferred(0, 40), last_dat=layer(40))
    assert short == first[:2]
    assert number(known(short), transferred(0, 40, 80)) == first


@pytest.mark.parametrize(("last", "sizes"), [(9, [3, 3, 3]), (10, [3, 3, 3, 1]), (2, [2])])
def test_every_chunk_but_the_last_is_full(last, sizes):
    rows = chunks.plan(1, last, 3)
    assert [r["z_last"] - r["z_first"] + 1 for r in rows] == sizes
    assert [r["chunk"] for r in rows] == [f"{i:04d}" for i in range(len(sizes))]
    assert all(b["z_first"] == a["z_last"] + 1 for a, b in zip(rows, rows[1:], strict=False))


def moved(s, after, **more):
    return {"move": layer(s), "after": layer(after)} | more


def test_layers_of_a_clock_that_was_set_back_take_their_places():
    """Two runs of three layers whose names interleave: the second is moved behind the first."""
    rows = transferred(0, 10, 40, 50, 80, 90)
    entries = [moved(10, 80), moved(50, 10), moved(90, 50)]
    found = number([], rows, entries)
    assert [row["layer_id"] for row in found] == [layer(s) for s in (0, 40, 80, 10, 50, 90)]
    assert found[3]["declared"] == "moved: r"
    # the same when all of them follow one layer, in the order of the entries
    others = [moved(10, 80), moved(50, 80), moved(90, 80)]
    assert z_of(number([], rows, others)) == z_of(found)
    # frozen as it is: nothing changes, and later layers go to the end
    more = number(known(found), [*rows, *transferred(120)], entries)
    assert z_of(more) == z_of(found) | {layer(120): 7}


def test_numbered_layers_move_by_renumber_alone():
    rows = transferred(0, 10, 40)
    first = number([], rows)
    refused("would get another z", known(first), rows, [moved(10, 40)])
    found = number(known(first), rows, [moved(10, 40, renumber=True)])
    assert z_of(found) == {layer(0): 1, layer(40): 2, layer(10): 3}
    again = number(known(found), rows, [moved(10, 40, renumber=True)])
    assert z_of(again) == z_of(found)
    refused("would get another z", known(found), rows)


def test_moves_that_lead_nowhere_are_refused():
    rows = transferred(0, 10, 40)
    refused("after itself", [], rows, [moved(0, 10), moved(10, 0)])
    refused("after a layer that has no z", [], rows, [
        moved(0, 10), {"drop": layer(10), "keep_z": False}
    ])  # fmt: skip
    refused("move needs after", [], rows, [{"move": layer(0)}])
    refused(layer(70), [], rows, [moved(0, 70)])
