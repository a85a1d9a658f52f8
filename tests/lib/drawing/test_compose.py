"""The one rendering path: positions, masks, blending. Images are ramps that hold coordinates."""

import math
from dataclasses import replace

import h5py
import numpy as np
import pytest

from scripts.lib import geometry
from scripts.lib.drawing import compose, filters, maps, masks, mosaic, pixels
from scripts.lib.drawing.compose import Placed
from scripts.lib.geometry import Box
from scripts.lib.numerics.reduction import halved
from scripts.lib.service.records import Leaf, Ref, TileSet, TileSpec
from scripts.lib.transforms import AFFINE, SEM_DISTORTION_A, affine_data, parse

W, H = 240, 200
SCANS = ["3 12 2 60 0", "19.4 64.8 24.4 972.0 0", "2 30 1 200 1"]


def tile(tile_id="a", affine=None, scan=None, mask_url=None, w=W, h=H):
    leaf = Leaf(AFFINE, affine_data(geometry.identity() if affine is None else affine))
    chain = (Ref("scan"), leaf) if scan else (leaf,)
    return TileSpec(tile_id, 1.0, w, h, "none", chain, mask_url=mask_url)


def tile_set(*tiles, scan=None):
    return TileSet(tiles, {"scan": Leaf(SEM_DISTORTION_A, scan)} if scan else {})


def ramp(axis):
    """A source whose pixel values are raw full-scale x (axis 0) or y (axis 1)."""

    def read(spec, level):
        full = np.indices((spec.height, spec.width), dtype=np.float32)[1 - axis]
        for _ in range(level):
            full = halved(full)
        mask = masks.read(spec.mask_url, (spec.height, spec.width), level)
        return full, mask

    return read


def random_affine(rng, shift=300.0):
    angle = rng.uniform(-0.2, 0.2)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    linear = turn @ (np.eye(2) + rng.uniform(-0.05, 0.05, (2, 2)))
    return np.column_stack([linear, rng.uniform(-shift, shift, 2)])


@pytest.mark.parametrize("scale", [1.7, 1.0, 0.7, 0.5, 0.31, 0.25, 0.1])
@pytest.mark.parametrize("scan", [None, *SCANS])
def test_every_output_pixel_shows_its_place_within_a_fiftieth_pixel(scan, scale):
    rng = np.random.default_rng(len(str(scan)) + int(100 * scale))
    level = pixels.level_for(scale)
    for _ in range(4):
        tiles = tile_set(tile(affine=random_affine(rng), scan=scan), scan=scan).with_bounds()
        box = tiles.tiles[0].box
        box = Box(box.x0 + rng.random(), box.y0 + rng.random(), box.x1, box.y1)
        placed = compose.place(tiles)
        x, y = (compose.render(placed, box, scale=scale, source=ramp(k)) for k in (0, 1))
        raw = np.stack([x.pixels, y.pixels], axis=-1)[x.mask]
        rows, columns = np.nonzero(x.mask)
        world = np.column_stack([columns, rows]) / scale + [box.x0, box.y0]
        # half a level pixel inside the tile nothing is clamped
        near = (1 << level) / 2
        clear = ((raw > near) & (raw < np.array([W, H]) - 1 - near)).all(axis=1)
        error = np.abs(placed[0].chain.apply(raw.astype(float)) - world).max(axis=1)
        assert clear.sum() > 0.6 * W * H * scale**2
        assert error[clear].max() < 0.02


def test_size_is_truncated_and_pixel_zero_is_the_corner_of_the_box():
    picture = compose.render(
        compose.place(tile_set(tile())), Box(10, 20, 109.9, 70), scale=0.5, source=ramp(0)
    )
    assert picture.pixels.shape == (25, 49)
    assert picture.pixels[3, 0] == pytest.approx(10)
    assert picture.pixels[3, 7] == pytest.approx(24)


def test_nothing_is_shown_beyond_the_first_and_last_pixel_centre():
    placed = compose.place(tile_set(tile(affine=geometry.translation(5.5, 3))))
    picture = compose.render(placed, Box(0, 0, 300, 260), source=ramp(0))
    rows, columns = np.nonzero(picture.mask)
    assert (columns.min(), columns.max()) == (6, 5 + W - 1)
    assert (rows.min(), rows.max()) == (3, 3 + H - 1)
    assert not picture.pixels[~picture.mask].any()


