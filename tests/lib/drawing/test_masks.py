"""Masks: boxes in the URL, and pictures that show the same."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from scripts.lib.drawing import compose, masks, mosaic
from scripts.lib.files import file_url
from scripts.lib.geometry import Box
from scripts.lib.service.records import Leaf, TileSet, TileSpec
from scripts.lib.transforms import AFFINE

W, H = 60, 44
BOX = f"mask://outside-box?minX=9&minY=4&maxX={W - 8}&maxY={H}"


def save(path, values, mode=None):
    Image.fromarray(values, mode).save(path)
    return file_url(path)


def box_picture(white=255, dtype=np.uint8):
    values = np.zeros((H, W), dtype)
    values[4:, 9 : W - 8] = white
    return values


def test_box_mask_is_half_open_and_averaged_at_levels():
    url = "mask://outside-box?minX=10&minY=3&maxX=34&maxY=21&width=34&height=21"
    mask = masks.read(url, (21, 34))
    assert mask.shape == (21, 34)
    assert np.all(mask[3:, 10:] == 255)
    assert not mask[:3].any()
    assert not mask[:, :10].any()
    low = masks.read(url, (21, 34), 2)
    assert low.shape == (5, 8)
    assert low[2, 2] == 128  # px 8..11: half inside
    assert low[0, 4] == 64  # rows 0..3: one of four


def test_no_mask_url_means_no_mask_and_another_form_is_refused():
    assert masks.read(None, (2, 2)) is None
    assert not masks.is_picture(None)
    with pytest.raises(ValueError, match="outside-box"):
        masks.read("mask://inside-box?minX=1", (2, 2))


@pytest.mark.parametrize("level", [0, 1, 2, 5])
def test_of_a_level_only_pixels_count_that_are_white_throughout(tmp_path, level):
    values = np.full((H, W), 255, np.uint8)
    values[20, 33] = 254  # nearly white is not white: there are no shades
    mask = masks.read(save(tmp_path / "m.png", values), (H, W), level)
    expected = np.full((H >> level, W >> level), 255)
    expected[20 >> level : (20 >> level) + 1, 33 >> level : (33 >> level) + 1] = 0
    assert np.array_equal(mask, expected)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("l.png", box_picture()),
        ("l.tif", box_picture()),
        ("bit.png", box_picture(True, bool)),
        ("bit.tif", box_picture(True, bool)),
        ("deep.png", box_picture(65535, np.uint16)),
        ("deep.tif", box_picture(65535, np.uint16)),
        ("rgb.png", np.dstack([box_picture()] * 3)),
    ],
)
def test_white_is_the_greatest_value_of_each_kind_of_picture(tmp_path, name, values):
    Image.fromarray(values).save(tmp_path / name)
    assert np.array_equal(masks.picture(tmp_path / name), box_picture() == 255)


def test_what_is_no_mask_is_refused_with_its_name(tmp_path):
    Image.fromarray(np.ones((4, 5), np.float32)).save(tmp_path / "real.tif")
    pages = [Image.fromarray(np.zeros((4, 5), np.uint8))] * 2
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    (tmp_path / "text.png").write_text("white")
    told = {"real": "real numbers", "pages": "2 pages", "text": "PNG or TIFF", "gone": "no such"}
    for path in ("real.tif", "pages.tif", "text.png", "gone.png"):
        with pytest.raises(ValueError, match=f"{path}: .*{told[path.partition('.')[0]]}"):
            masks.picture(tmp_path / path)
    url = save(tmp_path / "small.png", box_picture())
    with pytest.raises(ValueError, match=r"small.png: expected 61 x 44 px.* found 60 x 44"):
        masks.read(url, (H, W + 1))


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    """Two overlapping tiles of smooth noise, and the picture of their box."""
    folder, rng = tmp_path_factory.mktemp("tiles"), np.random.default_rng(4)
    specs = []
    for k, shift in enumerate(("0.3 0.2", "40.7 2.1")):
        noise = ndimage.gaussian_filter(rng.normal(size=(H, W)), 1.5)
        image = np.rint(100 + 60 * noise / np.abs(noise).max()).astype(np.uint8)
        with h5py.File(folder / f"{k}.h5", "w") as file:
            file["mipmap.0"] = image[None]
            file["mipmap.1"] = image[None, ::2, ::2]
        url = f"{file_url(folder / f'{k}.h5')}?dataSet=/mipmap.0&z=0"
        specs.append(TileSpec(f"t{k}", 1.0, W, H, url, (Leaf(AFFINE, f"1 0 0 1 {shift}"),)))
    return specs, save(folder / "box.png", box_picture())


def placed(specs, url):
    return compose.place(TileSet(tuple(replace(each, mask_url=url) for each in specs), {}))


@pytest.mark.parametrize("blend", ["last", "feather"])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_picture_of_a_box_shows_what_the_box_does(tiles, blend, scale):
    specs, url = tiles
    box, drawn = Box(-3, -2, 110, 52), []
    for each in (BOX, url):
        drawn.append(compose.render(placed(specs, each), box, scale=scale, blend=blend))
    assert np.array_equal(drawn[0].mask, drawn[1].mask)
    inside = drawn[0].mask
    assert inside.any()
    assert not inside.all()
    # feathered: near a corner of a picture the distance is that to the corner
    limit = 0.02 if blend == "last" else 6
    assert np.abs(drawn[0].pixels - drawn[1].pixels)[inside].max() < limit


def test_the_export_draws_pictures_as_all_others_do(tiles):
    specs, url = tiles
    layer = placed(specs, url)
    assert not mosaic.suits(layer, 0)
    box = Box(-3, -2, 110, 52)
    whole = compose.render_whole(layer, box, dtype="uint8")
    exact = compose.render(layer, box)
    assert np.array_equal(whole.mask, exact.mask)
    assert np.abs(whole.pixels - exact.pixels)[exact.mask].max() <= 0.5
    assert not whole.pixels[~whole.mask].any()


def test_holes_are_filled_by_the_tile_below(tiles):
    specs, _ = tiles
    hole = np.full((H, W), 255, np.uint8)
    hole[10:30, 5:15] = 0
    folder = masks.path_of_url(specs[0].image_url).rpartition("/")[0]
    url = save(f"{folder}/hole.png", hole)
    only = [specs[0], replace(specs[1], mask_url=url)]
    picture = compose.render(
        compose.place(TileSet(tuple(only), {})), Box(41, 2, 100, 46), blend="last"
    )
    assert picture.mask[20, 10]  # tile 0 reaches x = 60
    assert not picture.mask[25, 200:].any()
    one = compose.render(compose.place(TileSet((only[1],), {})), Box(41, 2, 100, 46))
    assert not one.mask[12:28, 7:13].any()
    assert one.mask[35, 30]
