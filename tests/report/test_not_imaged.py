"""Tiles that are not as imaged stand on the first screen, each once, with place and reason."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

from scripts.lib.pages import page as pages
from scripts.report import not_imaged, summary


def reviewed(evidence, k, **values):
    """Evidence whose tile k of the review has other values."""
    table = evidence["review"]
    columns = {
        name: np.where(np.arange(len(table)) == k, values.get(name, column), column)
        for name, column in table.columns.items()
    }
    tables = dict(evidence.tables) | {"review": dataclasses.replace(table, columns=columns)}
    return dataclasses.replace(evidence, tables=tables)


def counted(evidence):
    found = Counter(one.what.replace(" ", "_") for one in not_imaged.tiles(evidence))
    told = {k: n for k, n in summary.headline(evidence).items() if k != "placed" and n}
    assert found == told
    return found


def a_placed(evidence):
    placed = set(evidence["solved"]["tile_id"].tolist())
    rows = enumerate(evidence["review"].rows())
    return next(k for k, one in rows if one["tile_id"] in placed and one["state"] == "ok")


def test_as_many_tiles_are_named_as_are_counted(good):
    before = counted(good)
    k = a_placed(good)
    found = counted(reviewed(good, k, state="patched", reason="the tile is missing"))
    assert found["patched"] == before["patched"] + 1
    assert counted(reviewed(good, k, tile_id="none", state="excluded")) - before == {"excluded": 1}
    assert counted(reviewed(good, k, tile_id="none", state="ok")) - before == {"not_placed": 1}


def test_tiles_of_one_place_share_a_row_which_leads_to_the_layer(good):
    tiles = [not_imaged.Tile("excluded", z, 0, 1, "resin") for z in (3, 4, 5, 9)]
    ((count, what, cell, z, why),) = not_imaged._rows(tiles)
    assert (count, what, cell, why) == (4, "excluded", "0, 1", "resin")
    assert str(z) == '<a href="#find=z%203">3-5, 9</a>'


@pytest.mark.parametrize("state", ["excluded", "patched"])
def test_the_line_says_how_many(good, state):
    k = a_placed(good)
    tile = good["review"]["tile_id"][k] if state == "patched" else "none"
    evidence = reviewed(good, k, state=state, tile_id=tile)
    count = sum(one.what == state for one in not_imaged.tiles(evidence))
    text = str(pages.fragment(not_imaged.parts(evidence, "report/index.html")))
    assert f"{count} {state}" in text
    assert "where and why" in text
