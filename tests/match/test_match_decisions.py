"""What people decide about pairs: drop, copy, move, and matches made by hand."""

import csv
import io
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from scripts.lib import files, geometry, landmarks
from scripts.lib.job import UserError
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import CollectionReceipt
from scripts.lib.service.records import CanvasMatches, TileSet
from scripts.match import by_hand, close_matches, decisions, read_decisions, set_aside
from scripts.match.decisions import ByHand, Tiles
from scripts.match.tables import PAIR_COLUMNS, RESULT_COLUMNS
from tests.solve import synthetic

RENDER = {"owner": "o", "project": "p"}
COLLECTION = "p_v1"
GRID = synthetic.grid(range(1, 7), 1, 2)
AT = {(int(t.z), t.column): t.tile_id for t in GRID.tiles}
POINTS = np.array([[10.0, 20], [200, 30], [90, 210]])


def matches(one, other, shift=0.0, points=POINTS):
    known = {t.tile_id: t for t in GRID.tiles}
    p, q = known[AT[one]], known[AT[other]]
    ids = (p.section_id, p.tile_id, q.section_id, q.tile_id)
    return CanvasMatches(*ids, points, points + shift, np.ones(len(points))).ordered()


def all_matches():
    """Montage pairs of every layer but 4 and 5, cross pairs of neighboring layers."""
    pairs = [matches((z, 0), (z, 1), z) for z in (1, 2, 3, 6)]
    return pairs + [matches((z, c), (z + 1, c), z) for z in range(1, 6) for c in (0, 1)]


class Paper:
    """Pairs of a collection that is only thought of."""

    def __init__(self):
        self.held = {one.key: one for one in all_matches()}

    def keys(self):
        return iter(self.held)

    def count(self, key):
        return len(self.held[key].w) if key in self.held else 0

    def record(self, key):
        return self.held[key]


def carried(*entries, hand=()):
    said = [{"reason": "say why", **entry} for entry in entries]
    return decisions.carry_out(Paper(), Tiles(GRID.tiles), said, hand)


def keys(*ends):
    return {matches(*each).key for each in ends}


def test_pairs_of_a_region_are_dropped_and_no_others():
    both = carried({"action": "drop", "kind": "cross", "z_first": 2, "z_last": 3})
    assert set(both.gone) == keys(((2, 0), (3, 0)), ((2, 1), (3, 1)))
    one = carried({"action": "drop", "ends": "one", "tiles": [AT[3, 0]]})
    assert set(one.gone) == keys(((2, 0), (3, 0)), ((3, 0), (4, 0)), ((3, 0), (3, 1)))
    seam = carried({"action": "drop", "kind": "montage", "cells": ["0,0", "0,1"], "z_last": 2})
    assert set(seam.gone) == keys(((1, 0), (1, 1)), ((2, 0), (2, 1)))
    assert {row["became"] for row in seam.rows} == {"set aside"}
    assert {row["reason"] for row in seam.rows} == {"say why"}


def test_a_pair_is_copied_to_layers_without_one_at_a_low_weight():
    made = carried(
        {"action": "copy", "kind": "montage", "z_first": 3, "z_last": 3, "to_z_first": 2,
         "to_z_last": 5},
    )  # fmt: skip
    assert set(made.added) == keys(((4, 0), (4, 1)), ((5, 0), (5, 1)))
    assert made.gone == {}
    copy = made.added[matches((4, 0), (4, 1)).key]
    assert np.array_equal(copy.q - copy.p, np.full((3, 2), 3.0))
    assert copy.w.tolist() == [0.1] * 3
    became = {row["p_group"]: row["became"] for row in made.rows}
    assert became == {"2.0": "has matches of its own", "4.0": "added", "5.0": "added"}


def test_entries_act_in_order_and_a_dropped_pair_takes_a_copy():
    made = carried(
        {"action": "drop", "kind": "montage", "z_first": 2, "z_last": 2},
        {"action": "copy", "kind": "montage", "z_first": 3, "z_last": 3, "by_layers": -1,
         "weight": 1},
    )  # fmt: skip
    key = matches((2, 0), (2, 1)).key
    assert set(made.gone) == set(made.added) == {key}
    assert made.added[key].w.tolist() == [1.0] * 3


def test_a_moved_pair_leaves_where_it_was_with_its_weight():
    made = carried({"action": "move", "kind": "montage", "z_first": 3, "z_last": 3, "by_layers": 1})
    assert set(made.gone) == keys(((3, 0), (3, 1)))
    (copy,) = made.added.values()
    assert (copy.key, copy.w.tolist()) == (matches((4, 0), (4, 1)).key, [1.0] * 3)


