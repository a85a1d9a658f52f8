"""Stage positions: what headers do not record, what the config adds, what breaks the pattern."""

import numpy as np
import pytest
import yaml

from scripts.ingest import positions, specs, validation
from scripts.ingest.headers import with_prior
from scripts.ingest.settings import Settings
from tests.ingest.synthetic_layers import Volume, make_tile

GRID = ((0, 0), (0, 1), (1, 0), (1, 1))  # tiles of 100 x 80 px, 90 and 70 px apart


def settings(offsets=(), exchange=()):
    offsets = list(offsets)  # 10 px of overlap
    return Settings.of(None, None, 0.08, stage_offsets=offsets, exchange=exchange)


def volume(layers=6):
    return Volume([0] + [40] * (layers - 1), cells=GRID)


def shifted(tiles, x=0, y=0):
    out = []
    for tile in tiles:
        tile = tile.copy()
        tile["first_x"] += x
        tile["first_y"] += y
        out.append(tile)
    return out


def findings(one, offsets=()):
    pattern = positions.Pattern()
    for part in one.parts():
        pattern.add(part, settings(offsets))
    return list(pattern.findings())


def places(one, offsets=(), exchange=()):
    """Position by z and cell."""
    return {
        (z, row, column): at
        for part in one.parts()
        for z, row, column, at in zip(
            part.z.tolist(),
            part.tiles["row"].tolist(),
            part.tiles["column"].tolist(),
            positions.placed(part, settings(offsets, exchange)).tolist(),
            strict=True,
        )
    }


def test_a_regular_volume_has_no_finding():
    assert findings(volume()) == []


def test_a_layer_that_reports_another_place_is_told_with_the_entry_that_undoes_it():
    one = volume()
    regular = places(one)
    one.tiles[4] = shifted(one.tiles[4], 500, -30)
    ((z, words),) = findings(one)
    assert z == 4
    assert words.startswith("the stage positions of 4 cell(s) move by 500, -30 px against z 3")
    assert "and back after z 4" in words
    entry = "{z_first: 4, z_last: 4, x_px: -500, y_px: 30}"
    assert entry in words
    offsets = [{"z_first": 4, "z_last": 4, "x_px": -500, "y_px": 30}]
    assert findings(one, offsets) == []
    assert places(one, offsets) == regular


def test_positions_that_stay_away_are_told_once_with_an_open_end():
    one = volume()
    for z in (4, 5, 6):
        one.tiles[z] = shifted(one.tiles[z], y=60)
    ((z, words),) = findings(one)
    assert (z, "{z_first: 4, x_px: 0, y_px: -60}" in words) == (4, True)
    assert findings(one, [{"z_first": 4, "y_px": -60}]) == []


def test_two_steps_that_do_not_undo_each_other_are_two():
    one = volume()
    one.tiles[3] = shifted(one.tiles[3], 500)
    for z in (4, 5, 6):
        one.tiles[z] = shifted(one.tiles[z], 0, 200)
    assert [z for z, _ in findings(one)] == [3, 4]


def test_a_move_of_a_few_pixels_is_none():
    one = volume()
    one.tiles[4] = shifted(one.tiles[4], 19)  # a quarter of 80 px is 20
    assert findings(one) == []
    one.tiles[4] = shifted(one.tiles[4], 2)
    assert len(findings(one)) == 1


def test_a_lost_layer_hides_no_step():
    one = volume()
    for z in (5, 6):
        one.tiles[z] = shifted(one.tiles[z], 300)
    one.tiles[4] = []
    ((z, words),) = findings(one)
    assert (z, "against z 3" in words) == (5, True)


def test_tiles_of_a_grid_that_all_report_zero_are_placed_by_the_grid():
    one = volume()
    for z in (2, 3):
        one.tiles[z] = [make_tile(r, c, first_x=0, first_y=0) for r, c in GRID]
    at = places(one)
    assert [at[2, r, c] for r, c in GRID] == [[400 + 90 * c, 400 + 70 * r] for r, c in GRID]
    assert at[1, 1, 1] == [85, 70]  # recorded ones stay
    told, step = findings(one)
    assert told == (2, told[1])
    assert told[1].startswith("z 2 to 3: all tiles report one position")
    assert "move by 405, 400 px against z 1, and back after z 3" in step[1]


