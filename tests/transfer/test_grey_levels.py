"""What has no part in the contrast of a layer: one tile never takes it from the others."""

import re

import numpy as np
import pytest

from scripts.transfer import contrast, grey_levels
from tests.transfer.synthetic_dat import noise

SHAPE = (60, 70)
TISSUE, SPREAD = 2500, 550


def layer(other):
    """Three tiles of tissue, and one."""
    return {f"0-{k // 2}-{k % 2}": noise(k, SHAPE, TISSUE, SPREAD) for k in range(3)} | {
        "0-1-1": other.astype(np.int16)
    }


def tissue():
    return noise(9, SHAPE, TISSUE, SPREAD)


def half(value):
    out = tissue()
    out[len(out) // 2 :] = value
    return out


def particle():
    """A thirtieth of the tile charges: bright, and of many levels."""
    out = tissue()
    out[10:20, 10:24] = noise(8, (10, 14), 26000, 1500)
    return out


def mix(other):
    """The range of the layer, and what is said of the tile."""
    _, limits, faults = contrast.to_eight_bit(layer(other))
    return limits, faults.pop("0-1-1", ""), faults


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (np.zeros(SHAPE), r"^constant \(0\): detector off\?$"),
        (np.full(SHAPE, -5000), r"^constant \(-5000\)"),
        (np.full(SHAPE, 32767), r"^constant \(32767\)"),
        (noise(5, SHAPE, 0, 3), "^no structure .spread"),
        (np.where(noise(5, SHAPE, 0, 9) > -9, 32767, tissue()), "^saturated in 8[0-9]% of its"),
        (half(0), r"^one value \(0\) in 50% of its area: beam off\?$"),
        (half(-30000), r"^one value \(-30000\) in 50%"),
        (np.random.default_rng(1).integers(-32768, 32767, SHAPE), "bytes in disorder"),
        (particle(), "^$"),
    ],
)  # fmt: skip
def test_what_shows_nothing_of_the_specimen_takes_no_contrast_from_others(other, said):
    usual, _, _ = mix(tissue())
    limits, words, others = mix(np.asarray(other))
    # three tiles instead of four; of a particle's pixels each counts as one at five sd
    ratio = (limits.black - limits.white) / (usual.black - usual.white)
    assert 0.97 < ratio < 1.15
    assert re.search(said, words)
    assert others == {}


@pytest.mark.parametrize(
    "other",
    [tissue(), noise(5, SHAPE, 3900, 130), noise(5, SHAPE, TISSUE + 8000, SPREAD),
     2 * TISSUE - tissue()],
)  # fmt: skip
def test_whatever_may_be_specimen_counts_as_published(other):
    """Tissue, bare resin, another brightness, another polarity."""
    limits, words, others = mix(other)
    pool = np.concatenate([tile.ravel() for tile in layer(other).values()]).astype(float)
    assert limits.black == pytest.approx(pool.mean() + 4 * pool.std(), abs=1e-6)
    assert limits.white == pytest.approx(pool.mean() - 4 * pool.std(), abs=1e-6)
    assert (words, others) == ("", {})


@pytest.mark.parametrize("step", [1, 16, 256])
def test_coarse_levels_are_not_stuck(step):
    """Counts of 12 bits in 16, and images of 8 bits whose noise is two levels."""
    values = (noise(3, SHAPE, 100, 2) * step).astype(np.int16)
    assert not grey_levels.stuck(contrast.histogram([values])).any()


def test_tissue_in_much_resin_is_not_drawn_in():
    """A few per cent of the pixels, ten times the noise of resin away from it, are tissue."""
    values = noise(4, SHAPE, 3900, 100)
    values[:5, :40] = noise(5, (5, 40), 2900, 300)
    counts = contrast.histogram([values])
    assert grey_levels.without_far(counts) is counts


def test_a_layer_of_dead_tiles_alone_is_converted_as_published():
    images, limits, faults = contrast.to_eight_bit({k: np.full((4, 5), 7, np.int16) for k in "ab"})
    assert np.unique(images["a"]).tolist() == [128]
    assert limits.black == limits.white == 7
    assert set(faults) == {"a", "b"}
