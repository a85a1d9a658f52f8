"""Memory that the rules ask for: worked examples, and what makes it grow."""

import math
from pathlib import Path

import h5py
import numpy as np
import pytest

from scripts.lib import files, resources, yaml_files

STAGES = Path(__file__).resolve().parents[2] / "config/match_stages"
TABLES = [yaml_files.read(STAGES / f"{name}.yaml") for name in ("small_tiles", "block")]

EXPORT = {
    "formats": ["n5", "zarr"], "block_zyx_px": [64, 64, 64], "shard_blocks_zyx": [2, 8, 8],
    "task_px": 2000, "review": False, "dtype": "auto",
}  # fmt: skip


def test_a_slab_holds_a_task_with_its_lower_levels_and_four_float_planes():
    # 4 Mpx x (64 layers x 8/7 + 4 planes x 4 bytes) + 500
    assert resources.slab_mb(EXPORT, "uint8", 1) == int(500 + 4 * (64 * 8 / 7 + 16))
    assert resources.slab_mb(EXPORT, "uint16", 1) == int(500 + 4 * (128 * 8 / 7 + 16))
    with_review = resources.slab_mb(EXPORT | {"review": True}, "uint8", 1)
    assert with_review == int(500 + 4 * (64 * (8 / 7 + 1 / 3) + 16))


def test_a_pyramid_holds_nine_tasks_of_level_one():
    assert resources.pyramid_mb(EXPORT, "uint8", 1) == 500 + 9 * 64
    assert resources.pyramid_mb(EXPORT, "uint16", 1) == 500 + 9 * 128


@pytest.mark.parametrize("formula", [resources.slab_mb, resources.pyramid_mb])
def test_shards_are_deeper_and_a_second_attempt_gets_twice_as_much(formula):
    once = formula(EXPORT, "uint8", 1)
    assert formula(EXPORT, "uint8", 2) == pytest.approx(2 * once, abs=1)
    sharded = EXPORT | {"formats": ["zarr3"]}
    assert formula(sharded, "uint8", 1) == formula(
        EXPORT | {"block_zyx_px": [128, 64, 64]}, "uint8", 1
    )


def test_matching_holds_the_features_kept_and_one_canvas():
    assert resources.match_mb(1000, 1, TABLES, (120, 120)) < 1320
    large = resources.match_mb(1000, 1, TABLES, (8875, 3500))
    # the last stage of block: half of 8875 x 3500 px at 330 bytes, measured 2,506 MB
    assert large == 1000 + 300 + math.ceil(8875 * 3500 / 4 * 330 / 1e6)
    assert resources.match_mb(1000, 3, TABLES, (8875, 3500)) == 3 * large


def test_the_montage_filters_a_whole_tile_for_a_strip_of_it():
    run = {"runs": {"montage": TABLES[-1]["runs"]["montage"]}, "common": TABLES[-1]["common"]}
    # measured: 1,885 MB, more than the 578 MB of the features of 500 x 3500 px
    assert resources.match_mb(0, 1, [run], (8875, 3500)) == 300 + math.ceil(8875 * 3500 * 62 / 1e6)


def test_the_size_of_tiles_is_that_of_the_first_layer_that_is_there(tmp_path):
    table = tmp_path / "ingest/layers.tsv"
    assert resources.tile_px(table) == resources.LARGEST_TILE_PX
    rows = [{"z": z, "align_h5": f"h5/{z}.h5"} for z in (1, 2)]
    files.write_table(table, ("z", "align_h5"), rows)
    (tmp_path / "h5").mkdir()
    with h5py.File(tmp_path / "h5/2.h5", "w") as file:
        file["0-0-0/mipmap.0"] = np.zeros((1, 30, 50), np.uint8)
        file["0-0-1/mipmap.0"] = np.zeros((1, 40, 45), np.uint8)
    assert resources.tile_px(table) == (50, 40)
