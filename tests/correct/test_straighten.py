"""Straighten: the tilt goes, or the slow course; everything else stays."""

import numpy as np
import pytest

from scripts.correct import straighten
from scripts.correct.evidence import Evidence
from scripts.lib import geometry
from scripts.lib.service.records import Leaf, TileSet, TileSpec
from scripts.lib.transforms import AFFINE, SEM_DISTORTION_A, affine_data

LINEAR = {"curve": "linear", "smooth_um": 10}
SMOOTH = {"curve": "smooth", "smooth_um": 0.8}  # 100 layers of 8 nm
FACTS = Evidence(pixel_nm=8, z_nm=8)


def tilted(layers, tilt=(3.0, -2.0), course=lambda z: (0.0, 0.0), missing=()):
    tiles = []
    for z in layers:
        for column in (0, 1):
            if (z, column) in missing:
                continue
            shift = np.array(tilt) * z + course(z)
            matrix = geometry.translation(100 * column + shift[0], 50 + shift[1])
            chain = (Leaf(SEM_DISTORTION_A, "3 12 2 60 0"), Leaf(AFFINE, affine_data(matrix)))
            tiles.append(TileSpec(f"{z}-{column}", float(z), 120, 80, "none", chain, column=column))
    return TileSet(tuple(tiles)).with_bounds()


def centres(tiles):
    point = np.array([[60.0, 40.0]])
    return {t.tile_id: tiles.chain(t).apply(point)[0] for t in tiles.tiles}


def straight(tiles, settings=LINEAR):
    return straighten.apply(tiles, straighten.estimate(tiles, settings, FACTS))


def test_a_linear_lean_is_taken_out_and_the_first_layer_stays():
    tiles = tilted(range(5, 26))
    found = straighten.estimate(tiles, LINEAR, FACTS)
    assert found.parameters == {
        "curve": "linear",
        "z_first": 5.0,
        "z_last": 25.0,
        "tilt_px": [60.0, -40.0],
    }
    before, after = centres(tiles), centres(straighten.apply(tiles, found))
    assert np.allclose(after["5-0"], before["5-0"])
    for z in range(5, 26):
        assert np.allclose(after[f"{z}-0"], after["5-0"])
        assert np.allclose(after[f"{z}-1"] - after[f"{z}-0"], [100, 0])


def test_linear_leaves_curvature():
    tiles = tilted(range(0, 21), tilt=(0, 0), course=lambda z: (0.1 * z * (20 - z), 0))
    after = centres(straight(tiles))
    assert after["10-0"][0] - after["0-0"][0] == pytest.approx(10)


@pytest.mark.parametrize("settings", [LINEAR, SMOOTH])
def test_an_upright_stack_stays_as_it_is(settings):
    tiles = tilted(range(30), tilt=(0, 0))
    after = centres(straight(tiles, settings))
    assert all(np.allclose(after[k], v, atol=1e-6) for k, v in centres(tiles).items())


def test_smooth_takes_the_slow_course_out_and_leaves_fast_waves():
    slow, fast = 30.0, 0.5
    wave = 2 * np.pi

    def course(z):
        return slow * np.sin(wave * z / 1000), fast * np.sin(wave * z / 15)

    tiles = tilted(range(0, 600, 3), course=course)
    after = centres(straight(tiles, SMOOTH))
    path = np.array([after[f"{z}-0"] for z in range(0, 600, 3)]) - after["0-0"]
    # bounding boxes are whole px: a path of them is good to a px
    assert np.abs(path[20:-20, 0] - path[20:-20, 0].mean()).max() < 2.0
    assert np.ptp(path[20:-20, 1]) > 1.2 * fast


def test_smooth_is_not_moved_by_a_missing_tile():
    whole = tilted(range(40), tilt=(1, 0))
    holed = tilted(range(40), tilt=(1, 0), missing={(z, 1) for z in range(10, 20)})
    a, b = centres(straight(whole, SMOOTH)), centres(straight(holed, SMOOTH))
    assert all(np.allclose(b[key], a[key], atol=0.5) for key in b)


def test_smoothing_has_the_stated_response_and_keeps_lines():
    z = np.arange(0.0, 2000)
    waves = np.column_stack([np.sin(2 * np.pi * z / length) for length in (50, 100, 1000)])
    line = 3 + 0.2 * z[:, None]
    out = straighten.smoothed(z, waves, 100)
    middle = slice(500, 1500)
    height = out[middle].std(axis=0) / waves[middle].std(axis=0)
    assert np.allclose(height, [1 / 17, 0.5, 1], atol=0.02)
    kept = np.delete(np.arange(2000), np.arange(300, 340))
    assert np.allclose(straighten.smoothed(z[kept], line[kept], 100), line[kept], atol=1e-6)


