"""Neuroglancer itself, in a headless browser, draws a stack of the service as `render://`."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest
import waitress
from werkzeug.test import Client

from scripts.render_ws.access import LOOPBACK
from scripts.render_ws.app import create_app
from tests.export.test_neuroglancer import CHROMIUM, PAGE, ZOOM, bounds, drawn
from tests.render_ws.service import resolved, tile

pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None or not (PAGE / "index.html").exists(),
        reason="needs Chromium and the page that `make neuroglancer` builds from npm",
    ),
    pytest.mark.xdist_group("browser"),
]
GREY = np.add.outer(np.arange(80), np.arange(100)).astype(np.uint8)  # v = x + y
CORNER = (10, 20)  # x, y of the tile in the world


@pytest.fixture
def address(tmp_path):
    client = Client(create_app(tmp_path / "r.db"))
    cv2.imwrite(f"{tmp_path}/a.png", GREY)
    stack = "/render-ws/v1/owner/o/project/p/stack/s"
    nm = dict.fromkeys(("stackResolutionX", "stackResolutionY", "stackResolutionZ"), 4.0)
    client.post(stack, json=nm)
    level = {"imageUrl": f"file:{tmp_path}/a.png"}
    tiles = resolved(*(tile(f"a{z}", z, *CORNER, mipmapLevels={"0": level}) for z in (1, 2)))
    assert client.put(f"{stack}/resolvedTiles", json=tiles).status_code == 201
    client.put(f"{stack}/state/COMPLETE")
    app = create_app(tmp_path / "r.db", writable=False, hosts=LOOPBACK)
    server = waitress.create_server(app, host="localhost", port=0, ipv6=False)
    threading.Thread(target=server.run, daemon=True).start()
    yield f"http://localhost:{server.effective_port}"
    server.close()


def test_neuroglancer_shows_a_stack_where_and_as_it_is(address, tmp_path):
    state = {
        "dimensions": {axis: [4e-9, "m"] for axis in "xyz"},
        "layers": [
            {
                "type": "image",
                "name": "s",
                "source": f"render://{address}/o/p/s?encoding=raw16",
                "shader": "void main() { emitGrayscale(float(toRaw(getDataValue())) / 255.0); }",
                "opacity": 1,
                "blend": "default",
            }
        ],
        "position": [CORNER[0] + 50, CORNER[1] + 40, 1.5],
        "layout": "xy",
        "crossSectionScale": 1 / ZOOM,
        "showAxisLines": False,
        "showScaleBar": False,
        "showDefaultAnnotations": False,
        "selectedLayer": {"visible": False},
        "crossSectionBackgroundColor": "#ff0000",
    }
    (picture,) = drawn([state], tmp_path / "browser")
    red = (picture == (255, 0, 0)).all(axis=-1)
    panel = bounds(red)
    middle = (panel[0] + panel[1]) // 2, (panel[2] + panel[3]) // 2
    # the middle of the panel is the corner of pixel 50, 40
    rows, columns = (middle[i] + ZOOM * np.arange(-20, 20) + ZOOM // 2 for i in (0, 1))
    found = picture[np.ix_(rows, columns)].astype(int)
    assert np.abs(found - GREY[20:60, 30:70, None]).max() <= 1
