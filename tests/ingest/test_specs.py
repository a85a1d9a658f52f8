from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from scripts.ingest import positions, specs
from scripts.ingest.settings import CORRECTION, Settings
from scripts.lib.drawing import pixels
from scripts.lib.service.records import TileSet
from scripts.lib.transforms import SEM_DISTORTION_A
from tests.ingest.synthetic_layers import Volume, make_tile

JANELIA = {"class_name": SEM_DISTORTION_A, "data": "19.4 64.8 24.4 972.0 0"}
OTHER = {"class_name": SEM_DISTORTION_A, "data": "21.2 74.8 42.7 1223.5 0"}
GRID = ((0, 0), (0, 1), (1, 0), (1, 1))


def settings(scan_correction=None, mask=None, tile_overlap_um=2.0):
    values = {"scan_correction": scan_correction, "mask": mask, "tile_overlap_um": tile_overlap_um}
    return Settings.of(**values)


def tile_set(volume, found=None, how=None, size=3, pixel_nm=8.0):
    how = how or settings()
    source = specs.Acquired(volume.parts, volume.rows, found or {}, how, pixel_nm)
    batches = list(source.batches(size))
    assert all(len(batch.tiles) == size for batch in batches[:-1])
    tiles = TileSet(tuple(chain.from_iterable(b.tiles for b in batches)), batches[0].shared)
    assert tiles.with_bounds() == tiles
    assert source.ids() == tiles.ids()
    return tiles


def test_ids_grid_position_and_image_of_a_tile():
    tiles = tile_set(Volume([0, 40], cells=GRID)).tiles
    wire = next(t for t in tiles if t.cell == (1, 1)).to_json()
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
    tiles = tile_set(Volume([0]), how=settings(JANELIA))
    first, last = tiles.tiles[0].to_json()["transforms"]["specList"]
    assert first == {"type": "ref", "refId": "FIBSEM_correct"}
    assert last["dataString"] == "1 0 0 1 -5 0"
    assert tiles.to_json()["transformIdToSpecMap"]["FIBSEM_correct"] == {
        "type": "leaf", "id": "FIBSEM_correct", "className": SEM_DISTORTION_A,
        "dataString": "19.4 64.8 24.4 972.0 0",
    }  # fmt: skip


def test_bounds_with_correction_are_those_of_the_service():
    volume = Volume([0])
    volume.tiles[1] = [make_tile(height=100, first_x=-2625, first_y=-1326)]
    (spec,) = tile_set(volume, how=settings(JANELIA)).with_bounds().tiles
    assert spec.bounds == (-2581, -1326, -2498, -1226)


def test_each_range_of_z_has_its_own_correction_and_a_z_outside_has_none():
    ranges = [{"z_first": 1, "z_last": 2, **JANELIA}, {"z_first": 4, "z_last": None, **OTHER}]
    tiles = tile_set(Volume([0] + [40] * 4), how=settings(ranges))
    refs = [[s.id for s in t.transforms[:-1]] for t in tiles.tiles]
    second = f"{CORRECTION}_b"
    assert refs == [[CORRECTION], [CORRECTION], [], [second], [second]]
    assert tiles.shared[second].data == OTHER["data"]
    assert set(TileSet(tiles.tiles[3:], tiles.shared).to_json()["transformIdToSpecMap"]) == {second}


def test_many_corrections_have_different_names():
    ranges = [{"z_first": z, "z_last": z, **JANELIA} for z in range(1, 31)]
    assert len({each.leaf.id for each in settings(ranges).corrections}) == 30


@pytest.mark.parametrize(
    ("ranges", "words"),
    [
        ([(1, 5), (5, 9)], "z 1 to 5 and 5 to 9 overlap"),
        ([(None, None), (7, 9)], "overlap"),
        ([(5, 2)], "z_first 5 is above z_last 2"),
        ([(6, 9), (1, 5)], None),
    ],
)
def test_ranges_must_not_overlap(ranges, words):
    values = [{"z_first": a, "z_last": b, **JANELIA} for a, b in ranges]
    found = list(settings(values).problems())
    assert [words in each for each in found] == ([True] if words else [])


def test_old_headers_are_placed_by_grid_and_overlap():
    nan = float("nan")
    tile = make_tile(2, 3, first_x=nan, first_y=nan, width=1000, height=800)[np.newaxis]
    assert positions.stage_positions(tile, 2).tolist() == [[400 + 3 * 750, 400 + 2 * 550]]
    assert positions.stage_positions(tile, 0.8).tolist() == [[3100, 1800]]


