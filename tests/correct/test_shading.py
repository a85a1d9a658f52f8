"""Shading: a polynomial goes, the mean and the structures stay."""

import numpy as np
import pytest

from scripts.correct import shading
from scripts.correct.evidence import Evidence
from scripts.lib import geometry
from scripts.lib.drawing import compose, grey_values, warp
from scripts.lib.geometry import Box
from scripts.lib.service.records import Leaf, TileSet, TileSpec
from scripts.lib.transforms import AFFINE, affine_data
from tests.correct.worlds import World, correlation

SETTINGS = {
    "model": "quadratic",
    "given": [],
    "range_layers": 100,
    "sample_layers": 6,
    "picture_px": 192,
    "smooth_share": 0.5,
}
FACTS = Evidence(8, 8)


def field(shape, coefficients):
    x, y = (2 * np.arange(n) / n - 1 for n in shape[::-1])
    return grey_values.polynomial(coefficients, x, y)


def corrected(world, **changes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warp, "read", world.read)
        found = shading.estimate(world.tiles, SETTINGS | changes, FACTS)
    return shading.apply(world.tiles, found), found


@pytest.mark.parametrize(
    ("model", "shade"),
    [
        ("quadratic", [0, 9, -14, 6, 5, -8.0]),
        ("fourthOrder", [0, 6, -8, 4, 3, -6, 5, -4, 6.0]),
    ],
)
def test_a_shade_goes_to_a_fifth_and_structures_stay(model, shade):
    world = World(range(1, 9), columns=2)
    shade = shading.zero_mean(np.array(shade))
    over = field(world.shape, shade)
    world.degrade(lambda image, tile: image + over[:, tile.column * 96 : tile.column * 96 + 120])
    before = world.volume(world.tiles)
    tiles, found = corrected(world, model=model)
    after = world.volume(tiles)
    left = (after - world.truth()).mean(axis=0)
    assert left.std() < 0.2 * over.std()
    assert correlation(after, world.truth()) > max(0.99, correlation(before, world.truth()))
    assert after.mean() == pytest.approx(before.mean(), abs=0.5)
    (fitted,) = found.parameters["models"]
    assert fitted["range_grey"] == pytest.approx(np.ptp(over), rel=0.2)


def test_a_stack_without_shade_is_hardly_touched():
    world = World(range(1, 9))
    noise = np.random.default_rng(3).normal(0, 0.3, (world.tiles.tiles[0].height, 120))
    world.degrade(lambda image, tile: image + noise)  # as any image has
    tiles, _ = corrected(world)
    change = world.volume(tiles) - world.volume(world.tiles)
    assert change.std() < 1.5
    assert abs(change.mean()) < 0.2
    assert correlation(world.volume(tiles), world.truth()) > 0.998


def test_shades_of_two_ranges_of_z_are_told_apart():
    world = World(range(1, 13), columns=1)
    over = field(world.shape, [0, 0, 15.0])
    world.degrade(lambda image, tile: image + (over if tile.z <= 6 else -over))
    _, found = corrected(world, range_layers=6)
    one, two = found.parameters["models"]
    assert (one["z"], two["z"]) == (3.5, 9.5)
    # what the specimen itself adds is the same in both
    change = one["coefficients"][2] - two["coefficients"][2]
    assert change == pytest.approx(30, abs=3)


def test_models_are_mixed_in_z_and_stay_beyond_the_ends():
    models = [
        {"z": 10, "coefficients": [0, 0, 4.0, 0, 0, 0]},
        {"z": 20, "coefficients": []},
    ]
    assert [shading.at_z(models, z)[2] for z in (1, 10, 15, 20, 90)] == [4, 4, 2, 0, 0]


def test_given_models_are_used_without_their_mean():
    world = World(range(1, 4), columns=1)
    given = [{"z": 1, "modelType": "quadratic", "coefficients": [50, 0, 7, 3, 0, 0.0]}]
    before = world.volume(world.tiles)
    tiles, found = corrected(world, given=given)
    assert found.parameters["models"][0]["coefficients"][0] == -1.0
    over = field(world.shape, [-1, 0, 7, 3, 0, 0.0])
    assert np.abs(before - world.volume(tiles) - over).max() < 0.2
    assert abs((before - world.volume(tiles)).mean()) < 0.1


def test_a_given_model_with_a_wrong_count_is_refused():
    given = [{"z": 7, "modelType": "fourthOrder", "coefficients": [1, 2]}]
    with pytest.raises(ValueError, match="fourthOrder model at z 7 takes 9 coefficients, found 2"):
        corrected(World([1, 2]), given=given)


def test_a_model_of_the_stack_is_the_same_place_by_place_in_a_turned_tile():
    cos, sin = np.cos(0.3), np.sin(0.3)
    matrix = np.array([[cos, -sin, 300], [sin, cos, 80]])
    tile = TileSpec("t", 1.0, 200, 150, "none", (Leaf(AFFINE, affine_data(matrix)),))
    tiles = TileSet((tile,)).with_bounds()
    box, model = Box(100, 0, 900, 400), np.array([1, 2, -3, 4, 5, -6, 0, 0, 0.0])
    own = shading.in_tile(tiles, tile, model, box)
    v, u = np.indices((150, 200))
    world = geometry.apply(matrix, np.stack([u, v], -1).reshape(-1, 2))
    x, y = 2 * (world[:, 0] - 100) / 800 - 1, 2 * world[:, 1] / 400 - 1
    wanted = (shading.basis(x, y) @ model).reshape(150, 200)
    assert np.abs(field((150, 200), own) - wanted).max() < 1e-4


def test_layers_without_anything_smooth_give_no_model():
    world = World([1, 2], columns=1)
    world.degrade(lambda image, tile: image[:0])
    blank = compose.Picture(np.zeros((40, 50), np.float32), np.zeros((40, 50), bool))
    model = shading.fit_range([1, 2], lambda z: blank, SETTINGS)
    assert model["modelType"] == "none"
    assert not shading.at_z([model], 1).any()
