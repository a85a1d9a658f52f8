"""What the doctor says of a config against folders and files, and of what it says nothing."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from scripts.lib import flow
from scripts.lib.job import UserError
from scripts.lib.schema import validate
from scripts.transfer import doctor
from tests.transfer.synthetic_dat import make_dat

SCHEMA = yaml.safe_load((Path(__file__).resolve().parents[2] / "config/schema.yaml").read_text())


def config(**sections):
    made = {
        "volume": "v",
        "work_dir": "w",
        "render": {"owner": "o", "project": "p"},
        "acquisition": {"rows": 1, "columns": 2, "pixel_nm": 8, "z_nm": 8},
        "transfer": {"dat_root": "d"},
    }
    for name, values in sections.items():
        made[name] = made.get(name, {}) | values
    validate(made, SCHEMA)
    return made


@pytest.fixture
def dats(tmp_path):
    """Four layers of 1 x 2 tiles, one channel, 8 nm."""
    root = tmp_path / "dat"
    root.mkdir()
    pixels = np.zeros((8, 9, 1), np.int16)
    for layer in range(4):
        for column in range(2):
            name = f"Merlin-1_24-03-07_10000{layer}_0-0-{column}.dat"
            (root / name).write_bytes(make_dat(pixels))
    return root


def keys(found, severity="error"):
    return [each.key for each in found if each.severity == severity]


def examined(dats, **sections):
    return doctor.examine(config(**sections), dats, dats.parent)


def test_a_good_volume_has_no_finding(dats):
    assert examined(dats) == []


def test_missing_and_empty_folders_read_differently(dats, tmp_path):
    (missing,) = doctor.examine(config(), tmp_path / "no/such", tmp_path)
    (tmp_path / "empty").mkdir()
    (empty,) = doctor.examine(config(), tmp_path / "empty", tmp_path)
    assert missing.key == empty.key == "transfer.dat_root"
    assert "no such folder" in missing.found
    assert "the folder is there" in empty.found


def test_a_wrong_scope_is_named_with_those_there_are(dats):
    (found,) = examined(dats, acquisition={"scope": "Merlin-2"})
    assert found.key == "acquisition.scope"
    assert "Merlin-1" in found.expected


def test_limits_that_hold_no_file_are_named(dats):
    (found,) = examined(dats, acquisition={"first_dat": "Merlin-1_25-01-01_000000"})
    assert found.key == "acquisition.first_dat and last_dat"


@pytest.mark.parametrize(
    ("grid", "key", "change"),
    [
        ({"columns": 1}, "acquisition.columns", "columns: 2"),
        ({"columns": 3}, "acquisition.columns", "columns: 2"),
        ({"rows": 2}, "acquisition.rows", "rows: 1"),
    ],
)
def test_a_grid_other_than_that_of_the_names_is_an_error(dats, grid, key, change):
    (found,) = examined(dats, acquisition=grid)
    assert (found.severity, found.key) == ("error", key)
    assert change in found.change


def test_a_last_layer_that_is_not_whole_is_none(dats):
    (dats / "Merlin-1_24-03-07_100003_0-0-1.dat").unlink()
    assert examined(dats) == []


def test_the_pixel_size_of_any_header_counts_as_ingest_does(dats):
    pixels = np.zeros((8, 9, 1), np.int16)
    last = dats / "Merlin-1_24-03-07_100003_0-0-1.dat"
    last.write_bytes(make_dat(pixels, pixel_nm=8.7))  # within ingest.pixel_deviation_pct
    assert examined(dats) == []
    last.write_bytes(make_dat(pixels, pixel_nm=9))
    (found,) = examined(dats)
    assert (found.key, found.file) == ("acquisition.pixel_nm", last.name)


def test_channels_that_no_header_has_are_named(dats):
    sixteen = {"steps": ["16bit"], "16bit": {"channels": [0, 1]}}
    found = examined(dats, transfer={"channel": 1}, correct=sixteen)
    assert keys(found) == ["correct.16bit.channels", "transfer.channel"]


def test_one_file_that_cannot_be_read_is_a_note_and_all_are_an_error(dats):
    files = sorted(dats.iterdir())
    files[0].write_bytes(b"")
    assert keys(examined(dats), "note") == ["transfer.dat_root"]
    for path in files:
        path.write_bytes(b"")
    assert keys(examined(dats)) == ["transfer.dat_root"]


def test_decisions_outside_of_the_grid_are_all_named(dats):
    review = {
        "exclude": [
            {"cells": ["0,2"], "reason": "r"},
            {"tiles": ["24-03-07_100000_0-1-0.1.0"], "reason": "r"},
            {"tiles": ["24-03-07_100000_0-0-1.1.0"], "reason": "fine"},
            {"cells": ["0,0"], "z_first": 9, "z_last": 3, "reason": "r"},
        ],
        "patch": [{"cell": "3,0", "z": 1, "reason": "r"}],
    }
    wanted = ["review.exclude[0]", "review.exclude[1]", "review.exclude[3]", "review.patch[0]"]
    assert keys(examined(dats, review=review)) == wanted


def test_a_disk_without_room_is_an_error_before_the_first_layer(dats):
    found = examined(dats, transfer={"free_space_gb": 1e9})
    assert keys(found) == ["work_dir"]


def test_a_volume_whose_files_were_archived_has_no_finding(dats):
    (dats.parent / "transfer").mkdir()
    (dats.parent / "transfer/plan.tsv").touch()
    for path in dats.iterdir():
        path.unlink()
    assert examined(dats) == []
    assert doctor.examine(config(), dats / "gone", dats.parent) == []


def test_an_error_stops_with_all_findings_and_a_note_does_not(dats):
    found = examined(dats, acquisition={"columns": 3, "pixel_nm": 4})
    with pytest.raises(UserError, match=r"2 fault(?s:.*)columns(?s:.*)pixel_nm"):
        doctor.require(found)
    (dats / "other.dat").touch()
    doctor.require(examined(dats))


def test_few_headers_of_many_files_are_read(dats, monkeypatch):
    monkeypatch.setattr(doctor, "MOST_HEADERS", 3)
    layers = doctor.group(doctor.name_files(doctor.scan.dat_files(dats))[0])
    chosen = [file.found.path for file in doctor.sample(layers)]
    names = sorted(path.name for path in dats.iterdir())
    assert [chosen[0], chosen[-1]] == [names[0], names[-1]]
    assert len(chosen) == 3


def test_the_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert flow.resolved(tmp_path / "clone", "~/dat") == str(tmp_path.resolve() / "dat")
