"""Straighten: the lean goes, everything else stays; steps chain by suffix."""

import numpy as np
import pytest

from scripts.correct import correct_step, publish_corrected, steps, straighten
from scripts.lib import files, geometry
from scripts.lib.receipts import StackReceipt
from scripts.lib.records import Leaf, TileSet, TileSpec
from scripts.lib.render import RenderClient
from scripts.lib.transforms import AFFINE, SEM_DISTORTION_A, affine_data
from tests.export.synthetic import RENDER, publish


def leaning(layers, lean=(3.0, -2.0), bend=0.0):
    tiles = []
    for z in layers:
        for column in (0, 1):
            shift = np.array(lean) * z + [bend * (z - layers[0]) * (layers[-1] - z), 0]
            matrix = geometry.translation(100 * column + shift[0], 50 + shift[1])
            chain = (Leaf(SEM_DISTORTION_A, "3 12 2 60 0"), Leaf(AFFINE, affine_data(matrix)))
            tiles.append(TileSpec(f"{z}-{column}", float(z), 120, 80, "none", chain))
    return TileSet(tuple(tiles)).with_bounds()


def centres(tiles):
    point = np.array([[60.0, 40.0]])
    return {t.tile_id: tiles.chain(t).apply(point)[0] for t in tiles.tiles}


def test_a_linear_lean_is_taken_out_and_the_first_layer_stays():
    tiles = leaning(range(5, 26))
    found = straighten.estimate(tiles)
    assert found == {"z_first": 5.0, "z_last": 25.0, "lean_px": [60.0, -40.0]}
    before, after = centres(tiles), centres(straighten.apply(tiles, found))
    assert np.allclose(after["5-0"], before["5-0"])
    for z in range(5, 26):
        assert np.allclose(after[f"{z}-0"], after["5-0"])
        assert np.allclose(after[f"{z}-1"] - after[f"{z}-0"], [100, 0])


def test_curvature_stays():
    tiles = leaning(range(0, 21), lean=(0, 0), bend=0.1)
    after = centres(straighten.apply(tiles, straighten.estimate(tiles)))
    assert after["10-0"][0] - after["0-0"][0] == pytest.approx(10)


def test_scan_correction_is_kept_and_bounds_are_derived():
    tiles = leaning(range(4))
    after = straighten.apply(tiles, straighten.estimate(tiles))
    assert all(len(t.transforms) == 2 for t in after.tiles)
    assert after.tiles[0].transforms[0] == tiles.tiles[0].transforms[0]
    assert after.tiles[-1].box.x0 == tiles.tiles[1].box.x0


def test_missing_layers_count_by_true_z():
    tiles = leaning([1, 2, 9])
    after = centres(straighten.apply(tiles, straighten.estimate(tiles)))
    assert np.allclose(after["2-0"], after["1-0"])


def test_one_layer_cannot_be_straightened():
    with pytest.raises(ValueError, match="two layers"):
        straighten.estimate(leaning([3]))


def test_unknown_step_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'bend'.*straighten"):
        steps.find("bend")


def test_jobs_leave_parameters_and_the_next_stack(workdir):
    publish(workdir, range(1, 5), stack="v1_align")
    correct_step.main(
        source="stacks/v1_align.json",
        out="correct/straighten.json",
        name="straighten",
        render=RENDER,
    )
    publish_corrected.main(
        source="stacks/v1_align.json",
        parameters="correct/straighten.json",
        receipt="stacks/v1_align_straight.json",
        stack="v1_align_straight",
        render=RENDER,
        voxel_nm={"pixel_nm": 5, "z_nm": 8},
    )
    summary = files.read_json("correct/straighten.json")
    assert (summary["source"], summary["stack"]) == ("v1_align", "v1_align_straight")
    receipt = StackReceipt.read("stacks/v1_align_straight.json")
    assert receipt.tile_count == 8
    RenderClient(**RENDER).require(receipt)
