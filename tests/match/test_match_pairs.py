"""Pair derivation: radius, corner rule, order, obscured tiles, chunks."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml

from scripts.lib.service.records import Leaf, TileSpec
from scripts.lib.transforms import AFFINE
from scripts.match import pairs, presets
from scripts.match.pairs import Rules

MONTAGE = Rules(xy_neighbor_factor=0.6, z_distance=0)
CROSS = Rules(xy_neighbor_factor=0.1, z_distance=6, exclude_same_layer=True)


FOLDER = Path(__file__).parents[2] / "config" / "match_stages"


def table(name):
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text())


def tile(z, row=0, column=0, *, w=100, h=100, overlap=0.2, name=None, at=None):
    x, y = at or (round(column * w * (1 - overlap)), round(row * h * (1 - overlap)))
    return TileSpec(
        name or f"21-07-31_{z:06d}_0-{row}-{column}.{z}.0",
        float(z),
        w,
        h,
        "none",
        (Leaf(AFFINE, f"1 0 0 1 {x} {y}"),),
        row=row,
        column=column,
        bounds=(x, y, x + w, y + h),
    )


def grid(rows, columns, layers, **how):
    return [
        tile(z, r, c, **how)
        for z in range(1, layers + 1)
        for r in range(rows)
        for c in range(columns)
    ]


def test_a_row_of_cells_gives_all_edges_and_all_layers_in_reach():
    tiles = grid(1, 5, 12)
    assert len(pairs.derive(tiles, MONTAGE, 1, 12)) == 4 * 12
    assert len(pairs.derive(tiles, CROSS, 1, 12)) == 5 * sum(12 - d for d in range(1, 7))


def test_two_by_two_gives_four_edges_and_two_of_each_direction():
    tiles = grid(2, 2, 1)
    assert len(pairs.derive(tiles, MONTAGE, 1, 1)) == 4
    for position, cells in (("LEFT", "row"), ("TOP", "column")):
        rules = Rules(xy_neighbor_factor=0.6, z_distance=0, exclude_position=position)
        found = pairs.derive(tiles, rules, 1, 1)
        assert len(found) == 2
        by_id = {t.tile_id: t for t in tiles}
        for pair in found:
            p, q = by_id[pair.p_id], by_id[pair.q_id]
            assert getattr(p, cells) != getattr(q, cells)


@pytest.mark.parametrize("name", ["multi_row", "block", "small_tiles"])
@pytest.mark.parametrize("size", [(100, 100), (250, 100), (100, 250)])
def test_the_runs_of_several_rows_plan_every_edge_once_and_every_layer_in_reach(name, size):
    tiles = grid(3, 4, 9, w=size[0], h=size[1], overlap=0.1)
    found = {
        run: pairs.derive(tiles, presets.read_run(table(name), run).rules, 1, 9)
        for run in ("montage_top_bottom", "montage_left_right", "cross")
    }
    assert {run: len(planned) for run, planned in found.items()} == {
        "montage_top_bottom": 9 * 2 * 4,
        "montage_left_right": 9 * 3 * 3,
        "cross": 3 * 4 * sum(9 - d for d in range(1, 7)),
    }
    assert {p.p_position for p in found["montage_top_bottom"]} == {"TOP"}
    assert {p.p_position for p in found["montage_left_right"]} == {"LEFT"}
    assert len({p.key for planned in found.values() for p in planned}) == sum(
        map(len, found.values())
    )


@pytest.mark.parametrize("name", ["single_row", "flyem", "block", "small_tiles"])
def test_the_runs_of_one_row_plan_every_seam_and_every_layer_in_reach(name):
    tiles = grid(1, 5, 8, w=300, h=100, overlap=0.05)
    for run, count in (("montage", 8 * 4), ("cross", 5 * sum(8 - d for d in range(1, 7)))):
        assert len(pairs.derive(tiles, presets.read_run(table(name), run).rules, 1, 8)) == count


@pytest.mark.parametrize("name", ["leaf", "small_cell", "block", "small_tiles"])
def test_a_single_tile_a_layer_plans_the_layers_in_reach(name):
    rules = presets.read_run(table(name), "cross").rules
    assert len(pairs.derive(grid(1, 1, 8), rules, 1, 8)) == sum(8 - d for d in range(1, 7))


def test_corners_come_only_when_asked_for_and_cells_are_not_known():
    tiles = [tile(1, at=(x, y), name=f"{x}-{y}") for x in (0, 80) for y in (0, 80)]
    assert len(pairs.derive(tiles, MONTAGE, 1, 1)) == 4
    open_rules = Rules(xy_neighbor_factor=0.6, z_distance=0, exclude_corners=False)
    assert len(pairs.derive(tiles, open_rules, 1, 1)) == 6


@pytest.mark.parametrize(("w", "h"), [(625, 188), (188, 625), (1000, 200)])
def test_long_tiles_pair_with_their_edge_neighbors_alone(w, h):
    tiles = grid(4, 4, 1, w=w, h=h, overlap=0.1)
    found = pairs.derive(tiles, MONTAGE, 1, 1)
    assert len(found) == 2 * 4 * 3


def test_order_is_that_of_text_and_positions_follow_it():
    found = pairs.derive([tile(9), tile(10)], CROSS, 9, 9)
    assert [(p.p_group, p.q_group, p.dz) for p in found] == [("10.0", "9.0", 1)]
    assert found[0].p_position == found[0].q_position == ""
    (pair,) = pairs.derive(grid(1, 2, 1), MONTAGE, 1, 1)
    assert (pair.p_position, pair.q_position) == ("LEFT", "RIGHT")
    (pair,) = pairs.derive(grid(2, 1, 1), MONTAGE, 1, 1)
    assert (pair.p_position, pair.q_position) == ("TOP", "BOTTOM")


def test_chunks_partition_the_pairs_by_their_lower_layer():
    tiles = grid(2, 2, 20)
    whole = pairs.derive(tiles, CROSS, 1, 20)
    parts = []
    for first, last in ((1, 8), (9, 16), (17, 20)):
        near = [t for t in tiles if first <= t.z <= last + 6]
        parts += pairs.derive(near, CROSS, first, last)
    assert parts == whole
    lower = [min(float(p.p_group), float(p.q_group)) for p in whole]
    assert all(a <= b for a, b in pairwise(lower))


def test_missing_layers_keep_their_distance():
    tiles = [t for t in grid(1, 1, 9) if t.z not in (3, 4)]
    found = pairs.derive(tiles, CROSS, 1, 9)
    assert {(p.p_group, p.q_group): p.dz for p in found}["2.0", "5.0"] == 3
    assert len(found) == 21 - 3  # of 7 layers, the three farther than 6


def test_a_tile_that_others_cover_is_left_out():
    tiles = [tile(1, name="a"), *[tile(1, at=(x, 0), name=f"b{x}", w=60) for x in (-10, 45)]]
    ids = {i for p in pairs.derive(tiles, MONTAGE, 1, 1) for i in (p.p_id, p.q_id)}
    assert ids == {"b-10", "b45"}
    half = pairs.derive(tiles[:2], MONTAGE, 1, 1)
    assert len(half) == 1


def test_a_tile_that_others_cover_to_the_very_edge_is_left_out():
    old, *halves = tile(1, name="a"), *[tile(1, at=(x, 0), name=f"b{x}", w=50) for x in (0, 50)]
    beside = tile(1, at=(100, 0), name="c")  # touches, covers nothing
    found = pairs.derive([old, *halves, beside], MONTAGE, 1, 1)
    assert not any("a" in (p.p_id, p.q_id) for p in found)
    assert [(p.p_id, p.q_id) for p in found] == [("b0", "b50"), ("b50", "c")]
    # acquired again at the same place: the later one is drawn on top
    again = pairs.derive([old, tile(1, name="aa"), beside], MONTAGE, 1, 1)
    assert [(p.p_id, p.q_id) for p in again] == [("aa", "c")]
    kept = pairs.derive([old, *halves, beside], replace(MONTAGE, exclude_obscured=False), 1, 1)
    assert any("a" in (p.p_id, p.q_id) for p in kept)


def test_a_radius_in_pixels_overrides_the_factor():
    tiles = [tile(1, at=(x, 0), name=str(x)) for x in (0, 150)]
    assert pairs.derive(tiles, MONTAGE, 1, 1) == []
    near = Rules(explicit_radius_px=101, z_distance=0)
    assert len(pairs.derive(tiles, near, 1, 1)) == 1


def test_no_tiles_give_no_pairs():
    assert pairs.derive([], CROSS, 1, 9) == []


def test_many_tiles_are_as_many_pairs_as_geometry_says():
    layers = 300
    tiles = grid(3, 4, layers)
    assert len(pairs.derive(tiles, CROSS, 1, layers)) == 12 * sum(layers - d for d in range(1, 7))
    rng = np.random.default_rng(1)
    shuffled = [tiles[k] for k in rng.permutation(len(tiles))]
    assert pairs.derive(shuffled, MONTAGE, 1, 5) == pairs.derive(tiles, MONTAGE, 1, 5)
