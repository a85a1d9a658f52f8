"""A foreign client, render-python, works with the embedded service over HTTP."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest


@pytest.fixture(scope="module")
def renderapi() -> Iterator[ModuleType]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package is old: invalid escapes, pkg_resources
        yield pytest.importorskip("renderapi")


@pytest.fixture
def render(renderapi: ModuleType, served: str) -> Any:
    address = urlsplit(served)
    return renderapi.render.connect(
        host=f"http://{address.hostname}",
        port=address.port,
        owner="peer",
        project="python",
        client_scripts="none",
        validate_client=False,
    )


def _tile(renderapi: ModuleType, name: str, z: float, x: float) -> Any:
    affine = renderapi.transform.AffineModel(B0=x, B1=5)
    return renderapi.tilespec.TileSpec(
        tileId=name,
        z=z,
        width=100,
        height=80,
        minX=x,
        maxX=x + 100,
        minY=5,
        maxY=85,
        sectionId=f"{z:.1f}",
        imageRow=0,
        imageCol=1,
        imageUrl=f"file:///images/{name}.png",
        minint=0,
        maxint=255,
        tforms=[affine],
    )


@pytest.mark.filterwarnings("ignore")
def test_render_python_makes_a_stack_and_reads_its_tiles_back(renderapi, render):
    tiles = [_tile(renderapi, "a", 1.0, 0.0), _tile(renderapi, "b", 2.0, 40.0)]
    renderapi.stack.create_stack("s", render=render, stackResolutionX=4.0)
    renderapi.resolvedtiles.put_tilespecs(
        "s", renderapi.resolvedtiles.ResolvedTiles(tilespecs=tiles), render=render
    )
    renderapi.stack.set_stack_state("s", "COMPLETE", render=render)
    assert renderapi.stack.get_z_values_for_stack("s", render=render) == [1.0, 2.0]
    assert renderapi.render.get_stacks_by_owner_project(render=render) == ["s"]
    found = renderapi.tilespec.get_tile_specs_from_z("s", 2.0, render=render)
    assert [t.tileId for t in found] == ["b"]
    assert found[0].tforms[0].M[0, 2] == 40.0
    one = renderapi.tilespec.get_tile_spec("s", "a", render=render)
    assert (one.tileId, one.z, one.minX, one.width) == ("a", 1.0, 0.0, 100.0)
    box = renderapi.stack.get_stack_bounds("s", render=render)
    assert (box["minX"], box["maxX"], box["minZ"], box["maxZ"]) == (0.0, 140.0, 1.0, 2.0)
    world = renderapi.coordinate.local_to_world_coordinates("s", "b", 1, 2, render=render)
    assert world["world"][:2] == [41.0, 7.0]
    renderapi.stack.delete_stack("s", render=render)
    assert renderapi.render.get_stacks_by_owner_project(render=render) == []


@pytest.mark.filterwarnings("ignore")
def test_render_python_saves_and_reads_matches(renderapi, render):
    points = {"p": [[1.0, 2.0], [3.0, 4.0]], "q": [[5.0, 6.0], [7.0, 8.0]], "w": [1.0, 1.0]}
    sent = {"pGroupId": "9.0", "pId": "a", "qGroupId": "10.0", "qId": "b", "matches": points}
    match = renderapi.pointmatch
    match.import_matches("c", [sent], render=render)
    assert match.get_match_groupIds("c", render=render) == ["10.0", "9.0"]
    (found,) = match.get_matches_from_group_to_group("c", "9.0", "10.0", render=render)
    assert found["matches"]["p"] == points["q"]
    assert len(match.get_matches_involving_tile("c", "9.0", "a", render=render)) == 1
    assert (
        len(match.get_matches_from_tile_to_tile("c", "9.0", "a", "10.0", "b", render=render)) == 1
    )
    match.delete_collection("c", render=render)
