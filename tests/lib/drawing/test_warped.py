"""Tiles that a nonlinear transform moves: every pixel shows its place."""

import numpy as np
import pytest

from scripts.lib.drawing import compose, maps, mosaic, tabulated
from scripts.lib.geometry import Box
from scripts.lib.nonlinear import ThinPlateSpline, thin_plate_data
from scripts.lib.numerics.reduction import halved
from scripts.lib.service.records import Leaf, TileSet, TileSpec
from scripts.lib.transforms import AFFINE, SEM_DISTORTION_A, Affine, Chain
from scripts.solve.lattice import spline_through

W, H = 400, 300
SPLINE = "mpicbg.trakem2.transform.ThinPlateSplineTransform"
SCAN = Leaf(SEM_DISTORTION_A, "3 12 2 60 0")
TURN = Leaf(AFFINE, "0.98 0.2 -0.2 0.98 -700 90")


def _spline(size):
    nodes = np.stack(np.meshgrid(np.arange(0, W + 1, 100.0), np.arange(0, H + 1, 100.0)), -1)
    nodes = nodes.reshape(-1, 2)
    weights = np.random.default_rng(2).normal(0, size, nodes.shape)
    affine = np.column_stack([nodes, np.ones(len(nodes))])
    weights -= affine @ np.linalg.lstsq(affine, weights, rcond=None)[0]  # bends alone
    return Leaf(SPLINE, thin_plate_data(ThinPlateSpline(nodes, weights)))


def _tiles(size):
    tile = TileSpec("a", 1.0, W, H, "none", (SCAN, TURN, _spline(size)))
    return TileSet((tile,)).with_bounds()


def _ramp(axis):
    def read(spec, level):
        full = np.indices((spec.height, spec.width), dtype=np.float32)[1 - axis]
        for _ in range(level):
            full = halved(full)
        return full, None

    return read


@pytest.mark.parametrize("scale", [1.0, 0.3])
@pytest.mark.parametrize("axis", [0, 1])
def test_every_pixel_shows_its_place(scale, axis):
    tiles = _tiles(1e-4)
    (one,) = compose.place(tiles)
    box = tiles.tiles[0].box
    picture = compose.render([one], box, scale=scale, source=_ramp(axis))
    rows, columns = np.nonzero(picture.mask)
    frame = np.column_stack([columns, rows]) / scale + [box.x0, box.y0]
    raw = one.chain.undo(frame, (np.zeros(2), np.array([W, H], float)))
    assert (raw > -0.1).all()
    assert (raw < [W - 0.9, H - 0.9]).all()
    inside = (raw > 4).all(axis=1) & (raw < [W - 5, H - 5]).all(axis=1)
    assert inside.sum() > 0.9 * W * H * scale**2
    at = raw[inside, axis]
    assert np.abs(picture.pixels[rows, columns][inside] - at).max() < 0.03


def test_the_box_holds_all_pixels_and_no_more():
    tiles = _tiles(1e-4)
    (one,) = compose.place(tiles)
    box = tiles.tiles[0].box
    wide = Box(box.x0 - 50, box.y0 - 50, box.x1 + 50, box.y1 + 50)
    mask = compose.render([one], wide, source=_ramp(0)).mask
    for axis, size in ((0, box.height), (1, box.width)):
        seen = np.flatnonzero(mask.any(axis=1 - axis))
        # the border is sampled each 64 px, as render does
        assert abs(seen[0] - 50) <= 3
        assert abs(seen[-1] - (50 + size)) <= 3


def test_integers_are_drawn_as_floats_are():
    tiles = _tiles(1e-4)
    placed = compose.place(tiles)
    assert not mosaic.suits(placed, 0)


def _drawn(leaf, axis):
    """The picture of a tile in its frame, and where its pixels lie in the tile by the inverse."""
    tiles = TileSet((TileSpec("a", 1.0, W, H, "none", (leaf,)),)).with_bounds()
    (one,) = compose.place(tiles)
    box = tiles.tiles[0].box
    picture = compose.render([one], box, source=_ramp(axis))
    rows, columns = (each.ravel() for each in np.indices(picture.mask.shape))
    frame = np.column_stack([columns, rows]) + [box.x0, box.y0]
    raw = one.chain.undo(frame, (np.zeros(2), np.array([W, H], float)))
    return picture.pixels.ravel(), picture.mask.ravel(), raw


def test_a_side_that_bends_inwards_bounds_what_is_shown():
    # y moves by -0.002 (x - 200)^2: the upper corners lie 80 px above the middle of their side
    bend = Leaf("mpicbg.trakem2.transform.PolynomialTransform2D", "0 1 0 0 0 0 -80 .8 1 -.002 0 0")
    _, mask, raw = _drawn(bend, 0)
    inside = (raw >= 0).all(axis=1) & (raw <= [W - 1, H - 1]).all(axis=1)
    near = (np.abs(raw) < 0.1).any(axis=1) | (np.abs(raw - [W - 1, H - 1]) < 0.1).any(axis=1)
    assert (mask == inside)[~near].all()


def test_the_middle_of_a_window_bends_too():
    # a field of affines that moves nothing but the cell in the middle, by 6 px
    planes = np.zeros((6, 9, 9))
    planes[[0, 3]] = 1
    planes[5, 4, 4] = 6
    data = f"0 0 {W} {H} 9 9 NLinear none {' '.join(map(str, planes.ravel()))}"
    field = Leaf("org.janelia.alignment.transform.AffineWarpFieldTransform", data)
    values, mask, raw = _drawn(field, 1)
    near = mask & (np.abs(raw - [W / 2, H / 2]) < 60).all(axis=1)
    assert near.sum() > 10_000
    assert np.abs(values - raw[:, 1])[near].max() < 0.03


def test_a_spline_of_many_landmarks_is_looked_up_where_it_is_drawn():
    """As rough as a field may be: 3 px from node to node, 50 px apart."""
    nodes = np.stack(np.meshgrid(np.arange(0, W + 1, 50.0), np.arange(0, H + 1, 50.0)), -1)
    nodes = nodes.reshape(-1, 2)
    rng = np.random.default_rng(5)
    spline = spline_through(nodes, rng.uniform(-1.5, 1.5, nodes.shape))
    domain = (np.full(2, -1.0), np.array([W, H], float))
    same = tabulated.quick(spline, domain)
    assert isinstance(same, tabulated.Tabulated)
    at = rng.uniform(-1, [W, H], (2000, 2))
    assert np.abs(same.apply(at) - spline.apply(at)).max() < 0.005
    moved = spline.apply(at)
    assert np.abs(same.undo(moved, domain) - at).max() < 0.005
    few = spline_through(nodes[:20], np.zeros((20, 2)))
    assert tabulated.quick(few, domain) is few


@pytest.mark.parametrize("turn", [0.0, 0.3, 1.7])
def test_of_an_affine_the_corners_of_a_window_tell_what_of_the_tile_is_read(turn):
    c, s = np.cos(turn), np.sin(turn)
    matrix = np.array([[c, -s, 70_000.3], [s, c, -31_000.7]])
    placed = maps.Placed(TileSpec("t", 1.0, 8875, 3500, "none", ()), Chain((Affine(matrix),)))
    window = slice(11, 131), slice(3, 117)
    grid = maps.Grid(Box(70_100.5, -30_900.1, 70_300, -30_600), 1.0)
    locator = maps.locator(placed, grid, window, 0)
    corners, whole = maps.around(locator, window), locator.at(window)
    for axis in (0, 1):
        ends = [float(at[axis].flat[0]) for at in corners]
        assert (min(ends), max(ends)) == (whole[axis].min(), whole[axis].max())
