"""What would stop or fill the service is refused with a sentence; what is wrong is 400."""

from __future__ import annotations

import threading

import h5py
import numpy as np
import pytest
import requests

from scripts.lib.service.transport import WsgiAdapter
from scripts.render_ws import patterns, resolve
from scripts.render_ws.app import create_app
from tests.render_ws.service import Service, fault, leaf, made, resolved, tile, value

SEM = "org.janelia.alignment.transform.SEMDistortionTransformA"


@pytest.fixture
def stack(tmp_path):
    session = requests.Session()
    session.mount("http+embedded://", WsgiAdapter(create_app(tmp_path / "r.db")))
    url = Service(session, "http+embedded://render-ws/render-ws/v1", "o").stack("p", "s")
    return url.filled(tile("a" * 40 + "b"), tile("a", 2.0))


def sem(data):
    return {"type": "leaf", "className": SEM, "dataString": data}


def test_a_pattern_that_takes_for_ever_is_stopped(stack, monkeypatch):
    monkeypatch.setattr(patterns, "TIME_LIMIT_S", 0.3)
    assert "takes longer" in fault(stack.get("tileIds", matchPattern="^(a+)+$"), 400)
    assert value(stack.get("tileIds", matchPattern="^a+b")) == ["a" * 40 + "b"]
    assert value(stack.get("tileIds", matchPattern="(?=b)")) == ["a" * 40 + "b"]
    for wrong in ("(", "[", "a{1,99999999999}", "(?P<x", "\\"):
        assert "no regular expression" in fault(stack.get("tileIds", matchPattern=wrong), 400)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"width": 1e9}, "at most"),
        ({"width": 1e20}, "at most"),
        ({"width": -5}, "at least 0"),
        ({"meshCellSize": 0}, "meshCellSize 0"),
        ({"meshCellSize": -1}, "meshCellSize -1"),
        ({"meshCellSize": 1e-6}, "at most"),
        ({"width": None}, "no width or height"),
        ({"width": "x"}, "width: expected a number"),
        ({"z": "x"}, "z: expected a number"),
        ({"layout": {"imageRow": 1e40}}, "imageRow: expected an integer"),
        ({"transforms": sem("1 -0.1 1 -0.1 0")}, "box cannot be derived"),
        ({"transforms": sem("1 0 1 1 0")}, "must not be 0"),
        ({"transforms": leaf("1 0 0 1 1e400 0")}, "not finite"),
        ({"transforms": leaf("1 0 0 1 nan 0")}, "not finite"),
    ],
)
def test_boxes_that_cannot_be_derived_are_refused(stack, more, words):
    sent = resolved(tile("t") | more)
    assert words in fault(stack.put("resolvedTiles", sent, deriveData="true"), 400)
    assert "t" not in value(stack.get("tileIds"))


def test_references_that_multiply_are_refused(stack):
    shared = {"t0": leaf("1 0 0 1 0 0", id="t0"), "e0": {"type": "list", "id": "e0"}}
    for kind in ("t", "e"):  # of lists without any leaf there is no end of visits, either
        for i in range(9):
            specs = [{"type": "ref", "refId": f"{kind}{i}"}] * 6
            name = f"{kind}{i + 1}"
            shared[name] = {"type": "list", "id": name, "specList": specs}
    said = fault(stack.put("resolvedTiles", resolved(tile("t"), **shared)), 400)
    assert f"more than {resolve.MAX_SPECS} specs" in said


@pytest.mark.parametrize("length", [1, 2, 12])
def test_references_in_a_circle_and_long_chains_are_refused_when_saved(stack, length):
    shared = {
        f"t{i}": {"type": "ref", "id": f"t{i}", "refId": f"t{(i + 1) % length}"}
        for i in range(length)
    }
    fault(stack.put("resolvedTiles", resolved(tile("t"), **shared)), 400)


def test_shared_transforms_are_known_by_their_own_ids(stack):
    named = tile("t", 3.0, 0, 0, {"type": "ref", "refId": "key"})
    shared = {"key": leaf("1 0 0 1 0 0", id="own")}
    assert "requires" in fault(stack.put("resolvedTiles", resolved(named, **shared)), 400)


@pytest.mark.parametrize("depth", [40, 300, 400])
def test_lists_within_lists_end_somewhere(stack, depth):
    spec = leaf("1 0 0 1 0 0")
    for _ in range(depth):
        spec = {"type": "list", "specList": [spec]}
    assert "deep" in fault(stack.put("resolvedTiles", resolved(tile("t", 1, 0, 0, spec))), 400)
    assert "deep" in fault(
        stack.put("resolvedTiles", resolved(tile("t", filterSpec={"a": [spec]}))), 400
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"width": 1e5, "height": 1e5}, "ask for parts"),
        ({"width": 1e9, "height": 1e9, "scale": 1e-3}, "ask for parts"),
        ({"scale": 1e300}, "ask for parts"),
        ({"width": 1e20}, "width: expected an integer"),
        ({"width": None, "height": -5}, "no picture"),
        ({"width": "x"}, "width: expected"),
        ({"x": 1e300}, "beyond"),
        ({"tileSpecs": 5}, "tileSpecs: expected a list"),
        ({"convertToGray": 5}, "convertToGray: expected true or false"),
        ({"tileSpecs": [tile("t")] * 1001}, "1001 tiles"),
    ],
)
def test_pictures_of_too_much_are_refused(stack, body, words):
    assert words in fault(stack.service.call("PUT", "owner/o/png-image", body), 400)


