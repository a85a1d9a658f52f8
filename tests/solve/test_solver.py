"""The global solve against known truth."""

from dataclasses import fields

import numpy as np
import pytest

from scripts.lib import geometry
from scripts.lib.job import UserError
from scripts.lib.service.records import TileSet
from scripts.solve.forces import residuals
from scripts.solve.graph import Weighting, graph_of, solution, tiles_of
from scripts.solve.moments import of_matches
from scripts.solve.solver import Options, solve
from tests.solve import synthetic

WALK = Options(stage_wavelength_layers=1e5)  # drift of the truth is real: the stage knows nothing


def run(tile_set, pairs, options=WALK):
    tiles = tiles_of([tile_set])
    graph = graph_of(tiles, of_matches(pairs), options.weighting)
    solved = solve(tiles, graph, options)
    return solution(tiles, solved.placement), solved, tiles, graph


def case(z_values, rows, columns, *, seed=0, **options):
    tiles = synthetic.grid(z_values, rows, columns)
    truth = synthetic.shaken(tiles, np.random.default_rng(seed))
    return tiles, truth, synthetic.matches(tiles, truth, np.random.default_rng(seed + 1), **options)


def relative(tiles, deviation):
    """Rms change of the error from one tile to the same cell in the next layer, px."""
    at = {(t.z, t.row, t.column): i for i, t in enumerate(tiles.tiles)}
    steps = [
        deviation[at[z + 1, r, c]] - deviation[i]
        for (z, r, c), i in at.items()
        if (z + 1, r, c) in at
    ]
    return synthetic.rms(np.array(steps))


@pytest.mark.parametrize("model", ["translation", "rigid", "similarity", "affine"])
def test_perfect_matches_of_tiles_at_their_stage_positions_change_nothing(model):
    tiles = synthetic.grid(range(1, 9), 2, 2)
    stage = synthetic.stage_of(tiles)
    pairs = synthetic.matches(tiles, stage, np.random.default_rng(0), noise=0.0)
    got, solved, _, _ = run(tiles, pairs, Options(model=model))
    assert synthetic.rms(synthetic.deviation(tiles, got, stage)) < 1e-6
    assert solved.residual.max() < 1e-5


def test_a_rigid_motion_of_the_second_half_is_recovered_by_rigid_tiles():
    tiles = synthetic.grid(range(1, 13), 1, 2)
    turn = np.array([[np.cos(0.02), -np.sin(0.02), 30.0], [np.sin(0.02), np.cos(0.02), -20.0]])
    stage = synthetic.stage_of(tiles)
    truth = {
        t.tile_id: geometry.compose(turn, stage[t.tile_id]) if t.z > 6 else stage[t.tile_id]
        for t in tiles.tiles
    }
    pairs = synthetic.matches(tiles, truth, np.random.default_rng(0), noise=0.0)
    for model in ("rigid", "similarity", "affine"):
        got = run(tiles, pairs, Options(model=model, stage_wavelength_layers=1e7))[0]
        assert synthetic.rms(synthetic.deviation(tiles, got, truth)) < 1e-2


def test_noise_in_both_points_does_not_shrink_the_tiles():
    tiles, truth, pairs = case(range(1, 61), 2, 2, noise=2.0, points=60)
    got = run(tiles, pairs)[0]
    scale = np.array([np.linalg.det(geometry.from_wire(v)[:, :2]) ** 0.5 for v in got.values()])
    assert abs(scale.mean() - 1) < 1e-3


def test_jitter_of_the_stage_is_not_followed_and_its_mean_is():
    tiles = synthetic.grid(range(1, 201), 1, 1)
    truth = synthetic.shaken(tiles, np.random.default_rng(0), drift=0.0, jitter=0.5)
    pairs = synthetic.matches(tiles, truth, np.random.default_rng(1), noise=0.05)
    got = run(tiles, pairs, Options(stage_wavelength_layers=300.0))[0]
    error = synthetic.deviation(tiles, got, truth)
    assert relative(tiles, error) < 0.05  # a stage jitter of 0.5 px is 0.7 px from layer to layer
    middle = [geometry.apply(geometry.from_wire(v), [119.5, 119.5]) for v in got.values()]
    assert np.mean(middle, axis=0) == pytest.approx([119.5, 119.5], abs=1e-3)


