"""HDF5 files in folders outside of the working directory."""

import pytest

from scripts.export import removable
from scripts.lib.job import UserError
from scripts.transfer import roots


def section(folder=None, raw=None):
    return {"align_h5": folder and str(folder), "raw_h5": raw and str(raw)}


@pytest.fixture
def places(tmp_path):
    return tmp_path / "work", tmp_path / "disk/align"


def test_files_are_made_where_the_link_leads(places):
    work, there = places
    roots.place(section(there), work)
    roots.place(section(there), work)  # another start
    (work / "h5/align/M-1").mkdir()
    assert (there / "M-1").is_dir()
    assert not (work / "h5/raw").exists()
    assert not list(roots.faults(section(there), work))


def test_without_folders_nothing_is_made(places):
    work, _ = places
    roots.place(section(), work)
    assert not work.exists()


def test_a_folder_that_is_gone_is_made_again(places):
    work, there = places
    roots.place(section(there), work)
    there.rmdir()
    roots.place(section(there), work)
    assert there.is_dir()


@pytest.mark.parametrize("before", ["another's", "own", "moved", "unset"])
def test_files_in_two_places_or_among_others_are_refused(places, before):
    work, there = places
    wanted, said = section(there), str(there)
    if before == "another's":
        there.mkdir(parents=True)
        (there / "a.uint8.h5").touch()
        said = "which holds something already. Name an empty folder"
    elif before == "own":
        (work / "h5/align").mkdir(parents=True)
    else:
        roots.place(section(there), work)
        wanted = section(None if before == "unset" else there.parent / "new")
    with pytest.raises(UserError, match=r"transfer\.align_h5: .*") as told:
        roots.place(wanted, work)
    assert said in str(told.value)
    assert not (there.parent / "new").exists()


def test_clean_up_removes_the_folder_and_the_link(places):
    work, there = places
    roots.place(section(there), work)
    (there / "M-1").mkdir()
    (there / "M-1/a.uint8.h5").write_bytes(b"123")
    rows = removable.found(work)
    assert [(row["path"], row["files"], row["bytes"]) for row in rows] == [("h5/align", 1, 3)]
    removable.remove(rows, work)
    assert not there.exists()
    assert not (work / "h5/align").is_symlink()
