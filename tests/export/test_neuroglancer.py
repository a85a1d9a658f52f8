"""Neuroglancer itself, in a headless browser, draws volumes that the project's own server gives.

`make neuroglancer` and `.ci/run` build the viewer's page from its npm package; where that page or
Chromium is missing, these tests skip.
"""

import base64
import http.server
import json
import shutil
import subprocess
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import waitress

from scripts.export import viewer
from scripts.lib.volumes import metadata, multiscale
from scripts.render_ws.app import create_app
from tests.export.synthetic import halved, smooth

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "build/neuroglancer/page"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None or not (PAGE / "index.html").exists(),
        reason="needs Chromium and the page that `make neuroglancer` builds from npm",
    ),
    pytest.mark.xdist_group("browser"),
]
# no word to the outside: the machine may have no network
QUIET = [
    "--no-first-run",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SOFTWARE = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")  # WebGL without a GPU

ORIGIN = (40, -12, 25)  # z, y, x
SPEC = multiscale.VolumeSpec((24, 90, 120), (16, 32, 32), "uint8", (8.0, 5.0, 5.0), ORIGIN, 2)
TARGETS = {
    "n5": multiscale.Target("n5", "v.n5", "em/fibsem-uint8", "gzip", 3),
    "zarr": multiscale.Target("zarr", "v.zarr", "recon-1/em/fibsem-uint8", "zstd", 3),
    "zarr3": multiscale.Target(
        "zarr3", "v.v3.zarr", "recon-1/em/fibsem-uint8", "zstd", 3, (1, 2, 2)
    ),
}
WINDOW = (800, 700)  # px of the browser
ZOOM = 4  # px of the screen per voxel
PATIENCE_S = 180  # the machine may have other work


def specimen():
    z, y, x = (o + np.arange(n) for o, n in zip(ORIGIN, SPEC.shape_zyx, strict=True))
    return np.rint(smooth(x, y[:, None], z[:, None, None])).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A volume in all formats, two levels."""
    folder = tmp_path_factory.mktemp("volumes")
    voxels = specimen()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for target in TARGETS.values():
            metadata.create(target, SPEC)
            for level, content in enumerate((voxels, halved(voxels))):
                whole = tuple(slice(0, n) for n in SPEC.level_shape(level))
                multiscale.open_level(target, level).write(whole, content)
    return folder


@pytest.fixture(scope="module")
def data_url(folder):
    """The address at which the project's server gives the volumes."""
    server = waitress.create_server(
        create_app(folder / "r.db", files=folder), host="localhost", port=0, ipv6=False
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://localhost:{server.effective_port}/files"
    server.close()


class Page(http.server.SimpleHTTPRequestHandler):
    """The viewer's page; takes pictures and gives the next state, as long as there is one."""

    def __init__(self, *args, states, pictures, done, **more):
        self.states, self.pictures, self.done = states, pictures, done
        super().__init__(*args, directory=PAGE, **more)

    def do_POST(self):
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if data:
            self.pictures.append(base64.b64decode(data.partition(b",")[2]))
        state = next(self.states, None)
        self.send_response(200 if state else 204)
        self.end_headers()
        if state:
            self.wfile.write(json.dumps(state).encode())
        else:
            self.done.set()

    def log_message(self, *_):
        pass


@contextmanager
def page(states):
    """Serve the viewer; gives its address, the pictures, and when all of them are there."""
    pictures, done = [], threading.Event()
    handler = partial(Page, states=iter(states), pictures=pictures, done=done)
    server = http.server.ThreadingHTTPServer(("localhost", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}/index.html", pictures, done
    server.shutdown()
    server.server_close()


def drawn(states, folder):
    """Let the viewer draw one state after another; the (h, w, 3) red, green, blue of its canvas."""
    with page(states) as (address, pictures, done):
        browser = subprocess.Popen(
            [
                *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", *QUIET, *SOFTWARE),
                *(f"--window-size={WINDOW[0]},{WINDOW[1]}", f"--user-data-dir={folder}", address),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert done.wait(PATIENCE_S), "the viewer drew nothing"
        finally:
            browser.terminate()
            browser.wait(20)
    return [cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_COLOR_RGB) for one in pictures]


def plane(target, data_url, at):
    """The state of `volume.json` without what viewers draw over pictures, one plane of it."""
    shown = viewer.contrast(target, SPEC)
    state = viewer.state(target, SPEC, data_url=data_url, name="v", shown=shown)
    z, y, x = at
    return state | {
        "position": [x, y, z],
        "layout": "xy",
        "crossSectionScale": 1 / ZOOM,
        "showAxisLines": False,
        "showScaleBar": False,
        "showDefaultAnnotations": False,
        "selectedLayer": {"visible": False},
        "crossSectionBackgroundColor": "#ff0000",
    }


def bounds(mask, within=(0, 100_000, 0, 100_000)):
    """Rows and columns, half open, in which there is anything."""
    top, bottom, left, right = within
    found = np.argwhere(mask[top:bottom, left:right]) + (top, left)
    return found[:, 0].min(), found[:, 0].max() + 1, found[:, 1].min(), found[:, 1].max() + 1


def test_neuroglancer_shows_each_voxel_at_its_place_and_brightness(
    folder, data_url, tmp_path, monkeypatch
):
    monkeypatch.chdir(folder)
    middle = [o + n // 2 for o, n in zip(ORIGIN, SPEC.shape_zyx, strict=True)]
    states = [plane(target, data_url, middle) for target in TARGETS.values()]
    low, high = viewer.contrast(TARGETS["n5"], SPEC)
    voxels = specimen()[SPEC.shape_zyx[0] // 2].astype(float)
    grey = 255 * np.clip((voxels - low) / (high - low), 0, 1)
    for form, picture in zip(TARGETS, drawn(states, tmp_path), strict=True):
        cv2.imwrite(str(PAGE.parent / f"{form}.png"), picture[..., ::-1])
        red = (picture == (255, 0, 0)).all(axis=-1)
        panel = bounds(red)
        top, bottom, left, right = bounds(~red, within=panel)
        # the middle of the panel is the centre of the voxel asked for, to an eighth of a voxel
        middles = (panel[0] + panel[1]) / 2, (panel[2] + panel[3]) / 2
        halves = [ZOOM * (n // 2 + 0.5) for n in SPEC.shape_zyx[1:]]
        corner = (middles[0] - halves[0], middles[1] - halves[1])
        assert np.abs(np.subtract((top, left), corner)).max() <= ZOOM / 8
        assert (bottom - top, right - left) == tuple(ZOOM * n for n in grey.shape)
        centres = picture[top + ZOOM // 2 : bottom : ZOOM, left + ZOOM // 2 : right : ZOOM]
        difference = centres - grey[..., None]
        assert np.abs(difference).max() <= 1
