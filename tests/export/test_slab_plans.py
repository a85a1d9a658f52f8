"""What a plan says of itself: levels made in memory, names, types, other pyramids."""

from dataclasses import replace

import pytest

from scripts.export import slabs
from scripts.lib.volumes.multiscale import Target, VolumeSpec

BLOCK = (8, 16, 32)


def plan(shape=(64, 2048, 2048), *, task_px=256, levels=1, shard=(1, 1, 1), targets=None, **spec):
    dtype = spec.pop("dtype", "uint8")
    volume = VolumeSpec(shape, BLOCK, dtype, (8, 8, 8), (0, 0, 0), levels, **spec)
    target = Target("zarr", "v.zarr", "em/fibsem", "zstd", 3, shard)
    return slabs.Plan("s", volume, targets or (target,), task_px)


@pytest.mark.parametrize("levels", [1, 2, 3, 6])
@pytest.mark.parametrize(
    ("task_px", "most"), [(16, 1), (32, 1), (64, 2), (96, 1), (256, 4), (513, 5)]
)
def test_levels_are_made_in_memory_while_a_tasks_area_is_whole_files_of_them(task_px, most, levels):
    made = plan(task_px=task_px, levels=levels)
    assert made.levels_at_once == min(most, levels)
    for level in range(made.levels_at_once):
        sides = [side / 2**level for side in made.side_yx(0)]
        assert all(side % unit == 0 for side, unit in zip(sides, BLOCK[1:], strict=True))


def test_where_z_alone_is_halved_first_one_level_is_made_at_once():
    assert plan(levels=3, yx_kept=1).levels_at_once == 1


def test_files_of_two_targets_are_the_least_that_both_fill():
    one = Target("zarr3", "v.zarr", "em/fibsem", "zstd", 3, (1, 2, 1))
    two = Target("zarr3", "w.zarr", "em/fibsem", "zstd", 3, (1, 3, 2))
    assert plan(targets=(one, two)).unit_zyx == (8, 96, 64)


def test_a_volume_that_is_one_block_in_z_has_one_level_however_long_z_is_kept():
    for z_kept in (0, 1, 3):
        spec = VolumeSpec(
            (64, 128, 128), (64, 128, 128), "uint8", (8, 8, 8), (0, 0, 0), 1, z_kept=z_kept
        )
        assert slabs.sensible_levels(spec) == 1


@pytest.mark.parametrize(
    ("sixteen", "eight"),
    [
        ("em/fibsem-uint16", "em/fibsem-uint8"),
        ("em/fibsem", "em/fibsem_uint8"),
        ("em/zzz", "em/zzz_uint8"),
        ("a-uint16", "a-uint8"),
    ],
)
def test_a_dataset_of_8_bit_is_named_after_that_of_16(sixteen, eight):
    made = plan(dtype="uint16")
    target = replace(made.targets[0], dataset=sixteen)
    made = replace(made, targets=(target,), with_eight=True, with_review=True)
    assert [t.dataset for t in made.eight.targets] == [eight]
    assert {kind: each.targets[0].dataset for kind, each in made.kinds.items()} == {
        "levels": sixteen,
        "review": f"{sixteen}_review",
        "eight": eight,
        "eight_review": f"{eight}_review",
    }


def test_a_plan_tells_in_what_type_it_is_drawn_and_written():
    eight, sixteen = plan(), plan(dtype="uint16")
    assert (eight.drawn_dtype, eight.in_8_bit) == ("uint8", False)
    assert (sixteen.drawn_dtype, sixteen.in_8_bit) == ("uint16", False)
    shown = replace(eight, drawn_as="uint16")
    assert (shown.drawn_dtype, shown.in_8_bit, shown.spec.dtype) == ("uint16", True, "uint8")
    both = replace(sixteen, with_eight=True)
    assert both.in_8_bit is True
    assert (both.eight.drawn_dtype, both.eight.spec.dtype) == ("uint16", "uint8")
    assert both.eight.eight is None
    assert (eight.eight, eight.review, set(eight.kinds)) == (None, None, {"levels"})


def test_the_pyramid_for_review_keeps_every_layer_and_halves_x_and_y():
    made = replace(plan(levels=3, yx_kept=1), with_review=True).review
    assert (made.spec.halves_z, made.spec.yx_kept, made.review) == (False, 0, None)
    assert made.spec.levels == slabs.sensible_levels(made.spec) == 8
    assert made.spec.level_shape(3) == (64, 256, 256)


def test_the_frame_is_what_stays_while_a_volume_grows_in_z():
    short, long = plan((64, 512, 512)), plan((128, 512, 512), levels=2)
    assert short.frame == long.frame
    assert short.frame != plan((64, 512, 544)).frame
    assert short.frame != plan((64, 512, 512), task_px=128).frame
    assert short.frame != plan((64, 512, 512), dtype="uint16").frame


def test_an_area_stays_whole_while_z_alone_is_halved():
    made = plan(task_px=256, levels=4, yx_kept=2)
    assert [made.side_yx(level) for level in range(5)] == [
        (256, 256), (256, 256), (256, 256), (128, 128), (64, 64),
    ]  # fmt: skip


def test_layers_of_a_range_of_voxels_begin_at_the_origin():
    made = plan()
    moved = replace(made, spec=replace(made.spec, origin_px_zyx=(7, 0, 0)))
    assert slabs.output_z(moved, (8, 16)) == range(15, 23)
    assert slabs.output_z(moved, (0, 0)) == range(7, 7)
