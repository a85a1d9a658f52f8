from dataclasses import replace
from pathlib import Path

import pytest

from scripts.ingest import specs
from scripts.ingest.specs import Settings
from scripts.lib.records import Leaf, TileSet
from scripts.lib.transforms import SEM_DISTORTION_A
from tests.ingest.synthetic_layers import make_layers, make_tile

JANELIA = Leaf(SEM_DISTORTION_A, "19.4 64.8 24.4 972.0 0", specs.CORRECTION)
GRID = ((0, 0), (0, 1), (1, 0), (1, 1))


def test_ids_grid_position_and_image_of_a_tile():
    layers = make_layers([0, 40], cells=GRID)
    tile = next(t for t in specs.tile_set(layers, {}, Settings()).tiles if t.cell == (1, 1))
    wire = tile.to_json()
    assert wire["tileId"] == "21-05-20_120000_0-1-1.1.0"
    assert wire["layout"] == {
        "sectionId": "1.0", "imageRow": 1, "imageCol": 1, "stageX": 85, "stageY": 70,
        "workingDistance": 3.4,
    }  # fmt: skip
    assert wire["mipmapLevels"]["0"] == {
        "imageUrl": f"file://{Path('h5/1.h5').absolute()}?dataSet=/0-1-1/mipmap.0&z=0",
        "imageLoaderType": "H5_SLICE",
    }
    assert wire["transforms"]["specList"] == [
        {
            "type": "leaf",
            "className": "mpicbg.trakem2.transform.AffineModel2D",
            "dataString": "1 0 0 1 85 70",
        }
    ]
    assert (wire["minIntensity"], wire["maxIntensity"]) == (0, 255)


def test_the_scan_correction_is_shared_and_comes_before_the_stage():
    tiles = specs.tile_set(make_layers([0]), {}, Settings(correction=JANELIA))
    first, last = tiles.tiles[0].to_json()["transforms"]["specList"]
    assert first == {"type": "ref", "refId": "FIBSEM_correct"}
    assert last["dataString"] == "1 0 0 1 -5 0"
    assert tiles.to_json()["transformIdToSpecMap"]["FIBSEM_correct"] == {
        "type": "leaf", "id": "FIBSEM_correct", "className": SEM_DISTORTION_A,
        "dataString": "19.4 64.8 24.4 972.0 0",
    }  # fmt: skip


def test_bounds_with_correction_are_those_of_the_service():
    (layer,) = make_layers([0])
    tile = make_tile(layer.name, 0, 0, YResolution=100, FirstX=-2625, FirstY=-1326)
    layer = replace(layer, tiles={"0-0-0": tile})
    (spec,) = specs.tile_set([layer], {}, Settings(correction=JANELIA)).tiles
    assert spec.bounds == (-2581, -1326, -2498, -1226)


def test_old_headers_are_placed_by_grid_and_overlap():
    (layer,) = make_layers([0])
    tile = make_tile(layer.name, 2, 3, FirstX=None, FirstY=None, XResolution=1000, YResolution=800)
    assert specs.stage_position(tile, Settings()) == (400 + 3 * 750, 400 + 2 * 550)
    assert specs.stage_position(tile, Settings(tile_overlap_um=0.8)) == (3100, 1800)


def test_the_mask_is_of_the_size_of_its_own_tile():
    (layer,) = make_layers([0])
    tile = make_tile(layer.name, 0, 0, XResolution=60)
    assert specs.mask_url(tile, Settings(mask_left_px=10)) == (
        "mask://outside-box?minX=10&minY=0&maxX=60&maxY=80&width=60&height=80"
    )
    assert specs.mask_url(tile, Settings()) is None
    (spec,) = specs.tile_set(
        [replace(layer, tiles={"0-0-0": tile})], {}, Settings(None, 10, 3)
    ).tiles
    assert spec.to_json()["mipmapLevels"]["0"]["maskLoaderType"] == "DYNAMIC_MASK"
    assert "minY=3" in spec.mask_url


def test_distance_z_compares_a_cell_with_itself_by_row_and_column():
    before, after = make_layers([0, 40], cells=GRID)
    moved = {
        k: make_tile(after.name, *t.cell, WD=3.4 + 1e-6 * (i + 1))
        for i, (k, t) in enumerate(after.tiles.items())
    }
    prior = dict(before.tiles)
    del prior["0-1-1"]
    layers = [replace(before, tiles=prior), replace(after, tiles=moved)]
    tiles = specs.tile_set(layers, {}, Settings()).tiles
    found = {t.cell: t.distance_z_nm for t in tiles if t.z == 2}
    assert [found[cell] for cell in GRID[:3]] == pytest.approx([1, 2, 3], abs=1e-6)
    assert found[(1, 1)] is None
    assert all(t.distance_z_nm is None for t in tiles if t.z == 1)


def test_restart_layers_carry_label_and_group_and_the_layer_before_the_group():
    layers = make_layers([0, 1000, 40])
    tiles = specs.tile_set(layers, {2: "acquisition_delay"}, Settings()).tiles
    assert [t.group_id for t in tiles] == ["restart", "restart", None]
    assert [t.labels for t in tiles] == [(), ("restart", "acquisition_delay"), ()]


def test_mipmaps_are_announced_up_to_the_level_that_every_file_has():
    few, many = make_layers([0, 40])
    few = replace(few, tiles={"0-0-0": make_tile(few.name, 0, 0, levels=2)})
    builder = specs.mipmap_builder([few, many])
    assert builder["numberOfLevels"] == 2
    assert builder["imageMipmapPatternString"] == r"(.*dataSet=.*mipmap\.)\d+(.*)"
    none = replace(few, tiles={"0-0-0": make_tile(few.name, 0, 0, levels=0)})
    assert specs.mipmap_builder([none, many]) is None


def test_specs_survive_the_wire():
    tiles = specs.tile_set(make_layers([0, 1000], cells=GRID), {2: "x"}, Settings(JANELIA, 10, 3))
    assert TileSet.from_json(tiles.to_json()).to_json() == tiles.to_json()
