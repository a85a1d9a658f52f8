"""Tissue that grows out of resin: its border moves from layer to layer, and it does not."""

import math

import numpy as np
import pytest

from scripts.lib.drawing import bare, shifts
from scripts.lib.drawing.compose import Picture
from scripts.lib.drawing.windows import Settings
from scripts.lib.geometry import Box
from tests.solve.test_misalignment import moved, noisy, scene

SIDE = 300
PLACE = Box(0, 0, SIDE, SIDE)
SETTINGS = Settings()


def disc(image, radius, level=180.0):
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    return np.where(np.hypot(x, y) > radius, np.float32(level), image)


def draws(image):
    """What draws a picture whose first pixel lies at the origin; it has no data beyond."""

    def draw(box, scale):
        assert scale == 1
        x0, y0, w, h = (round(v) for v in (box.x0, box.y0, box.width, box.height))
        pixels, mask = np.zeros((h, w), np.float32), np.zeros((h, w), bool)
        rows, columns = np.arange(h) + y0, np.arange(w) + x0
        inside = np.ix_((rows >= 0) & (rows < SIDE), (columns >= 0) & (columns < SIDE))
        pixels[inside] = image[
            np.ix_(rows[(rows >= 0) & (rows < SIDE)], columns[(columns >= 0) & (columns < SIDE)])
        ]
        mask[inside] = True
        return Picture(pixels, mask)

    return draw


def grown(shift, radii):
    """Two layers of a disc of tissue that grows, the second moved by `shift` px in x.

    Half of what either shows is its own; resin is far brighter.
    """
    tissue, other, more = (scene(seed, SIDE) - 128 for seed in (3, 13, 23))
    first = disc(128 + 0.5 * (tissue + other), radii[0], level=200)
    second = disc(128 + 0.5 * (moved(tissue, shift, 0.0) + more), radii[1], level=200)
    return draws(noisy(first, 3, 1)), draws(noisy(second, 3, 2))


@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_a_border_that_moves_is_no_stretch_of_the_tissue(shift, monkeypatch):
    first, second = grown(shift, (80, 85))
    found = shifts.compare(first, second, PLACE, SETTINGS)
    assert found.shift_xy == pytest.approx([shift, 0.0], abs=0.25)
    assert found.scatter_px < shifts.TISSUE_MOVES_PX / 2
    assert abs(found.square_px2 - shift**2) < 0.3
    # the border alone would be taken for it
    monkeypatch.setattr(shifts, "_of_tissue", lambda found, *_: found)
    assert shifts.compare(first, second, PLACE, SETTINGS).square_px2 > shift**2 + 4


def test_whatever_fills_a_place_is_measured_as_before():
    """A stretch of 4 % is one where tissue is everywhere."""
    tissue = scene(4, SIDE)
    grid = (np.mgrid[:SIDE, :SIDE] - SIDE / 2) / 1.04 + SIDE / 2
    stretched = tissue[tuple(np.rint(grid).astype(int))]
    found = shifts.compare(draws(tissue), draws(stretched), PLACE, SETTINGS)
    place = Box(0, 0, SIDE, SIDE)
    assert bare.shown(draws(tissue), draws(stretched), place) is None
    assert found.square_px2 > 4
    assert np.isfinite(found.corner_error_px)


def test_what_tissue_alone_does_not_tell_of_a_place_stays_open(monkeypatch):
    """A small disc tells the shift; how the corners lie is as unknown as the border made it."""
    first, second = grown(1.0, (60, 65))
    found = shifts.compare(first, second, PLACE, SETTINGS)
    assert found.shift_xy == pytest.approx([1.0, 0.0], abs=0.3)
    assert not np.isfinite(found.corner_error_px)
    monkeypatch.setattr(shifts, "_of_tissue", lambda found, *_: found)
    border = shifts.compare(first, second, PLACE, SETTINGS)
    change = border.square_px2 - border.px**2
    assert change > 1
    assert found.error_px**2 > change


@pytest.mark.parametrize("radius", [30, 40])
def test_a_disc_too_small_for_windows_tells_of_no_stretch(radius):
    """Its border is all that there is: neither that layers meet is known, nor that they do not."""
    first, second = grown(0.0, (radius, radius + 5))
    found = shifts.compare(first, second, PLACE, SETTINGS)
    assert not np.isfinite(found.corner_error_px)
    if found.measured:
        assert found.px + math.sqrt(max(found.square_px2, 0.0)) < 2 * found.error_px


def test_a_stretch_of_tissue_with_gaps_is_told():
    """Most of the place is tissue: a lumen hides no step of the microscope."""
    tissue = disc(scene(4, SIDE), 400)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    tissue[np.hypot(x - 60, y - 60) < 45] = 180
    grid = (np.mgrid[:SIDE, :SIDE] - SIDE / 2) / 1.03 + SIDE / 2
    stretched = tissue[tuple(np.rint(grid).astype(int))]
    first, second = (draws(noisy(each, 3, i)) for i, each in enumerate((tissue, stretched)))
    assert bare.shown(first, second, PLACE) is not None
    found = shifts.compare(first, second, PLACE, SETTINGS)
    assert found.across.diagonal() == pytest.approx(2 * [0.03 * SIDE], abs=1.5)
    assert found.corner_error_px < 1.5


def test_bare_places_are_told_from_tissue_beside_noise():
    tissue = disc(scene(5, SIDE), 90)
    for sd in (1, 4, 10):
        found = bare.bare(Picture(noisy(tissue, sd, 6), np.ones((SIDE, SIDE), bool)))
        y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
        far, near = np.hypot(x, y) > 100, np.hypot(x, y) < 60
        assert found[far].mean() > 0.95
        assert found[near].mean() < 0.01
    assert bare.bare(Picture(np.full((40, 40), 7.0), np.ones((40, 40), bool))).all()
    assert not bare.bare(Picture(np.zeros((40, 40)), np.zeros((40, 40), bool))).any()