def test_p_and_q_are_put_in_text_order_where_a_copy_turns_them():
    """Section ids are text: 10.0 comes before 9.0."""
    tiles = synthetic.grid(range(1, 11), 1, 1)
    p, q = (next(t for t in tiles.tiles if t.z == z) for z in (8, 9))
    one = CanvasMatches(p.section_id, p.tile_id, q.section_id, q.tile_id, POINTS, POINTS + 7,
                        np.ones(3))  # fmt: skip
    paper = Paper()
    paper.held = {one.key: one}
    entry = {"action": "copy", "z_first": 8, "z_last": 9, "by_layers": 1, "reason": "r"}
    (copy,) = decisions.carry_out(paper, Tiles(tiles.tiles), [entry]).added.values()
    assert (copy.p_group, copy.q_group) == ("10.0", "9.0")
    assert np.array_equal(copy.q - copy.p, np.full((3, 2), -7.0))


def test_copies_behind_the_last_layer_and_empty_regions_are_told():
    made = carried(
        {"action": "copy", "kind": "montage", "z_first": 6, "by_layers": 1},
        {"action": "drop", "kind": "montage", "z_first": 4, "z_last": 5},
    )
    assert [row["became"] for row in made.rows] == ["no tile there", "no such pair"]
    assert "z 7" in made.rows[0]["source"]
    assert (made.gone, made.added) == ({}, {})


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"action": "drop"}, r"match.decisions\[0\]: expected tiles, cells, z_first or z_last"),
        ({"action": "drop", "tiles": ["x"]}, "there is no tile x in the stack"),
        ({"action": "drop", "cells": ["7,7"]}, "no tile lies in cell 7,7; cells are 0,0, 0,1"),
        ({"action": "copy", "z_first": 1}, "expected by_layers, or to_z_first and to_z_last"),
        ({"action": "copy", "z_first": 1, "to_z_first": 2}, "with copy, found to_z_first"),
        ({"action": "drop", "z_first": 1, "by_layers": 2}, "no layers with drop, found by_layers"),
    ],
)
def test_an_entry_that_cannot_act_is_named(entry, words):
    with pytest.raises(UserError, match=words):
        carried(entry)


def test_matches_made_by_hand_stand_in_place_of_what_the_pair_has():
    hand = matches((2, 0), (3, 0), 99)
    made = carried(hand=[ByHand(hand, "a.csv", "wrong by a period")])
    assert set(made.gone) == set(made.added) == {hand.key}
    assert [row["became"] for row in made.rows] == ["set aside, replaced by hand", "added"]
    assert made.rows[1]["source"] == "a.csv"


# ---------------------------------------------------------------------------------------------
# landmarks
# ---------------------------------------------------------------------------------------------

AS_SAVED = """\
"Pt-0","true","1.5","2.0","11.5","22.0"
"Pt-1","false","5.0","5.0","5.0","5.0"
"Pt-2","false","3.0","4.0","Infinity","Infinity"
"Pt-3","true","30.25","4.0","40.25","24.0"
"Pt-4","true","7.0","80.0","17.0","100.0"
"""


def test_active_landmarks_with_both_places_are_read():
    moving, fixed = landmarks.read(AS_SAVED, "a.csv")
    assert moving.tolist() == [[1.5, 2], [30.25, 4], [7, 80]]
    assert (fixed - moving).tolist() == [[10, 20]] * 3
    again = landmarks.read(landmarks.text(moving, fixed), "b.csv")
    assert np.array_equal(again, (moving, fixed))
    first = next(csv.reader(io.StringIO(landmarks.text(moving, fixed))))
    assert first == ["Pt-0", "true", "1.5", "2.0", "11.5", "22.0"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a.csv: expected 3 landmarks or more .* found 0"),
        (AS_SAVED.replace('"Pt-4","true"', '"Pt-4","false"'), "found 2"),
        ("a,true,1,2,3,4,5,6\n", "a.csv, line 1: expected 6 cells .* found 8"),
        ('a,true,1,2,"3,5",4\n', "line 1: expected true or false and four numbers"),
        ("name,active,x,y,x,y\n", "line 1: expected true or false and four numbers"),
    ],
)
def test_a_file_that_holds_no_landmarks_is_named(text, words):
    with pytest.raises(UserError, match=words):
        landmarks.read(text, "a.csv")


def test_landmarks_to_start_from_are_spread_over_the_picture():
    xy = np.concatenate([np.random.default_rng(0).uniform(0, 1, (500, 2)), [[99, 0], [0, 99]]])
    chosen = landmarks.spread(xy, 4)
    assert {500, 501} <= set(chosen)
    assert len(chosen) == 4
    assert landmarks.spread(xy[:3], 4) == [0, 1, 2]


# ---------------------------------------------------------------------------------------------
# in the service
# ---------------------------------------------------------------------------------------------


