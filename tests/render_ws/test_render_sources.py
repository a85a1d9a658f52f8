"""Tiles whose pixels are in other files than HDF5; channels, masks and filters of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
import requests
from PIL import Image

from scripts.lib.service.transport import WsgiAdapter
from scripts.render_ws.app import create_app
from tests.render_ws.service import BUILDER, Service, Url, fault, made, resolved, tile, value

RAMP = np.add.outer(np.arange(80), np.arange(100)).astype(np.uint8)  # v = x + y
BOX = "z/1/box/0,0,100,80,1"


@pytest.fixture
def stack(tmp_path: Path) -> Url:
    session = requests.Session()
    session.mount("http+embedded://", WsgiAdapter(create_app(tmp_path / "r.db")))
    made_ = Service(session, "http+embedded://render-ws/render-ws/v1", "o").stack("p", "s")
    return made_.filled()


def _put(stack: Url, url: str | Path, name: str = "a", **more: Any) -> None:
    level = {"imageUrl": str(url), **more.pop("level", {})}
    spec = tile(name, 1, 0, 0, mipmapLevels={"0": level, **more.pop("levels", {})}, **more)
    made(stack.put("resolvedTiles", resolved(spec)))


def _values(stack: Url, path: str = BOX, kind: str = "png16-image", **query: Any) -> np.ndarray:
    response = stack.get(f"{path}/{kind}", **query)
    assert response.status_code == 200, response.text
    return cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_UNCHANGED)


def _tiff(path: Path, *pages: np.ndarray) -> Path:
    first, *others = map(Image.fromarray, pages)
    first.save(path, save_all=True, append_images=others)
    return path


@pytest.mark.parametrize("form", ["path", "file:", "file://"])
@pytest.mark.parametrize("kind", ["8.tif", "16.tif", "a b.png"])
def test_pictures_of_one_page(stack, tmp_path, form, kind):
    values = RAMP.astype(np.uint16) * 250 if kind.startswith("16") else RAMP
    Image.fromarray(values).save(tmp_path / kind)
    prefix = "" if form == "path" else form
    place = str(tmp_path / kind)
    _put(stack, prefix + (place.replace(" ", "%20") if prefix else place))
    assert (_values(stack) == values).all()


def test_a_jpeg_and_colours_are_grey(stack, tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "a.jpg", quality=95)
    _put(stack, tmp_path / "a.jpg")
    assert np.abs(_values(stack).astype(int) - RAMP).mean() < 2
    colours = np.dstack([RAMP, RAMP // 2, RAMP // 4, np.full_like(RAMP, 7)])
    Image.fromarray(colours).save(tmp_path / "c.png")
    _put(stack, tmp_path / "c.png")
    assert (_values(stack) == np.rint(colours[..., :3].mean(axis=2))).all()


def test_a_page_of_many(stack, tmp_path):
    path = _tiff(tmp_path / "m.tif", RAMP, RAMP // 2, RAMP // 3)
    _put(stack, path, level={"imageLoaderType": "IMAGEJ_TIFF_STACK", "imageSliceNumber": 2})
    assert (_values(stack) == RAMP // 2).all()
    _put(stack, path, level={"imageLoaderType": "IMAGEJ_TIFF_STACK", "imageSliceNumber": 9})
    assert "cannot be read" in fault(stack.get(f"{BOX}/png-image"), 400)


def test_a_size_that_is_not_said_is_the_pictures(stack, tmp_path):
    _put(stack, _tiff(tmp_path / "a.tif", RAMP), width=None, height=None)
    assert (_values(stack) == RAMP).all()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("no.tif", "absent"),
        ("s3://bucket/a.tif", "only files"),
        ("text.tif", "no image"),
        ("small.tif", "its spec says 100 x 80"),
        ("half.tif", "cannot be read"),
    ],
)
def test_pictures_that_cannot_be_read_are_told(stack, tmp_path, url, words):
    (tmp_path / "text.tif").write_text("not an image")
    _tiff(tmp_path / "small.tif", RAMP[:50])
    whole = _tiff(tmp_path / "whole.tif", RAMP).read_bytes()
    (tmp_path / "half.tif").write_bytes(whole[: len(whole) // 2])
    _put(stack, url if ":" in url else tmp_path / url)
    assert words in fault(stack.get(f"{BOX}/png-image"), 400)


def test_levels_of_the_spec_and_of_the_stack(stack, tmp_path):
    """Each level has a value of its own, so that the picture says which one was read."""
    _tiff(tmp_path / "0.tif", np.full_like(RAMP, 10))
    _tiff(tmp_path / "1.tif", np.full((40, 50), 20, np.uint8))
    _put(stack, tmp_path / "0.tif", levels={"1": {"imageUrl": str(tmp_path / "1.tif")}})
    half, quarter = "z/1/box/0,0,100,80,0.5", "z/1/box/0,0,100,80,0.25"
    assert [_values(stack, path)[5, 5] for path in (BOX, half, quarter)] == [10, 20, 20]
    place = tmp_path / "mipmaps" / "2"
    derived = Path(f"{place}{tmp_path / '0.tif'}.tif")
    derived.parent.mkdir(parents=True)
    _tiff(derived, np.full((20, 25), 30, np.uint8))
    builder = {**BUILDER, "rootPath": str(tmp_path / "mipmaps")}
    assert stack.put("mipmapPathBuilder", builder).status_code == 200
    _put(stack, f"file:{tmp_path / '0.tif'}")
    assert [_values(stack, path)[5, 5] for path in (BOX, half, quarter)] == [10, 10, 30]


def test_a_mask_of_any_form(stack, tmp_path):
    _tiff(tmp_path / "a.tif", RAMP)
    mask = np.where(np.add.outer(np.arange(80), np.arange(100)) < 90, 255, 0).astype(np.uint8)
    Image.fromarray(mask).save(tmp_path / "m.png")
    _put(stack, tmp_path / "a.tif", level={"maskUrl": f"file:{tmp_path}/m.png"})
    alpha = _values(stack, kind="png-image")[..., 3]
    assert (alpha[mask == 0] == 0).all()
    assert (alpha == 255).sum() > 0.95 * (mask == 255).sum()
    Image.fromarray(mask[:10]).save(tmp_path / "m.png")  # of another size: left out
    assert (_values(stack, kind="png-image")[:79, :99, 3] == 255).all()


def test_parts_and_slices_of_data_sets(stack, tmp_path):
    import tensorstore

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["v"] = np.pad(RAMP, ((5, 0), (7, 0)))
    _put(stack, f"file://{tmp_path}/a.h5?dataSet=/v&x=7&y=5&w=100&h=80")
    assert (_values(stack) == RAMP).all()
    spec = {
        "driver": "n5",
        "kvstore": {"driver": "file", "path": f"{tmp_path}/b.n5/v"},
        "metadata": {
            "dimensions": [100, 80, 3],
            "blockSize": [64, 64, 1],
            "dataType": "uint8",
            "compression": {"type": "raw"},
        },
    }
    store = tensorstore.open(spec, create=True).result()
    store[:, :, 2] = RAMP.T
    url = f"file://{tmp_path}/b.n5?dataSet=/v&z=2"
    _put(stack, url, level={"imageLoaderType": "N5_SLICE"})
    assert (_values(stack) == RAMP).all()


def _channel(name: str, path: Path, high: float = 255) -> dict[str, Any]:
    levels = {"0": {"imageUrl": str(path)}}
    return {"name": name, "minIntensity": 0, "maxIntensity": high, "mipmapLevels": levels}


def test_channels_are_shown_by_name_and_weight(stack, tmp_path):
    red, blue = _tiff(tmp_path / "r.tif", RAMP), _tiff(tmp_path / "b.tif", 255 - RAMP)
    channels = [_channel("red", red), _channel("blue", blue)]
    made(stack.put("resolvedTiles", resolved(tile("a", 1, 0, 0, channels=channels))))
    assert (_values(stack) == RAMP).all()  # the first
    assert (_values(stack, channels="blue") == 255 - RAMP).all()
    mixed = _values(stack, kind="png-image", channels="red__0.5__blue__0.5")[..., 0]
    assert np.abs(mixed.astype(int) - 127).max() <= 1
    stack.put("defaultChannel", b"blue")
    assert (_values(stack) == 255 - RAMP).all()
    for wrong, words in (
        ("green", "no tile has a channel 'green' (channels: blue, red)"),
        ("red__0.6__blue__0.6", "1 at most in all"),
        ("red__0.6__blue", "expected name"),
        ("red__x", "expected a number"),
    ):
        assert words in fault(stack.get(f"{BOX}/png-image", channels=wrong), 400)


def test_a_channel_of_a_tile_without_channels_is_refused(stack, tmp_path):
    _put(stack, _tiff(tmp_path / "a.tif", RAMP))
    said = fault(stack.get(f"{BOX}/png-image", channels="red"), 400)
    assert "channels: none" in said


def test_the_default_filter_evens_out_contrast(stack, tmp_path):
    rng = np.random.default_rng(0)
    dim = rng.normal(100, 2, (80, 100))
    _put(stack, _tiff(tmp_path / "a.tif", dim.astype(np.uint8)))
    found = _values(stack, kind="png-image", filter="true")[..., 0]
    assert abs(found.mean() - 127) < 3
    assert abs(found.std() - 255 / 6) < 3
    known = value(
        Service(stack.service.session, stack.service.base, "o").call("GET", "namedFilterSpecLists")
    )
    assert "default" in known["namedFilterSpecLists"]
    assert "filterListName" not in fault(stack.get(f"{BOX}/png-image", filterListName="x"), 400)


def test_more_tiles_than_wanted_are_outlined(stack, tmp_path):
    _put(stack, tmp_path / "absent.tif")
    _put(stack, tmp_path / "absent.tif", "b")
    found = _values(stack, "z/1/box/-10,-10,120,100,1", "png-image", maxTileSpecsToRender=1)
    assert (found[10, 10:111, :3] == [0, 255, 0]).all()  # blue, green, red
    assert not found[30, 30, :3].any()
    assert stack.get("z/1/box/0,0,9,9,1/png-image", maxTileSpecsToRender=2).status_code == 400


def test_source_and_mask_of_a_tile_as_they_are(stack, tmp_path):
    _tiff(tmp_path / "a.tif", RAMP)
    mask = "mask://outside-box?minX=30&minY=0&maxX=100&maxY=80&width=100&height=80"
    moved = tile(
        "a", 1, 5000, 0, mipmapLevels={"0": {"imageUrl": f"{tmp_path}/a.tif", "maskUrl": mask}}
    )
    made(stack.put("resolvedTiles", resolved(moved)))
    assert (_values(stack, "tile/a/source") == RAMP).all()
    assert (_values(stack, "tile/a/source", "png-image", scale=0.5)[..., 0] == RAMP[::2, ::2]).all()
    found = _values(stack, "tile/a/mask", "png-image")[..., 0]
    assert not found[:, :30].any()
    assert (found[:, 30:] == 255).all()
    plan = value(stack.get("tile/a/mask/scale/0.5/render-parameters"))
    assert plan["tileSpecs"][0]["mipmapLevels"]["0"]["imageUrl"] == mask
    _put(stack, tmp_path / "a.tif", "b")
    assert "no mask" in fault(stack.get("tile/b/mask/png-image"), 400)


def test_other_ways_to_ask_for_a_part(stack, tmp_path):
    _put(stack, _tiff(tmp_path / "a.tif", RAMP))
    part = stack.get("dvid/imagetile/raw/xy/30_20/10_5_1/png")
    found = cv2.imdecode(np.frombuffer(part.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert (found[..., 0] == RAMP[5:25, 10:40]).all()
    assert value(stack.get("dvid/imagetile/raw/xy/30_20/10_5_1/tile-count")) == 1
    assert value(stack.get("dvid/imagetile/raw/xy/30_20/10_5_1/render-parameters"))["width"] == 30
    part = stack.get("largeDataTileSource/32/32/1/1/0/1.jpg")
    assert part.headers["Content-Type"] == "image/jpeg"
    found = cv2.imdecode(np.frombuffer(part.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert found.shape == (32, 32, 3)
    assert abs(int(found[10, 9, 0]) - (20 + 64 + 18)) < 4
    assert stack.get("largeDataTileSource/32/32/small/1.png").status_code == 200
    around = value(stack.get("tile/a/withNeighbors/render-parameters", widthFactor=0.5))
    assert (around["x"], around["width"], around["height"]) == (-50, 200, 128)
    assert stack.get("tile/a/withNeighbors/jpeg-image", boundingBoxesOnly="true").status_code == 200
