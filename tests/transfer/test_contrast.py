import hashlib
from math import sqrt

import numpy as np
import pytest

from scripts.lib.job import UserError
from scripts.lib.names import parse_layer
from scripts.transfer import contrast, dat
from scripts.transfer.contrast import Fill, Range
from tests.transfer.synthetic_dat import noise


def by_formula(pixels, pool):
    """The published formula on plain arrays."""
    good = pool[(pool >= -32765) & (pool < 32764)].astype(float)
    a = min(good.mean() + 4 * good.std(), 32767)
    b = max(good.mean() - 4 * good.std(), -32768)
    v = 255 * (pixels.astype(float) - a) / (b - a) + 0.5
    return np.where(v <= -1, 0, np.where(v >= 256, 255, np.trunc(v.clip(0, 255)))).astype(np.uint8)


@pytest.mark.real
@pytest.mark.parametrize(
    ("channel", "digest", "black", "white"),
    [
        (0, "cb442e9436089fef5edb996d4423597de7050371573635d11e33700d3c22ed8f",
         5357.739321290245, -688.6049212902453),
        (1, "b561c65adf948b69", 412.29154176641896, -5098.117941766419),
    ],
)  # fmt: skip
def test_the_sample_gives_the_published_range_and_checksum(sample, channel, digest, black, white):
    pixels = dat.parse(sample.read_bytes(), "x").pixels[:, :, channel]
    images, limits, _ = contrast.to_eight_bit({"0-0-1": pixels})
    assert hashlib.sha256(images["0-0-1"].tobytes()).hexdigest().startswith(digest)
    assert limits.black == pytest.approx(black, abs=1e-9)
    assert limits.white == pytest.approx(white, abs=1e-9)


def test_tiles_of_different_sizes_share_one_range_of_their_pooled_pixels():
    a, b = noise(0, (40, 50), 2000, 300), noise(1, (30, 20), 500, 900)
    pool = np.concatenate([a.ravel(), b.ravel()])
    images, _, _ = contrast.to_eight_bit({"a": a, "b": b})
    assert np.array_equal(images["a"], by_formula(a, pool))
    assert np.array_equal(images["b"], by_formula(b, pool))


def test_order_of_tiles_and_byte_order_do_not_matter():
    a, b = noise(2, (30, 30)[:2]), noise(3, (30, 30))
    one, _, _ = contrast.to_eight_bit({"a": a, "b": b})
    two, _, _ = contrast.to_eight_bit({"b": b.astype(">i2"), "a": a.astype(">i2")})
    assert all(np.array_equal(one[k], two[k]) for k in "ab")


def test_saturated_pixels_do_not_count_and_end_at_the_ends():
    a = noise(4, (60, 60), 0, 300)
    clean, limits, _ = contrast.to_eight_bit({"a": a})
    a[:10], a[10:20] = 32767, -32768
    images, after, _ = contrast.to_eight_bit({"a": a})
    assert images["a"][:10].max() == 0
    assert images["a"][10:20].min() == 255
    assert abs(after.black - limits.black) < 50
    assert np.abs(images["a"][20:].astype(int) - clean["a"][20:]).max() <= 3


def test_statistics_are_exact_where_floats_would_round():
    counts = np.zeros(65536, np.int64)
    counts[30000], counts[30001] = 3 * 10**8, 10**8
    limits = contrast.stretch(counts)
    assert limits.black == pytest.approx(30000.25 + 4 * sqrt(0.1875), abs=1e-9)


@pytest.mark.parametrize(("raw", "grey"), [(1234, 128), (-7, 128), (32767, 0), (-32768, 255)])
def test_a_constant_layer_is_mid_grey_and_a_saturated_one_is_at_its_end(raw, grey):
    images, _, _ = contrast.to_eight_bit({"a": np.full((4, 5), raw, np.int16)})
    assert np.unique(images["a"]).tolist() == [grey]


