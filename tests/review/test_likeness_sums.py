"""What comparisons of tiles leave out for speed changes nothing: against the long way."""

import cv2
import numpy as np
import pytest
from scipy import ndimage

from scripts.review import likeness
from scripts.review.likeness import GRID, REACH, Look


def seen(shape, seed=0, hidden=None):
    """A tile of tissue of unit sd; without its rows from `hidden` on."""
    band = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 2)
    valid = np.ones(shape, bool)
    valid[hidden:] = hidden is None
    return Look((np.where(valid, band, 0) / band.std()).astype(np.float32), valid)


def test_the_cross_correlation_is_that_of_pictures_with_nothing_around_them():
    a, b = seen((61, 97), 1), seen((61, 97), 2)
    size = (122, 194)
    field = np.fft.irfft2(np.conj(np.fft.rfft2(a.band, size)) * np.fft.rfft2(b.band, size), size)
    reach = [int(REACH * n) for n in (61, 97)]
    near = field[np.ix_(*(np.arange(-n, n + 1) for n in reach))]
    found = likeness._cross_correlation(a, b)
    assert found == pytest.approx(near, abs=1e-5 * float(np.abs(near).max()))


@pytest.mark.parametrize("away", [(30, -50), (-33, 0)])
def test_a_shift_up_to_the_reach_is_found_and_tiles_of_two_sizes_are_compared(away):
    big = seen((260, 360))
    a, b = (
        Look(big.band[80 + y :, 120 + x :][:h, :w], big.valid[:h, :w])
        for (y, x), (h, w) in (((0, 0), (100, 150)), (away, (104, 148)))
    )
    assert likeness.shift_between(b, a) == pytest.approx(away[::-1], abs=0.2)


def blurred(a, b, valid, ys, xs):
    """Correlations in windows around every pixel, read where they are asked for."""
    size = tuple(max(9, n // GRID) for n in a.shape[::-1])
    means = (cv2.blur(one.astype(np.float32), size) for one in (valid, a, b, a * a, b * b, a * b))
    share, mean_a, mean_b, aa, bb, ab = (one.astype(float) for one in means)
    there = np.maximum(share, 1e-6)
    var_a, var_b = aa / there - (mean_a / there) ** 2, bb / there - (mean_b / there) ** 2
    found = (ab / there - mean_a * mean_b / there**2) / np.sqrt(np.maximum(var_a * var_b, 1e-12))
    found = np.where(np.minimum(var_a, var_b) < 0.01, 0, found)
    found = np.pad(np.where(share < 0.5, np.nan, found), 300, constant_values=np.nan)
    return found[np.ix_(np.rint(ys).astype(int) + 300, np.rint(xs).astype(int) + 300)]


@pytest.mark.parametrize("shape", [(61, 130), (96, 96)])
def test_correlations_of_windows_are_those_around_every_pixel(shape):
    a, b = seen(shape, 1), seen(shape, 2, hidden=50)
    valid = a.valid & b.valid
    mixed = np.where(valid, 0.6 * a.band + 0.8 * b.band, 0).astype(np.float32)
    ys, xs = (likeness._centres(n) for n in shape)
    grids = [(ys, xs), (ys - 8.3, xs + 21.7)]
    found = likeness._local_correlations(a.band, mixed, valid, grids)
    one = np.where(valid, a.band, 0)
    for values, grid in zip(found, grids, strict=True):
        assert values == pytest.approx(blurred(one, mixed, valid, *grid), abs=1e-4, nan_ok=True)


def test_rows_displaced_in_a_large_tile_are_measured_at_a_small_scale():
    a, b = seen((410, 700)), seen((410, 700))
    assert a.small.shape == (205, 350)
    b.band[230:] = np.roll(b.band[230:], 16, axis=1)
    found = likeness.band_shifts(a, b, likeness.shift_between(a, b))
    jump = found[-1] - found[0]
    assert jump == pytest.approx([16, 0], abs=0.3)
    assert likeness.displaced({d: found for d in (-1, 1)})[0] == pytest.approx(16, abs=0.3)
