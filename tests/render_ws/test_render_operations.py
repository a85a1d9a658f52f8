"""Operations besides stacks, tiles and matches: lists of sections, checks of specs, the rest."""

from __future__ import annotations

import pytest
import requests

from scripts.lib.service.transport import WsgiAdapter
from scripts.render_ws.app import create_app
from tests.render_ws.service import AFFINE, Service, Url, done, fault, leaf, made, tile, value


@pytest.fixture
def service(tmp_path) -> Service:
    session = requests.Session()
    session.mount("http+embedded://", WsgiAdapter(create_app(tmp_path / "r.db")))
    return Service(session, "http+embedded://render-ws/render-ws/v1", "o")


@pytest.fixture
def stack(service: Service) -> Url:
    return service.stack("p", "s")


def _at(name: str, z: float, section: str):
    return tile(name, z, layout={"sectionId": section})


def test_lists_about_sections(stack):
    found = [("a", 1, "1.0"), ("b", 2, "2.0"), ("c", 2.1, "2.1"), ("d", 3, "4.0"), ("e", 3, "5.0")]
    stack.filled(*(_at(*each) for each in found), complete=True)
    assert [s["sectionId"] for s in value(stack.get("reorderedSectionData"))] == ["4.0", "5.0"]
    assert value(stack.get("mergedZValues")) == [3.0]
    assert value(stack.get("mergeableZValues")) == [2.0, 2.1]
    assert value(stack.get("mergeableZValues", minZ=2.1)) == []
    assert stack.get("mergeableData").text == "1 < 2 : 2.0 < 2.1\n"


def test_sections_whose_ids_are_no_z_are_told(stack):
    stack.filled(_at("a", 1, "first"), complete=True)
    assert "section id is no z" in fault(stack.get("reorderedSectionData"), 400)
    assert value(stack.get("mergedZValues")) == []


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        ("tile", tile("a"), {"z": 1}),
        ("tile-array", [tile("a")], [tile("a"), 5]),
        ("transform", leaf("1 0 0 1 0 0"), leaf("1 0 0 1 0")),
        ("transform-array", [leaf("1 0 0 1 0 0")], [{"className": "x", "dataString": "1"}]),
        ("render", {"tileSpecs": [tile("a")]}, {"scale": "x"}),
    ],
)
def test_specs_are_checked(service, kind, right, wrong):
    path = f"owner/o/validate-json/{kind}"
    assert kind in service.call("PUT", path, right).text
    assert service.call("PUT", path, right).status_code == 200
    fault(service.call("PUT", path, wrong), 400)


def test_files_of_a_tile_are_checked(stack, tmp_path):
    (tmp_path / "empty.tif").touch()
    (tmp_path / "full.tif").write_bytes(b"x")
    for name in ("full", "empty", "no"):
        level = {"imageUrl": f"file:{tmp_path}/{name}.tif", "maskUrl": "mask://outside-box?minX=1"}
        stack.filled(tile(name, mipmapLevels={"0": level}))
    assert stack.get("tile/full/validation-info").status_code == 200
    for name in ("empty", "no"):
        assert "absent, empty" in fault(stack.get(f"tile/{name}/validation-info"), 400)


def test_points_by_a_spec_in_the_request(service):
    spec = tile("a", 3, 0, 0, leaf("2 0 0 2 10 20"))
    assert value(service.call("PUT", "owner/o/local-to-world-coordinates/1,2", spec)) == [12, 24, 3]
    assert value(service.call("PUT", "owner/o/world-to-local-coordinates/12,24", spec)) == [1, 2, 3]
    flat = {**spec, "transforms": {"type": "list", "specList": [leaf("0 0 0 0 0 0")]}}
    fault(service.call("PUT", "owner/o/world-to-local-coordinates/1,1", flat), 400)


def test_a_place_in_another_stack(service, stack):
    stack.filled(tile("a", 1, 0, 0), complete=True)
    service.stack("q", "t").filled(tile("a", 7, 500, 60))
    path = "z/1/world-coordinates/10,20/mapped-to-stack/t"
    assert value(stack.get(path, toProject="q")) == {"tileId": "a", "world": [510.0, 80.0, 7.0]}
    fault(stack.get(path), 404)


def test_the_service_says_what_it_is(service):
    assert value(service.call("GET", "serverProperties"))["tileSpec.filterSpec"] == "kept"
    done(service.call("DELETE", "imageProcessorCache/allEntries"))
    (first, *_) = value(service.call("GET", "namedFilterSpecLists"))["namedFilterSpecLists"][
        "default"
    ]
    assert first["className"].endswith("ValueToNoise")


@pytest.mark.parametrize("path", ["owner/o/renderAndMatch", "owner/o/nothing", "x"])
def test_what_is_not_there_is_told(service, path):
    assert "is not part of this service" in fault(service.call("GET", path), 404)


def test_what_is_absent_names_what_is_there(service):
    assert "matchTrial" in fault(service.call("POST", "owner/o/renderAndMatch", {}), 404)


def test_saved_affines_are_those_of_the_class(stack):
    stack.filled(tile("a"))
    (spec,) = value(stack.get("tile/a"))["transforms"]["specList"]
    assert spec["className"] == AFFINE
    made(stack.put("state/COMPLETE"))


@pytest.mark.parametrize("factor", ["1.7e308", "-1.7e308", "1e12"])
def test_a_neighbourhood_beyond_all_numbers_is_refused(stack, factor):
    stack.filled(tile("a"))
    path = "tile/a/withNeighbors/render-parameters"
    assert "32 bits" in fault(stack.get(path, heightFactor=factor), 400)
