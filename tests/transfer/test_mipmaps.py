import numpy as np
import pytest

from scripts.transfer import mipmaps


@pytest.mark.parametrize(
    ("shape", "most", "count"),
    [
        ((100, 100), 7, 5),
        ((128, 128), 7, 6),
        ((127, 300), 7, 5),
        ((6250, 1875), 7, 7),
        ((1, 1), 7, 0),
        ((1, 5000), 7, 0),
        ((128, 128), 2, 2),
        ((128, 128), 0, 0),
    ],
)
def test_level_count_follows_the_shorter_side(shape, most, count):
    assert mipmaps.level_count(*shape, most) == count


def test_each_level_is_the_rounded_mean_of_full_scale_without_odd_remainders():
    image = np.random.default_rng(0).integers(0, 256, (71, 53), np.uint8)
    for k, level in enumerate(mipmaps.levels(image, 7)):
        n = 2**k
        h, w = 71 // n, 53 // n
        blocks = image[: h * n, : w * n].reshape(h, n, w, n).astype(float)
        assert np.array_equal(level, np.floor(blocks.mean(axis=(1, 3)) + 0.5))


def test_a_white_image_stays_white_to_the_last_level():
    *_, last = mipmaps.levels(np.full((2**14, 16), 255, np.uint8), 12)
    assert last.min() == 255


def test_levels_do_not_darken():
    image = np.random.default_rng(1).integers(0, 256, (256, 256), np.uint8)
    means = [level.mean() for level in mipmaps.levels(image, 7)]
    assert np.abs(np.subtract(means, means[0])).max() < 0.15
