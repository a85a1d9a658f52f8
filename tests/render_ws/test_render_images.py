"""Pictures of boxes, tiles and layers."""

from __future__ import annotations

from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import requests

from scripts.lib.service.transport import WsgiAdapter
from scripts.render_ws import images
from scripts.render_ws.app import create_app
from tests.render_ws.service import Service, Url, fault, leaf, made, resolved, tile, value

RAMP = np.add.outer(np.arange(80), np.arange(100)).astype(np.uint8)  # v = x + y


@pytest.fixture
def stack(tmp_path: Path) -> Url:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["0-0-0/mipmap.0"] = RAMP[None]
    session = requests.Session()
    session.mount("http+embedded://", WsgiAdapter(create_app(tmp_path / "r.db")))
    url = Service(session, "http+embedded://render-ws/render-ws/v1", "o").stack("p", "s")
    return url.filled(_tile(tmp_path, "a", 10, 20))


def _tile(folder: Path, name: str, x: float, y: float, **level: str):
    image = {
        "imageUrl": f"file://{folder}/a.h5?dataSet=/0-0-0/mipmap.0&z=0",
        "imageLoaderType": "H5_SLICE",
        **level,
    }
    return tile(name, 1, x, y, mipmapLevels={"0": image})


def _read(response: requests.Response, kind: str) -> np.ndarray:
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == kind
    return cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_UNCHANGED)


def test_png_of_a_box_is_rgba_and_shows_the_world_box(stack):
    found = _read(stack.get("z/1/box/0,0,60,50,1.0/png-image"), "image/png")
    assert found.shape == (50, 60, 4)
    assert (found[20:, 10:, 0] == RAMP[:30, :50]).all()
    assert (found[:20] == [0, 0, 0, 255]).all()  # opaque black where no tile is


def test_scale_of_the_box_sets_the_size_of_the_picture(stack):
    found = _read(stack.get("z/1.0/box/10,20,99,80,0.5/png-image"), "image/png")
    assert found.shape == (40, 49, 4)
    # pixel (5, 5) shows source (10, 10); level 1 is the mean of 2 x 2 around (10.5, 10.5)
    assert abs(int(found[5, 5, 0]) - 20) <= 1


def test_box_without_tiles_is_transparent(stack):
    found = _read(stack.get("z/1/box/900,900,8,8,1/png-image"), "image/png")
    assert (found == 0).all()


def test_masked_pixels_are_transparent(stack, tmp_path):
    mask = "mask://outside-box?minX=30&minY=0&maxX=100&maxY=80&width=100&height=80"
    spec = _tile(tmp_path, "a", 0, 0, maskUrl=mask, maskLoaderType="DYNAMIC_MASK")
    made(stack.put("resolvedTiles", resolved(spec)))
    found = _read(stack.get("z/1/box/0,0,100,80,1/png-image"), "image/png")
    assert (found[:79, :29, 3] == 0).all()
    assert (found[:79, 31:99, 3] == 255).all()
    found = _read(stack.get("z/1/box/0,0,100,80,1/png-image", excludeMask="true"), "image/png")
    assert (found[..., 3] == 255).all()


def test_jpeg_is_rgb_or_gray(stack):
    path = "z/1/box/10,20,64,64,1/jpeg-image"
    found = _read(stack.get(path), "image/jpeg")
    assert found.shape == (64, 64, 3)
    assert np.abs(found[..., 0].astype(int) - RAMP[:64, :64]).mean() < 2
    assert _read(stack.get(path, convertToGray="true"), "image/jpeg").shape == (64, 64)


def test_intensity_range_of_the_request_wins(stack):
    path = "z/1/box/10,20,60,50,1/png-image"
    found = _read(stack.get(path, minIntensity=50, maxIntensity=100), "image/png")
    assert found[0, 0, 0] == 0
    assert found[25, 50, 0] == 128  # 256 * (75 - 50) / 50
    assert found[49, 59, 0] == 255


@pytest.mark.parametrize(
    ("kind", "content", "size"),
    [
        ("tiff-image", "image/tiff", None),
        ("raw-image", "application/octet-stream", 8 * 4 * 4),
        ("raw16-image", "application/octet-stream", 8 * 4 * 2),
    ],
)
def test_other_formats(stack, kind, content, size):
    answer = stack.get(f"z/1/box/10,20,8,4,1/{kind}")
    assert answer.headers["Content-Type"] == content
    if size is not None:
        assert len(answer.content) == size