def test_a_jump_at_a_restart_does_not_bend_the_chain():
    tiles = synthetic.grid(range(1, 401), 1, 1)
    truth = synthetic.shaken(tiles, np.random.default_rng(0), drift=0.0, jitter=0.3)
    for one in tiles.tiles:
        truth[one.tile_id][:, 2] += 200.0 * (one.z > 150)
    pairs = synthetic.matches(tiles, truth, np.random.default_rng(1), noise=0.05)
    got = run(tiles, pairs, Options(stage_wavelength_layers=500.0))[0]
    assert synthetic.rms(synthetic.deviation(tiles, got, truth)) < 0.3


def test_gaps_in_z_wider_than_one_layer_are_bridged():
    z_values = [*range(1, 21), *range(24, 41)]
    tiles, truth, pairs = case(z_values, 2, 2, noise=0.1)
    left = synthetic.deviation(tiles, run(tiles, pairs)[0], truth)
    assert synthetic.rms(left) < 0.2


def test_one_tile_stays_at_its_stage_position():
    tiles = TileSet((synthetic.tile(1, 0, 0, stage=(100.0, -50.0)),))
    got = run(tiles, [])[0]
    assert got["t_0-0-0.1.0"] == pytest.approx([1, 0, 0, 1, 100, -50], abs=1e-9)


def test_two_tiles_meet_halfway():
    tiles = TileSet((synthetic.tile(1, 0, 0), synthetic.tile(2, 0, 0)))
    truth = synthetic.stage_of(tiles)
    truth["t_0-0-0.2.0"] = geometry.translation(8.0, 4.0)
    pairs = synthetic.matches(tiles, truth, np.random.default_rng(0), noise=0.0)
    got = run(tiles, pairs)[0]
    assert got["t_0-0-0.1.0"][4:] == pytest.approx([-4, -2], abs=1e-3)
    assert got["t_0-0-0.2.0"][4:] == pytest.approx([4, 2], abs=1e-3)


def test_a_scan_correction_stays_outside_of_the_solve():
    scan = "3.0 12.0 2.0 60.0 0"
    tiles = TileSet(tuple(synthetic.tile(z, 0, 0, scan=scan) for z in range(1, 6)))
    truth = synthetic.shaken(tiles, np.random.default_rng(0))
    pairs = synthetic.matches(tiles, truth, np.random.default_rng(1), noise=0.0)
    got = run(tiles, pairs)[0]
    assert relative(tiles, synthetic.deviation(tiles, got, truth)) < 0.02


def test_order_of_tiles_and_pairs_does_not_matter():
    tiles, _, pairs = case(range(1, 31), 2, 2)
    one = run(tiles, pairs)[0]
    rng = np.random.default_rng(9)
    other_tiles = TileSet(tuple(tiles.tiles[i] for i in rng.permutation(len(tiles.tiles))))
    other = run(other_tiles, [pairs[i] for i in rng.permutation(len(pairs))])[0]
    assert list(one) == list(other)
    assert np.allclose(list(one.values()), list(other.values()), atol=1e-6)


def test_pairs_of_weight_zero_and_of_foreign_tiles_are_harmless():
    tiles, _, pairs = case(range(1, 11), 1, 2)
    base = run(tiles, pairs)[0]
    far = synthetic.grid(range(20, 25), 1, 2)
    extra = synthetic.matches(far, synthetic.stage_of(far), np.random.default_rng(3))
    pairs[0].w[:] = 1.0
    silent = [type(m)(m.p_group, m.p_id, m.q_group, m.q_id, m.p, m.q + 50, 0 * m.w) for m in pairs]
    got = run(tiles, [*pairs, *extra, *silent])[0]
    assert np.allclose(list(base.values()), list(got.values()), atol=1e-9)


def test_pairs_given_twice_are_harmless():
    tiles, _, pairs = case(range(1, 11), 1, 2)
    base = run(tiles, pairs)[0]
    swapped = [type(m)(m.q_group, m.q_id, m.p_group, m.p_id, m.q, m.p, m.w) for m in pairs[5:9]]
    got = run(tiles, [*pairs, *pairs[::3], *swapped])[0]
    assert list(base.values()) == list(got.values())


