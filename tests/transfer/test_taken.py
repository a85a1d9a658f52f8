"""Align HDF5 of another pipeline: looked at, listed, refused in one message."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from scripts.lib.files import write_json, write_table
from scripts.lib.job import UserError
from scripts.lib.names import parse_layer
from scripts.transfer import state, summary, take_layers, taken
from scripts.transfer.layers import Grid

ACQUISITION = {"rows": 1, "columns": 2, "first_dat": None, "last_dat": None, "scope": None}
LAYERS = [f"Merlin-6284_24-03-07_1011{n}" for n in (10, 20, 30, 40)]


def write(path, layer_id, *, keys=("0-0-0", "0-0-1"), shape=(24, 32), stated=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    stated = stated or shape
    with h5py.File(path, "w") as file:
        for key in keys:
            group = file.create_group(key)
            group.attrs["dat_file_name"] = f"{layer_id}_{key}.dat"
            group.attrs["YResolution"], group.attrs["XResolution"] = stated
            group["mipmap.0"] = np.zeros((1, *shape), np.uint8)


@pytest.fixture
def align(tmp_path):
    for layer_id in LAYERS:
        folder = parse_layer(layer_id).folder
        write(tmp_path / "align" / folder / f"{layer_id}.uint8.h5", layer_id)
    return tmp_path / "align"


def path_of(align, number):
    return next(align.rglob(f"{LAYERS[number]}*"))


def rows(align, raw=None, whole=True, **acquisition):
    return taken.rows(align, raw, ACQUISITION | acquisition, whole=whole)


def refused(align, raw=None, **acquisition):
    with pytest.raises(UserError) as error:
        rows(align, raw, **acquisition)
    return str(error.value)


def test_every_file_is_listed_in_order_of_time_with_its_tiles(align):
    found = rows(align)
    assert [row["layer_id"] for row in found] == LAYERS
    assert {row["tiles"] for row in found} == {"0-0-0,0-0-1"}
    assert all(Path(row["align_h5"]).is_absolute() for row in found)
    figures = taken.receipt(found)
    assert (figures["files"], figures["tiles"], figures["raw_files"]) == (4, 8, 0)


def test_layers_outside_of_the_volume_are_left_alone(align):
    write(align / "other/Merlin-6284_25-01-01_000000.uint8.h5", "not looked at")
    assert len(rows(align, last_dat=LAYERS[-1])) == 4
    assert [row["layer_id"] for row in rows(align, first_dat=LAYERS[2], last_dat=LAYERS[2])] == [
        LAYERS[2]
    ]


def test_raw_files_are_found_by_either_name_in_any_folder(align, tmp_path):
    for number, suffix in enumerate((".raw.h5", ".raw-archive.h5", ".raw.h5", ".raw.h5")):
        write(tmp_path / "raw" / f"{LAYERS[number]}{suffix}", LAYERS[number])
    assert all(row["raw_h5"] for row in rows(align, tmp_path / "raw"))


def test_half_of_the_files_is_told_by_the_raw_ones_and_by_the_ends_of_the_volume(align, tmp_path):
    shutil.copytree(align, tmp_path / "raw")
    for path in (tmp_path / "raw").rglob("*.h5"):
        path.rename(path.with_name(path.name.replace(".uint8.", ".raw.")))
    for number in (2, 3):
        path_of(align, number).unlink()
    said = refused(align, tmp_path / "raw", last_dat=LAYERS[-1])
    assert f"2 layer(s): {LAYERS[2]}; {LAYERS[3]} have a raw HDF5" in said
    assert f"{LAYERS[1]} is at the end where acquisition.last_dat names {LAYERS[3]}" in said
    assert len(rows(align, whole=False, last_dat=LAYERS[-1])) == 2  # .dat files bring the others


def test_raw_files_that_are_missing_are_told(align, tmp_path):
    write(tmp_path / "raw" / f"{LAYERS[0]}.raw.h5", LAYERS[0])
    assert "takeover.raw_h5: 3 layer(s)" in refused(align, tmp_path / "raw")


def test_all_files_that_cannot_be_used_are_told_at_once(align):
    path_of(align, 0).write_bytes(path_of(align, 0).read_bytes()[:600])
    write(path_of(align, 1), LAYERS[1], shape=(24, 30), stated=(24, 32))
    write(path_of(align, 2), LAYERS[1])
    write(path_of(align, 3), LAYERS[3], keys=("0-0-0", "0-0-2"))
    said = refused(align)
    assert "takeover.align_h5: 4 layer(s)" in said
    assert "expected 32 x 24 px of uint8 as in its header, found 30 x 24 of uint8" in said
    assert f"group 0-0-0 holds the tile {LAYERS[1]}_0-0-0.dat" in said
    assert "tile 0-0-2 lies outside of the grid of 1 x 2" in said
    assert len(said.splitlines()) == 1


def test_no_file_and_a_layer_twice_are_told(align, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "expected <layer>.uint8.h5 of the volume" in refused(tmp_path / "empty")
    write(align / f"{LAYERS[0]}.uint8.h5", LAYERS[0])
    assert "1 layer(s)" in refused(align)
    assert "lie there twice" in refused(align)


def test_the_job_writes_the_table_and_a_receipt_of_the_same_bytes(align, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in align.rglob("*")}
    names = ("layers", "receipt")
    made = []
    for folder in ("a", "b"):
        out = {name: str(tmp_path / folder / name) for name in names}
        take_layers.main(
            align_h5=str(align), raw_h5=None, acquisition=ACQUISITION, whole=True, **out
        )
        made.append([Path(out[name]).read_bytes() for name in names])
    assert made[0] == made[1]
    assert {path: path.stat().st_mtime_ns for path in align.rglob("*")} == before


def test_a_tile_that_the_file_lacks_is_a_hole_of_its_layer(align):
    write(path_of(align, 0), LAYERS[0], keys=("0-0-0",))
    first, second, *_ = taken.layer_rows(rows(align), Grid(1, 2))
    assert (first["status"], first["tiles"], first["bad"]) == ("partial", 1, 0)
    assert "0-0-1: not in the file" in first["message"]
    assert (second["status"], second["verified"]) == ("ok", "1")


def test_a_tile_that_both_layers_beside_have_was_lost_and_others_were_not_acquired(align):
    for number in (1, 3):
        write(path_of(align, number), LAYERS[number], keys=("0-0-0",))
    found = taken.layer_rows(rows(align), Grid(1, 2))
    assert [(row["tiles"], row["bad"]) for row in found] == [(2, 0), (1, 1), (2, 0), (1, 0)]


def test_the_fingerprint_changes_when_a_file_comes_or_is_written(align):
    seen = {taken.fingerprint(align, ACQUISITION)}
    write(path_of(align, 0), LAYERS[0], keys=("0-0-0",))
    seen.add(taken.fingerprint(align, ACQUISITION))
    path_of(align, 1).unlink()
    seen.add(taken.fingerprint(align, ACQUISITION))
    assert len(seen) == 3
    assert taken.names(align) == {LAYERS[0], *LAYERS[2:]}
    assert taken.names(None) == frozenset()


def test_layers_that_are_taken_over_are_not_lost_in_the_next_run(align, tmp_path):
    """Nothing is due after a run: their align HDF5 lie elsewhere."""
    work, dats = tmp_path / "work", tmp_path / "dat"
    dats.mkdir()
    known, found = taken.names(align), rows(align)
    for folder in (work / "transfer", work / "takeover"):
        folder.mkdir(parents=True)
    table = work / "transfer/layers.tsv"
    write_table(table, summary.LAYER_COLUMNS, taken.layer_rows(found, Grid(1, 2)))
    write_json(work / "transfer/plan.json", {"fingerprint": "nothing there yet"})

    def asked(taken_over):
        return state.plan_fingerprint(dats, ACQUISITION, 0, work, taken=taken_over)

    assert asked(known) == "nothing there yet"
    assert "align HDF5 lost: 4" in asked(())
