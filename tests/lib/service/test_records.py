"""Records: tile specs and matches survive the wire."""

from dataclasses import replace

import numpy as np
import pytest

from scripts.lib.geometry import tile_bounds
from scripts.lib.service.receipts import TileDigest, digest_tiles, encoded
from scripts.lib.service.records import CanvasMatches, Leaf, Ref, TileSet, TileSpec, axes_of
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


@pytest.mark.parametrize("n", [0, 1, 3, 5])
def test_points_are_read_as_rows_and_one_by_one(n):
    points = np.arange(2.0 * n).reshape(n, 2)
    one = CanvasMatches("1.0", "p", "2.0", "q", points, points + 10, np.ones(n))
    rows = one.to_json()
    singly = {"p": points.tolist(), "q": (points + 10).tolist(), "w": [1.0] * n}
    for sent in (rows["matches"], singly):
        back = CanvasMatches.from_json(rows | {"matches": sent})
        np.testing.assert_array_equal(back.p, points)
        np.testing.assert_array_equal(back.q, points + 10)
        axes = axes_of(sent)
        assert [list(axis) for axis in axes] == [
            *points.T.tolist(),
            *(points + 10).T.tolist(),
            [1.0] * n,
        ]


@pytest.mark.parametrize(
    "p", [[[1, 2]], [[1, 2, 3]] * 2, [[1, 2]] * 3, [[1, 2], [3, 4, 5], [6, 7]]]
)
def test_points_that_do_not_fit_are_refused(p):
    sent = {"p": p, "q": [[1, 2, 3, 4]] * 2, "w": [1] * 4}
    with pytest.raises(ValueError, match=r"4 points|inhomogeneous"):
        CanvasMatches.from_json(pair("1.0", "2.0").to_json() | {"matches": sent})
    with pytest.raises(ValueError, match="4 points"):
        axes_of(sent)


@pytest.mark.parametrize("xy", [(192, 0), (-2625, -1326), (0.5, -0.25), (1e-9, 7.000001)])
@pytest.mark.parametrize("scan", [(), (Ref("FIBSEM_correct"),)])
def test_bounds_of_a_translated_tile_are_exactly_those_of_the_general_rule(scan, xy):
    numbers = (f"1 0 0 1 {xy[0]} {xy[1]}", f"1.00 0 0 1 {xy[0]} {xy[1]}")  # short cut, general rule
    tiles = [
        tile(tile_id=str(i), transforms=(*scan, Leaf(AFFINE, n))) for i, n in enumerate(numbers)
    ]
    fast, general = TileSet(tuple(tiles), {"FIBSEM_correct": SCAN}).with_bounds().tiles
    assert fast.bounds == general.bounds


@pytest.mark.parametrize("scan", [(), (Ref("FIBSEM_correct"),)])
def test_bounds_of_an_affine_tile_are_exactly_those_of_the_general_rule(scan):
    moved = replace(tile(), transforms=(*scan, Leaf(AFFINE, "1.01 0.02 -0.03 0.98 -12.5 7.25")))
    tiles = TileSet((moved,), {"FIBSEM_correct": SCAN})
    (one,) = tiles.with_bounds().tiles
    assert one.bounds == tile_bounds(one.width, one.height, tiles.chain(one).apply)


def test_a_change_of_a_field_that_tiles_do_not_have_is_refused_by_name():
    assert tile().changed(row=3) == replace(tile(), row=3)
    with pytest.raises(TypeError, match="bonds"):
        tile().changed(bonds=None)


def test_bounds_that_are_there_can_be_kept():
    kept = tile(bounds=(1.0, 2.0, 3.0, 4.0))
    tiles = TileSet((kept, tile(tile_id="b")), {"FIBSEM_correct": SCAN})
    first, second = tiles.with_bounds(absent_only=True).tiles
    assert first == kept
    assert second.bounds == tiles.with_bounds().tiles[0].bounds


def test_the_digest_of_tiles_does_not_depend_on_their_order_but_on_all_else():
    tiles = TileSet(tuple(tile(tile_id=i) for i in "abc"), {"FIBSEM_correct": SCAN})
    mixed = TileSet(tiles.tiles[::-1], tiles.shared)
    assert digest_tiles(tiles) == digest_tiles(mixed)
    digest = TileDigest()
    for part in tiles.batches(2):
        digest.add((encoded(t.to_json()) for t in part.tiles), part.used())
    assert digest.hexdigest() == digest_tiles(tiles)
    other = Leaf(SEM_DISTORTION_A, "3 12 2 61 0", id="FIBSEM_correct")
    different = [
        TileSet(tiles.tiles[:2], tiles.shared),
        TileSet((tile(tile_id="a", z=8.0), *tiles.tiles[1:]), tiles.shared),
        TileSet(tiles.tiles, {"FIBSEM_correct": other}),
    ]
    assert len({digest_tiles(each) for each in (tiles, *different)}) == 4
