"""Ownership of blocks: every block exactly one job, whatever the chunks are."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from scripts.export import compare_stacks, naming, planning, preview, pyramid, slabs, viewer
from scripts.lib import exports, files
from scripts.lib.job import UserError
from scripts.lib.service.records import TileSet
from scripts.lib.volumes.multiscale import VolumeSpec
from tests.lib.other_code import other_code

EXPORT = {
    "formats": ["zarr", "n5"],
    "block_zyx_px": [8, 16, 32],
    "shard_blocks_zyx": [1, 2, 1],
    "task_px": 40,
    "n5_codec": "gzip",
    "n5_codec_level": 5,
    "zarr_codec": "zstd",
    "zarr_codec_level": 3,
    "levels": 0,
}
VOXEL = {"pixel_nm": 5.0, "z_nm": 8.0}


def plan(bounds=(-3.5, 2.0, 120.2, 90.0), z=(3, 40)):
    return planning.plan("s", bounds, z, volume="v", voxel_nm=VOXEL, export=EXPORT)


def test_the_box_is_the_stack_bounds_rounded_outward():
    spec = plan().spec
    assert spec.origin_px_zyx == (3, 2, -4)
    assert spec.shape_zyx == (38, 88, 125)
    assert spec.voxel_nm_zyx == (8.0, 5.0, 5.0)


def test_plan_survives_json():
    assert slabs.Plan.from_json(json.loads(json.dumps(plan().to_json()))) == plan()


def test_targets_have_the_folders_of_cellmap():
    n5, ome = plan().targets
    assert str(n5.group) == "v.n5/em/fibsem-uint8"
    assert str(ome.group) == "v.zarr/recon-1/em/fibsem-uint8"


def test_levels_can_be_given():
    export = EXPORT | {"levels": 2}
    assert planning.plan("s", (0, 0, 90, 90), (1, 40), volume="v", voxel_nm=VOXEL, export=export)
    many = EXPORT | {"levels": 99}
    found = planning.plan("s", (0, 0, 90, 90), (1, 40), volume="v", voxel_nm=VOXEL, export=many)
    assert found.spec.levels == 6


@pytest.mark.parametrize("layers", [1, 3, 8, 11, 16, 100])
def test_every_voxel_belongs_to_exactly_one_task_made_of_whole_blocks(layers):
    what = plan()
    spec = what.spec
    count = np.zeros(spec.shape_zyx, int)
    for first in range(3, 41, layers):
        z_range = slabs.owned(what, first, min(first + layers - 1, 40))
        for area in slabs.areas(what, 0):
            for depth in slabs.depths(what, z_range):
                region = (depth, *area)
                count[region] += 1
                for part, block, size in zip(region, spec.block_zyx, spec.shape_zyx, strict=True):
                    assert part.start % block == 0
                    assert part.stop % block == 0 or part.stop == size
    assert (count == 1).all()


@pytest.mark.parametrize("task_px", [16, 40, 100])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_the_tasks_of_every_level_are_whole_files_that_cover_it_once(task_px, level):
    export = EXPORT | {"task_px": task_px}
    what = planning.plan("s", (0, 0, 260, 150), (1, 40), volume="v", voxel_nm=VOXEL, export=export)
    count = np.zeros(what.spec.level_shape(level), int)
    largest = what.side_yx(level)
    for region in slabs.tasks(what, level):
        count[region] += 1
        for part, unit, size in zip(region, what.unit_zyx, count.shape, strict=True):
            assert part.start % unit == 0
            assert part.stop % unit == 0 or part.stop == size
        sides = [part.stop - part.start for part in region]
        assert sides[0] <= what.unit_zyx[0]
        assert sides[1] <= largest[0]
        assert sides[2] <= largest[1]
    assert (count == 1).all()


def test_a_tasks_area_is_as_large_as_asked_for_in_whole_files_and_halves_with_the_level():
    export = EXPORT | {"task_px": 200, "shard_blocks_zyx": [1, 1, 1]}
    what = planning.plan("s", (0, 0, 900, 900), (1, 40), volume="v", voxel_nm=VOXEL, export=export)
    assert what.unit_zyx == (8, 16, 32)
    # 200 px are 12 files of 16 and 6 of 32; a level down 6 and 3; at last one file
    assert [what.side_yx(level) for level in range(5)] == [
        (192, 192),
        (96, 96),
        (48, 32),
        (16, 32),
        (16, 32),
    ]


def test_a_coarse_export_is_rounded_outward_to_whole_blocks_of_its_voxels():
    export = EXPORT | {"step_px": 4}
    bounds = (-3.5, 2.0, 500.2, 257.0)
    spec = planning.plan("s", bounds, (3, 40), volume="v", voxel_nm=VOXEL, export=export).spec
    # blocks of 16 x 32 voxels of 4 px: 64 x 128 px
    assert spec.origin_px_zyx == (3, 0, -32)
    assert spec.shape_zyx == (38, 80, 160)


@pytest.mark.parametrize("x_px", [[10, 10], [20, 10], [-90, -40], [130, 140]])
def test_a_box_that_holds_nothing_of_the_stack_is_refused_by_name(x_px):
    export = EXPORT | {"box": {"x_px": x_px}}
    with pytest.raises(UserError, match=r"export\.box\.x_px"):
        planning.plan("s", (0, 0, 120, 90), (3, 40), volume="v", voxel_nm=VOXEL, export=export)


def test_chunks_of_whole_blocks_own_their_own_layers():
    what = planning.plan("s", (0, 0, 90, 90), (1, 32), volume="v", voxel_nm=VOXEL, export=EXPORT)
    assert [slabs.owned(what, z, z + 15) for z in (1, 17)] == [(0, 16), (16, 32)]


def test_area_of_a_region_starts_at_the_origin():
    spec = plan().spec
    box = slabs.area(spec, (slice(0, 8), slice(16, 32), slice(32, 64)))
    assert (box.x0, box.y0, box.x1, box.y1) == (28, 18, 60, 34)


def test_pyramid_stops_at_one_block_or_one_voxel():
    assert sensible((60, 250, 250)) == 2
    assert sensible((3, 4096, 4096)) == 2
    assert sensible((64, 128, 128)) == 1
    assert sensible((3, 4096, 4096), halves_z=False) == 6
    assert sensible((1, 4096, 4096), z_kept=3) == 4
    assert sensible((400, 4096, 4096), z_kept=3) == 7
    assert sensible((400, 4096, 4096), yx_kept=2) == 8
    assert sensible((400, 128, 128), yx_kept=2) == 4  # z alone is longer than a block
    assert sensible((3, 4096, 4096), yx_kept=2) == 2  # of three layers there is one halving


STACK = {"project": "p", "stack": "v1_align", "dtype": "uint8", "digest": "d"}


def test_a_dataset_keeps_the_name_of_its_first_plan(workdir):
    pattern, times = "/render/{project}/{stack}___{time}/{dtype}", workdir / "times.json"
    first = naming.dataset(pattern, known=STACK, times=times)
    assert re.fullmatch(r"render/p/v1_align___\d{8}_\d{6}/uint8", first)
    files.write_json(times, {"d": "20240101_000000"})
    again = naming.dataset(pattern, known=STACK, times=times)
    assert again == "render/p/v1_align___20240101_000000/uint8"


@pytest.mark.parametrize("pattern", ["em/{when}", "../em", "em//x", "em/{stack", "em/a b"])
def test_a_dataset_that_is_no_path_of_plain_names_is_refused(workdir, pattern):
    with pytest.raises(UserError, match=r"export\.dataset: found .*expected a path of plain names"):
        naming.dataset(pattern, known=STACK, times=workdir / "times.json")


def test_keys_at_their_defaults_leave_the_plan_as_it_was():
    schema = yaml.safe_load(Path("config/schema.yaml").read_text())
    of_export = schema["properties"]["export"]["properties"]
    defaults = {key: each.get("default") for key, each in of_export.items()}
    assert set(exports.planned(defaults, "uint8")) == {*exports.PLANNED, "dtype"}
    asked = exports.planned(defaults | {"pyramid": "isotropic"}, "uint8")
    assert set(asked) == {*exports.PLANNED, "dtype", "pyramid"}


def sensible(shape, **more):
    return slabs.sensible_levels(
        VolumeSpec(shape, (64, 128, 128), "uint8", (8, 8, 8), (0, 0, 0), 1, **more)
    )


def digests():
    """What decides whether voxels of a slab, a slab of a preview and a task of a pyramid stand."""
    what, row = plan(), {"z_first": 3, "z_last": 10}
    region = next(iter(slabs.tasks(what, 1)))
    return (
        slabs.key(what, (0, 8), [], {"blend": "feather"}, "tiles"),
        preview.made_of(what, row, TileSet(())),
        pyramid._made_of(what, 1, region, []),
    )


@pytest.mark.parametrize(
    ("module", "stand"),
    [
        ("scripts/lib/drawing/warp.py", [False, False, True]),
        ("scripts/lib/numerics/kernels.py", [False, False, False]),
        ("scripts/export/disk.py", [True, True, True]),
    ],
)
def test_voxels_stand_while_the_code_is_that_which_made_them(module, stand):
    before = digests()
    assert digests() == before
    with other_code(module):
        assert [a == b for a, b in zip(digests(), before, strict=True)] == stand


def test_stacks_are_shown_side_by_side_each_in_its_own_depth():
    config = {"volume": "v", "export": {"stacks": [], "box": None, "scale": 0.25}}
    corrected = {"straighten": "a_straight", "16bit": "a_straight_16bit"}
    found = exports.stacks(config, "a", corrected, "_by4")
    assert list(found) == ["stack_align_by4", "stack_straighten_by4", "stack_16bit_by4"]
    assert [one["cut"]["dtype"] for one in found.values()] == ["uint8", "uint8", "uint16"]
    assert [one["stack"] for one in found.values()] == ["a", *corrected.values()]
    config["export"]["stacks"] = ["destreak"]
    with pytest.raises(UserError, match=r"export\.stacks: found destreak, expected some of align"):
        exports.stacks(config, "a", corrected, "")


def test_one_state_has_a_panel_for_each_stack(workdir):
    what = plan()
    states = {
        name: viewer.state(what.targets[0], what.spec, data_url="http://x/files", name="v uint8")
        for name in ("align", "straighten")
    }
    for name, state in states.items():
        files.write_json(f"{name}.json", {"stack": name, "targets": [
            {"path": f"{name}.n5", "neuroglancer": {"state": state}}]})  # fmt: skip
    compare_stacks.main(
        volumes=[f"{name}.json" for name in states],
        names=list(states),
        out="stacks.json",
        neuroglancer_url="http://viewer",
    )
    found = files.read_json("stacks.json")
    state = found["neuroglancer"]["state"]
    assert [layer["name"] for layer in state["layers"]] == ["align", "straighten"]
    assert [panel["layers"] for panel in state["layout"]["children"]] == [["align"], ["straighten"]]
    assert state["position"] == states["align"]["position"]
    assert found["neuroglancer"]["link"].startswith("http://viewer/#!")
