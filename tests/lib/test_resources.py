"""Memory that the rules ask for: worked examples, and what makes it grow."""

import pytest

from scripts.lib import resources

EXPORT = {
    "formats": ["n5", "zarr"], "block_zyx_px": [64, 64, 64], "shard_blocks_zyx": [2, 8, 8],
    "task_px": 2000, "review": False,
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
    assert resources.match_mb(1000, 1) == 2900
    assert resources.match_mb(1000, 3) == 8700
