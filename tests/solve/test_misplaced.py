"""Tiles in the place of another cell are found by the stage alone, whatever their matches say."""

import numpy as np

from scripts.solve import misplaced
from tests.solve import graphs

STEP = graphs.SIDE * (1 - graphs.OVERLAP)


def moved(tiles, by):
    """Placements of the stage, some tiles moved: {(z, row, column): (dx, dy)}."""
    placement = tiles.stage.copy()
    for (z, row, column), shift in by.items():
        at = (tiles.z == z) & (tiles.row == row) & (tiles.column == column)
        placement[at, :, 2] += shift
    return placement


def found(by):
    tiles = graphs.grid(3, 2, 3)
    return [
        (row["z"], row["p_cell"], row["q_cell"], row["dx_px"], row["dy_px"])
        for row in misplaced.pairs(tiles, moved(tiles, by))
    ]


def test_tiles_where_the_stage_has_them_are_none():
    assert found({}) == []


def test_layers_and_tiles_that_lie_elsewhere_by_less_than_half_a_tile_are_none():
    layer = {(2, row, column): (9000, -9000) for row in range(2) for column in range(3)}
    assert found(layer) == []
    assert found({(2, 1, 1): (0.49 * graphs.SIDE, 0)}) == []


def test_columns_that_changed_places_are_named_with_their_layer():
    swapped = {(2, 0, 0): (STEP, 0), (2, 0, 1): (-STEP, 0)}
    assert (2, "0-0", "0-1", -2 * STEP, 0) in found(swapped)
    assert {row[0] for row in found(swapped)} == {2}


def test_a_tile_on_top_of_its_neighbour_is_named_though_it_meets_it():
    assert found({(3, 1, 2): (-STEP, 0)}) == [
        (3, "0-2", "1-2", -STEP, 0),
        (3, "1-1", "1-2", -STEP, 0),
    ]
    assert found({(1, 1, 0): (0, -STEP)})[0] == (1, "0-0", "1-0", 0, -STEP)


def test_neighbours_that_are_not_there_and_a_single_tile_are_no_pairs():
    one = graphs.grid(4, 1, 1)
    assert misplaced.pairs(one, one.stage) == []
    tiles = graphs.grid(2, 1, 3)
    kept = np.flatnonzero(tiles.column != 1)
    holed = type(tiles)(
        *(getattr(tiles, name)[kept] for name in ("ids", "z", "row", "column", "centre", "extent")),
        tiles.scale,
        tiles.stage[kept],
        tiles.image_z[kept],
    )
    far = holed.stage + np.arange(len(kept))[:, None, None] * 1e5
    assert misplaced.pairs(holed, far) == []


def test_of_a_stage_that_is_wrong_everywhere_some_are_listed(monkeypatch):
    monkeypatch.setattr(misplaced, "MOST", 2)
    everywhere = {(z, 0, 1): (-STEP, 0) for z in (1, 2, 3)}
    assert len(found(everywhere)) == 2
