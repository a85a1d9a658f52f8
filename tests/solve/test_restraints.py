"""What the solve is restrained by, and which pairs leave it: one figure of the method each."""

import numpy as np
import pytest
from scipy.linalg import polar

from scripts.solve import restraints, robust
from scripts.solve.graph import graph_of, tiles_of
from scripts.solve.moments import of_matches
from scripts.solve.solver import Options, solve
from tests.solve import synthetic


def solved(tile_set, pairs, options):
    tiles = tiles_of([tile_set])
    return tiles, solve(tiles, graph_of(tiles, of_matches(pairs), options.weighting), options)


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0])
def test_a_wave_of_the_stage_is_followed_by_the_share_that_is_stated(ratio):
    """1 / (1 + (wavelength / n)^2) of a wave of n layers, which the matches know nothing of."""
    layers, waves, height = 240, 4, 3.0
    length = layers / waves
    tiles = synthetic.grid(range(1, layers + 1), 1, 1)
    truth = synthetic.stage_of(tiles)
    wave = height * np.cos(2 * np.pi * (np.arange(layers) + 0.5) / length)  # a mode of the chain
    moved = [
        synthetic.tile(one.z, 0, 0, stage=(x, 0.0))
        for one, x in zip(tiles.tiles, wave, strict=True)
    ]
    pairs = synthetic.matches(tiles, truth, np.random.default_rng(0), reach=1, noise=0.0)
    options = Options(model="translation", robust="none", stage_wavelength_layers=ratio * length)
    known, got = solved(type(tiles)(tuple(moved)), pairs, options)
    x = got.placement[:, 0, 2] - known.centre[:, 0]
    followed = float(x @ wave / (wave @ wave))
    assert followed == pytest.approx(1 / (1 + ratio**2), rel=0.02)


def test_a_pair_is_wrong_beyond_eight_standard_deviations_of_its_like():
    """Median 1 px, median absolute deviation 0.3: a normal spread of 0.44, a limit of 4.56 px."""
    residual = np.array([0.7, 1.0, 1.3] * 20 + [4.0, 4.5, 4.7])
    found = robust.wrong(residual, np.ones(len(residual)), cutoff=3.0)
    assert residual[found].tolist() == [4.7]


def test_a_pair_that_alone_joins_two_parts_is_kept_however_wrong_it_looks():
    layers, step = 40, 30.0
    tiles = synthetic.grid(range(1, layers + 1), 1, 1)
    truth = synthetic.stage_of(tiles)
    for one in tiles.tiles[layers // 2 :]:
        truth[one.tile_id][0, 2] += step
    rng = np.random.default_rng(0)
    pairs = synthetic.matches(tiles, truth, rng, reach=3, noise=0.3, points=40)
    last, first = tiles.tiles[layers // 2 - 1], tiles.tiles[layers // 2]
    bridge = {last.tile_id, first.tile_id}
    below = {one.tile_id for one in tiles.tiles[: layers // 2]}
    pairs = [
        m for m in pairs if ({m.p_id, m.q_id} == bridge) or (m.p_id in below) == (m.q_id in below)
    ]
    (weak,) = [m for m in pairs if {m.p_id, m.q_id} == bridge]
    weak.q[:] += 10.0 * rng.standard_normal(weak.q.shape)  # its points contradict one another
    known, got = solved(tiles, pairs, Options(stage_wavelength_layers=1e5))
    graph = graph_of(known, of_matches(pairs), Options().weighting)
    k = int(np.flatnonzero((known.z[graph.p] <= 20) != (known.z[graph.q] <= 20))[0])
    assert robust.wrong(got.residual, graph.apart, cutoff=3.0)[k]
    assert got.factor[k] > 0
    centres = got.placement[:, 0, 2]
    assert centres[layers // 2 :].mean() - centres[: layers // 2].mean() == pytest.approx(
        step, abs=5
    )


@pytest.mark.parametrize("model", ["affine", "similarity"])
def test_the_mean_tile_keeps_the_size_and_shape_that_the_stage_gives(model):
    tiles = synthetic.grid(range(1, 31), 2, 2)
    truth = synthetic.shaken(tiles, np.random.default_rng(0))
    pairs = synthetic.matches(tiles, truth, np.random.default_rng(1), noise=2.0, points=60)
    known, got = solved(tiles, pairs, Options(model=model))
    mean = got.placement[:, :, :2].mean(axis=0) / known.scale
    assert polar(mean)[1] == pytest.approx(np.eye(2), abs=1e-9)


def test_the_noise_is_the_weighted_mean_square_of_one_axis():
    found = restraints.noise(np.array([1.0, 3.0, 0.0]), np.array([2.0, -4.0, 100.0]))
    assert found == (1 * 2**2 + 3 * 4**2) / 4 / 2
    assert restraints.noise(np.zeros(2), np.ones(2)) == 0.0
