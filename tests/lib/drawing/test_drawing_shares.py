"""What each tile adds to a picture: together they are the picture."""

import numpy as np
import pytest

from scripts.lib.drawing import compose, shares
from scripts.lib.geometry import Box
from scripts.lib.service.records import TileSet
from tests.export.synthetic import smooth, tile

BOX = Box(-5, -4, 160, 80)


@pytest.fixture
def placed(tmp_path):
    tiles = [tile(tmp_path, z, c, smooth) for z, c in ((1, 0), (1, 1), (2, 0))]  # three that meet
    return compose.place(TileSet(tuple(tiles)))


@pytest.mark.parametrize("blend", ["feather", "last"])
def test_shares_times_pixels_are_the_picture(placed, blend):
    whole = compose.render(placed, BOX, blend=blend)
    parts = shares.shares(placed[::-1], BOX, blend=blend)
    total = sum(share * picture.pixels for picture, share in parts)
    assert np.allclose(total, whole.pixels, atol=1e-3)
    assert np.array_equal(sum(share for _, share in parts) > 0.5, whole.mask)
    for one, (picture, _) in zip(placed, parts, strict=True):  # in order of their ids
        assert np.allclose(picture.pixels, compose.render([one], BOX).pixels, atol=1e-3)


def test_nothing_has_no_shares():
    assert shares.shares([], BOX) == []