def test_a_single_tile_may_lie_at_zero():
    one = Volume([0, 40], cells=((0, 0),))
    one.tiles[1] = [make_tile(0, 0, first_x=0, first_y=0)]
    assert places(one)[1, 0, 0] == [0, 0]


def test_specs_take_the_offsets_and_their_bounds_too():
    one, how = volume(2), settings([{"z_last": 1, "x_px": 1000}])
    tiles = [
        tile
        for batch in specs.Acquired(one.parts, one.rows, {}, how, 8.0).batches(99)
        for tile in batch.tiles
    ]
    first = [t for t in tiles if t.cell == (0, 0)]
    assert [t.stage_x for t in first] == [995, -5]
    assert np.diff([t.bounds[0] for t in first]).tolist() == [-1000]


@pytest.mark.parametrize(("second", "count"), [(4, 1), (6, 0)])
def test_ranges_of_offsets_must_not_overlap(second, count):
    how = settings([{"z_last": 5, "x_px": 1}, {"z_first": second, "x_px": 2}])
    found = [text for text in how.problems() if text.startswith("ingest.stage_offsets")]
    assert len(found) == count


def test_the_finding_is_a_note_of_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = volume()
    one.tiles[4] = shifted(one.tiles[4], 500)
    expected = validation.Expected(2, 2, 8.0, settings())
    rows = [{"layer_id": r["layer_id"], "tiles": ",".join("kkkk"), "problem": ""} for r in one.rows]
    found = validation.find(one.rows, rows, with_prior(one.parts()), expected, absent=[])
    (note,) = [each for each in found if each.check == "stage"]
    assert (note.severity, note.z) == ("note", 4)


def renamed(layers, one):
    """The files of two cells are under each other's name, headers and all."""
    for z in layers:
        a, b = one.tiles[z][0].copy(), one.tiles[z][1].copy()
        for name in ("first_x", "first_y"):
            a[name], b[name] = b[name].copy(), a[name].copy()
        one.tiles[z][:2] = [a, b]
    return one


def entry_of(words):
    return yaml.safe_load(words[words.index("{") :])


@pytest.mark.parametrize(("layers", "last"), [((3,), 3), ((3, 4), 4), ((4, 5, 6), None)])
def test_exchanged_files_are_told_by_the_positions_that_went_along(layers, last):
    regular = places(volume())
    one = renamed(layers, volume())
    ((z, words),) = findings(one)
    assert z == layers[0]
    assert "cells 0,0 and 0,1 are exchanged" in words
    entry = entry_of(words)
    assert (entry["cells"], entry["z_first"], entry.get("z_last")) == (
        ["0,0", "0,1"], layers[0], last,
    )  # fmt: skip
    assert places(one, exchange=[entry]) == regular
    swapped = shown(one, entry)
    assert swapped[layers[0], 0, 0] == (layers[0], 0, 1)
    assert swapped[1, 0, 0] == (1, 0, 0)


def shown(one, entry):
    """Of which place the image is that each place shows."""
    out = {}
    for part in one.parts():
        cells = zip(*(part.tiles[name].tolist() for name in ("row", "column")), strict=True)
        each = [(z, *cell) for z, cell in zip(part.z.tolist(), cells, strict=True)]
        source = positions.sources(part, settings(exchange=[entry])).tolist()
        out |= {place: each[k] for place, k in zip(each, source, strict=True)}
    return out


def test_where_only_images_were_exchanged_tiles_stay_where_they_are():
    entry = {"cells": ["0,0", "1,0"], "z_first": 2, "z_last": 2, "reason": "r"}
    assert places(volume(), exchange=[entry]) == places(volume())
    others = {place: of for place, of in shown(volume(), entry).items() if place != of}
    assert others == {(2, 0, 0): (2, 1, 0), (2, 1, 0): (2, 0, 0)}
    twice = Settings.of(None, None, 0.08, exchange=[entry, entry | {"cells": ["0,0", "0,1"]}])
    (words,) = twice.problems()
    assert "two entries name a cell of z 2" in words
