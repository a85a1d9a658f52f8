"""Tiles whose stage positions are wrong are found where their images fit, and nowhere else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from scripts.match import presets, stages, wide
from scripts.match.canvases import Canvases
from scripts.match.pairs import derive

TABLE = yaml.safe_load(
    (Path(__file__).parents[2] / "config/match_stages/small_tiles.yaml").read_text()
)
# the dense matcher alone: what is tried here is where it looks
RUNS = {
    name: replace(run, stages=run.stages[:1])
    for name in ("montage_left_right", "cross")
    for run in [presets.read_run(TABLE, name, 2)]
}


def displaced(tiles, offset, z):
    """The tiles as stage positions have them that are `offset` off in the layers `z`."""
    wrong = (wide.moved(t, np.array(offset)) if t.z in z else t for t in tiles.tiles)
    return replace(tiles, tiles=tuple(wrong))


def grid(specimen, layers=range(1, 6), columns=range(2)):
    for z in layers:
        for column in columns:
            specimen.cut(z, 0, column, error=(0.7 * z, -0.4 * z))
    return specimen.tiles


def ordinary(tiles, canvases):
    """Ids of the pairs that the ordinary matching saves."""
    z = [tile.z for tile in tiles.tiles]
    for run in RUNS.values():
        for pair in derive(tiles.tiles, run.rules, min(z), max(z)):
            if stages.match_pair(pair, run.stages, canvases).matches is not None:
                yield pair.p_id, pair.q_id


def searched(specimen, tiles, most=200):
    def canvases(some):
        return Canvases(some, budget_mb=50, source=specimen.source)

    search = wide.Search(tiles, RUNS, z_distance=2, most=most, budget_mb=50, canvases=canvases)
    return list(search.run(ordinary(tiles, canvases(tiles)))), search


def test_a_layer_that_reports_another_place_is_found_and_joined_by_ordinary_pairs(specimen):
    tiles = displaced(grid(specimen), (500, -300), {3})
    (found,), _ = searched(specimen, tiles)
    assert [tile.z for tile in found.tiles] == [3, 3]
    assert found.offset == pytest.approx([-500, 300], abs=4)  # the tiles' own error, twice 0.7
    assert found.comparisons == 1
    joined = [(a.pair, a.matches) for a in found.attempts if a.matches is not None]
    assert {pair.dz for pair, _ in joined} == {1, 2}
    assert len(joined) >= 8  # each of the two tiles with its cell in all four other layers
    for pair, matches in joined:
        true = specimen.map(pair.p_id, pair.q_id)
        moved = matches.p @ true[:, :2].T + true[:, 2]
        assert np.abs(matches.q - moved).max() < 1.5


def test_positions_that_step_in_mid_volume_join_across_the_step_alone(specimen):
    tiles = displaced(grid(specimen), (0, 4000), {4, 5})
    (found,), _ = searched(specimen, tiles)
    assert (found.row()["z_first"], found.row()["z_last"]) == ("4", "5")
    assert (found.row()["dx_px"], found.row()["dy_px"]) == pytest.approx((0, -4000), abs=4)
    across = {(3, 4), (2, 4), (3, 5)}
    sides = {tuple(sorted(map(float, (a.pair.p_group, a.pair.q_group)))) for a in found.attempts}
    assert sides == across


@pytest.mark.parametrize("stage", [(0, 0), (700, -90)])
def test_what_is_sought_says_how_far_the_first_tile_is_off_against_the_second(specimen, stage):
    p, q = specimen.cut(1, 0, 0), specimen.cut(2, 0, 0, error=(40, -25))
    tiles = displaced(specimen.tiles, stage, {1})
    seek = wide.seeker(Canvases(tiles, budget_mb=50, source=specimen.source))
    # what the second one shows lies 40 px farther right than its stage position says
    assert seek(p, q) == pytest.approx([-40 - stage[0], 25 - stage[1]], abs=1)
    assert seek(q, p) == pytest.approx([40 + stage[0], -25 + stage[1]], abs=1)


def test_a_part_that_only_meets_another_found_one_is_placed_after_it(specimen):
    tiles = grid(specimen, range(1, 9))
    tiles = displaced(displaced(tiles, (500, 0), {5, 6}), (1100, 0), {7, 8})
    found, _ = searched(specimen, tiles)
    assert [one.row()["z_first"] for one in found] == ["5", "7"]
    assert [one.offset[0] for one in found] == pytest.approx([-500, -1100], abs=6)


def test_a_single_tile_off_is_joined_to_its_own_layer_too(specimen):
    tiles = grid(specimen)
    lone = next(t for t in tiles.tiles if (t.z, t.column) == (3, 1))
    off = tuple(wide.moved(t, np.array([0, 900])) if t is lone else t for t in tiles.tiles)
    (found,), _ = searched(specimen, replace(tiles, tiles=off))
    assert 0 in {a.pair.dz for a in found.attempts if a.matches is not None}


def test_a_tile_that_shows_another_cell_is_found_there(specimen):
    tiles = grid(specimen, columns=range(3))
    moved = specimen.cut(9, 0, 2, error=(1, 1))  # the picture of column 2 ...
    specimen.specs.pop()
    lone = next(t for t in tiles.tiles if (t.z, t.column) == (3, 0))
    specimen.images[lone.tile_id] = specimen.images[moved]  # ... in column 0
    (found,), _ = searched(specimen, tiles)
    assert list(found.tiles) == [lone]
    assert found.offset[0] == pytest.approx(300, abs=5)


@pytest.mark.parametrize("picture", ["noise", "blank", "another place"])
def test_what_fits_nowhere_is_left_alone(specimen, picture):
    tiles = displaced(grid(specimen), (500, 0), {3})
    rng = np.random.default_rng(1)
    for tile in tiles.tiles:
        if tile.z == 3:
            shape = (specimen.h, specimen.w)
            specimen.images[tile.tile_id] = {
                "noise": rng.integers(0, 255, shape),
                "blank": np.full(shape, 128),
                "another place": rng.integers(60, 200, (8, 10)).repeat(20, 0).repeat(20, 1),
            }[picture].astype(np.uint8)
    found, search = searched(specimen, tiles)
    assert found == []
    assert search.left > 100  # a part takes no more than its share


@pytest.mark.parametrize("most", [0, 1])
def test_the_budget_is_kept(specimen, most):
    tiles = displaced(displaced(grid(specimen, range(1, 8)), (500, 0), {2}), (0, 700), {6})
    found, search = searched(specimen, tiles, most=most)
    assert (len(found), search.left) == (most, 0)


def test_without_a_part_apart_nothing_is_read(specimen):
    found, search = searched(specimen, grid(specimen, range(1, 4)))
    assert (found, search.left) == ([], 200)


def test_candidates_are_the_nearest_first_and_no_more_than_their_share(specimen):
    tiles = grid(specimen, range(1, 40)).tiles
    part = [t for t in tiles if t.z == 20]
    layers = {}
    for tile in tiles:
        if tile.z != 20:
            layers.setdefault(tile.z, []).append(tile)
    own = wide.candidates(part, layers, z_distance=3, elsewhere=False)
    assert len(own) == wide.TRIES[False]
    assert all(t.cell == other.cell for t, other in own)
    assert [abs(t.z - other.z) for t, other in own] == sorted(abs(t.z - o.z) for t, o in own)
    others = wide.candidates(part, layers, z_distance=3, elsewhere=True)
    assert all(t.cell != other.cell for t, other in others)
    column = [t for t in tiles if t.column == 0]
    beside = {z: [t for t in tiles if (t.z, t.column) == (z, 1)] for z in range(1, 40)}
    spread = wide.candidates(column, beside, z_distance=3, elsewhere=True)
    assert len({t.z for t, _ in spread}) > wide.TRIES[True] / 2  # along the part, not its end


def test_parts_are_what_saved_pairs_join_the_largest_first(specimen):
    tiles = grid(specimen, range(1, 4)).tiles
    ids = [t.tile_id for t in sorted(tiles, key=lambda t: (t.z, t.tile_id))]
    found = wide.parts(tiles, [(ids[2], ids[3]), (ids[3], ids[4]), ("gone", ids[0])])
    assert [[t.tile_id for t in part] for part in found] == [ids[2:5], [ids[0]], [ids[1]], [ids[5]]]
