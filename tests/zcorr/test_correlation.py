"""Correlation: Pearson over common valid pixels, resin left out, true z kept."""

import numpy as np
import pytest
from scipy import ndimage

from scripts.lib.drawing.compose import Picture
from scripts.lib.geometry import Box
from scripts.zcorr import correlation
from scripts.zcorr.correlation import ResinMask
from tests.zcorr.synthetic import whole


def tissue(seed, shape=(120, 150)):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.standard_normal(shape), 2)
    return whole(128 + 40 * smooth / smooth.std())


def picture(pixels, mask=None):
    return Picture(pixels, np.ones(pixels.shape, bool) if mask is None else mask)


def layer(pixels, mask=None):
    mask = np.ones(pixels.shape, bool) if mask is None else mask
    return correlation.prepare(picture(pixels, mask), mask)


def test_pearson_equals_numpy_over_the_common_pixels():
    a, b = tissue(1), tissue(2)
    ma, mb = np.random.default_rng(3).random((2, *a.shape)) > 0.3
    value, share = correlation.pearson(layer(a, ma), layer(b, mb))
    both = ma & mb
    assert value == pytest.approx(np.corrcoef(a[both], b[both])[0, 1], abs=2e-6)
    assert share == pytest.approx(both.mean())


def test_pearson_ignores_gain_and_offset():
    a = tissue(1) // 3 + 1
    assert correlation.pearson(layer(a), layer(2 * a + 60))[0] == pytest.approx(1, abs=2e-6)


def test_hardly_any_common_pixel_gives_no_value():
    a = tissue(1)
    left, right = np.zeros(a.shape, bool), np.zeros(a.shape, bool)
    left[:, :60], right[:, 59:] = True, True
    value, share = correlation.pearson(layer(a, left), layer(a, right))
    assert np.isnan(value)
    assert share < 0.01


def test_flat_layers_give_no_value():
    flat = np.full((50, 50), 7, np.uint8)
    assert np.isnan(correlation.pearson(layer(flat), layer(flat))[0])


def test_resin_is_masked_and_tissue_is_not():
    pixels = tissue(1, (200, 300))
    rng = np.random.default_rng(2)
    pixels[:, :150] = whole(180 + 8 * rng.standard_normal((200, 150)))  # noise, no content
    valid = correlation.textured(picture(pixels), 1.0, ResinMask(sigma_px=40))
    assert valid[:, :100].mean() < 0.02
    assert valid[:, 200:].mean() > 0.98


def test_pixels_without_data_and_zeros_take_no_part():
    pixels = tissue(1)
    mask = np.ones(pixels.shape, bool)
    mask[:10], pixels[-10:] = False, 0
    for options in (ResinMask(), ResinMask(enabled=False)):
        valid = correlation.textured(picture(pixels, mask), 1.0, options)
        assert not valid[:10].any()
        assert not valid[-10:].any()
        assert valid[30:-30].mean() > 0.9


def test_an_empty_layer_has_no_valid_pixel():
    empty = picture(np.zeros((20, 30), np.uint8), np.zeros((20, 30), bool))
    assert not correlation.textured(empty, 0.22, ResinMask()).any()


@pytest.mark.parametrize(
    ("size", "scale"), [(8000, 0.22), (2000, 0.256), (900, 1.0), (250, 1.0), (60, 1.0)]
)
def test_small_stacks_are_correlated_at_a_larger_scale(size, scale):
    box = Box(0, 0, size, 2 * size)
    assert correlation.picture_scale(box, 0.22, 512) == pytest.approx(scale)


def test_kept_pictures_are_small_and_mark_missing_data():
    mask = np.ones((100, 200), bool)
    mask[:, :50] = False
    kept = correlation.thumbnail(picture(np.full((100, 200), 90, np.uint8) * mask, mask), 100)
    assert kept.shape == (50, 100) == correlation.thumbnail_shape(Box(0, 0, 200, 100), 1.0, 100)
    assert (kept[:, :25] == 0).all()
    assert (kept[:, 25:] == 90).all()
