"""Smoothing, held against SciPy."""

import functools

import cv2
import numpy as np
import pytest
from scipy import ndimage

from scripts.lib.numerics import smoothing

RNG = np.random.default_rng(0)
BORDERS = {
    "reflect": cv2.BORDER_REFLECT,
    "mirror": cv2.BORDER_REFLECT_101,
    "nearest": cv2.BORDER_REPLICATE,
}


@pytest.mark.parametrize("mode", BORDERS)
def test_a_gaussian_is_scipys_at_every_border(mode):
    image = RNG.uniform(0, 255, (40, 50))
    want = ndimage.gaussian_filter(image, 1.5, mode=mode, radius=6)
    found = smoothing.gaussian(image, 1.5, reach_px=6, border=BORDERS[mode])
    np.testing.assert_allclose(found, want, atol=1e-10)


def test_without_a_reach_the_kernel_goes_to_four_standard_deviations():
    point = np.zeros((41, 41), np.float32)
    point[20, 20] = 1
    assert np.flatnonzero(smoothing.gaussian(point, 2.0)[20]).tolist() == list(range(12, 29))


def test_a_sigma_of_zero_smooths_nothing():
    image = RNG.uniform(0, 1, (4, 5)).astype(np.float32)
    assert smoothing.gaussian(image, 0.0) is image


def test_a_masked_mean_is_the_ratio_of_two_and_does_not_see_what_is_masked():
    image, valid = RNG.uniform(0, 255, (40, 50)), RNG.uniform(0, 1, (40, 50)) > 0.3
    smooth = functools.partial(smoothing.gaussian, sigma_px=2.0)
    found = smoothing.masked_mean(image * valid, valid.astype(float), smooth)
    above, below = (
        ndimage.gaussian_filter(v, 2.0, mode="mirror") for v in (image * valid, valid.astype(float))
    )
    np.testing.assert_allclose(found, above / below, rtol=1e-9)
    flat = smoothing.masked_mean(np.where(valid, 7.0, 0.0), valid.astype(float), smooth)
    np.testing.assert_allclose(flat, 7.0)


def test_far_from_all_data_the_mean_fades_to_0():
    image = np.zeros((60, 60), np.float32)
    valid = np.zeros_like(image)
    image[:, :10], valid[:, :10] = 5, 1
    smooth = functools.partial(smoothing.gaussian, sigma_px=1.0)
    found = smoothing.masked_mean(image, valid, smooth)
    np.testing.assert_allclose(found[:, :10], 5)
    assert not found[:, 16:].any()
    fading = smoothing.masked_mean(image, valid, smooth, least=0.4)[0, 9:14]
    assert fading[0] == pytest.approx(5)
    assert (np.diff(fading) < 0).all()


def test_without_a_mask_the_mean_is_the_smoothed_picture():
    image = RNG.uniform(0, 255, (20, 30)).astype(np.float32)
    smooth = functools.partial(smoothing.gaussian, sigma_px=2.0)
    np.testing.assert_array_equal(smoothing.masked_mean(image, None, smooth), smooth(image))
