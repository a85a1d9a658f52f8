"""Coverage: what all layers of a stack share."""

import itertools

import numpy as np
import pytest

from scripts.lib.drawing import compose, coverage
from scripts.lib.service.records import Leaf, TileSet, TileSpec
from scripts.lib.transforms import AFFINE, affine_data


def layers(*places, size=(100, 80), turn=0.0):
    """One tile a layer at x, y; gives the tiles by z, and their bounds."""
    tiles = []
    for z, (x, y) in enumerate(places, start=1):
        c, s = np.cos(turn), np.sin(turn)
        leaf = Leaf(AFFINE, affine_data(np.array([[c, -s, x], [s, c, y]])))
        tiles.append(TileSpec(f"t{z}", float(z), *size, "file:///x", (leaf,)))
    whole = TileSet(tuple(tiles)).with_bounds()
    boxes = [tile.box for tile in whole.tiles]
    bounds = [f(getattr(box, n) for box in boxes) for f, n in
              ((min, "x0"), (min, "y0"), (max, "x1"), (max, "y1"))]  # fmt: skip
    return compose.place_layers(whole), bounds


def by_hand(free):
    """The area of the largest rectangle, by trying all."""
    h, w = free.shape
    return max(
        (
            (b - a) * (d - c)
            for a, b in itertools.combinations(range(h + 1), 2)
            for c, d in itertools.combinations(range(w + 1), 2)
            if free[a:b, c:d].all()
        ),
        default=0,
    )


@pytest.mark.parametrize("seed", range(12))
def test_the_largest_rectangle_is_the_largest_of_all(seed):
    rng = np.random.default_rng(seed)
    free = rng.random((rng.integers(1, 8), rng.integers(1, 8))) < rng.uniform(0.3, 1)
    found = coverage.largest_rectangle(free)
    area = 0 if found is None else free[found].size
    assert area == by_hand(free)
    assert found is None or free[found].all()


def test_what_all_layers_share_lies_in_each_of_them():
    found = coverage.measure(*layers((0, 0), (10, 0), (0, 5), (3, 2)))
    assert (found.cell_px, found.layers) == (1, 4)
    x0, y0, x1, y1 = found.shared()
    assert (10 <= x0 <= 11, 5 <= y0 <= 6, 98 <= x1 <= 100, 78 <= y1 <= 80) == (True,) * 4


def test_one_layer_far_off_counts_as_one_of_many():
    found = coverage.measure(*layers(*[(0, 0)] * 19, (300, 0)))
    assert found.shared() is None
    x0, _, x1, _ = found.shared(0.95)
    assert x1 - x0 > 95


def test_a_turned_tile_leaves_out_its_empty_corners():
    tiles, bounds = layers((50, 50), turn=0.2)
    found = coverage.measure(tiles, bounds)
    x0, y0, x1, y1 = found.shared()
    (tile,) = tiles[1]
    inside = np.linalg.inv(
        np.vstack([[np.cos(0.2), -np.sin(0.2), 50], [np.sin(0.2), np.cos(0.2), 50], [0, 0, 1]])
    )
    for x, y in itertools.product((x0 + 1, x1 - 1), (y0 + 1, y1 - 1)):
        u, v, _ = inside @ (x, y, 1)
        assert (-1 <= u <= 100, -1 <= v <= 80) == (True, True)


def test_large_stacks_are_counted_on_coarse_cells():
    found = coverage.measure(*layers((0, 0), (0, 0), size=(5000, 3000)), most_cells=100)
    assert found.cell_px == 50
    assert found.count.shape == (60, 100)
    assert found.shared() == (0, 0, 5000, 3000)
