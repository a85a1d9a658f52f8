"""A tile whose detector was off: it says nothing of grey values, and harms no other tile."""

import numpy as np
import pytest

from scripts.correct import shading
from scripts.lib.drawing import compose
from scripts.lib.geometry import Box
from tests.correct.test_balance import corrected
from tests.correct.test_shading import SETTINGS as SHADING
from tests.correct.worlds import World

DEAD = "004-1"


def with_dead_tile(value, layers=range(1, 9)):
    world = World(layers)
    world.degrade(lambda image, tile: image * 0 + value if tile.tile_id == DEAD else image)
    return world


@pytest.mark.parametrize("value", [0, 255])
def test_a_tile_of_one_value_moves_the_grey_values_of_no_other(tmp_path, value):
    clean, world = World(range(1, 9)), with_dead_tile(value)
    tiles, _ = corrected(world, tmp_path)
    for tile in tiles.tiles:
        if tile.tile_id != DEAD:
            change = world.source(tile, 0)[0] - clean.images[tile.tile_id]
            assert np.abs(change).mean() < 0.7, tile.tile_id


@pytest.mark.parametrize("value", [0, 255])
def test_a_tile_of_one_value_is_no_smooth_place_that_shows_shading(value):
    world = with_dead_tile(value, [4])
    box = Box(0, 0, world.shape[1], world.shape[0])
    picture = compose.render(compose.place(world.tiles), box, source=world.source)
    chosen = shading.smooth(picture, SHADING["smooth_share"])
    assert chosen.any()
    assert not chosen[:, -60:].any()
