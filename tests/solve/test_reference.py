"""The meaning of lambda: the block solver's relaxation, done here, ends where our solve does."""

import numpy as np
import pytest

from scripts.lib import geometry
from scripts.lib.numerics import models
from scripts.lib.service.records import CanvasMatches, TileSet
from scripts.solve.graph import Weighting, graph_of, tiles_of
from scripts.solve.moments import of_matches
from scripts.solve.solver import Options, solve
from tests.solve import synthetic

SIZE, REACH, SWEEPS = 201, 2, 120
MIDDLE = np.full(2, (SIZE - 1) / 2)
# five by five points whose second moments are those of the tile's area
STEPS = np.arange(-2, 3) * (SIZE / 2 / 6**0.5)
POINTS = MIDDLE + np.stack(np.meshgrid(STEPS, STEPS), axis=-1).reshape(-1, 2)


def chain(count, rng):
    tiles = TileSet(tuple(synthetic.tile(z, 0, 0, size=(SIZE, SIZE)) for z in range(1, count + 1)))
    truth = synthetic.shaken(tiles, rng, linear=8e-3)
    pairs = []
    for i, a in enumerate(tiles.tiles):
        for b in tiles.tiles[i + 1 : i + 1 + REACH]:
            q = geometry.apply(
                geometry.compose(geometry.invert(truth[b.tile_id]), truth[a.tile_id]), POINTS
            )
            q = q + 0.8 * rng.standard_normal(q.shape)
            one = CanvasMatches(
                a.section_id, a.tile_id, b.section_id, b.tile_id, POINTS, q, np.ones(len(q))
            )
            pairs.append(one.ordered())
    return tiles, pairs


def relaxed(tiles, pairs, share, sweeps):
    """Refit tile after tile to where its partners' points are: (1 - share) affine + share rigid."""
    names = [t.tile_id for t in tiles.tiles]
    model = {name: geometry.identity() for name in names}
    around = {name: [] for name in names}
    for m in pairs:
        around[m.p_id].append((m.p, m.q_id, m.q))
        around[m.q_id].append((m.q, m.p_id, m.p))
    for _ in range(sweeps):
        for name in names:
            own = np.concatenate([points for points, _, _ in around[name]])
            there = np.concatenate([geometry.apply(model[o], xy) for _, o, xy in around[name]])
            affine, rigid = models.fit_affine(own, there), models.fit_rigid(own, there)
            model[name] = (1 - share) * affine + share * rigid
    return model


def error(pairs, model):
    """Mean distance of the matched points, px."""
    parts = [geometry.apply(model[m.p_id], m.p) - geometry.apply(model[m.q_id], m.q) for m in pairs]
    return float(np.linalg.norm(np.concatenate(parts), axis=1).mean())


def change_of_shape(model):
    """(n, 2, 2) how the linear parts differ from rotations."""
    linear = np.array([one[:, :2] for one in model.values()])
    return linear.transpose(0, 2, 1) @ linear - np.eye(2)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_lambda_means_what_it_means_to_the_block_solver(share):
    tiles, pairs = chain(10, np.random.default_rng(4))
    theirs = relaxed(tiles, pairs, share, sweeps=SWEEPS)
    free = Weighting(dz_exponent=0, saturation_points=1e12)
    options = Options(
        rigid_lambda=share,
        shape_sd=1e6,
        rotation_sd=1e6,
        stage_wavelength_layers=1e6,
        robust="none",
        weighting=free,
    )
    arrays = tiles_of([tiles])
    placement = solve(arrays, graph_of(arrays, of_matches(pairs, 1e9), free), options).placement
    ours = dict(zip(arrays.ids.tolist(), arrays.affines(placement), strict=True))
    assert error(pairs, ours) == pytest.approx(error(pairs, theirs), rel=0.01)
    a, b = change_of_shape(ours), change_of_shape(theirs)
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)  # the mean shape is the gauge's
    assert np.abs(a - b).max() < 0.1 * np.abs(b).max()
    # and the share matters: another one changes the shapes by far more
    other = change_of_shape(relaxed(tiles, pairs, min(4 * share, 0.95), sweeps=SWEEPS))
    assert np.abs(other - other.mean(axis=0) - b).max() > 0.2 * np.abs(b).max()