@pytest.fixture
def volume(tmp_path, monkeypatch):
    """A working directory with the stack, its matches, and the tables of one chunk."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RENDER_WS_URL", f"sqlite:///{tmp_path}/r.db")
    client = RenderClient(**RENDER)
    client.publish_stack("v1_acquire", GRID, resolution_nm=(8, 8, 8)).write("acquire.json")
    client.put_matches(COLLECTION, all_matches())
    names = ("p_group", "p_id", "q_group", "q_id")
    rows = [dict(zip(names, one.key, strict=True)) for one in all_matches()]
    empty = dict.fromkeys({*PAIR_COLUMNS, *RESULT_COLUMNS}, "")
    whole = [{**empty, **row, "run": "cross", "saved": "1", "count": "3"} for row in rows]
    files.write_table("pairs.tsv.gz", PAIR_COLUMNS, whole)
    files.write_table("results.tsv.gz", RESULT_COLUMNS, whole)
    yield client
    client.close()


def close(*entries, hand=()):
    decided = bool(entries or hand)
    if decided:
        read_decisions.main(
            acquire="acquire.json",
            out="decided.json",
            render=RENDER,
            decisions=entries,
            by_hand=hand,
            dz_exponent=4,
        )
    close_matches.main(
        pairs=["pairs.tsv.gz"],
        results=["results.tsv.gz"],
        acquire="acquire.json" if decided else None,
        plan="decided.json" if decided else None,
        out={"receipt": "p_v1.json", "summary": "summary.tsv"},
        render=RENDER,
        collection=COLLECTION,
        preset="auto",
        z_distance=2,
    )
    return CollectionReceipt.read("p_v1.json")


def held(client, name=COLLECTION):
    found = [one for group in client.p_groups(name) for one in client.matches(name, group)]
    return {one.key: (one.q - one.p).tolist() for one in found}


DROP = {"action": "drop", "kind": "cross", "z_first": 2, "z_last": 3, "reason": "wrong by a period"}
COPY = {"action": "copy", "kind": "montage", "z_first": 3, "z_last": 3, "by_layers": 1,
        "reason": "no overlap with structure"}  # fmt: skip


def test_decisions_are_the_same_however_often_they_run_and_can_be_taken_back(volume):
    plain = close()
    before = held(volume)
    receipt = close(DROP, COPY)
    after, aside = held(volume), held(volume, set_aside.name(COLLECTION))
    assert set(before) - set(after) == set(aside) == keys(((2, 0), (3, 0)), ((2, 1), (3, 1)))
    assert set(after) - set(before) == keys(((4, 0), (4, 1)))
    assert (receipt.pairs_planned, receipt.pairs_saved, receipt.pairs_failed) == (14, 13, 0)
    assert receipt.params["decisions"] == [DROP, COPY]
    assert [row["action"] for row in files.read_table("decisions.tsv")] == ["drop"] * 2 + ["copy"]
    files_once = [Path(name).read_bytes() for name in ("p_v1.json", "decisions.tsv")]
    close(DROP, COPY)
    assert (held(volume), held(volume, set_aside.name(COLLECTION))) == (after, aside)
    assert [Path(name).read_bytes() for name in ("p_v1.json", "decisions.tsv")] == files_once
    assert close() == plain
    assert (held(volume), held(volume, set_aside.name(COLLECTION))) == (before, {})
    assert files.read_table("decisions.tsv") == []


def test_a_closing_that_was_killed_loses_no_pair(volume, monkeypatch):
    close()
    before = held(volume)
    real = RenderClient.delete_pair
    for calls in range(1, 4):
        left = iter(range(calls))

        def killed(self, collection, key, left=left):
            if next(left, None) is None:
                raise KeyboardInterrupt
            real(self, collection, key)

        monkeypatch.setattr(RenderClient, "delete_pair", killed)
        with pytest.raises(KeyboardInterrupt):
            [close(*entries) for entries in ((DROP, COPY), ())]
        monkeypatch.setattr(RenderClient, "delete_pair", real)
        assert set(before) <= set(held(volume)) | set(held(volume, set_aside.name(COLLECTION)))
        close()
        assert held(volume) == before


def test_what_is_matched_anew_is_not_overwritten_by_what_was_set_aside(volume):
    close(DROP)
    keep, new = matches((2, 0), (3, 0)), matches((2, 1), (3, 1), 55)
    set_aside.forget(volume, COLLECTION, [new.key])
    volume.put_matches(COLLECTION, [new])
    close()
    assert held(volume)[new.key] == [[55, 55]] * 3
    assert held(volume)[keep.key] == [[2, 2]] * 3


@pytest.fixture
def pictured(tmp_path, monkeypatch, specimen):
    """Two tiles of one specimen with their images; 2 degrees and 30 px between them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RENDER_WS_URL", f"sqlite:///{tmp_path}/r.db")
    ids = [specimen.cut(1, 0, 0), specimen.cut(2, 0, 0, error=(30, 5), angle=np.radians(2))]
    specs = []
    with h5py.File("tiles.h5", "w") as file:
        for spec in specimen.specs:
            file[f"{spec.tile_id}/mipmap.0"] = specimen.images[spec.tile_id][None]
            url = f"file://{tmp_path}/tiles.h5?dataSet=/{spec.tile_id}/mipmap.0&z=0"
            specs.append(type(spec)(**{**vars(spec), "image_url": url}))
    client = RenderClient(**RENDER)
    tiles = TileSet(tuple(specs)).with_bounds()
    client.publish_stack("v1_acquire", tiles, resolution_nm=(8, 8, 8)).write("acquire.json")
    files.write_table("pairs.tsv.gz", PAIR_COLUMNS, [])
    files.write_table("results.tsv.gz", RESULT_COLUMNS, [])
    yield client, ids, specimen.map(*ids)
    client.close()


