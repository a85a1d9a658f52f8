"""A foreign client, render-python, works with the embedded service over HTTP."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image


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


def _lens(renderapi: ModuleType) -> list[Any]:
    """Transforms of each class that the client has, each little more than the identity."""
    t = renderapi.transform
    grid = np.stack(np.meshgrid(np.arange(0, 101, 20.0), np.arange(0, 81, 20.0)), -1).reshape(-1, 2)
    bent = grid + 2 * np.sin(grid[:, ::-1] / 30)
    spline = t.ThinPlateSplineTransform()
    spline.estimate(grid, bent)
    terms = np.array([[1, 1.01, 0.02, 1e-4, 0, 2e-4], [-2, 0, 0.99, 0, 1e-4, 1e-4]])
    polynomial = t.Polynomial2DTransform(params=terms)
    lens = t.NonLinearCoordinateTransform(dataString=LENS)
    lens.labels = None  # the client forgets it
    return [spline, polynomial, lens]


# dimension 1: x and y by means and deviations, and the constant
LENS = "1 3 50.0 0.5 -0.5 40.0 0.5 0.4 50.0 40.0 0.0 50.0 40.0 0.0 100 80 "


@pytest.mark.filterwarnings("ignore")
def test_render_python_sends_lens_corrections_and_gets_places_and_pictures(
    renderapi, render, tmp_path
):
    image = np.add.outer(np.arange(80), np.arange(100)).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "a.tif")
    shared = _lens(renderapi)
    tiles = []
    for i, moved in enumerate(shared):
        moved.transformId = f"t{i}"
        one = _tile(renderapi, f"tile{i}", 1.0, 0.0)
        one.ip[0].imageUrl = f"file:{tmp_path}/a.tif"
        one.tforms = [renderapi.transform.ReferenceTransform(refId=f"t{i}")]
        tiles.append(one)
    renderapi.stack.create_stack("lens", render=render)
    renderapi.resolvedtiles.put_tilespecs(
        "lens",
        renderapi.resolvedtiles.ResolvedTiles(tilespecs=tiles, transformList=shared),
        deriveData=True,
        render=render,
    )
    renderapi.stack.set_stack_state("lens", "COMPLETE", render=render)
    xy = np.array([[31.0, 47.0]])
    for i, moved in enumerate(shared):
        there = moved.tform(xy)[0]
        found = renderapi.coordinate.local_to_world_coordinates(
            "lens", f"tile{i}", *xy[0], render=render
        )
        np.testing.assert_allclose(found["world"][:2], there, atol=1e-4)
        back = renderapi.coordinate.world_to_local_coordinates("lens", 1.0, *there, render=render)
        local = next(each["local"] for each in back if each["tileId"] == f"tile{i}")
        np.testing.assert_allclose(local[:2], xy[0], atol=1e-3)
        picture = renderapi.image.get_tile_image_data(
            "lens", f"tile{i}", normalizeForMatching=False, render=render
        )
        spec = renderapi.tilespec.get_tile_spec_raw("lens", f"tile{i}", render=render)
        x, y = (round(float(v)) for v in there - [spec.minX, spec.minY])
        assert abs(int(picture[y, x, 0]) - 78) <= 2
    renderapi.stack.delete_stack("lens", render=render)


@pytest.mark.filterwarnings("ignore")
def test_render_python_asks_for_pictures_of_channels_and_layers(renderapi, render, tmp_path):
    image = np.add.outer(np.arange(80), np.arange(100)).astype(np.uint8)
    one = _tile(renderapi, "c", 1.0, 0.0)
    one.maxY, one.minY, one.tforms = 80, 0, []
    one.channels = []
    for name, values in (("DAPI", image), ("GFP", 200 - image)):
        Image.fromarray(values).save(tmp_path / f"{name}.tif")
        level = renderapi.image_pyramid.MipMap(f"file:{tmp_path}/{name}.tif")
        pyramid = renderapi.image_pyramid.ImagePyramid()
        pyramid[0] = level
        one.channels.append(
            renderapi.channel.Channel(name=name, minIntensity=0, maxIntensity=255, ip=pyramid)
        )
    renderapi.stack.create_stack("channels", render=render)
    renderapi.resolvedtiles.put_tilespecs(
        "channels",
        renderapi.resolvedtiles.ResolvedTiles(tilespecs=[one]),
        deriveData=True,
        render=render,
    )
    renderapi.stack.set_stack_state("channels", "COMPLETE", render=render)
    box = ("channels", 1.0, 0, 0, 100, 80)
    ask = renderapi.image.get_bb_image
    assert ask(*box, render=render)[20, 30, 0] == 50
    assert ask(*box, channel="GFP", render=render)[20, 30, 0] == 150
    assert abs(int(ask(*box, channel="DAPI___.5___GFP___.5", render=render)[20, 30, 0]) - 100) <= 1
    assert ask(*box, img_format="tif", render=render).shape[:2] == (80, 100)
    assert ask(*box, filter=True, maxTileSpecsToRender=5, render=render).shape == (80, 100, 4)
    said = ask(*box, channel="no", render=render)  # it returns the error
    assert "channels: DAPI, GFP" in str(said)
    layer = renderapi.image.get_section_image("channels", 1.0, scale=0.5, render=render)
    assert layer.shape[:2] == (40, 50)
    plan = renderapi.image.get_bb_renderparams(*box, render=render)
    assert renderapi.image.get_renderparameters_image(plan, render=render)[20, 30, 0] == 50
    renderapi.stack.delete_stack("channels", render=render)


@pytest.mark.filterwarnings("ignore")
def test_render_python_lists_renames_clones_and_deletes(renderapi, render):
    stack, tiles = (
        renderapi.stack,
        [_tile(renderapi, n, z, 0.0) for n, z in (("a", 1.0), ("b", 2.0))],
    )
    stack.create_stack("u", cycleNumber=1, cycleStepNumber=2, render=render)
    resolved = renderapi.resolvedtiles.ResolvedTiles(tilespecs=tiles)
    renderapi.resolvedtiles.put_tilespecs("u", resolved, render=render)
    stack.set_stack_state("u", "COMPLETE", render=render)
    stack.clone_stack("u", "v", zs=[2.0], render=render)
    stack.set_stack_state("v", "COMPLETE", render=render)
    assert stack.get_z_values_for_stack("v", render=render) == [2.0]
    stack.rename_stack("v", "w", render=render)
    assert stack.get_full_stack_metadata("w", render=render)["state"] == "COMPLETE"
    assert stack.get_sectionId_for_z("u", 2.0, render=render) == "2.0"
    assert stack.get_section_z_value("u", "2.0", render=render) == 2.0
    assert stack.get_stack_tileIds("u", render=render) == ["a", "b"]
    assert [s["z"] for s in stack.get_stack_sectionData("u", render=render)] == [1.0, 2.0]
    assert stack.get_tilebounds_for_z("u", 1.0, render=render)[0]["tileId"] == "a"
    assert stack.get_bounds_from_z("u", 1.0, render=render)["maxX"] == 100
    found = renderapi.tilespec.get_tile_specs_from_box("u", 1.0, 0, 0, 50, 50, render=render)
    assert [spec.tileId for spec in found] == ["a"]
    assert len(renderapi.tilespec.get_tile_specs_from_stack("u", render=render)) == 2
    there = renderapi.resolvedtiles.get_resolved_tiles_from_z("u", 1.0, render=render)
    assert [spec.tileId for spec in there.tilespecs] == ["a"]
    stack.set_stack_state("u", "LOADING", render=render)
    stack.delete_tile("u", "a", render=render)
    stack.delete_section("u", 2.0, render=render)
    assert stack.get_z_values_for_stack("u", render=render) == []
    assert "peer" in renderapi.render.get_owners(render=render)
    assert "python" in renderapi.render.get_projects_by_owner(render=render)
    for name in ("u", "w"):
        stack.delete_stack(name, render=render)