@pytest.fixture
def picture(stack, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["0-0-0/mipmap.0"] = np.zeros((1, 80, 100), np.uint8)
        file.create_dataset("packed", (1, 80, 100), "u1", chunks=(1, 40, 50), compression="gzip")
        file["packed"][:] = 1
        file["names"] = ["a", "b"]

    def answer(*specs, url="0-0-0/mipmap.0&z=0", **more):
        level = {"imageUrl": f"file://{tmp_path}/a.h5?dataSet=/{url}"}
        spec = tile("t", 1, 0, 0, *specs, mipmapLevels={"0": level}) | more
        return stack.service.call("PUT", "owner/o/png-image", {"tileSpecs": [spec]})

    assert answer().status_code == 200
    assert answer(url="packed").status_code == 200
    return answer


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"url": ""}, "no image"),
        ({"url": "0-0-0"}, "no image"),
        ({"url": "names"}, "no image"),
        ({"url": "0-0-0/mipmap.0&z=1"}, "z 0 to 0"),
        ({"url": "0-0-0/mipmap.0&z=-1"}, "z 0 to 0"),
        ({"url": f"0-0-0/mipmap.0&z={10**30}"}, "z 0 to 0"),
        ({"width": 200}, "says more"),
        ({"width": 200, "url": "packed"}, "says more"),
        ({"width": 1e9}, "px are drawn"),
        ({"width": -5}, "px are drawn"),
        ({"z": None}, "no z"),
    ],
)
def test_tiles_that_cannot_be_drawn_are_told(picture, more, words):
    assert words in fault(picture(**more), 400)


@pytest.mark.parametrize("data", ["1e6 1 1e6 1 0", "1e9 301 54 3428 0", "1e300 -1 1e300 -1 0"])
def test_corrections_that_move_a_tile_out_of_the_world_are_not_drawn(picture, data):
    assert "out of the world" in fault(picture(sem(data)), 400)


@pytest.mark.parametrize(
    ("method", "path", "body", "query"),
    [
        ("GET", "tile/a/render-parameters", None, {"width": "1e400"}),
        ("GET", "tile/a/render-parameters", None, {"width": "1e20"}),
        ("GET", "zValues", None, {"minZ": "1e400"}),
        ("GET", "z/1e400/tileBounds", None, {}),
        ("GET", "z/1/box/0,0,1e400,5,1/png-image", None, {}),
        ("GET", "z/1/box/0,0,1e20,5,1/render-parameters", None, {}),
        ("GET", "tile/noz/local-to-world-coordinates/1,1", None, {}),
        ("PUT", "cycle", {"number": 1e40}, {}),
        ("PUT", "cycle", {"number": 10**12}, {}),
        ("POST", "", {"cycleNumber": 1e40}, {}),
        ("POST", "", {"createTimestamp": 10**18}, {}),
        ("PUT", "world-to-local-coordinates", b'[{"world":' + b"[" * 300 + b"]" * 300 + b"}]", {}),
        ("PUT", "resolvedTiles", b"[" * 900 + b"]" * 900, {}),
        ("PUT", "cloneTo/t", {}, {"z": "1e400"}),
    ],
)
def test_wrong_numbers_are_400(stack, method, path, body, query):
    made(stack.put("resolvedTiles", resolved(tile("noz") | {"z": None})))
    fault(stack._call(method, path, body, query), 400)


def test_a_tile_without_z_hinders_no_list(stack):
    made(stack.put("resolvedTiles", resolved(tile("noz") | {"z": None})))
    assert stack.get("layoutFile").text.splitlines()[0].split("\t")[1] == "noz"
    assert stack.get("layoutFile", format="SCHEFFER").status_code == 200
    assert value(stack.get("zValues")) == [1.0, 2.0]
    assert value(stack.get("section/1.0/z")) == 1.0


def test_other_requests_are_answered_while_a_pattern_runs(stack, monkeypatch):
    monkeypatch.setattr(patterns, "TIME_LIMIT_S", 0.5)
    pattern = threading.Thread(target=lambda: stack.get("tileIds", matchPattern="^(a+)+$"))
    pattern.start()
    answered = 0
    while pattern.is_alive():
        value(stack.get("zValues"))
        answered += 1
    assert answered > 0
