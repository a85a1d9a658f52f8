"""Cells that show each other's image are told from damaged ones, and given their own."""

import dataclasses

import numpy as np
import pytest
import yaml
from scipy.ndimage import gaussian_filter

from scripts.review import exchanged, gate, remedies
from scripts.review.evidence import Limits
from tests.review.test_review import evidence, grid, pairs_of

SIDE = 128


def pictures(seed=1):
    """Cell -> texture of tissue that changes from layer to layer, z 1 to 5."""
    rng = np.random.default_rng(seed)
    out = {}
    for cell in ((0, 0), (0, 1), (1, 0), (1, 1)):
        whole = gaussian_filter(rng.standard_normal((8, SIDE, SIDE)), (1.2, 2, 2))
        for z in range(1, 6):
            out[z, cell] = 128 + 60 * whole[z] / whole.std()
    return out


def found(change, suspects=((3, 0, 0), (3, 0, 1))):
    tiles = [dataclasses.replace(one, width=SIDE, height=SIDE) for one in grid(5).values()]
    shown = pictures()
    change(shown)
    ids = {t.tile_id for t in tiles if (int(t.z), *t.cell) in suspects}

    def read(tile):
        return shown[int(tile.z), tile.cell].astype(np.float32), np.ones((SIDE, SIDE), bool)

    return exchanged.find(tiles, ids, read=read)


def swap(shown, z=3, a=(0, 0), b=(0, 1)):
    shown[z, a], shown[z, b] = shown[z, b], shown[z, a]


def test_two_tiles_that_show_each_others_cell_are_exchanged():
    (one,) = found(swap)
    assert (one["z"], one["cells"]) == (3, ["0,0", "0,1"])
    section = yaml.safe_load(exchanged.lines([one]))["ingest"]["exchange"]
    assert section[0]["cells"] == ["0,0", "0,1"]
    assert (section[0]["z_first"], section[0]["z_last"]) == (3, 3)


def noise(shown):
    rng = np.random.default_rng(5)
    for cell in ((0, 0), (0, 1)):
        shown[3, cell] = 128 + 40 * rng.standard_normal((SIDE, SIDE))


def twice(shown):
    shown[3, 0, 1] = shown[3, (0, 1)] = shown[3, (0, 0)]


def first(shown):
    swap(shown, z=1)


@pytest.mark.parametrize("change", [lambda _: None, noise, twice])
def test_damaged_tiles_and_one_that_is_there_twice_are_not_exchanged(change):
    assert found(change) == []


def test_at_the_end_of_a_stack_one_neighbour_is_enough():
    (one,) = found(first, suspects=((1, 0, 0), (1, 0, 1)))
    assert one["z"] == 1


def gated():
    """What the gate looks at when two cells show each other's image, and the row that says so."""
    tiles = grid(3)
    ids = [tile.tile_id for tile in tiles.values() if tile.z == 2][:2]
    row = {"z": 2.0, "cells": ["0,0", "0,1"], "tiles": ids}
    proposals = yaml.safe_dump(
        {"patch": [{"cell": cell, "z": 2, "from": 1, "reason": "unlike"} for cell in row["cells"]]}
    )
    given = evidence(tiles, pairs_of(tiles), spoilt_tiles=ids, exchanged=[row])
    return dataclasses.replace(given, proposals=proposals), row


def test_the_gate_says_exchanged_and_offers_no_copies():
    given, row = gated()
    checks = gate.checks(given, Limits())
    why, lines = remedies.failure(checks, given, Limits(), {})
    assert why.startswith("Cells 0,0 and 0,1 of z 2 are exchanged")
    assert "patch:" not in lines
    block = yaml.safe_load(lines[lines.index("ingest:") :])
    assert block["ingest"]["exchange"][0]["cells"] == row["cells"]