@pytest.mark.parametrize("kind", ["png16-image", "tiff16-image"])
def test_sixteen_bit_formats_hold_raw_values(stack, kind):
    answer = stack.get(f"z/1/box/10,20,60,50,1/{kind}", minIntensity=50)
    found = _read(answer, f"image/{kind[:4].rstrip('1')}")
    assert found.dtype == np.uint16
    assert (found == RAMP[:50, :60]).all()


def test_picture_of_a_tile_and_of_a_layer(stack):
    found = _read(stack.get("tile/a/png-image"), "image/png")
    assert (found[:79, :99, 0] == RAMP[:79, :99]).all()
    assert _read(stack.get("z/1/png-image", scale=0.25), "image/png").shape == (20, 25, 4)


def test_picture_of_render_parameters_in_the_body(stack):
    plan = value(stack.get("tile/a/render-parameters"))
    answer = stack.service.call("PUT", "owner/anyone/png-image", plan)
    assert (_read(answer, "image/png")[:79, :99, 0] == RAMP[:79, :99]).all()
    assert "ETag" not in answer.headers
    empty = _read(stack.service.call("PUT", "owner/anyone/png-image", {}), "image/png")
    assert empty.shape == (256, 256, 4)


def test_pictures_are_cached_by_the_timestamp_of_the_stack(stack):
    path = "z/1/box/0,0,8,8,1/png-image"
    answer = stack.get(path)
    assert answer.headers["Cache-Control"] == "max-age=3600"
    headers = {"If-None-Match": answer.headers["ETag"]}
    url = f"{stack.service.base}/{stack.path}/{path}"
    assert stack.service.session.get(url, headers=headers, timeout=30).status_code == 304


def test_faults_of_pictures(stack):
    made(stack.put("resolvedTiles", resolved(tile("b", 2), tile("c", 3, 0, 0, leaf("1 2")))))
    assert "b.png" in fault(stack.get("z/2/box/0,0,8,8,1/png-image"), 400)
    fault(stack.get("z/3/box/0,0,8,8,1/png-image"), 400)
    fault(stack.get("z/1/box/0,0,8,8,0.1/png-image"), 400)
    fault(stack.get("tile/none/png-image"), 404)
    assert stack.get("z/1/box/0,0,8,8,1/gif-image").status_code == 404


@pytest.mark.parametrize(
    ("v", "low", "high", "expected"),
    [
        (77, 0, 255, 77),
        (255, 0, 255, 255),
        (0, 0, 255, 0),
        (300, 0, 65535, 1),
        (40000, 0, 1000, 255),
    ],
)
def test_intensity_mapping(v, low, high, expected):
    assert images.to_bytes(np.array([[v]], np.float32), low, high)[0, 0] == expected


def test_tiles_of_any_transform_are_drawn(stack, tmp_path):
    """An interpolated one moves half-way; a bent one follows its polynomial."""
    both = {
        "type": "interpolated",
        "a": leaf("1 0 0 1 0 0"),
        "b": leaf("1 0 0 1 10 4"),
        "lambda": 0.5,
    }
    bend = {
        "type": "leaf",
        "className": "mpicbg.trakem2.transform.PolynomialTransform2D",
        "dataString": "0 1 0 0 0 0 0 0 1 0 0.005 0",
    }
    for spec in (both, bend):
        one = {**_tile(tmp_path, "a", 0, 0), "transforms": {"type": "list", "specList": [spec]}}
        made(stack.put("resolvedTiles", resolved(one), deriveData="true"))
        found = _read(stack.get("z/1/box/0,0,120,130,1/png-image"), "image/png")
        if spec is both:
            assert (found[2:80, 5:100, 0] == RAMP[:78, :95]).all()
        else:  # y + x y / 200: (40, 60) shows x 40, y 60 / 1.2
            assert abs(int(found[60, 40, 0]) - 90) <= 1
            assert value(stack.get("z/1/bounds"))["maxY"] == 120
