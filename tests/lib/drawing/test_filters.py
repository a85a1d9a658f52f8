"""Filters on tile specs: what each keeps, what it removes, and what a mipmap level changes."""

import numpy as np
import pytest
from scipy import ndimage

from scripts.lib.drawing import compose, filters
from scripts.lib.numerics.reduction import halved
from scripts.lib.service.records import TileSet, TileSpec
from scripts.render_ws import model
from tests.export.synthetic import tile as stored_tile

H, W = 150, 211  # neither even nor products of small primes


def tile(*found, width=W, height=H):
    return filters.with_filters(TileSpec("t", 1.0, width, height, "none", ()), found)


def tissue(shape=(H, W), seed=5, sigma=2.5):
    """Isotropic structure of sd 25 around 120."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), sigma)
    return (120 + 25 * noise / noise.std()).astype(np.float32)


def curtains(shape=(H, W), seed=6, sd=6.0):
    """Vertical streaks: constant down the columns."""
    row = ndimage.gaussian_filter1d(np.random.default_rng(seed).standard_normal(shape[1]), 1.0)
    row = row - ndimage.gaussian_filter1d(row, 12)
    return np.broadcast_to(sd * row / row.std(), shape).astype(np.float32)


def correlation(a, b):
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


STREAKS = filters.streaks(0.006, 0.003, 0.0)
IDENTITIES = {
    "shading": filters.shading([0.0] * 9),
    "intensity": filters.intensity(np.dstack([np.ones((3, 4)), np.zeros((3, 4))]), 255),
    "gain": filters.intensity(np.array([[[1.0, 0.0]]]), 65535),
    "streaks": filters.streaks(0.006, 0.0, 0.0),
    "background": filters.background(0, 0.1, "gaussian"),
}


@pytest.mark.parametrize("name", IDENTITIES)
def test_identity_parameters_change_no_bit(name):
    image = tissue()
    assert np.array_equal(filters.apply_filters(image, tile(IDENTITIES[name])), image)


@pytest.mark.parametrize(
    "each",
    [
        STREAKS,
        filters.streaks(0.006, 0.003, 30.0),
        filters.background(20, 0.2, "gaussian"),
        filters.background(20, 0.2, "median"),
    ],
)
def test_streak_and_background_filters_keep_the_mean(each):
    image = tissue()
    after = filters.apply_filters(image, tile(each))
    assert not np.allclose(after, image, atol=0.1)
    assert abs(after.mean(dtype=float) - image.mean(dtype=float)) < 1e-3


@pytest.mark.parametrize("method", ["gaussian", "median"])
def test_a_slow_field_goes_to_a_fifth_and_structures_smaller_than_the_radius_stay(method):
    clean = tissue(sigma=1.5)
    y, x = np.mgrid[0:H, 0:W]
    field = 30 * np.cos(2 * np.pi * x / 400 + 0.4) + 0.15 * (y - H / 2)
    spoiled = (clean + field).astype(np.float32)
    after = filters.apply_filters(spoiled, tile(filters.background(12, 0.5, method)))
    left = ndimage.gaussian_filter(after - clean, 12)
    assert left.std() < 0.2 * field.std()
    assert correlation(after, clean) > 0.97 > correlation(spoiled, clean)


@pytest.mark.parametrize("shape", [(403, 301), (301, 403), (640, 128)])
@pytest.mark.parametrize("angle", [0.0, 90.0])
def test_streaks_go_and_structures_stay_at_any_tile_size(shape, angle):
    shape = shape if angle == 0 else shape[::-1]
    clean = tissue(shape, sigma=1.5)
    streak = curtains(shape) if angle == 0 else curtains(shape[::-1]).T
    each = tile(filters.streaks(0.01, 0.001, angle), width=shape[1], height=shape[0])
    after = filters.apply_filters(clean + streak, each)
    # the streaks alone, so that what goes of the tissue does not count
    left = filters.apply_filters(streak, each)
    assert left.std() < 0.25 * streak.std()
    assert correlation(after, clean) > correlation(clean + streak, clean)
    assert correlation(filters.apply_filters(clean, each), clean) > 0.99


def test_an_oblique_streak_needs_its_own_angle():
    y, x = np.indices((H, W))
    wave = np.sin(2 * np.pi * 0.1 * (x * np.cos(0.5) - y * np.sin(0.5)))
    streak = (6 * wave).astype(np.float32)
    left = {
        angle: filters.apply_filters(streak, tile(filters.streaks(0.01, 0.006, angle))).std()
        for angle in (np.rad2deg(0.5), 0.0)
    }
    assert left[np.rad2deg(0.5)] < 0.25 * streak.std()
    assert left[0.0] > 0.9 * streak.std()


def test_the_spectrum_is_cut_as_the_formula_says():
    # a wave of the full tile: its amplitude is the mask's value at its frequency
    x = np.arange(200)
    wave = np.broadcast_to(np.cos(np.pi * (x + 0.5) * 4 / 200), (100, 200)).astype(np.float32)
    cutoff = 0.01  # the wave has 0.01 cycles per px, along v it has none
    after = filters.apply_filters(
        wave, tile(filters.streaks(cutoff, 0.02, 0), width=200, height=100)
    )
    assert np.allclose(after, wave * np.exp(-0.5), atol=0.01)


def test_the_reference_data_string_means_the_same_frequencies():
    example = filters.Filter(
        filters.STREAKS, {"dataString": "4621,8190,35,8,0.0"}
    )  # of 9240 x 8190 bins
    image = tissue() + curtains()
    ours = filters.streaks(35 / 9240, 8 / 8190, 0.0)
    a, b = (filters.apply_filters(image, tile(each)) for each in (example, ours))
    assert np.allclose(a, b, atol=0.01)


def test_the_local_variant_leaves_places_without_streaks_alone():
    shape = (403, 301)
    clean = tissue(shape, sigma=1.5)
    streak = curtains(shape, sd=12).copy()
    streak[:, 150:] = 0
    size = {"width": shape[1], "height": shape[0]}
    local = tile(filters.streaks(0.01, 0.001, 0.0, local=(3.0, 12.0, 0.1)), **size)
    smooth = tile(filters.streaks(0.01, 0.001, 0.0), **size)
    after, everywhere = (filters.apply_filters(clean + streak, each) for each in (local, smooth))
    assert np.abs(after - clean)[:, 180:].mean() < 0.1 * np.abs(everywhere - clean)[:, 180:].mean()
    assert correlation(after, clean) > correlation(clean + streak, clean)


@pytest.mark.parametrize("count", [6, 9])
def test_a_shading_is_subtracted_exactly(count):
    values = np.random.default_rng(count).uniform(-10, 10, count)
    x = 2 * np.arange(W) / W - 1
    y = (2 * np.arange(H) / H - 1)[:, None]
    terms = [1 + 0 * x * y, y + 0 * x, x + 0 * y, y**2 + 0 * x, x * y, x**2 + 0 * y]
    terms += [y**4 + 0 * x, x**2 * y**2, x**4 + 0 * y]
    shade = sum(v * t for v, t in zip(values, terms, strict=False))
    image = tissue()
    after = filters.apply_filters(image + shade.astype(np.float32), tile(filters.shading(values)))
    assert np.abs(after - image).max() < 1e-3


def test_intensity_maps_are_interpolated_between_region_centres():
    gain_offset = np.zeros((1, 2, 2))
    gain_offset[0, :, 0] = 1.0, 2.0
    gain_offset[0, :, 1] = 0.0, 10 / 255
    image = np.full((10, 100), 50, np.float32)
    after = filters.apply_filters(
        image, tile(filters.intensity(gain_offset, 255), width=100, height=10)
    )
    assert after[0, 0] == pytest.approx(50)
    assert after[0, -1] == pytest.approx(110)
    assert after[5, 49:51].mean() == pytest.approx(50 * 1.5 + 5)


def test_sixteen_bit_maps_scale_offsets_by_65535():
    each = filters.intensity(np.array([[[0.5, 0.25]]]), 65535)
    after = filters.apply_filters(np.full((4, 5), 1000, np.uint16), tile(each))
    assert after.dtype == np.uint16
    assert np.all(after == 500 + 16384)


def test_integers_are_rounded_and_clipped_once_at_the_end():
    up = filters.intensity(np.array([[[1.0, 0.9]]]), 255)
    down = filters.intensity(np.array([[[1.0, -0.9]]]), 255)
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    small = {"width": 16, "height": 16}
    assert np.array_equal(filters.apply_filters(image, tile(up, down, **small)), image)
    assert filters.apply_filters(image, tile(up, **small)).max() == 255


def test_several_filters_travel_in_a_composite_in_their_order():
    found = (STREAKS, IDENTITIES["shading"], filters.background(9, 0.5, "median"))
    spec = tile(*found)
    assert spec.extra["filterSpec"]["className"] == filters.COMPOSITE
    back = TileSpec.from_json(model.tile_spec(spec.to_json()))
    assert filters.filters_of(back) == found
    assert filters.filters_of(filters.with_filters(back, ())) == ()
    assert filters.filters_of(filters.appended(back, STREAKS)) == (*found, STREAKS)


def test_an_unknown_filter_is_refused_by_name():
    spec = tile(filters.Filter("org.example.Blur", {}))
    with pytest.raises(ValueError, match=r"tile t: .*org.example.Blur.*LinearIntensityMap8Bit"):
        filters.apply_filters(tissue(), spec)


@pytest.mark.parametrize(
    "each",
    [
        STREAKS,
        filters.shading([3, -8, 5, 4, 2, -6, 1, 3, -2.0]),
        filters.intensity(np.random.default_rng(1).uniform(0.8, 1.1, (3, 5, 2)) - [0, 1], 255),
        filters.background(40, 0.25, "gaussian"),
    ],
)
def test_a_level_is_filtered_like_the_full_picture(each):
    image = tissue((192, 256), sigma=5) + curtains((192, 256), sd=3)
    spec = tile(each, width=256, height=192)
    level = halved(halved(filters.apply_filters(image, spec)))
    own = filters.apply_filters(halved(halved(image)), spec, 2)
    changed = np.abs(level - halved(halved(image))).mean()
    assert np.abs(own - level).mean() < 0.12 * changed + 0.05


@pytest.mark.parametrize("level", [0, 2])
def test_pointwise_filters_give_a_part_of_a_tile_as_they_give_the_whole(level):
    chain = (
        filters.shading([3, -8, 5, 4, 2, -6, 1, 3, -2.0]),
        filters.intensity(np.random.default_rng(1).uniform(0.8, 1.1, (3, 5, 2)) - [0, 1], 255),
    )
    spec, image = tile(*chain), tissue((H >> level, W >> level))
    part = (slice(11, 30), slice(7, 40))
    whole = filters.apply_filters(image, spec, level)
    assert filters.pointwise(spec)
    assert not filters.pointwise(tile(*chain, STREAKS))
    found = filters.apply_filters(image[part], spec, level, (11, 7))
    assert np.abs(found - whole[part]).max() < 1e-3


def test_composing_shows_the_filtered_tile(tmp_path):
    spec = stored_tile(tmp_path, 1, 0, lambda x, y, z: 100 + 0 * x)
    brighter = filters.appended(spec, filters.intensity(np.array([[[1.0, 20 / 255]]]), 255))
    for each, value in ((spec, 100), (brighter, 120)):
        tiles = TileSet((each,)).with_bounds()
        picture = compose.render(compose.place(tiles), tiles.tiles[0].box)
        assert np.allclose(picture.pixels[picture.mask], value, atol=1e-3)
