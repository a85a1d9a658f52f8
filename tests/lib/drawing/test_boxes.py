"""Pictures of volumes of any size, anywhere: none is empty, all calls that draw them hold together.

Rendering is replaced by its rule for sizes, ``trunc(scale * width)``; tiles have no pixels.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.correct import overlaps, shading
from scripts.export import slabs
from scripts.lib.drawing import boxes, compose
from scripts.lib.drawing.maps import Grid
from scripts.lib.geometry import Box
from scripts.lib.pages import pictures
from scripts.lib.service.records import CanvasMatches, Leaf, TileSet, TileSpec
from scripts.lib.volumes.multiscale import VolumeSpec
from scripts.report import album
from scripts.review import pictures as review_pictures
from scripts.solve import overlays
from scripts.zcorr import correlate_layers, correlation
from tests.report.fabricate import Service

MOST = 10**6
SIDES = st.integers(16, MOST)
PLACES = st.floats(-MOST, MOST)
AFFINE = "mpicbg.trakem2.transform.AffineModel2D"
few = settings(max_examples=40, deadline=None)


@st.composite
def volumes(draw):
    """Two layers of two tiles beside each other, anywhere."""
    w, h = draw(SIDES), draw(SIDES)
    x, y = draw(PLACES), draw(PLACES)
    jitter = st.floats(-0.5, 0.5)
    step = draw(st.floats(0.4, 0.7)) * w
    tiles = []
    for z in (1, 2):
        for column in (0, 1):
            dx, dy = x + column * step + draw(jitter), y + draw(jitter)
            at = Leaf(AFFINE, f"1 0 0 1 {dx!r} {dy!r}")
            name = f"t{z}.{column}"
            tiles.append(TileSpec(name, float(z), w, h, "none", (at,), column=column))
    return TileSet(tuple(tiles)).with_bounds()


@pytest.fixture(scope="module", autouse=True)
def drawn():
    """Sizes of all that was rendered; nothing is read and nothing encoded."""
    sizes = []

    def render(_placed, box, *, scale=1.0, **_):
        shape = Grid(box, scale).shape
        sizes.append(shape)
        assert min(shape) > 0
        assert shape[0] * shape[1] < 2e7
        empty = np.zeros(shape, np.float32)
        return compose.Picture(empty, np.zeros(shape, bool))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compose, "render", render)
        patch.setattr(compose, "render_whole", render)
        patch.setattr(pictures, "encode", lambda canvas, _form: str(canvas.shape))
        yield sizes


@given(st.floats(-MOST, MOST), st.floats(-MOST, MOST), st.integers(1, 2000),
       st.integers(1, 2000), st.floats(1e-4, 4))  # fmt: skip
def test_a_box_of_pixels_gives_these_pixels_wherever_it_lies(x, y, rows, columns, scale):
    assert Grid(boxes.of_pixels(x, y, rows, columns, scale), scale).shape == (rows, columns)


@given(PLACES, PLACES, st.floats(1e-3, MOST), st.floats(1e-3, MOST), st.floats(1, 1200))
def test_a_whole_box_shows_what_its_box_showed_and_never_nothing(x, y, w, h, side):
    box = Box(x, y, x + w, y + h)
    if min(box.width, box.height) <= 0:
        return
    scale = boxes.fit_scale(box, side)
    plain, shape = Grid(box, scale).shape, Grid(boxes.whole(box, scale), scale).shape
    assert shape == tuple(max(1, n) for n in plain) == boxes.shape(box, scale)


@few
@given(volumes())
def test_the_report_draws_volumes_of_any_size(tiles):
    pair = CanvasMatches("1.0", "t1.0", "1.0", "t1.1", *np.ones((2, 3, 2)), np.ones(3))
    names = album.Names(
        "a", "b", "b", "m", 1.0, tuple((step, "a", "b") for step in album.ACROSS | album.WITHIN)
    )
    shown = album.draw(Service({"a": tiles, "b": tiles}, [pair]), names, holes=[], volume=None)
    every = [one for part in shown.values() for one in part]
    assert all(one.width_px > 0 and one.height_px > 0 for one in every)
    assert len(shown["solve"]) == 4  # sections and seams


@few
@given(volumes())
def test_the_solve_draws_pairs_and_layers_of_any_size(tiles):
    row = {"p_id": "t1.0", "q_id": "t1.1", "dz": "0", "p_z": "1", "q_z": "1", "wrong": "0",
           "weight": "1", "rms_px": "1", "typical_px": "1"}  # fmt: skip
    (pair,) = overlays.draw(tiles, [row])
    (layer,) = overlays.draw_layers(tiles, [{"z": 1, "rms_px": 1.0}])
    for one in (pair, layer):
        assert 0 < min(one.colors.shape[:2]) <= max(one.colors.shape[:2]) <= overlays.SIDE_PX


@few
@given(volumes(), st.floats(0.01, 1), st.integers(16, 512), st.integers(64, 512))
def test_the_thickness_compares_pictures_of_one_size(drawn, tiles, scale, least, window):
    box = Box.around(tile.box for tile in tiles.tiles)
    settings = {"scale": scale, "min_picture_px": least, "window_px": window, "windows": 4}
    settings |= {"region_px": 512, "resin_masking": False}
    settings |= {"resin_sigma_px": 5, "resin_content_threshold": 3}
    view = correlate_layers.View.of(box, settings, 1.0)
    if view.scale * max(box.width, box.height) > 2900:
        return  # a strip as narrow as this is drawn far longer
    drawn.clear()
    placed = compose.place_layers(tiles)
    compose.render_whole(placed[1], boxes.whole(view.box, view.scale), scale=view.scale)
    assert drawn == [boxes.shape(box, view.scale)]
    assert min(correlation.thumbnail_shape(box, view.scale, 320)) > 0


@few
@given(volumes(), st.integers(2, 8))
def test_corrections_draw_layers_and_overlaps_of_any_size(tiles, picture_px):
    seen = {}

    def fit(layers, draw, _settings):
        seen[layers[0]] = draw(layers[0])
        return {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shading, "fit_range", fit)
        shading.estimate(tiles, {"given": [], "picture_px": 100 * picture_px, "range_layers": 1,
                                 "sample_layers": 1}, None)  # fmt: skip
    assert len(seen) == 2
    table = overlaps.measure(compose.place_layers(tiles), (2, 2), 1e-3 * picture_px, 255)
    assert len(table["n"]) == 0  # nothing has data


@few
@given(SIDES, SIDES)
def test_the_review_shows_tiles_of_any_size(width, height):
    for side in (review_pictures.SIDE_PX, review_pictures.PAIR_PX):
        assert 0 < min(review_pictures._size(width, height, side)) <= side


@given(st.integers(-MOST, MOST), st.integers(-MOST, MOST), st.integers(0, MOST),
       st.integers(1, 512), st.sampled_from([1, 2, 4, 8, 16]))  # fmt: skip
def test_blocks_of_preview_and_export_have_their_own_voxels(y, x, first, side, step):
    spec = VolumeSpec((9, 9, 9), (4, 4, 4), "uint8", (8.0, 8.0, 8.0), (0, y, x), 1)
    span = slice(first, first + side)
    area = slabs.area(spec, (slice(0, 1), span, span), step)
    assert Grid(area, 1 / step).shape == (side, side)