def test_a_layer_with_no_tile_is_passed_over():
    z_values = [*range(1, 9), *range(10, 19)]
    tiles, truth, pairs = case(z_values, 1, 2, noise=0.1)
    left = synthetic.deviation(tiles, run(tiles, pairs)[0], truth)
    assert synthetic.rms(left) < 0.2


def test_a_tile_without_matches_is_named():
    tiles, _, pairs = case(range(1, 6), 1, 2)
    lonely = "t_0-0-1.3.0"
    pairs = [m for m in pairs if lonely not in (m.p_id, m.q_id)]
    with pytest.raises(UserError, match=lonely):
        run(tiles, pairs)


def test_matches_that_are_no_numbers_are_refused_by_name():
    tiles, _, pairs = case(range(1, 4), 1, 1)
    pairs[1].q[0, 0] = np.nan
    with pytest.raises(UserError, match=f"{pairs[1].p_id} - {pairs[1].q_id}.*not finite"):
        run(tiles, pairs)


def test_a_stage_position_that_is_no_number_is_refused_by_name():
    tiles = TileSet((synthetic.tile(1, 0, 0, stage=(float("nan"), 0.0)),))
    with pytest.raises(UserError, match=r"t_0-0-0\.1\.0"):
        tiles_of([tiles])


def test_an_empty_stack_is_refused():
    with pytest.raises(UserError, match="no tile"):
        tiles_of([TileSet(())])


def test_closer_layers_weigh_more():
    tiles, truth, pairs = case(range(1, 101), 1, 1, noise=lambda dz: 0.1 * dz)
    steep = run(
        tiles, pairs, Options(weighting=Weighting(dz_exponent=2), stage_wavelength_layers=1e5)
    )
    flat = run(
        tiles, pairs, Options(weighting=Weighting(dz_exponent=0), stage_wavelength_layers=1e5)
    )
    good, bad = (
        relative(tiles, synthetic.deviation(tiles, one[0], truth)) for one in (steep, flat)
    )
    assert good < 0.9 * bad


def patched():
    """Eight layers of one tile, of which the fifth shows the fourth; with all their pairs."""
    tiles = synthetic.grid(range(1, 9), 1, 1)
    seen = {one.z: one.changed(image_url=f"file:///{one.z}") for one in tiles.tiles}
    copy = {"z": 5.0, "tile_id": "t_0-0-0.patch.5.0", "labels": ("patch",)}
    seen[5.0] = seen[4.0].changed(**copy)
    tiles = TileSet(tuple(seen.values()))
    return tiles, synthetic.matches(
        tiles, synthetic.stage_of(tiles), np.random.default_rng(0), reach=3
    )


def graph_and_ends(tiles, pairs):
    """The graph, and where the pairs of two layers are in it."""
    graph = graph_of(tiles_of([tiles]), of_matches(pairs), Weighting(dz_exponent=2))
    ends = zip((graph.p + 1).tolist(), (graph.q + 1).tolist(), strict=True)  # one tile a layer
    return graph, {frozenset(pair): k for k, pair in enumerate(ends)}


def without(pairs, *layers):
    """The pairs but for those of these layers."""
    gone = {frozenset(f"t_0-0-0.{'patch.' * (z == 5)}{z}.0" for z in two) for two in layers}
    return [one for one in pairs if frozenset((one.p_id, one.q_id)) not in gone]


def test_a_patch_matches_as_its_source_would():
    tiles, pairs = patched()
    graph, at = graph_and_ends(tiles, without(pairs, (4, 6), (3, 4)))
    apart = {pair: graph.apart[k] for pair, k in at.items()}
    assert apart[frozenset((4, 5))] == 1  # the patch and its source
    assert apart[frozenset((5, 6))] == 2
    assert apart[frozenset((3, 5))] == 1
    assert apart[frozenset((7, 8))] == 1
    weight = graph.weight / graph.point_weight
    assert weight[at[frozenset((5, 6))]] == pytest.approx(1 / 4)
    assert weight[at[frozenset((7, 8))]] == pytest.approx(1)


