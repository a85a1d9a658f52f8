"""Records: tile specs and matches survive the wire."""

import numpy as np
import pytest

from scripts.lib.records import CanvasMatches, Leaf, Ref, TileSet, TileSpec
from scripts.lib.transforms import AFFINE, SEM_DISTORTION_A

SCAN = Leaf(SEM_DISTORTION_A, "3 12 2 60 0", id="FIBSEM_correct")


def tile(**changes):
    values = {
        "tile_id": "21-07-31_000000_0-0-1.7.0",
        "z": 7.0,
        "width": 240,
        "height": 200,
        "image_url": "file:///d/a.h5?dataSet=/0-0-1/mipmap.0&z=0",
        "transforms": (Ref("FIBSEM_correct"), Leaf(AFFINE, "1 0 0 1 192 0")),
        "row": 0,
        "column": 1,
        "stage_x": 192,
        "stage_y": 0,
        "mask_url": "mask://outside-box?minX=10&minY=0&maxX=240&maxY=200&width=240&height=200",
        "mask_loader": "DYNAMIC_MASK",
        "labels": ("restart",),
        "group_id": "restart",
    }
    return TileSpec(**(values | changes))


def test_a_tile_comes_back_from_the_wire():
    tiles = TileSet((tile(),), {"FIBSEM_correct": SCAN}).with_bounds()
    back = TileSet.from_json(tiles.to_json())
    assert back.tiles == tiles.tiles
    assert back.shared == tiles.shared


def test_fields_we_do_not_use_are_kept():
    wire = tile().to_json() | {"meshCellSize": 64.0}
    wire["layout"]["camera"] = "c1"
    again = TileSpec.from_json(wire).to_json()
    assert again["meshCellSize"] == 64.0
    assert again["layout"]["camera"] == "c1"


def test_the_last_transform_is_the_one_that_is_replaced():
    moved = tile().with_last(Leaf(AFFINE, "1 0 0 1 0 0"))
    assert moved.transforms == (Ref("FIBSEM_correct"), Leaf(AFFINE, "1 0 0 1 0 0"))
    assert moved.bounds is None


def test_the_scan_chain_leaves_out_the_stage_transform():
    tiles = TileSet((tile(),), {"FIBSEM_correct": SCAN})
    at_zero = tiles.scan_chain(tiles.tiles[0]).apply(np.zeros((1, 2)))
    np.testing.assert_allclose(at_zero, [[5.0, 0.0]])
    np.testing.assert_allclose(tiles.chain(tiles.tiles[0]).apply(np.zeros((1, 2))), [[197.0, 0.0]])


def test_an_unknown_reference_names_tile_and_transform():
    tiles = TileSet((tile(),))
    with pytest.raises(ValueError, match=r"21-07-31.*unknown transform 'FIBSEM_correct'"):
        tiles.chain(tiles.tiles[0])


def test_a_tile_without_width_is_refused_by_name():
    wire = tile().to_json()
    del wire["width"]
    with pytest.raises(ValueError, match=r"21-07-31_000000_0-0-1\.7\.0' has no width"):
        TileSpec.from_json(wire)


def pair(p_group, q_group):
    points = np.array([[1.0, 2.0], [3.0, 4.0]])
    return CanvasMatches(p_group, "p", q_group, "q", points, points + 10, np.ones(2))


def test_p_and_q_are_put_in_text_order_with_their_points():
    swapped = pair("9.0", "10.0").ordered()
    assert swapped.key == ("10.0", "q", "9.0", "p")
    np.testing.assert_array_equal(swapped.p, [[11, 12], [13, 14]])


def test_matches_come_back_from_the_wire():
    one = pair("1.0", "2.0")
    back = CanvasMatches.from_json(one.to_json())
    assert back.key == one.key
    np.testing.assert_array_equal(back.q, one.q)
