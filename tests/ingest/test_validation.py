from dataclasses import replace

import pytest

from scripts.ingest import validation
from scripts.ingest.specs import Settings
from scripts.lib.job import UserError
from scripts.lib.records import Leaf
from tests.ingest.synthetic_layers import make_layers, make_tile

CELLS = ((0, 0), (0, 1))


def check(layers, settings=None, **more):
    validation.check(layers, settings=settings or Settings(), rows=1, columns=2, **more)


def test_a_whole_volume_and_one_with_declared_holes_and_gaps_pass():
    layers = make_layers([0, 40, 40], cells=CELLS)
    check(layers)
    hole = {"0-0-0": layers[1].tiles["0-0-0"]}
    layers[1] = replace(layers[1], tiles=hole, missing=("0-0-1",))
    layers[2] = replace(layers[2], tiles={}, missing=("0-0-0", "0-0-1"))
    check(layers)


def test_all_problems_are_listed_at_once():
    layers = make_layers([0, 40, 40, 40, 40], cells=CELLS)
    tiles = [dict(layer.tiles) for layer in layers]
    del tiles[0]["0-0-1"]
    tiles[1]["0-0-0"] = replace(tiles[1]["0-0-0"], shape=(1, 7, 9))
    tiles[2]["0-0-0"] = tiles[3]["0-0-0"]
    tiles[4]["0-0-0"] = make_tile(layers[4].name, 0, 0, FirstX=None, PixelSize=0.0)
    layers = [replace(a, tiles=t) for a, t in zip(layers, tiles, strict=True)]
    layers[3] = replace(layers[3], missing=("0-0-1",))
    correction = Leaf("no.such.Transform", "1 2")
    with pytest.raises(UserError) as caught:
        check(layers, Settings(correction, 100, None), unreadable=["z 9: gone"])
    text = str(caught.value)
    for words in (
        "z 9: gone",
        "row 0, column 1 has no tile and is not declared missing",
        "expects mipmap.0 of shape (1, 80, 100), found (1, 7, 9)",
        "holds a tile of layer",
        "column 1 has a tile, but is declared missing",
        "PixelSize is 0.0 nm: expected above 0",
        "ingest.scan_correction: transform class 'no.such.Transform' is not known",
        "hides all of an image of 100 x 80 px",
    ):
        assert words in text


def test_a_repeated_tile_id_is_named():
    (layer,) = make_layers([0], cells=CELLS)
    with pytest.raises(UserError, match="tile id 21-05-20_120000_0-0-0.1.0 occurs 2 times"):
        check([layer, layer])


def test_a_volume_without_any_tile_is_refused():
    layers = [replace(a, tiles={}) for a in make_layers([0, 40], cells=CELLS)]
    with pytest.raises(UserError, match="no layer has a readable tile"):
        check(layers)