def test_a_constant_layer_with_saturated_spots_keeps_their_sign():
    assert contrast.table(Range(10.0, 10.0))[[10, 32767, 32768]].tolist() == [128, 0, 255]


def test_the_range_stays_within_sixteen_bits():
    half = np.repeat([-32700, 32700], 500).reshape(10, 100).astype(np.int16)
    _, limits, _ = contrast.to_eight_bit({"a": half})
    assert (limits.black, limits.white) == (32767.0, -32768.0)


def test_eight_bit_images_are_stretched_and_inverted_by_their_own_range():
    deep = noise(5, (20, 20), 3000, 400)
    shallow = ((deep.astype(int) + 32768) >> 8).astype(np.uint8)[::-1]
    images, limits, _ = contrast.to_eight_bit({"b": shallow, "a": deep})
    alone, own, _ = contrast.to_eight_bit({"b": shallow})
    assert list(images) == ["b", "a"]
    assert np.array_equal(images["b"], alone["b"])
    assert np.array_equal(images["b"], by_formula(shallow, shallow))
    assert (own.black, own.white) != (limits.black, limits.white)
    assert limits == contrast.to_eight_bit({"a": deep})[1]


def test_a_fill_of_an_eight_bit_tile_may_put_in_any_count():
    fill = Fill(("a",), 0, 0, 5, 5, threshold=-1, value=-300)
    images, _, _ = contrast.to_eight_bit({"a": np.full((9, 9), 40, np.uint8)}, [fill])
    assert images["a"][0, 0] == images["a"].max() > images["a"][8, 8]


@pytest.mark.parametrize("kind", [np.int16, np.uint8])
def test_layers_whose_contrast_is_kept_are_the_negative_of_others(kind):
    pixels = np.random.default_rng(8).integers(20, 230, (30, 40)).astype(kind)
    negative, limits, _ = contrast.to_eight_bit({"a": pixels})
    kept, own, _ = contrast.to_eight_bit({"a": pixels}, invert=False)
    assert np.abs(kept["a"].astype(int) + negative["a"] - 255).max() <= 1
    assert (own.black, own.white) == (limits.white, limits.black)


@pytest.mark.parametrize(("raw", "grey"), [(7, 128), (32767, 255), (-32768, 0)])
def test_layers_without_extent_are_kept_too(raw, grey):
    images, _, _ = contrast.to_eight_bit({"a": np.full((4, 5), raw, np.int16)}, invert=False)
    assert np.unique(images["a"]).tolist() == [grey]


@pytest.mark.parametrize(
    ("first", "last", "holds"),
    [(None, None, "abc"), ("b", None, "bc"), (None, "b", "ab"), ("b", "b", "b")],
)
def test_kept_layers_are_a_range_of_time_with_its_ends(first, last, holds):
    names = {k: f"Merlin-6281_24-03-07_10111{i}" for i, k in enumerate("abc")}
    ends = {"first_dat": names.get(first), "last_dat": last and f"{names[last]}_0-0-0.dat"}
    (kept,) = contrast.kept([ends])
    assert "".join(k for k, name in names.items() if kept.holds(parse_layer(name))) == holds


def test_a_kept_range_that_names_no_layer_is_told_by_its_key():
    words = r"transfer.keep_contrast\[1\].last_dat: 'x' is no layer id"
    with pytest.raises(UserError, match=words):
        contrast.kept([{}, {"last_dat": "x"}])


def test_a_fill_hides_a_bright_patch_of_its_tile_alone():
    a, b = noise(6, (50, 50), 0, 100), noise(7, (50, 50), 0, 100)
    bright = a.copy()
    bright[10:20, 5:25] = 30000
    fill = Fill(("a",), x_px=5, y_px=10, width_px=20, height_px=10, threshold=5000, value=0)
    images, limits, _ = contrast.to_eight_bit({"a": bright, "b": b}, [fill])
    assert limits.black < 500
    assert np.array_equal(images["a"][30:], contrast.convert(a[30:], contrast.table(limits)))
    assert bright.max() == 30000
