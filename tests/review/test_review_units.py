"""Single functions of the review on figures small enough to be worked out by hand."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import footprint_rectangle, opening

from scripts.lib.service.records import CanvasMatches, TileSpec
from scripts.review import (
    bridges,
    clusters,
    collected,
    condition,
    decisions,
    edges,
    likeness,
    patches,
    replacements,
    statistics,
    suspects,
)
from scripts.review.likeness import GRID, Likeness, Look
from scripts.review.patches import Wanted
from scripts.review.suspects import DAMAGED, RESIN, TISSUE, Verdict

SIDE = 96
ALL = np.ones((SIDE, SIDE), bool)


def tile(z, column=0, **changes):
    one = TileSpec(f"t_0-0-{column}.{z}.0", float(z), 400, 400, "", (), column=column)
    return replace(one, **changes)


def band(seed=0, size=SIDE):
    out = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((size, size)), 1.5)
    return (out / out.std()).astype(np.float32)


def alike(value, shift=(0.0, 0.0)):
    """A comparison with the same likeness, or a given (G, G) one, everywhere."""
    field = np.broadcast_to(np.asarray(value, float), (GRID, GRID)).copy()
    return Likeness(shift, field, field, (12.0, 12.0))


# -- condition ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(96, 96), (5, 40), (3, 7), (61, 127)])
def test_areas_of_black_and_white_are_those_that_scikit_image_opens(shape):
    rng = np.random.default_rng(shape[0])
    blurred = ndimage.uniform_filter(rng.random(shape), 5)
    levels = np.quantile(blurred, [0.35, 0.65])
    pixels = np.select([blurred < levels[0], blurred > levels[1]], [0.0, 255.0], 90.0)
    valid = rng.random(shape) > 0.02
    expected = np.zeros(shape, bool)
    for extreme in (0.0, 255.0):
        there, window = (pixels == extreme) | ~valid, footprint_rectangle((5, 5))
        expected |= opening(there, window, mode="ignore") & valid
    assert np.array_equal(condition.flat(pixels.astype(np.float32), valid), expected)
    assert expected.any() == (min(shape) >= 5)


# -- likeness ----------------------------------------------------------------------------------


def test_what_is_flat_is_like_nothing_and_what_is_masked_says_nothing():
    one = Look(band(), ALL)
    assert likeness.compare(one, one).of_a == pytest.approx(1, abs=1e-4)
    assert not likeness.compare(one, Look(band() / 20, ALL)).of_a.any()
    valid = ALL & (np.arange(SIDE) >= 10)  # two of the twelve columns of a block
    found = likeness.compare(Look(band(), valid), one).of_a
    assert np.isnan(found[:, 0]).all()
    assert found[:, 1:] == pytest.approx(1, abs=1e-4)


def test_a_fault_lies_in_its_blocks_on_the_grid_of_either_tile():
    whole = band(size=SIDE + 24)
    here, there = whole[24:, 24:].copy(), whole[:-24, :-24].copy()
    there[48:72, 36:48] = band(9)[:24, :12]
    found = likeness.compare(Look(here, ALL), Look(there, ALL))
    assert found.shift == pytest.approx((24, 24), abs=0.1)
    assert {tuple(at) for at in np.argwhere(found.of_b < 0.5)} == {(4, 3), (5, 3)}
    assert {tuple(at) for at in np.argwhere(found.of_a < 0.5)} == {(2, 1), (3, 1)}
    back = found.turned()
    assert back.shift == (-found.shift[0], -found.shift[1])
    assert back.of_a is found.of_b
    assert back.of_b is found.of_a


def test_a_bright_edge_neither_sets_the_scale_nor_outvotes_the_tissue():
    picture = 128 + 20 * band()
    bright = picture.copy()
    bright[:6] = 255
    plain, found = (likeness.look(p, ALL).band for p in (picture, bright))
    assert found.max() == likeness.CLIP
    assert np.abs(found[40:] / plain[40:]).mean() == pytest.approx(1, abs=0.25)


def test_only_neighbors_on_both_sides_bound_the_likeness_of_a_tile():
    own = {-1: alike(0.3), 1: alike(0.3)}
    across, beside = alike(0.4), alike(0.9)
    assert likeness.judge(own, {(-1, 1): across, (-2, -1): beside}).unlike == 0
    assert likeness.judge(own, {(-1, 1): beside}).unlike == 1
    # at the end of a stack it takes more
    assert likeness.judge({1: alike(0.3)}, {(1, 2): beside}).unlike == 0
    assert likeness.judge({1: alike(0.2)}, {(1, 2): beside}).unlike == 1
    assert likeness.judge(own, {(-1, 1): alike(0.34)}).blocks == 0  # they resemble nothing
    assert likeness.judge({}, {}).like == 0


def test_neighbors_are_compared_on_the_grid_of_the_tile_between_them():
    field = np.full((GRID, GRID), 0.9)
    field[3] = 0.1
    own = {-1: alike(0.1, shift=(0.0, 12.0)), 1: alike(0.1)}
    found = likeness.judge(own, {(-1, 1): alike(field)})
    assert found.blocks == 6 * GRID  # neither row 2, which is row 3 there, nor row 7
    assert found.rows == (0, 7 / GRID)
    assert found.like == pytest.approx(0.1)


def test_rows_are_displaced_when_most_of_the_neighbors_say_so():
    still = np.zeros((likeness.BANDS, 2))
    moved = still.copy()
    moved[4:] = (6, 8)
    assert likeness.displaced({-1: moved, 1: moved, 2: still})[0] == pytest.approx(10)
    assert likeness.displaced({-1: moved, 1: still, 2: still})[0] == 0
    assert likeness.displaced({-1: moved})[0] == 0
    half = [moved * factor for factor in (0, 0.9, 1, 3)]  # two of four are no majority
    assert likeness.displaced(dict(enumerate(half)))[0] == 0
    others = [moved * factor for factor in (1, 2, 3)]  # nobody agrees with anybody
    assert likeness.displaced(dict(enumerate(others)))[0] == 0


@pytest.mark.parametrize(("first", "where"), [(1, 0.1875), (4, 0.5625), (6, 0.8125)])
def test_rows_part_between_the_nearest_bands_that_are_fully_apart(first, where):
    moved = np.zeros((likeness.BANDS, 2))
    moved[first:] = (6, 8)
    moved += np.linspace(0, 0.04, likeness.BANDS)[:, None]  # the outermost pair is the farthest
    assert likeness.displaced({-1: moved, 1: moved})[1] == pytest.approx(where)


def test_a_band_over_the_jump_itself_is_not_where_the_rows_part():
    moved = np.zeros((likeness.BANDS, 2))
    moved[3], moved[4:] = (3, 4), (6, 8)
    assert likeness.displaced({-1: moved, 1: moved}) == (pytest.approx(10), 0.5)


# -- clusters and edges ------------------------------------------------------------------------


def test_of_two_clusters_alike_the_one_with_the_earlier_tile_comes_first():
    tiles = [tile(z) for z in range(1, 5)]
    ids = [one.tile_id for one in tiles]
    net = clusters.net_of_ids(tiles, [(ids[2], ids[3]), (ids[0], ids[1])])
    assert clusters.labels(net, np.zeros(4, bool)).tolist() == [1, 1, 2, 2]
    assert clusters.labels(net, np.array([1, 0, 0, 0], bool)).tolist() == [0, 0, 1, 1]
    assert [one["z_last"] for one in clusters.described(net, np.array([1, 1, 2, 2]))] == [2, 4]


def test_pairs_are_counted_for_both_their_tiles_by_kind():
    tiles = [tile(1), tile(1, 1), tile(2)]
    ids = [one.tile_id for one in tiles]
    net = clusters.net_of_ids(tiles, [(ids[0], ids[1]), (ids[0], ids[2])])
    montage, cross = clusters.degrees(net)
    assert (montage.tolist(), cross.tolist()) == ([1, 1, 0], [1, 0, 1])
    assert len(net.without(np.array([0, 0, 1], bool)).p) == 1


def test_runs_of_layers_hold_neighbors_one_apart():
    assert edges.runs([5, 1, 2, 3, 7]) == [[1, 2, 3], [5], [7]]
    gap = {"row_a": 0, "column_a": 0, "row_b": 0, "column_b": 1, "bridged": 0}
    gaps = [gap | {"z_first": 2.0, "z_last": 4.0}]
    edges.mark(gaps, [gap | {"z": str(z)} for z in range(1, 7)])
    assert gaps[0]["bridged"] == 3


# -- patches -----------------------------------------------------------------------------------


def test_a_patch_has_the_image_of_its_source_and_the_layer_and_group_of_what_it_replaces():
    old = tile(5, group_id="other", labels=("restart",))
    source = tile(4, image_url="source", labels=("a",))
    at = patches.places([old, source])
    (row,) = patches.first_round(
        [Wanted((5.0, 0, 0), old.tile_id, "why", 2.5)], at, {source.tile_id: 1}
    )
    new = patches.patched(at, [row])[5.0, 0, 0]
    assert (new.image_url, new.z, new.group_id) == ("source", 5, "other")
    assert new.labels == ("a", "patch", "restart")
    assert (row["from"], row["further"], row["round"], row["score"]) == (-1, "", 1, "2.5")


def test_a_person_may_choose_a_source_that_does_not_please():
    tiles = [tile(z) for z in (3, 4, 5, 6)]
    at, place = patches.places(tiles), (5.0, 0, 0)
    quality = {tiles[3].tile_id: 0.9}
    chosen = patches.first_round([Wanted(place, "", "", 1, (-1,))], at, quality)
    assert [row["from"] for row in chosen] == [-1]
    some = patches.first_round([Wanted(place, "", "", 1, (-1, 1))], at, quality)
    assert [row["from"] for row in some] == [1]
    assert patches.first_round([Wanted(place, "", "", 1, (-1, -2))], at, quality) == []
    assert patches.first_round([Wanted(place, "", "", 1, (2,))], at, quality) == []


def test_a_patch_holds_by_a_match_to_another_than_its_source():
    row = {"tile_id": "new", "source_id": "old"}
    pairs = [{"p_id": p, "q_id": q} for p, q in (("new", "old"), ("a", "b"), ("a", "new"))]
    assert not patches.settled(row, patches.partners(pairs[:1]))
    assert not patches.settled(row, patches.partners(pairs[1:2]))
    assert patches.settled(row, patches.partners(pairs))


def test_pairs_of_a_patch_are_those_of_the_plan_and_of_its_round_alone():
    tiles = [tile(z, c) for z in (1, 2, 3) for c in (0, 1)]
    at = patches.places(tiles)
    known = {one.tile_id: one for one in tiles}
    plan = [
        {"p_id": at[1, 0, 0].tile_id, "q_id": at[1, 0, 1].tile_id, "p_position": "LEFT",
         "q_position": "RIGHT"},
        {"p_id": at[1, 0, 1].tile_id, "q_id": at[2, 0, 1].tile_id, "p_position": "",
         "q_position": ""},
    ]  # fmt: skip
    steps = patches.steps(plan, known)
    assert steps[0, 0] == {(0, 1, 0, "LEFT", "RIGHT")}
    assert steps[0, 1] == {(0, 0, 0, "RIGHT", "LEFT"), (0, 1, 1, "", ""), (0, 1, -1, "", "")}
    rows = [
        {"z": "2", "row": "0", "column": "1", "from": "-1", "round": "1", "tile_id": "t_0-0-1.x"}
    ]
    found = patches.pairs(rows, patches.patched(at, rows), steps, number=1)
    assert [(p["p_id"][:7], p["q_id"], p["dz"], p["p_position"]) for p in found] == [
        ("t_0-0-1", "t_0-0-1.x", 1, ""),
        ("t_0-0-0", "t_0-0-1.x", 0, "LEFT"),
        ("t_0-0-1", "t_0-0-1.3.0", 1, ""),
    ]
    assert patches.pairs(rows, patches.patched(at, rows), steps, number=2) == []


def test_an_unjoined_tile_that_resembles_a_layer_around_it_is_never_hidden_by_a_copy():
    tiles = [tile(z) for z in range(1, 5)]
    ids = [one.tile_id for one in tiles]
    net = clusters.net_of_ids(tiles, [(ids[0], ids[1]), (ids[1], ids[2])])
    for like, replaced in ((0.34, [ids[3]]), (0.36, [])):
        verdicts = dict.fromkeys(ids, Verdict(TISSUE, 0, "", like, 10))
        found, _ = replacements.wanted(net, verdicts, exclude=[], keep=[])
        assert [one.replaces for one in found] == replaced


def test_a_tile_without_signal_cannot_be_kept():
    """It would go into the overlaps and the grey values of its neighbours."""
    tiles = [tile(z) for z in range(1, 5)]
    ids = [one.tile_id for one in tiles]
    net = clusters.net_of_ids(tiles, list(itertools.combinations(ids, 2)))
    keep = [{"tiles": [ids[1]], "reason": "I want it"}]
    for words, held in ((suspects.NO_SIGNAL, []), ("a band", [ids[1]])):
        verdicts = dict.fromkeys(ids, Verdict(TISSUE, 0, "", 0.9, 10))
        verdicts[ids[1]] = Verdict(suspects.DAMAGED, 1000, words, 0, 0)
        left = {i for i in ids if i not in held} & {ids[1]}
        found, _ = replacements.wanted(net, verdicts, exclude=[], keep=keep)
        assert {one.replaces for one in found} == left
        by_itself = decisions.decide(net, [], auto=True, verdicts=verdicts, keep=keep)
        assert {ids[i] for i in np.flatnonzero(by_itself.gone)} == left
        asked = decisions.decide(net, [], auto=False, verdicts=verdicts, keep=keep)
        joined, settings = SimpleNamespace(net=net), SimpleNamespace(keep=keep)
        assert set(collected._undecided(joined, asked, verdicts, settings)) == left


def test_an_unjoined_tile_that_a_person_keeps_is_not_to_be_replaced():
    tiles = [tile(z) for z in range(1, 5)]
    ids = [one.tile_id for one in tiles]
    net = clusters.net_of_ids(tiles, [(ids[0], ids[1]), (ids[1], ids[2])])
    verdicts = dict.fromkeys(ids, Verdict(TISSUE, 0, "", 0.9, 10))
    verdicts[ids[3]] = Verdict(TISSUE, 0, "", 0.1, 10)
    keep = [{"tiles": [ids[3]], "reason": "looked at"}]
    found, quality = replacements.wanted(net, verdicts, exclude=[], keep=[])
    assert [one.replaces for one in found] == [ids[3]]
    assert list(quality) == ids[:3]
    assert replacements.wanted(net, verdicts, exclude=[], keep=keep)[0] == []


@pytest.mark.parametrize("end", [1, -1])
@pytest.mark.parametrize(("kinds", "replaced"), [("dt", 1), ("rdt", 0), ("ddddt", 0), ("tdt", 1)])
def test_what_charges_in_resin_beyond_the_tissue_of_a_cell_is_not_replaced_by_tissue(
    kinds, replaced, end
):
    """Of the tiles before the first one with a match (t), z from either end of the volume."""
    tiles = [tile(z) for z in range(1, 11)]
    ids = [one.tile_id for one in tiles][::end]
    bare = len(kinds) - 1 if kinds[0] != "t" else 0
    joined = [one for k, one in enumerate(ids) if k >= bare and kinds[k : k + 1] != "d"]
    net = clusters.net_of_ids(tiles, list(itertools.pairwise(sorted(joined, key=ids.index))))
    verdicts = dict.fromkeys(ids, Verdict(TISSUE, 0, "", 0.9, 10))
    verdicts |= {
        ids[k]: Verdict(DAMAGED if kind == "d" else RESIN, 1, "31% unlike", 0.2, 5)
        for k, kind in enumerate(kinds)
        if kind != "t"
    }
    found, _ = replacements.wanted(net, verdicts, exclude=[], keep=[])
    assert len(found) == replaced


def test_resin_is_no_source_of_patches_though_matches_join_it():
    tiles = [tile(z) for z in range(1, 4)]
    ids = [one.tile_id for one in tiles]
    net = clusters.net_of_ids(tiles, [(ids[0], ids[1]), (ids[1], ids[2])])
    verdicts = dict.fromkeys(ids, Verdict(TISSUE, 0, "", 0.9, 10))
    verdicts[ids[1]] = Verdict(RESIN, 0.9, "", 0.3, 1)
    found, quality = replacements.wanted(net, verdicts, exclude=[], keep=[])
    assert found == []
    assert list(quality) == [ids[0], ids[2]]


# -- bridges -----------------------------------------------------------------------------------

EDGE = ((0, 0), (0, 1))


def bridged(shifts, *, missing=(10.0,), window=20, counts=None, side=400, request=None):
    """Offsets, spread and corners derived for a gap from `shifts` by layer."""
    at = {(float(z), 0, c): replace(tile(z, c), width=side, height=side)
          for z in {*shifts, *map(int, missing)} for c in (0, 1)}  # fmt: skip

    def matches(a, b):
        if a.z not in shifts:
            return None
        n = (counts or {}).get(int(a.z), 4)
        p = np.zeros((n, 2))
        pair = CanvasMatches(
            a.section_id, a.tile_id, b.section_id, b.tile_id, p, p + shifts[a.z], np.ones(n)
        )
        # half of the records stand the other way round
        if a.z % 2:
            return pair
        return CanvasMatches(
            pair.q_group, pair.q_id, pair.p_group, pair.p_id, pair.q, pair.p, pair.w
        )

    what = request or bridges.Request(EDGE, min(missing), max(missing), "why")
    found = bridges.bridge(what, at, matches, window=window, missing=set(missing))
    return [(float(row["shift_x_px"]), row, pair) for pair, row in found]


def test_a_bridge_is_a_line_between_both_sides_and_a_mean_beside_one():
    assert bridged({9: 4, 11: 8})[0][0] == 6
    assert bridged({8: 4, 9: 8})[0][0] == 6
    assert bridged({9: 4, 12: 10})[0][0] == 6


def test_ten_layers_on_a_side_are_used_and_better_matched_ones_count_more():
    shifts = dict.fromkeys(range(11, 30), 5) | {z: 500 for z in range(21, 30)}
    ((shift, row, _),) = bridged(shifts)
    assert (shift, row["layers_used"]) == (5, 10)
    mirrored = {60 - z: shift for z, shift in shifts.items()}
    ((shift, row, _),) = bridged(mirrored, missing=(50.0,))
    assert (shift, row["layers_used"]) == (5, 10)
    # weights by matches, 100 at most
    assert bridged({8: 0, 9: 9}, counts={8: 10, 9: 20})[0][0] == 6
    assert bridged({8: 0, 9: 10}, counts={8: 100, 9: 900})[0][0] == 5


def test_layers_of_the_gap_that_do_have_matches_say_nothing_when_they_are_called_missing():
    assert bridged({9: 4, 10: 99, 11: 8})[0][0] == 6
    assert [shift for shift, *_ in bridged({9: 0, 10: 99, 12: 3}, missing=(10.0, 11.0))] == [1, 2]


def test_only_layers_of_the_request_are_bridged():
    request = bridges.Request(EDGE, 10, 11, "why")
    found = bridged({8: 4, 13: 4}, missing=(10.0, 11.0, 12.0), request=request)
    assert [row["z"] for _, row, _ in found] == ["10", "11"]


@pytest.mark.parametrize(("side", "inset"), [(400, 40), (2000, 50)])
def test_corners_of_a_bridge_lie_a_tenth_inside_of_small_tiles(side, inset):
    ((_, _, pair),) = bridged({9: 0, 11: 0}, side=side)
    assert pair.p.min() == inset
    assert pair.p.max() == side - 1 - inset


# -- statistics --------------------------------------------------------------------------------


def columns(**given):
    size = len(next(iter(given.values())))
    names = (*statistics.TEXTS, *statistics.KINDS)
    filled = {name: [str(v) for v in given.get(name, ["0"] * size)] for name in names}
    return statistics.of_columns(filled)


def test_a_pair_with_either_tile_gone_is_not_counted():
    pairs = columns(p_id=["a", "b", "c"], q_id=["b", "c", "d"], dz=[1, 1, 1], saved=[1, 1, 0])
    assert statistics.saved_counts(pairs, {"a"}) == {"dz1": {"planned": 2, "saved": 1}}
    assert statistics.saved_counts(pairs, {"d"}) == {"dz1": {"planned": 2, "saved": 2}}


def test_a_pair_that_a_person_dropped_counts_as_saved_no_more():
    pairs = columns(p_id=["a", "b", "x"], q_id=["b", "c", "y"], dz=[0, 0, 0], saved=[1, 1, 1])
    p, q = np.array([1]), np.array([0])  # of the collection: b and a
    found = statistics.confirmed(pairs, ["a", "b", "c"], p, q)
    assert found["saved"].tolist() == [1, 0, 1]
    assert statistics.saved_counts(found, set()) == {"montage": {"planned": 3, "saved": 2}}


def test_no_bridge_is_proposed_to_a_cell_that_leaves():
    bridge = [{"cells": ["0,0", "0,1"], "z_first": 3.0, "z_last": 9.0}]
    whole = {"cells": ["0,1"], "z_first": 1, "z_last": 9}
    assert decisions.without_idle_bridges(bridge, [whole]) == []
    assert decisions.without_idle_bridges(bridge, [{"cells": ["0,1"]}]) == []
    assert decisions.without_idle_bridges(bridge, [whole | {"z_last": 8}]) == bridge
    assert decisions.without_idle_bridges(bridge, [whole | {"cells": ["1,1"]}]) == bridge
    assert decisions.without_idle_bridges(bridge, [{"tiles": ["t"]}]) == bridge


def test_a_pair_that_the_wide_search_saved_counts_once():
    given = {"p_id": ["a", "b", "a"], "q_id": ["b", "c", "b"], "dz": [0, 0, 0], "saved": [0, 0, 1]}
    pairs = statistics.once_each(columns(**given, run=["montage", "montage", "wide"]))
    assert statistics.saved_counts(pairs, set()) == {"montage": {"planned": 2, "saved": 1}}
    # the gate compares rows with what was planned, and the wide search planned its own
    assert len(pairs) + pairs.repeated == 3


def test_low_counts_and_residuals_are_those_of_saved_pairs_that_have_them():
    pairs = columns(
        dz=[1] * 22, saved=[1] * 21 + [0], count=[*range(100, 121), 5], run=["c"] * 22,
        rms_px=["1.5", "", *["2.5"] * 19, "90"],
    )  # fmt: skip
    (row,) = [row for row in statistics.table(pairs) if row["by"] == "dz"]
    assert (row["planned"], row["saved"], row["saved_pct"]) == (22, 21, "95.5")
    assert (row["matches_median"], row["matches_low"], row["rms_px_median"]) == (
        "110",
        "101",
        "2.500",
    )
    only = columns(dz=[1], saved=[0], run=["c"])
    row = next(iter(statistics.table(only)))
    assert row["matches_median"] is row["matches_low"] is row["rms_px_median"] is None


def test_quantiles_of_groups_are_those_of_each_group_alone():
    rng = np.random.default_rng(2)
    group, values = rng.integers(0, 7, 200), rng.integers(0, 90, 200)
    keep = group != 3
    found = statistics._quantiles(values[keep], group[keep], 7, (0.5, 0.05))
    for k in range(7):
        own = values[group == k]
        wanted = [np.median(own), np.percentile(own, 5)] if k != 3 else [np.nan, np.nan]
        assert [one[k] for one in found] == pytest.approx(wanted, nan_ok=True)