def test_an_empty_box_and_a_far_tile_give_an_empty_mask():
    placed = compose.place(tile_set(tile()))
    assert not compose.render(placed, Box(900, 900, 950, 930), source=ramp(0)).mask.any()
    assert compose.render(placed, Box(5, 5, 5, 9), source=ramp(0)).pixels.shape == (4, 0)
    assert not compose.render([], Box(0, 0, 9, 9)).mask.any()


def test_masked_pixels_take_no_part():
    url = f"mask://outside-box?minX=50&minY=20&maxX={W}&maxY={H}&width={W}&height={H}"
    placed = compose.place(
        tile_set(tile(affine=geometry.translation(0.25, 0), mask_url=url), scan=None)
    )
    picture = compose.render(placed, Box(0, 0, W, H), source=ramp(0))
    columns = np.flatnonzero(picture.mask.any(axis=0))
    rows = np.flatnonzero(picture.mask.any(axis=1))
    assert columns.min() == 51  # world 50.25 is the first unmasked centre
    assert rows.min() == 20
    small = compose.render(placed, Box(0, 0, W, H), scale=0.25, source=ramp(0))
    assert small.pixels[small.mask].min() >= 50


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_two_overlapping_tiles_leave_no_gap_and_feather_without_a_seam(masked, scale):
    url = f"mask://outside-box?minX=20&minY=0&maxX={W}&maxY={H}&width={W}&height={H}"
    mask = url if masked else None
    left, right = tile("a", mask_url=mask), tile("b", geometry.translation(180, 0), mask_url=mask)

    def flat(spec, level):
        value = np.full((H >> level, W >> level), 100.0 if spec.tile_id == "a" else 160.0)
        return value.astype(np.float32), masks.read(spec.mask_url, (H, W), level)

    box = Box(0, 0, 420, H)
    placed = compose.place(tile_set(left, right))
    picture = compose.render(placed, box, scale=scale, source=flat)
    start = 24 if masked else 0
    assert picture.mask[2:-2, math.ceil(start * scale) + 1 : -1].all()
    row = picture.pixels[len(picture.pixels) // 2, math.ceil(start * scale) + 1 : -1]
    overlap_px = 40 if masked else 60
    assert np.abs(np.diff(row)).max() < 1.2 * 60 / (overlap_px * scale) + 1e-3
    assert row[0] == 100
    assert row[-1] == 160


def test_last_blending_shows_the_greatest_id_on_top():
    placed = compose.place(tile_set(tile("b"), tile("a", geometry.translation(100, 0))))
    picture = compose.render(placed, Box(0, 0, 340, H), blend="last", source=ramp(0))
    assert picture.pixels[5, 150] == 150  # tile b
    assert picture.pixels[5, 300] == 200  # tile a
    with pytest.raises(ValueError, match="feather"):
        compose.render(placed, Box(0, 0, 1, 1), blend="first")


@pytest.mark.parametrize("scan", [None, *SCANS])
@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_canvas_pixels_lie_in_the_matching_frame(scan, scale):
    tiles = tile_set(tile(affine=geometry.translation(5000, 70), scan=scan), scan=scan)
    spec = tiles.tiles[0]
    clip = Box(100, 50, 160, 120)
    for cut in (None, clip):
        x, (x0, y0) = compose.canvas(tiles, spec, scale=scale, clip=cut, source=ramp(0))
        y, _ = compose.canvas(tiles, spec, scale=scale, clip=cut, source=ramp(1))
        rows, columns = np.nonzero(x.mask)
        frame = np.column_stack([columns, rows]) / scale + [x0, y0]
        raw = np.column_stack([x.pixels[x.mask], y.pixels[x.mask]]).astype(float)
        clear = ((raw > 2) & (raw < np.array([W, H]) - 3)).all(axis=1)
        error = np.abs(tiles.scan_chain(spec).apply(raw) - frame)[clear]
        assert error.max() < 0.02
    assert x.pixels.shape == (math.trunc(70 * scale), math.trunc(60 * scale))


def test_canvas_of_an_uncorrected_tile_is_the_tile_itself():
    tiles = tile_set(tile(affine=geometry.translation(7, 7)))
    picture, origin = compose.canvas(tiles, tiles.tiles[0], scale=1.0, source=ramp(0))
    assert origin == (0, 0)
    assert picture.mask.all()
    assert np.array_equal(picture.pixels, ramp(0)(tiles.tiles[0], 0)[0])


def test_a_tile_smaller_than_the_level_is_still_shown():
    placed = compose.place(tile_set(tile(w=20, h=9)))
    assert compose.render(placed, Box(0, 0, 20, 9), scale=0.12, source=ramp(0)).mask.any()


def test_placed_order_does_not_matter():
    rng = np.random.default_rng(4)
    tiles = tile_set(*(tile(c, random_affine(rng, 60)) for c in "abc"))
    one = compose.render(compose.place(tiles), Box(0, 0, 300, 200), source=ramp(1))
    other = compose.render(compose.place(tiles)[::-1], Box(0, 0, 300, 200), source=ramp(1))
    assert np.array_equal(one.pixels, other.pixels)


def test_inverse_of_a_whole_chain_agrees_with_the_chain():
    chain = tile_set(
        tile(scan=SCANS[0], affine=random_affine(np.random.default_rng(5))), scan=SCANS[0]
    )
    placed = compose.place(chain)[0]
    raw = np.random.default_rng(6).uniform(0, [W - 1, H - 1], (50, 2))
    for x, y in placed.chain.apply(raw):
        at_x, at_y = maps.inverse_maps(placed.chain, np.array([x]), np.array([y]), W, H)
        back = placed.chain.apply(np.column_stack([at_x.ravel(), at_y.ravel()]))
        assert np.abs(back - [x, y]).max() < 2e-3


def test_a_transform_of_another_kind_is_inverted_point_by_point():
    class Swirl(type(parse(AFFINE, "1 0 0 1 3 4")).__mro__[1]):
        def apply(self, xy):
            return np.asarray(xy) + [3.0, 4.0]

        def invert(self, xy):
            return np.asarray(xy) - [3.0, 4.0]

    spec = tile()
    chain = type(tile_set(spec).chain(spec))((Swirl(),))
    picture = compose.render([Placed(spec, chain)], Box(0, 0, W, H), source=ramp(0))
    assert picture.pixels[10, 10] == 7


def stored(folder, spec, image):
    """Store the image of a tile as the converter does."""
    path = folder / f"{spec.tile_id}.h5"
    with h5py.File(path, "w") as file:
        for level in range(2):
            stored = {"chunks": (1, 64, 64), "compression": "gzip"}
            file.create_dataset(f"mipmap.{level}", data=image[None], **stored)
            image = np.rint(halved(image.astype(np.float32))).astype(image.dtype)
    return replace(spec, image_url=f"file://{path}?dataSet=/mipmap.0&z=0")


@pytest.fixture
def four_files(tmp_path):
    """Four overlapping tiles in files, the second row turned a little, the right ones masked."""
    rng = np.random.default_rng(5)
    url = f"mask://outside-box?minX=17&minY=0&maxX={W}&maxY={H}&width={W}&height={H}"
    specs = []
    for k, (x, y) in enumerate([(0, 0), (190.3, 1.2), (2.7, 160.4), (191, 158.8)]):
        angle = 0.01 * (k > 1)
        affine = np.array(
            [[math.cos(angle), -math.sin(angle), x], [math.sin(angle), math.cos(angle), y]]
        )
        image = rng.integers(1, 255, (H, W)).astype(np.uint8)
        spec = tile(f"t{k}", affine, mask_url=url if k % 2 else None)
        specs.append(stored(tmp_path, spec, image))
    return tile_set(*specs)


@pytest.mark.parametrize("blend", ["feather", "last"])
@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_part_of_a_file_is_shown_as_the_whole_image_with_its_mask(four_files, scale, blend):
    placed, box = compose.place(four_files), Box(31, 20, 403, 331)
    ours = compose.render(placed, box, scale=scale, blend=blend)
    whole = compose.render(
        placed, box, scale=scale, blend=blend, source=compose.file_source
    )  # arrays, and the mask as an image
    assert (ours.mask == whole.mask).mean() > 0.999  # but for rounding at the very border
    both = ours.mask & whole.mask
    # the two measure the distance to a side of the tile from pixels half a level pixel apart
    assert np.quantile(np.abs(ours.pixels - whole.pixels)[both], 0.99) < 5
    assert ours.mask[40:-40, 40:-40].all()


def test_pixels_do_not_depend_on_how_the_area_is_cut(four_files):
    placed = compose.place(four_files)
    whole = compose.render(placed, Box(0, 0, 420, 350))
    for x0, y0, x1, y1 in [(0, 0, 128, 128), (128, 128, 256, 256), (100, 90, 420, 350)]:
        part = compose.render(placed, Box(x0, y0, x1, y1))
        assert np.array_equal(part.mask, whole.mask[y0:y1, x0:x1])
        assert np.abs(part.pixels - whole.pixels[y0:y1, x0:x1]).max() < 0.02


def drawn(placed, box, **how):
    """Draw in bands of different heights, as the export may."""
    layer = compose.prepare(placed, box, **how)
    bands = [layer.rows(slice(a, b)) for a, b in ((0, 1), (1, 50), (50, None))]
    spans = np.concatenate([band.spans for band in bands])
    return compose.Drawn(np.concatenate([band.pixels for band in bands]), spans)


@pytest.mark.parametrize("blend", ["feather", "last"])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_integers_are_what_float_values_round_to(four_files, scale, blend):
    placed, box = compose.place(four_files), Box(31, 20, 403, 331)
    exact = compose.render(placed, box, scale=scale, blend=blend)
    found = drawn(placed, box, scale=scale, blend=blend, dtype="uint8")
    assert found.pixels.dtype == np.uint8
    assert np.array_equal(found.mask, exact.mask)
    assert np.abs(found.pixels - exact.pixels).max() <= 0.52


@pytest.mark.parametrize("blend", ["feather", "last"])
@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("scan", SCANS)
def test_integers_of_scan_corrected_tiles_are_those_of_floats(four_files, scale, blend, scan):
    tiles = [replace(one, transforms=(Ref("scan"), *one.transforms)) for one in four_files.tiles]
    placed, box = compose.place(tile_set(*tiles, scan=scan)), Box(32, 20, 404, 332)
    exact = compose.render(placed, box, scale=scale, blend=blend)
    found = drawn(placed, box, scale=scale, blend=blend, dtype="uint8")
    assert (found.mask == exact.mask).mean() > 0.9999
    # noise from pixel to pixel: 0.02 px is up to 5 grey values; at a tile's very border the two may
    # round to different sides of it
    apart = np.abs(found.pixels - exact.pixels)[found.mask & exact.mask] > 5
    assert apart.mean() < 1e-4
    halves = [
        drawn(placed, part, scale=scale, blend=blend, dtype="uint8")
        for part in (Box(32, 20, 204, 332), Box(204, 20, 404, 332))
    ]
    assert np.array_equal(np.hstack([part.pixels for part in halves]), found.pixels)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("near", [0.001, 0.2])
@pytest.mark.parametrize("scan", [None, *SCANS])
def test_integer_pixels_show_their_place_within_a_fiftieth_pixel(tmp_path, axis, seed, near, scan):
    rng = np.random.default_rng(seed)
    linear = np.eye(2) + rng.uniform(-near, near, (2, 2))
    affine = np.column_stack([linear, rng.uniform(-9, 9, 2)])
    values = (250 * ramp(axis)(tile(), 0)[0]).astype(np.uint16)  # grey values per px
    spec = stored(tmp_path, tile(affine=affine, scan=scan), values)
    placed = compose.place(tile_set(spec, scan=scan))
    assert mosaic.suits(placed, 0)
    picture = drawn(placed, Box(-20, -20, W + 20, H + 20), dtype="uint16")
    rows, columns = np.nonzero(picture.mask)
    at = placed[0].chain.invert(np.column_stack([columns, rows]) - 20.0)
    assert len(at) > 0.65 * W * H
    error = picture.pixels[rows, columns] / 250 - at[:, axis]
    assert np.abs(error).max() < 0.02


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_filtered_and_overshooting_values_are_clipped_to_the_type(tmp_path, interpolation):
    values = np.where(np.arange(W) < W // 2, 3, 250) * np.ones((H, 1), int)
    spec = stored(tmp_path, tile(affine=geometry.translation(0.5, 0)), values.astype(np.uint8))
    brighter = filters.intensity(np.array([[[1.2, 0.0]]]), 255.0)
    picture = drawn(
        compose.place(tile_set(filters.with_filters(spec, [brighter]))),
        Box(1, 0, W, H),
        interpolation=interpolation,
        dtype="uint8",
    )
    if interpolation == "cubic":
        assert picture.pixels.min() == 0  # -12 beside the edge
    assert picture.pixels.max() == 255
    assert picture.pixels[5, 5] == 4


FILTERS = {
    "intensity": filters.intensity(np.array([[[0.9, 0.02], [0.8, 0.05]]]), 255.0),
    "shading": filters.shading([4.0, 3.0, -5.0, 2.0, 1.0, 6.0]),
    "streaks": filters.streaks(0.01, 0.02, 0.0),
}


@pytest.mark.parametrize("kind", FILTERS)
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_integers_of_filtered_tiles_are_those_of_floats(four_files, kind, scale):
    """One tile of the four has a filter: the others are read with it."""
    first, *rest = four_files.tiles
    flatter = filters.intensity(np.array([[[0.6, 0.2]]]), 255.0)  # so that nothing is clipped
    first = filters.with_filters(first, [flatter, FILTERS[kind]])
    placed, box = compose.place(tile_set(first, *rest)), Box(31, 20, 403, 331)
    exact = compose.render(placed, box, scale=scale)
    assert mosaic.suits(placed, scale == 0.5)
    found = drawn(placed, box, scale=scale, dtype="uint8")
    assert np.array_equal(found.mask, exact.mask)
    assert np.abs(found.pixels - exact.pixels).max() <= 0.52


def test_a_tile_alone_gives_its_very_values_where_nothing_is_interpolated(tmp_path):
    values = np.random.default_rng(2).integers(0, 65536, (H, W)).astype(np.uint16)
    placed = compose.place(tile_set(tile(affine=geometry.translation(7, -3))))
    for how in ("linear", "cubic"):
        picture = compose.render(
            placed, Box(7, -3, 7 + W, H - 3), source=lambda *_: (values, None), interpolation=how
        )
        assert picture.mask.all()
        assert np.array_equal(picture.pixels, values)
    placed = [Placed(stored(tmp_path, one.tile, values), one.chain) for one in placed]
    exact = drawn(placed, Box(7, -3, 7 + W, H - 3), dtype="uint16")
    assert exact.mask.all()
    assert np.array_equal(exact.pixels, values)


def test_cubic_follows_a_wave_more_closely_than_linear():
    y, x = np.indices((H, W))
    wave = lambda x, y: 100 + 50 * np.sin(x / 1.6) * np.cos(y / 2.1)  # noqa: E731
    placed = compose.place(tile_set(tile(affine=geometry.translation(0.5, 0.37))))
    error = {}
    for how in ("linear", "cubic"):
        picture = compose.render(
            placed,
            Box(0, 0, W, H),
            source=lambda *_: (wave(x, y).astype(np.float32), None),
            interpolation=how,
        )
        inner = (slice(5, -5),) * 2
        error[how] = np.abs(picture.pixels - wave(x - 0.5, y - 0.37))[inner].std()
    assert error["cubic"] < 0.5 * error["linear"]
    with pytest.raises(ValueError, match="interpolation must be one of"):
        compose.render(placed, Box(0, 0, 5, 5), interpolation="nearest")


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("scan", [None, "3 12 2 60 0"])
def test_a_level_canvas_lies_on_the_pixels_of_the_mipmap(level, scan):
    tiles = tile_set(tile(scan=scan), scan=scan).with_bounds()
    clip = Box(37.0, 9.0, 190.0, 170.0)
    chain = tiles.scan_chain(tiles.tiles[0])
    for axis in (0, 1):
        picture, origin = compose.level_canvas(
            tiles, tiles.tiles[0], level, clip=clip, source=ramp(axis)
        )
        rows, columns = np.nonzero(picture.mask)
        frame = np.array(origin) + np.column_stack([columns, rows]) * (1 << level)
        inside = (frame > 20).all(axis=1) & (frame < 160).all(axis=1)
        assert inside.sum() > 1000 >> (2 * level)
        raw = chain.invert(frame[inside])[:, axis]
        assert np.abs(picture.pixels[picture.mask][inside] - raw).max() < 0.03
    assert min(origin) >= 9.0
    assert origin[0] + (picture.pixels.shape[1] - 1) * (1 << level) < 190
