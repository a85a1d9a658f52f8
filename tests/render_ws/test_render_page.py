"""The page at the root, in a real browser: stacks, a layer, a tile, a pair."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest
import waitress
from werkzeug.test import Client

from scripts.lib import files
from scripts.lib.pages import page as pages
from scripts.render_ws.access import LOOPBACK
from scripts.render_ws.app import create_app
from tests.render_ws.browser import CHROMIUM, page
from tests.render_ws.service import pair, resolved, tile

API = "/render-ws/v1/owner/o"
SIZE = (80, 100)
LINK = "https://viewer.example/#!http%3A%2F%2Flocalhost%3A8080%2Ffiles%2Ffly.n5"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """Two layers of two tiles, the right tile brighter; one pair."""
    folder = tmp_path_factory.mktemp("page")
    client = Client(create_app(folder / "r.db"))
    for name, grey in (("left", 60), ("right", 200)):
        cv2.imwrite(f"{folder}/{name}.png", np.full(SIZE, grey, np.uint8))
    stack = f"{API}/project/p/stack/s"
    client.post(stack, json={"versionNotes": "<b>notes</b>"})
    tiles = [
        tile(f"{name}.{z}", z, x, 0, mipmapLevels={"0": {"imageUrl": f"file:{folder}/{name}.png"}})
        for z in (1, 2)
        for name, x in (("left", 0), ("right", 90))
    ]
    assert client.put(f"{stack}/resolvedTiles", json=resolved(*tiles)).status_code == 201
    client.put(f"{stack}/state/COMPLETE")
    matches = [pair("1.0", "left.1", "2.0", "left.2", n=7)]
    assert client.put(f"{API}/matchCollection/m/matches", json=matches).status_code == 201
    return folder / "r.db"


def test_it_is_small_and_loads_nothing_from_elsewhere(service):
    answer = Client(create_app(service)).get("/")
    assert answer.mimetype == "text/html"
    assert len(answer.data) < 12_000
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "http" not in answer.text.replace("http://www.w3.org/", "")


@pytest.fixture(scope="module")
def base(service):
    files.write_json(
        service.parent / "export/volume.json",
        {"volume": "fly", "targets": [{"format": "n5", "neuroglancer": {"link": LINK}}]},
    )
    text = pages.render("Report", [pages.Section("s", [pages.Text("t")])], here="report/index.html")
    files.write_text(service.parent / "report/index.html", text)
    app = create_app(service, files=service.parent, writable=False, hosts=LOOPBACK)
    server = waitress.create_server(app, host="localhost", port=0, ipv6=False)
    threading.Thread(target=server.run, daemon=True).start()
    yield f"http://localhost:{server.effective_port}"
    server.close()


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.xdist_group("browser")
def test_from_an_owner_to_a_tile_and_to_the_points_of_a_pair(base, tmp_path):
    with page(tmp_path) as tab:
        tab.go(f"{base}/")
        owner = "[...document.querySelectorAll('main a')].find(a => a.textContent === 'o')"
        tab.until(f"!!{owner}")
        tab.run(f"{owner}.click()")
        stacks = "document.querySelector('h2')?.textContent === 'Stacks'"
        text = tab.until(f"{stacks} && document.querySelector('main').innerText")
        for word in ("COMPLETE", "1 to 2", "190 × 80", "<b>notes</b>", "m"):
            assert word in text
        tab.run("[...document.querySelectorAll('main a')].find(a => a.textContent === 's').click()")
        # the picture: dark on the left, bright on the right
        tab.until("document.querySelector('.frame img')?.complete")
        shown = tab.run(
            "(i => { const c = document.createElement('canvas'); c.width = i.naturalWidth;"
            " c.height = i.naturalHeight; const p = c.getContext('2d'); p.drawImage(i, 0, 0);"
            " return [20, 150].map(x => p.getImageData(x, 40, 1, 1).data[0]) })"
            "(document.querySelector('.frame img'))"
        )
        assert shown == [60, 200]
        assert tab.run("document.querySelectorAll('rect').length") == 2
        tab.run("document.querySelector('rect').dispatchEvent(new MouseEvent('click'))")
        assert '"tileId": "left.1"' in tab.until("document.querySelector('#detail').textContent")
        tab.run(
            "[...document.querySelectorAll('a')].find(a => a.textContent.includes('▶')).click()"
        )
        tab.until("document.querySelector('h2').textContent.endsWith('layer 2')")
        tab.go(f"{base}/#o/matches/m")
        tab.until("!!document.querySelector('td a')")
        tab.run("document.querySelector('td a').click()")
        assert tab.until("document.querySelector('canvas')?.dataset.points") == "7"
        assert tab.run("document.querySelector('#said').textContent") == ""
        tab.go(f"{base}/#o/p/none")
        assert "does not exist" in tab.until("document.querySelector('#said').textContent")
        wrong = [error for error in tab.errors if "404" not in error]
        assert wrong == []


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.xdist_group("browser")
def test_the_root_lists_the_volume_and_its_report_may_ask_for_nothing(base, tmp_path):
    with page(tmp_path) as tab:
        tab.go(f"{base}/files")
        text = tab.until("document.querySelector('td') && document.querySelector('main').innerText")
        assert text.split()[:5] == ["Volumes", "volume", "report", "voxels", "fly"]
        shown = tab.run("document.querySelectorAll('td a')[1].href")
        assert shown == LINK.replace(
            "localhost%3A8080", base.removeprefix("http://").replace(":", "%3A")
        )
        tab.run("document.querySelector('td a').click()")
        assert tab.until("document.querySelector('h1')?.textContent.trim() === 'Report'")
        assert tab.errors == []
        asked = "fetch('/render-ws/v1/owners').then(() => 'told', () => 'refused')"
        assert tab.run(asked) == "refused"


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.xdist_group("browser")
def test_with_the_token_it_shows_what_others_do_not_see(base, service, tmp_path):
    token = "a-token-of-more-than-twenty-letters"
    app = create_app(service, files=service.parent, writable=False, token=token)
    server = waitress.create_server(app, host="localhost", port=0, ipv6=False)
    threading.Thread(target=server.run, daemon=True).start()
    with page(tmp_path) as tab:
        typed = f"window.prompt = () => '{token}'"
        tab.call("Page.addScriptToEvaluateOnNewDocument", source=typed)
        address = f"http://localhost:{server.effective_port}"
        tab.go(f"{address}/#o/p/s")
        tab.until("document.querySelector('.frame img')?.complete")
        assert tab.run("document.querySelector('#said').textContent") == ""
        tab.go(f"{address}/")
        shown = "document.querySelector('td') && document.querySelector('main').innerText"
        assert "neuroglancer sends no token" in tab.until(shown)
        tab.run("document.querySelector('td a').click()")
        tab.until("document.querySelector('h1')?.textContent.trim() === 'Report'")
    server.close()
