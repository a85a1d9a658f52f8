"""Compiled sums equal what they say in plain numpy; a fixed seed each, ends and gaps."""

import numpy as np
import pytest
from scipy import ndimage, signal

from scripts.zcorr import band_kernels, correlation, isotropy, kernels, recursion

SHAPES = [(75, 102), (61, 47)]  # even sides and odd ones


def picture(shape, seed=0, gaps=True):
    """Give noise of uint8, with pixels, a corner and a border without data."""
    rng = np.random.default_rng(seed)
    out = rng.integers(1, 256, shape, dtype=np.uint8)
    if gaps:
        out[rng.random(shape) < 0.1] = 0
        out[:9, 5:] = 0
    return out


def surroundings(shape, seed):
    return np.random.default_rng(seed).random([-(-n // 4) for n in shape]).astype(np.float32)


def grown(small, shape, factor):
    """Interpolate at the centres of pixels, `factor` to each of `small`; the ends go on."""
    places = np.meshgrid(*((np.arange(n) + 0.5) / factor - 0.5 for n in shape), indexing="ij")
    return ndimage.map_coordinates(small.astype(float), places, order=1, mode="nearest")


def test_products_of_the_brightest_pixels_do_not_overflow():
    bright = np.full(2_000_003, 255, np.uint8)
    assert kernels.products(bright, bright) == 255 * 255 * bright.size


@pytest.mark.parametrize("shape", SHAPES)
def test_region_sums_are_those_of_the_common_pixels(shape):
    a, b = picture(shape, 0), picture(shape, 1)
    rows, columns = np.array([0, 20, shape[0]]), np.array([0, 7, 8, shape[1]])
    found = kernels.regions(a, b, rows, columns)
    for r in range(2):
        for c in range(3):
            part = np.s_[rows[r] : rows[r + 1], columns[c] : columns[c + 1]]
            both = (a[part] > 0) & (b[part] > 0)
            p, q = (one[part][both].astype(int) for one in (a, b))
            wanted = [both.sum(), p.sum(), q.sum(), (p * p).sum(), (q * q).sum(), (p * q).sum()]
            assert found[r, c].tolist() == wanted


@pytest.mark.parametrize("size", [1, 4])
def test_block_means_leave_out_what_has_no_data(size):
    pixels = picture((62, 47))
    mean, share = kernels.block_means(pixels, size)
    quick = correlation._block_means(pixels, size)
    assert np.array_equal(quick, [mean, share])
    assert {one.dtype for one in quick} == {np.dtype(np.float32)}
    padded = np.pad(pixels, [(0, -n % size) for n in pixels.shape]).astype(float)
    padded[padded == 0] = np.nan
    blocks = padded.reshape(len(mean), size, -1, size)
    assert np.allclose(share, np.isfinite(blocks).mean(axis=(1, 3)))
    counts = np.maximum(np.isfinite(blocks).sum(axis=(1, 3)), 1)
    wanted = np.nansum(blocks, axis=(1, 3)) / counts
    assert np.allclose(mean, wanted, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
@pytest.mark.parametrize("shape", SHAPES)
def test_stripes_and_halves_are_means_of_what_has_data(shape):
    pixels = picture(shape)
    row, column = kernels.stripes(pixels)
    known = np.where(pixels > 0, pixels, np.nan).astype(float)
    wanted = np.nan_to_num(np.nanmean(known, axis=1))
    assert np.allclose(row, wanted, rtol=1e-6)
    left = known - wanted[:, None]
    assert np.allclose(column, np.nanmean(left, axis=0), atol=1e-4)
    half, share = kernels.halved(pixels, row, column)
    h, w = (n // 2 for n in shape)
    left = np.nan_to_num(left - column)[: 2 * h, : 2 * w].reshape(h, 2, w, 2).mean(axis=(1, 3))
    assert np.allclose(half, left, atol=1e-4)
    there = (pixels > 0)[: 2 * h, : 2 * w].reshape(h, 2, w, 2).mean(axis=(1, 3))
    assert np.array_equal(share, there)


def test_moments_are_of_what_has_data():
    rng = np.random.default_rng(0)
    share = rng.integers(0, 5, (13, 18)).astype(np.float32) / 4
    small = rng.standard_normal(share.shape).astype(np.float32) * share
    mean, square = kernels.moments(small, share)
    squares = np.divide(small * small, share, out=np.zeros_like(small), where=share > 0)
    for found, of in ((mean, small), (square, squares)):
        wanted = of[:12].reshape(6, 2, 9, 2).mean(axis=(1, 3))
        assert np.allclose(found, wanted, atol=1e-6)


def test_surroundings_are_taken_off_as_interpolated():
    rng = np.random.default_rng(0)
    shape = (37, 50)
    small, share = rng.random((2, *shape)).astype(np.float32)
    level, gain = (rng.random((18, 25)).astype(np.float32) for _ in range(2))
    wanted = (small - share * grown(level, shape, 2)) * grown(gain, shape, 2)
    kernels.evened(small, share, level, gain)
    assert np.allclose(small, wanted, atol=1e-5)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize(("each", "step"), [(1, 60), (3, 60), (4, 120)])
def test_lag_sums_are_those_of_all_pairs_of_pixels(gaps, each, step):
    """Products are summed in blocks of rows, of large layers in every fourth row."""
    pixels = picture((150, 41), gaps=gaps)
    row, column = kernels.stripes(pixels)
    level, gain = surroundings(pixels.shape, 1), 1 + surroundings(pixels.shape, 2)
    rows, columns = np.array([0, 50, 150]), np.array([0, 20, 30, 41])
    lags = isotropy.LAGS_PX
    found = kernels.lag_sums(pixels, row, column, level, gain, lags, each, 60, step, rows, columns)
    cell = np.add.outer(3 * (np.arange(150) >= 50), np.digitize(np.arange(41), columns[1:]))
    there = (pixels > 0).astype(float)
    even = pixels - row[:, None] - column - grown(level, pixels.shape, 4)
    even *= grown(gain, pixels.shape, 4) * there
    used = (np.arange(150) % step < 60) & (np.arange(150) % step % each == 0)
    for n, (x, y) in enumerate(isotropy.LAGS_PX.tolist()):
        upper = np.s_[: 150 - y, max(0, -x) : 41 - max(0, x)]
        lower = np.s_[y:, max(0, x) : 41 + min(0, x)]
        for k in range(6):
            here = used[: 150 - y, None] * (cell[upper] == k)
            wanted = (even[upper] * even[lower] * here).sum()
            assert found[0, n, k] == pytest.approx(wanted, rel=1e-4, abs=20)
            assert found[1, n, k] == (there[upper] * there[lower] * here).sum()


@pytest.mark.parametrize("complete", [False, True])
def test_bands_are_compared_over_common_pixels(complete):
    rng = np.random.default_rng(0)
    shape = (40, 51)
    inside = np.ones((2, *shape), bool) if complete else rng.random((2, *shape)) > 0.2
    a, b = rng.standard_normal((2, *shape)).astype(np.float32) * inside
    p, q = (one.astype(float) * inside.all(axis=0) for one in (a, b))
    wanted = [(p * p).sum(), (q * q).sum(), (p * q).sum()]
    wanted.append((p[:, :-1] * q[:, 1:] - p[:, 1:] * q[:, :-1]).sum())
    wanted.append((p[:-1] * q[1:] - p[1:] * q[:-1]).sum())
    wanted.append(inside.all(axis=0).sum())
    assert np.allclose(
        band_kernels.similarity(a, b, *inside, complete), wanted, rtol=1e-4, atol=1e-3
    )


def test_products_of_cells_are_over_common_pixels():
    rng = np.random.default_rng(0)
    inside = rng.random((2, 40, 51)) > 0.2
    a, b = rng.standard_normal((2, 40, 51)).astype(np.float32) * inside
    rows, columns = np.array([0, 13, 40]), np.array([0, 20, 51])
    found = band_kernels.cell_products(a, b, *inside, rows, columns)
    common = inside.all(axis=0)
    for k, cell in enumerate(
        np.s_[r, c] for r in (slice(13), slice(13, 40)) for c in (slice(20), slice(20, 51))
    ):
        p, q = (one.astype(float)[cell] * common[cell] for one in (a, b))
        wanted = [(p * p).sum(), (q * q).sum(), (p * q).sum(), common[cell].sum()]
        assert np.allclose(found[:, k], wanted, rtol=1e-4, atol=1e-3)


def test_the_tensor_is_that_of_the_slopes():
    rng = np.random.default_rng(0)
    inside = rng.random((40, 51)) > 0.1
    band = rng.standard_normal((40, 51)).astype(np.float32) * inside
    y, x = np.gradient(band.astype(float))
    around = ndimage.minimum_filter(inside, footprint=[[0, 1, 0], [1, 0, 1], [0, 1, 0]])
    x, y = ((one * around)[1:-1, 1:-1] for one in (x, y))
    wanted = np.array([(x * x).sum(), (y * y).sum(), (x * y).sum()]) * (40 * 51) / (38 * 49)
    assert np.allclose(band_kernels.tensor(band, inside), wanted, rtol=1e-4)


@pytest.mark.parametrize("way", [1, -1])
def test_a_recursion_along_layers_gives_the_bits_of_scipy(way):
    values, keep = np.random.default_rng(3).standard_normal((300, 5))[::way], np.exp(-1 / 3)
    found = recursion.decayed(values, 1 - keep, keep)
    assert np.array_equal(found, signal.lfilter([1 - keep], [1, -keep], values, axis=0))
