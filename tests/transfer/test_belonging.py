"""A working directory is of one volume: a second one is refused, the same one may move."""

import json
import shutil

import numpy as np
import pytest

from scripts.transfer import belonging, doctor
from tests.transfer.synthetic_dat import make_dat
from tests.transfer.test_doctor import config

PIXELS = np.ones((8, 9, 1), np.int16)


@pytest.fixture
def work(dats, tmp_path):
    """The working directory that a start on the files of `dats` has left."""
    belonging.remember(config(), dats, tmp_path / "work")
    return tmp_path / "work"


def refusals(dats, work, **sections):
    found = doctor.examine(config(**sections), dats, work)
    return [each for each in found if each.key == "work_dir" and each.severity == "error"]


def other_pixels(root, seconds=range(4)):
    """The files of another acquisition, by default with the same names."""
    root.mkdir(exist_ok=True)
    for second in seconds:
        for column in range(2):
            name = f"Merlin-1_24-03-07_1000{second:02d}_0-0-{column}.dat"
            (root / name).write_bytes(make_dat(PIXELS, first_xy=(6 * column, 1)))
    return root


def planned(work, *stamps, scope="Merlin-1"):
    rows = "".join(f"0000\t{scope}_24-03-07_{stamp}\t0-0-0\t9\n" for stamp in stamps)
    (work / "transfer").mkdir(parents=True, exist_ok=True)
    (work / "transfer/plan.tsv").write_text(f"chunk\tlayer_id\ttile_key\tbytes\n{rows}")


def test_the_same_volume_may_start_again(dats, work):
    assert refusals(dats, work) == []
    assert len(json.loads((work / "volume.json").read_text())["tiles"]) == 4


def test_its_files_may_move(dats, work):
    moved = shutil.move(dats, dats.with_name("archive"))
    (moved / "2024").mkdir()
    for path in list(moved.glob("*.dat")):
        path.rename(moved / "2024" / path.name)
    assert refusals(moved, work) == []


def test_another_project_is_refused_and_both_are_named(dats, work):
    (one,) = refusals(dats, work, render={"owner": "o", "project": "q"})
    text = one.text()
    assert "the volume o/p" in text
    assert "the volume o/q" in text
    assert str(work) in text
    assert "work_dir of its own" in text
    assert "\n" not in text
    said = text.rpartition("hold ")[2].removesuffix(" alone")
    (work / "volume.json").write_text(said)
    assert refusals(dats, work, render={"owner": "o", "project": "q"}) == []


def test_other_layers_are_refused(tmp_path, work):
    (one,) = refusals(other_pixels(tmp_path / "b", range(20, 23)), work)
    assert "Merlin-1_24-03-07_100020 to Merlin-1_24-03-07_100022 (3 in all)" in one.expected
    assert "Merlin-1_24-03-07_100000 to Merlin-1_24-03-07_100003 (4 in all)" in one.found


def test_the_same_names_with_other_bytes_are_refused(tmp_path, work):
    (one,) = refusals(other_pixels(tmp_path / "b"), work)
    assert "other bytes" in one.found


def test_one_tile_imaged_again_is_the_same_volume(dats, work):
    other_pixels(dats, [2])
    assert refusals(dats, work) == []


def test_other_limits_in_the_same_folder_are_refused(dats, work):
    other_pixels(dats, range(20, 23))
    later = {"first_dat": "Merlin-1_24-03-07_100020_0-0-0.dat"}
    assert refusals(dats, work) == []
    assert len(refusals(dats, work, acquisition=later)) == 1


def test_files_that_went_after_their_conversion_leave_room_for_later_layers(dats, work):
    planned(work, "100000", "100003")
    for path in dats.iterdir():
        path.unlink()
    assert refusals(dats, work) == []
    other_pixels(dats, range(20, 22))
    assert refusals(dats, work) == []
    assert len(refusals(other_pixels(dats.with_name("b"), range(20, 22)), work)) == 1


def test_a_directory_of_before_is_known_by_its_receipts_and_tables(dats, tmp_path):
    work = tmp_path / "old"
    (work / "stacks").mkdir(parents=True)
    (work / "stacks/v1_acquire.json").write_text('{"owner": "o", "project": "before"}')
    assert len(refusals(dats, work)) == 1
    shutil.rmtree(work)
    planned(work, "090000")
    assert len(refusals(dats, work)) == 0  # the old ones are gone and these are later
    planned(work, "110000")
    assert len(refusals(dats, work)) == 1
    planned(work, "090000", scope="Jeiss-9")
    assert len(refusals(dats, work)) == 1  # later, but of another microscope


def test_a_volume_that_grows_is_remembered_by_more_tiles(dats, work):
    other_pixels(dats, range(10, 30))
    belonging.remember(config(), dats, work)
    record = json.loads((work / "volume.json").read_text())
    assert len(record["tiles"]) == belonging.MOST_TILES
    before = (work / "volume.json").stat().st_mtime_ns
    belonging.remember(config(), dats, work)
    assert (work / "volume.json").stat().st_mtime_ns == before


def test_a_half_written_file_is_not_remembered(tmp_path):
    root = other_pixels(tmp_path / "b", [0])
    first = min(root.iterdir())
    first.write_bytes(first.read_bytes()[:1040])
    belonging.remember(config(), root, tmp_path / "w")
    record = json.loads((tmp_path / "w/volume.json").read_text())
    assert list(record["tiles"]) == ["Merlin-1_24-03-07_100000_0-0-1"]


def test_files_that_cannot_be_read_are_told_as_such_not_as_those_of_another_volume(dats, work):
    for path in dats.glob("*.dat"):
        path.write_bytes(bytes(path.stat().st_size))
    assert refusals(dats, work) == []
