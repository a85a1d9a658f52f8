"""Reduction, plain and compiled, held against scikit-image and against each other."""

import numpy as np
import pytest
from skimage.transform import downscale_local_mean

from scripts.lib.numerics import kernels, reduction

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(40, 50), (41, 51), (2, 2)])
def test_half_the_size_is_the_mean_of_2_x_2_an_odd_end_left_out(shape):
    image = RNG.uniform(0, 255, shape).astype(np.float32)
    even = image[: shape[0] // 2 * 2, : shape[1] // 2 * 2]
    found = reduction.halved(image)
    np.testing.assert_allclose(found, downscale_local_mean(even, (2, 2)), rtol=1e-6)
    assert found.dtype == np.float32


def test_a_single_row_is_kept():
    np.testing.assert_array_equal(reduction.halved(np.array([[1, 3, 5]], np.float32)), [[2]])


def test_whole_grey_levels_are_halved_without_rounding_in_whatever_order():
    image = RNG.integers(0, 65536, (64, 64)).astype(np.float32)
    want = image
    for _ in range(4):  # 16 bits and two more at each level fit into float32
        image = reduction.halved(image)
        want = (want[::2, ::2] + want[1::2, ::2] + want[::2, 1::2] + want[1::2, 1::2]) / 4
        np.testing.assert_array_equal(image, want)


def test_a_square_is_valid_where_all_of_it_is():
    valid = np.ones((5, 6), bool)
    valid[1, 3] = valid[4, 0] = False
    np.testing.assert_array_equal(reduction.halved_mask(valid), [[1, 0, 1], [1, 1, 1]])


def test_shrinking_is_by_halves_and_then_by_the_rest():
    image = RNG.uniform(0, 255, (64, 96)).astype(np.float32)
    quarter = downscale_local_mean(image, (4, 4))
    np.testing.assert_allclose(reduction.shrunk(image, 0.25), quarter, rtol=1e-5)
    assert reduction.shrunk(image, 0.2).shape == (13, 19)
    assert reduction.shrunk(image, 0.2).mean() == pytest.approx(image.mean(), rel=0.02)
    assert reduction.shrunk(image, 1.0) is image


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_compiled_mean_of_2_x_2_x_2_is_the_exact_one_rounded_half_up(dtype):
    top = np.iinfo(dtype).max
    voxels = RNG.integers(0, top, (2, 40, 50), endpoint=True).astype(dtype)
    voxels[:, :2, :2] = top
    out = np.empty((20, 25), dtype)
    kernels.halve(voxels[0], voxels[1], out)
    want = downscale_local_mean(voxels.astype(float), (2, 2, 2))[0]
    np.testing.assert_array_equal(out, np.floor(want + 0.5))


def test_compiled_and_plain_agree_on_a_plane_but_for_rounding():
    plane = RNG.integers(0, 256, (41, 51)).astype(np.uint8)
    out = np.empty((20, 25), np.uint8)
    kernels.halve(plane, plane, out)
    np.testing.assert_array_equal(out, np.floor(reduction.halved(plane.astype(np.float32)) + 0.5))