def test_the_mask_is_of_the_size_of_its_own_tile_and_of_its_range():
    volume = Volume([0, 40, 40])
    volume.tiles[1] = [make_tile(width=60)]
    one = tile_set(volume, how=settings(mask={"left_px": 10, "top_px": None})).tiles
    assert one[0].mask_url == (
        "mask://outside-box?minX=10&minY=0&maxX=60&maxY=80&width=60&height=80"
    )
    assert one[0].to_json()["mipmapLevels"]["0"]["maskLoaderType"] == "DYNAMIC_MASK"
    ranges = [{"z_first": 2, "z_last": 2, "left_px": 10, "top_px": 3}]
    some = tile_set(volume, how=settings(mask=ranges)).tiles
    assert [t.mask_url is None for t in some] == [True, False, True]
    assert "minY=3" in some[1].mask_url
    box = tile_set(volume, how=settings(mask={"right_px": 3, "bottom_px": 5})).tiles[0]
    assert f"minX=0&minY=0&maxX={box.width - 3}&maxY={box.height - 5}&" in box.mask_url
    none = tile_set(volume, how=settings(mask={"left_px": None, "top_px": None})).tiles
    assert {t.mask_url for t in none} == {None}


def test_distance_z_compares_a_cell_with_itself_by_row_and_column():
    volume = Volume([0, 40, 40, 40], cells=GRID)
    for z in (2, 3):
        for i, tile in enumerate(volume.tiles[z]):
            tile["wd_mm"] += (z - 1) * 1e-6 * (i + 1)
    volume.tiles[2].pop()
    found = {(t.z, t.cell): t.distance_z_nm for t in tile_set(volume).tiles}
    assert [found[2, cell] for cell in GRID[:3]] == pytest.approx([1, 2, 3], abs=1e-6)
    assert [found[3, cell] for cell in GRID[:3]] == pytest.approx([1, 2, 3], abs=1e-6)
    # nothing to compare with one layer before: none, even where an older tile is known
    assert found[3, (1, 1)] is None
    assert all(v is None for (z, _), v in found.items() if z == 1)


def test_restart_layers_carry_label_and_group_and_the_layer_before_the_group():
    tiles = tile_set(Volume([0, 1000, 40]), {2: "acquisition_delay"}).tiles
    assert [t.group_id for t in tiles] == ["restart", "restart", None]
    assert [t.labels for t in tiles] == [(), ("restart", "acquisition_delay"), ()]


def test_mipmaps_are_announced_up_to_the_level_that_every_file_has():
    volume = Volume([0, 40, 40])
    volume.tiles[1] = [make_tile(levels=2)]
    builder = specs.mipmap_builder(volume.parts())
    assert builder["numberOfLevels"] == 2
    assert builder["imageMipmapPatternString"] == r"(.*dataSet=.*mipmap\.)\d+(.*)"
    volume.tiles[1] = [make_tile(levels=0)]
    assert specs.mipmap_builder(volume.parts()) is None


def test_specs_survive_the_wire():
    how = settings(JANELIA, {"left_px": 10, "top_px": 3})
    tiles = tile_set(Volume([0, 1000], cells=GRID), {2: "x"}, how)
    assert TileSet.from_json(tiles.to_json()).to_json() == tiles.to_json()


def test_the_image_of_a_folder_with_signs_is_quoted_once_and_read_back(tmp_path, monkeypatch):
    folder = tmp_path / "my vol {x} (ü) it's #1 20%FBS?"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (tile, *_) = tile_set(Volume([0])).tiles
    assert "/my%20vol%20%7Bx%7D%20(%C3%BC)%20it's%20%231%2020%25FBS%3F/h5/" in tile.image_url
    found = pixels.image_path(tile.image_url)
    assert found is not None
    assert found.is_relative_to(folder)


def affines(volume, **options):
    texts = (t.transforms[-1].data for t in tile_set(volume, **options).tiles)
    return [[float(value) for value in text.split()] for text in texts]


@pytest.mark.parametrize("size", [8.4, 8.54, 7.9])
@pytest.mark.parametrize("correction", [None, JANELIA])
def test_another_pixel_size_of_the_header_scales_image_and_place(size, correction):
    """World pixels are those of the volume: 8 nm, for all layers."""
    volume = Volume([0, 40, 40], cells=GRID, change={3: {"pixel_nm": size}})
    found = np.array(affines(volume, how=settings(correction)))
    ratio = size / 8
    assert found[:8, :4].tolist() == [[1, 0, 0, 1]] * 8
    assert found[8:, :4] == pytest.approx(np.tile([ratio, 0, 0, ratio], (4, 1)), abs=1e-6)
    assert found[8:, 4:] == pytest.approx(ratio * found[:4, 4:], abs=1e-6)


def test_a_config_that_rounds_the_pixel_size_scales_nothing():
    volume = Volume([0, 40], change={1: {"pixel_nm": 7.98}, 2: {"pixel_nm": 7.98}})
    assert [one[:4] for one in affines(volume)] == [[1, 0, 0, 1]] * 2


def test_the_size_nearest_to_the_config_has_scale_one():
    volume = Volume([0, 40], change={1: {"pixel_nm": 4.2}, 2: {"pixel_nm": 8.01}})
    assert [one[0] for one in affines(volume)] == pytest.approx([4.2 / 8.01, 1], abs=1e-6)


def test_a_size_written_in_32_bits_is_the_same_size():
    volume = Volume([0, 40], change={1: {"pixel_nm": 7.9}, 2: {"pixel_nm": float(np.float32(7.9))}})
    assert [one[0] for one in affines(volume, pixel_nm=7.9)] == [1, 1]