def test_matches_of_one_image_count_once_however_often_it_is_copied():
    tiles, pairs = patched()
    of_patch = {pair for pair in graph_and_ends(tiles, pairs)[1] if 5 in pair}
    assert of_patch == {frozenset((4, 5)), frozenset((5, 8))}  # 4 and 8 are out of reach
    loose = without(pairs, (4, 5))  # nothing else holds the patch
    assert sum(5 in pair for pair in graph_and_ends(tiles, loose)[1]) == 5


def test_patches_do_not_make_the_matches_of_others_look_free_of_noise():
    """The noise of the matches says how firmly tiles keep their shape: copies match without any."""
    rng = np.random.default_rng(2)
    layers = synthetic.grid(range(1, 13), 1, 1)
    seen = [one.changed(image_url=f"file:///{one.z}") for one in layers.tiles]
    last = seen[-1]
    copies = [
        last.changed(z=z, tile_id=f"t_0-0-0.patch.{z}", labels=("patch",))
        for z in np.arange(13.0, 19.0)
    ]
    tiles = TileSet((*seen, *copies))
    truth = synthetic.stage_of(tiles)
    loud = synthetic.matches(layers, truth, rng, reach=2, noise=2.0)
    exact = synthetic.matches(TileSet((last, *copies)), truth, rng, points=500, noise=0.0, reach=2)
    both, alone = (
        synthetic.rms(np.array([got[one.tile_id][:4] for one in seen]) - [1, 0, 0, 1])
        for got in (run(tiles, [*loud, *exact], Options())[0], run(layers, loud, Options())[0])
    )
    assert both < 1.1 * alone


def test_a_patch_whose_source_is_not_there_counts_where_it_stands():
    (tile,) = synthetic.grid([3], 1, 1).tiles
    assert tiles_of([TileSet((tile.changed(labels=("patch",)),))]).image_z.tolist() == [3.0]


def test_tiles_read_some_layers_at_a_time_are_those_read_at_once():
    specs = synthetic.grid(range(1, 7), 2, 2).tiles
    seen = [one.changed(image_url=f"file:///{one.z}-{one.row}-{one.column}") for one in specs]
    shown = seen[3].changed(z=5.0, tile_id="a.patch.5.0", labels=("patch",))  # of the first part
    ahead = seen[-1].changed(z=1.0, tile_id="b.patch.1.0", labels=("patch",))  # of the last one
    tiles = [*seen, shown, ahead]
    whole = tiles_of([TileSet(tuple(tiles))])
    spans = [TileSet(tuple(t for t in tiles if low < t.z <= low + 2)) for low in (0, 2, 4, 6)]
    parts = tiles_of(iter(spans))
    for each in fields(whole):
        np.testing.assert_array_equal(getattr(parts, each.name), getattr(whole, each.name))
    of_patch = dict(zip(whole.ids.tolist(), whole.image_z.tolist(), strict=True))
    assert (of_patch["a.patch.5.0"], of_patch["b.patch.1.0"]) == (1.0, 6.0)


def test_rigid_tiles_are_rigid_and_translated_tiles_keep_their_shape():
    tiles, _, pairs = case(range(1, 21), 1, 2)
    for model, tolerance in (("translation", 1e-12), ("rigid", 1e-9)):
        got = run(tiles, pairs, Options(model=model))[0]
        linear = np.array([geometry.from_wire(v)[:, :2] for v in got.values()])
        product = linear.transpose(0, 2, 1) @ linear
        assert np.abs(product - np.eye(2)).max() < tolerance


def test_the_sparse_method_agrees_with_the_banded_one():
    tiles, _, pairs = case(range(1, 31), 2, 2)
    one = run(tiles, pairs, Options())[0]
    other = run(tiles, pairs, Options(max_band_gb=1e-9))[0]
    assert np.allclose(list(one.values()), list(other.values()), atol=1e-6)


def test_residuals_far_from_the_origin_keep_their_precision():
    tiles = TileSet(
        tuple(synthetic.tile(z, 0, 0, stage=(4e5, -3e5), size=(2000, 2000)) for z in (1, 2))
    )
    truth = synthetic.stage_of(tiles)
    pairs = synthetic.matches(tiles, truth, np.random.default_rng(0), noise=0.0)
    arrays = tiles_of([tiles])
    graph = graph_of(arrays, of_matches(pairs), Weighting())
    assert residuals(graph, arrays.stage).max() < 1e-4