def pictures(folder):
    return [cv2.imread(str(next(folder.glob(f"{role}_*.png"))), 0) for role in ("moving", "fixed")]


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_landmarks_of_a_known_affine_become_that_affine(pictured, tmp_path, scale):
    client, ids, affine = pictured
    said = by_hand.write(client, COLLECTION, ids, tmp_path / "hand", scale=scale)
    assert "the pair has no match to start from" in said
    moving, fixed = pictures(tmp_path / "hand")
    assert moving.shape == (160 * scale, 200 * scale)
    # a person would click these: places of the moving picture, and where the same is in the other
    clicked = np.array([[40.0, 30], [150, 40], [60, 130], [140, 120]])
    seen = geometry.apply(affine, clicked)
    if scale == 1:  # the pictures do show the same there
        seen_there = [
            im[round(y) - 4 : round(y) + 5, round(x) - 4 : round(x) + 5].ravel().astype(float)
            for im, places in ((moving, clicked), (fixed, seen))
            for x, y in places
        ]
        alike = [np.corrcoef(seen_there[i], seen_there[i + 4])[0, 1] for i in range(4)]
        assert min(alike) > 0.8
    Path("mine.csv").write_text(landmarks.text(clicked * scale, seen * scale))
    entry = {"moving": ids[0], "fixed": ids[1], "landmarks": str(tmp_path / "mine.csv"),
             "scale": scale, "weight": 2, "reason": "nothing else helps"}  # fmt: skip
    receipt = close(hand=[entry])
    assert (receipt.pairs_planned, receipt.pairs_saved) == (0, 1)
    assert receipt.params["by_hand"][0]["landmarks"] == "mine.csv"
    assert str(tmp_path) not in Path("p_v1.json").read_text()
    (one,) = client.matches(COLLECTION, "1.0")
    assert one.w.tolist() == [2.0] * 4
    assert np.abs(one.p - clicked).max() < 0.002 / scale
    assert np.abs(geometry.apply(affine, one.p) - one.q).max() < 0.005 / scale
    said = by_hand.write(client, COLLECTION, ids[::-1], tmp_path / "hand", scale=scale)
    assert "4 of the pair's 4 matches" in said
    start = (tmp_path / "hand/from_matches.csv").read_text()
    back, forth = landmarks.read(start, "from_matches.csv")
    assert np.abs(np.hstack([forth, back]) / scale - np.hstack([clicked, seen])).max() < 0.01


def test_places_outside_of_the_pictures_and_unknown_tiles_are_named(pictured, tmp_path):
    client, ids, _ = pictured
    Path("mine.csv").write_text(landmarks.text(POINTS / 2, POINTS / 2))
    entry = {"moving": ids[0], "fixed": ids[1], "landmarks": str(tmp_path / "mine.csv"),
             "scale": 0.25, "weight": 1, "reason": "r"}  # fmt: skip
    with pytest.raises(UserError, match=r"expected inside of 50 x 40 px: scale 0.25 is not that"):
        close(hand=[entry])
    with pytest.raises(UserError, match=r"match.by_hand\[0\].fixed: there is no tile nobody"):
        close(hand=[entry | {"fixed": "nobody"}])
    with pytest.raises(UserError, match="moving and fixed are one tile"):
        close(hand=[entry | {"fixed": ids[0]}])
    with pytest.raises(UserError, match="one entry for each pair"):
        close(hand=[entry | {"scale": 0.7}, entry | {"scale": 0.7}])
    with pytest.raises(UserError, match="there is no tile nobody in the stack v1_acquire"):
        by_hand.write(client, COLLECTION, [ids[0], "nobody"], tmp_path)