def test_scan_correction_is_kept_and_bounds_are_derived():
    tiles = tilted(range(4))
    after = straight(tiles)
    assert all(len(t.transforms) == 2 for t in after.tiles)
    assert after.tiles[0].transforms[0] == tiles.tiles[0].transforms[0]
    assert after.tiles[-1].box.x0 == tiles.tiles[1].box.x0


def test_missing_layers_count_by_true_z():
    after = centres(straight(tilted([1, 2, 9])))
    assert np.allclose(after["2-0"], after["1-0"])


def test_one_layer_cannot_be_straightened():
    with pytest.raises(ValueError, match="two layers"):
        straighten.estimate(tilted([3]), LINEAR, FACTS)


@pytest.mark.parametrize("settings", [LINEAR, SMOOTH])
def test_while_a_volume_grows_layers_stay_where_they_were_put(settings):
    first = straighten.estimate(tilted(range(200)), settings, FACTS)
    # ten more layers, the last of which lie a pixel off: boxes are of whole pixels
    grown = tilted(range(210), course=lambda z: (min(0.0, 0.01 * (199 - z)), 0.0))
    found = straighten.estimate(grown, settings, FACTS)
    held = straighten.held(found, first.arrays, 0.02)
    shift = held.arrays["shift_px"]
    # a smooth curve bends near its old end, beyond the tolerance in the last layers
    assert np.array_equal(shift[:190], first.arrays["shift_px"][:190])
    steps = np.diff(shift, axis=0) - np.diff(found.arrays["shift_px"], axis=0)
    assert np.abs(steps).max() < 0.02
    new = np.diff(found.arrays["shift_px"], axis=0)[199:]
    assert np.allclose(np.diff(shift, axis=0)[199:], new)
    again = straighten.held(found, first.arrays, 0)
    assert np.array_equal(again.arrays["shift_px"], found.arrays["shift_px"])


def bent(layers):
    """Layers whose drift gets faster: a line through them turns by 0.2 px a layer with 100 more."""
    return tilted(range(layers), tilt=(0, 0), course=lambda z: (0.002 * z * z, 0.0))


def test_layers_keep_the_line_they_were_drawn_with_and_new_ones_follow_the_newest():
    published = straighten.estimate(bent(200), LINEAR, FACTS)
    for layers in (250, 300):
        found = straighten.estimate(bent(layers), LINEAR, FACTS)
        held = straighten.held(found, published.arrays, 0.02)
        before, shift = published.arrays["shift_px"], held.arrays["shift_px"]
        assert np.array_equal(shift[: len(before)], before)
        steps = np.diff(found.arrays["shift_px"], axis=0)
        assert np.allclose(np.diff(shift, axis=0)[len(before) - 1 :], steps[0])
        published = held
    ended = straighten.held(found, published.arrays, 0)
    assert np.array_equal(ended.arrays["shift_px"], found.arrays["shift_px"])


def test_all_layers_go_to_the_newest_line_when_one_would_leave_the_frame():
    tiles = bent(300)
    assert straighten.room(tiles) == pytest.approx(0.05 * 80)  # of layers of 220 x 80 px
    published = straighten.estimate(bent(200), LINEAR, FACTS).arrays
    found = straighten.estimate(tiles, LINEAR, FACTS)
    # 0.2 px for each of 199 layers
    assert straighten.held(found, published, 0.02, room_px=39) is found
    held = straighten.held(found, published, 0.02, room_px=41).arrays["shift_px"]
    assert np.array_equal(held[:200], published["shift_px"])


def test_a_lean_that_can_be_seen_is_taken_out_though_the_volume_grows():
    first = straighten.estimate(tilted(range(200)), LINEAR, FACTS)
    leaning = tilted(range(210), tilt=(3.5, -2.0))
    found = straighten.estimate(leaning, LINEAR, FACTS)
    room = straighten.room(leaning)
    shift = straighten.held(found, first.arrays, 0.02, room_px=room).arrays["shift_px"]
    assert np.allclose(np.diff(shift, axis=0)[10:], [-3.5, 2.0], atol=0.01)
