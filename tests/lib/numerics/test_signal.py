"""Where a picture shows nothing: one value over an area that noise would not leave alike."""

import numpy as np
import pytest

from scripts.lib.numerics import signal


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("shift", [0, 1])
def test_an_area_of_one_value_is_found_to_its_border(value, shift):
    rng = np.random.default_rng(1)
    pixels = rng.integers(100, 150, (60 + shift, 80)).astype(np.uint8)
    pixels[20:41, 30:50] = value
    found = signal.absent(pixels)
    assert found[20:41, 30:50].all()
    assert found.sum() == 21 * 20


def test_smooth_resin_in_whole_grey_values_is_no_such_area():
    resin = np.random.default_rng(2).normal(180.2, 0.25, (200, 200)).round().astype(np.uint8)
    assert not signal.absent(resin).any()


def test_in_a_picture_of_few_rows_an_area_is_found_to_its_border_too():
    pixels = np.random.default_rng(3).integers(100, 150, (6, 80)).astype(np.uint8)
    pixels[:, 30:50] = 0
    found = signal.absent(pixels)
    assert found[:, 30:50].all()
    assert found.sum() == 6 * 20


@pytest.mark.parametrize("shape", [(6, 40), (7, 9), (1, 1), (0, 5)])
def test_a_picture_smaller_than_the_square_is_looked_at_too(shape):
    assert signal.absent(np.zeros(shape)).all()
