"""Tiles, cells and layers that the config names are looked for as soon as there are files."""

import pytest

from scripts.lib.files import write_table
from scripts.transfer import doctor
from tests.transfer.test_doctor import config, examined, keys

ENDED = {"last_dat": "Merlin-1_24-03-07_100003"}
GOOD = "24-03-07_100002_0-0-1.3.0"


def exclude(*tiles):
    return {"exclude": [{"tiles": list(tiles), "reason": "r"}]}


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("24-03-07_100002_0-0-1.2.0", GOOD),  # z of another layer
        ("24-03-07_100012_0-0-1.3.0", GOOD),  # a time that no layer has
        ("24-03-07_100012_0-0-1.9.0", GOOD),  # by its letters
        ("Merlin-1_24-03-07_100002_0-0-1.dat", GOOD),
        ("0-0-1.3.0", GOOD),
    ],
)
def test_an_id_that_no_file_has_is_named_with_the_one_that_is_meant(dats, wrong, meant):
    (error,) = [
        each
        for each in examined(dats, review=exclude(GOOD, wrong))
        if each.severity == doctor.ERROR
    ]
    assert error.key == "review.exclude[0]"
    assert wrong in error.found
    assert error.change == f"Is {meant} meant?"


@pytest.mark.parametrize(
    ("section", "values", "key"),
    [
        ("review", {"keep": [{"tiles": ["24-03-07_100002_0-0-1.4.0"], "reason": "r"}]},
         "review.keep[0]"),
        ("review", {"exclude": [{"z_first": 2, "z_last": 3, "reason": "r"}]}, "review.exclude[0]"),
        ("review", {"bridge": [{"cells": ["0,0", "0,1"], "like": ["1,0", "1,1"], "z_first": 1,
                                "z_last": 2, "reason": "r"}]}, "review.bridge[0]"),
        ("match", {"decisions": [{"action": "drop", "tiles": ["24-03-07_110002_0-0-1.3.0"],
                                  "reason": "r"}]}, "match.decisions[0]"),
        ("match", {"decisions": [{"action": "drop", "cells": ["5,0"], "reason": "r"}]},
         "match.decisions[0]"),
        ("match", {"by_hand": [{"moving": GOOD, "fixed": "24-03-07_100002_0-0-0.2.0", "scale": 1,
                                "landmarks": "l.csv", "reason": "r"}]}, "match.by_hand[0]"),
        ("ingest", {"mask": [{"left_px": 1, "column": 2}]}, "ingest.mask[0]"),
        ("ingest", {"mask": [{"left_px": 1, "z_first": 3, "z_last": 2}]}, "ingest.mask[0]"),
        ("ingest", {"layers": [{"drop": "Merlin-1_24-03-07_100022", "reason": "r"}]},
         "ingest.layers[0].drop"),
        ("transfer", {"fill": [{"tiles": ["0-1-0"], "x_px": 0, "y_px": 0, "width_px": 1,
                                "height_px": 1, "threshold": 0, "value": 0}]}, "transfer.fill[0]"),
        ("zcorr", {"scale_z": [{"z_first": 3, "z_last": 2, "factor": 1, "reason": "r"}]},
         "zcorr.scale_z[0]"),
    ],
)  # fmt: skip
def test_whatever_names_a_tile_a_cell_or_a_layer_is_looked_up(dats, section, values, key):
    found = keys(examined(dats, **{section: values}))
    assert {each.removesuffix(".landmarks") for each in found} == {key}


@pytest.mark.parametrize(
    ("section", "values", "key"),
    [
        ("review", {"exclude": [{"cells": ["0,0"], "z_first": 9, "reason": "r"}]},
         "review.exclude[0]"),
        ("review", {"patch": [{"cell": "0,0", "z": 5, "reason": "r"}]}, "review.patch[0]"),
        ("solve", {"misalignment": {"accept": [{"z": [7, 8], "reason": "r"}]}},
         "solve.misalignment.accept[0]"),
        ("zcorr", {"accept_layers": [2, 5]}, "zcorr.accept_layers"),
    ],
)  # fmt: skip
def test_ranges_behind_the_last_layer_are_a_note_at_every_start(dats, section, values, key):
    assert examined(dats, **{section: values}) == []  # imaging goes on
    (note,) = examined(dats, acquisition=ENDED, **{section: values})
    assert (note.severity, note.key) == ("note", key)
    assert note.expected == "layers of z 1 to 4"
    (dats.parent / "transfer").mkdir()
    (dats.parent / doctor.PLAN).touch()
    assert doctor.worth_a_look([note], dats.parent) == [note]


def table(folder, *layers):
    """Write a table of layers, z from 1 on: last digit of the time and missing tiles."""
    (folder / "ingest").mkdir()
    rows = [
        {"z": z, "layer_id": f"Merlin-1_24-03-07_10000{at}" if at else "", "missing": missing,
         "status": "partial" if missing else "ok" if at else "gap"}
        for z, (at, missing) in enumerate(layers, start=1)
    ]  # fmt: skip
    write_table(folder / "ingest/layers.tsv", list(rows[0]), rows)


def test_z_is_that_of_the_table_as_soon_as_there_is_one(dats):
    table(dats.parent, ("0", ""), ("1", ""), ("", ""), ("2", ""), ("3", ""))
    assert examined(dats, review=exclude("24-03-07_100002_0-0-1.4.0")) == []
    assert keys(examined(dats, review=exclude(GOOD))) == ["review.exclude[0]"]


def test_ids_are_looked_up_when_the_files_are_gone(dats):
    (dats.parent / "transfer").mkdir()
    columns = ["layer_id", "bytes"]
    write_table(dats.parent / doctor.PLAN, columns, [])
    for path in dats.iterdir():
        path.unlink()
    wrong = exclude(GOOD)
    assert examined(dats, review=wrong) == []  # nothing is known of it
    table(dats.parent, ("0", ""), ("1", ""), ("2", "0-0-1"))
    (error,) = examined(dats, review=wrong)
    assert error.change == "Is 24-03-07_100002_0-0-0.3.0 meant?"


def test_files_that_a_scope_still_holds_may_be_any(dats):
    scope = {"host": None, "root_dat_path": str(dats), "keep_path": str(dats), "data_set_id": "d"}
    made = config(review=exclude("24-03-07_100502_0-0-1.9.0"), transfer={"scope": scope})
    assert keys(doctor.examine(made, dats, dats.parent)) == []
