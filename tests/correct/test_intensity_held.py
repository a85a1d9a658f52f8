"""Maps of grey values while a volume grows: what nobody sees is not made again."""

import numpy as np
import pytest

from scripts.correct import correct_step, intensity
from scripts.correct.evidence import Evidence, Found
from scripts.lib import array_files

GREY = 1 / 255


def found(gain, offset, z=(0, 1, 2), top=255.0, side=2):
    """Maps of one tile a layer, alike in all regions but the last."""
    n = len(z)
    maps = np.empty((n, side, side, 2))
    maps[...] = [1.1, -0.05]
    maps[:, -1, -1, 0] += gain
    maps[:, -1, -1, 1] += offset
    places = {"row": np.zeros(n, int), "column": np.zeros(n, int)}
    return Found({"top": top}, {"z": np.array(z), **places, "maps": maps})


@pytest.mark.parametrize(
    ("gain", "offset", "stays"),
    [
        (0, 0.4 * GREY, True),
        (0, -0.6 * GREY, False),
        (0.4 * GREY, 0, True),
        (0.6 * GREY, 0, False),  # white is off
        (0.6 * GREY, -0.3 * GREY, True),  # by 0.3 at both ends
    ],
)
def test_a_tile_keeps_its_map_while_no_grey_value_is_off_by_half_a_step(gain, offset, stays):
    before, now = found(0, 0), found(gain, offset)
    maps = intensity.held(now, before.arrays, 0.5).arrays["maps"]
    assert np.array_equal(maps, (before if stays else now).arrays["maps"])
    assert np.array_equal(intensity.held(now, before.arrays, 0).arrays["maps"], now.arrays["maps"])


def test_new_tiles_and_those_that_changed_get_what_was_found():
    before, now = found(0, 0, z=(0, 2, 5)), found(0, 0.1 * GREY, z=(5, 1, 0))
    now.arrays["maps"][2] += 2 * GREY
    maps = intensity.held(now, before.arrays, 0.5).arrays["maps"]
    assert np.array_equal(maps[0], before.arrays["maps"][2])
    assert np.array_equal(maps[1:], now.arrays["maps"][1:])


def test_a_grid_of_other_regions_keeps_nothing():
    now = found(0, 0.1 * GREY, side=3)
    maps = intensity.held(now, found(0, 0).arrays, 0.5).arrays["maps"]
    assert np.array_equal(maps, now.arrays["maps"])


def test_of_16_bit_the_tolerance_is_that_of_the_range_that_is_used(tmp_path):
    path = tmp_path / "16bit.npz"  # a tenth of all values, as negative as the raw ones are
    array_files.write(
        path, {"black": np.array([26214.0, 26214, np.nan]), "white": np.full(3, 19660.5)}
    )
    known = Evidence(8, 8, sixteen_bit=path)
    seen = intensity.seen_range(found(0, 0, top=65535.0), known)
    assert np.allclose(seen, (0.3, 0.4))
    assert intensity.seen_range(found(0, 0), known) == (0, 1)
    before = found(0, 0, top=65535.0)
    for grey, stays in ((0.04, True), (0.06, False)):
        now = found(0, grey * GREY, top=65535.0)
        maps = intensity.held(now, before.arrays, 0.5, seen).arrays["maps"]
        assert np.array_equal(maps, (before if stays else now).arrays["maps"])


def test_many_small_changes_do_not_add_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for wave in range(12):
        now = found(0, 0.2 * wave * GREY)
        kept = correct_step._held("intensity", now, {"regions": 2}, intensity.held, 0.5)
        off = np.abs(kept.arrays["maps"] - now.arrays["maps"]).max()
        assert off < 0.5 * GREY
    other = correct_step._held("intensity", now, {"regions": 3}, intensity.held, 0.5)
    assert np.array_equal(other.arrays["maps"], now.arrays["maps"])
