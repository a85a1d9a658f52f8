"""After every fault nothing is lost and the next run completes; see `faults`."""

import os
import re
import subprocess

import pytest

from scripts.lib.files import read_table
from scripts.lib.job import UserError
from tests.transfer import faults
from tests.transfer.faults import DAMAGES, STORIES, Volume
from tests.transfer.scopes import dat_bytes, dat_name
from tests.transfer.volume import inside

EACH_STORY = pytest.mark.parametrize("story", STORIES, ids=lambda story: story.prepare.__name__)


@EACH_STORY
@pytest.mark.parametrize("full", [False, True], ids=["killed", "disk_full"])
def test_a_run_stopped_at_some_calls_of_the_file_system_loses_nothing(story, full):
    tried = faults.every_call(story, full=full, step=41, start=7)
    assert tried.times >= 3
    assert tried.lost == 0


@pytest.mark.faults
@EACH_STORY
@pytest.mark.parametrize("full", [False, True], ids=["killed", "disk_full"])
def test_a_run_stopped_at_any_call_of_the_file_system_loses_nothing(story, full):
    tried = faults.every_call(story, full=full)
    assert tried.times >= 100
    assert tried.lost == 0
    (row,) = (row for row in read_table(faults.TABLE) if row["fault"] == tried.fault)
    assert (row["tiles_lost"], row["next_run"]) == ("0", tried.ended)
    # libraries and kernels differ by a few calls
    assert abs(int(row["times"]) - tried.times) <= 0.05 * tried.times, (
        "run python -m tests.transfer.faults"
    )


@EACH_STORY
def test_a_run_killed_by_the_system_loses_nothing(story):
    assert faults.sigkill(story, 5, seed=1).lost == 0


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_a_damaged_file_harms_no_other_and_is_mended_or_named(damage, tmp_path):
    tried = faults.damaged(damage, tmp_path)
    assert tried.lost == 0
    assert faults.row(tried) in read_table(faults.TABLE), "run python -m tests.transfer.faults"


def test_a_disk_that_is_really_full_loses_nothing(tmp_path):
    mount = tmp_path / "work"
    mount.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(mount)]
    if os.geteuid() or subprocess.run(argv, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    volume = Volume(tmp_path, remove_dats=False, archived=False)
    acquired = {dat_name(i, f"0-0-{c}"): dat_bytes(2 * i + c) for i in range(3) for c in range(2)}
    for name, data in acquired.items():
        volume.scope.acquire(name, data)
    try:
        try:
            said = volume.run()
        except OSError as error:  # no room for a table even: the job ends with the error
            said = str(error)
        assert re.search("No space left|errno = 28|not enough disk space", said), said
        assert volume.lost(acquired) == []
        subprocess.run(["mount", "-o", "remount,size=4m", str(mount)], check=True)
        assert volume.run() == ""
        assert len(volume.layers()) == 3
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_the_table_of_the_docs_holds_the_faults_that_are_tried_and_no_other():
    rows = read_table(faults.TABLE)
    kinds = ("killed at every call", "disk full at every call", "SIGKILL at random moments")
    names = [row["fault"] for row in rows]
    for story in STORIES:
        for kind in kinds:
            assert sum(n.startswith(kind) and n.endswith(story.name) for n in names) == 1
    assert names[len(kinds) * len(STORIES) :] == [damage.name for damage in DAMAGES]
    assert {row["tiles_lost"] for row in rows} == {"0"}
    assert faults.PAGE.read_text() == faults.page(rows)


# ---------------------------------------------------------------------------------------------
# archive and removal
# ---------------------------------------------------------------------------------------------


@pytest.fixture
def archived(tmp_path):
    """A volume of one archived layer of two tiles."""
    volume = Volume(tmp_path)
    acquired = {dat_name(0, f"0-0-{c}"): dat_bytes(c) for c in range(2)}
    for name, data in acquired.items():
        volume.scope.acquire(name, data)
    assert volume.run() == ""
    return volume, acquired


def archive_file(volume):
    (path,) = volume.archive.rglob("*.h5")
    return path


def test_an_archived_layer_is_read_only_in_the_archive_and_nowhere_else(archived):
    volume, acquired = archived
    assert archive_file(volume).stat().st_mode & 0o777 == 0o444
    assert volume.tiles() == {name: {data} for name, data in acquired.items()}
    assert not list(volume.work.rglob("*.raw.h5"))
    assert not list(volume.dats.rglob("*.dat"))
    (row,) = volume.layers()
    assert [row[k] for k in ("status", "copied", "converted", "verified", "archived")] == [
        "ok", "1", "1", "1", "1",
    ]  # fmt: skip
    assert row["raw_h5"] == str(archive_file(volume))


def test_a_second_run_leaves_every_file_as_it_is(archived):
    volume, _ = archived

    def files():
        return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in volume.root.rglob("*.h5")}

    before = files()
    assert volume.run() == ""
    assert files() == before


def test_an_archive_file_is_never_replaced_by_one_with_fewer_or_other_tiles(archived):
    volume, acquired = archived
    (row,) = volume.layers()
    raw = volume.work / "h5/raw/Merlin-6281/2024/03/07/10" / f"{row['layer_id']}.raw.h5"
    # a raw HDF5 of one tile that something else put there
    other = Volume(volume.root / "other", archived=False, remove_dats=False)
    other.scope.acquire(dat_name(0, "0-0-0"), dat_bytes(9))
    other.run()
    (fewer,) = other.work.rglob("*.raw.h5")
    raw.parent.mkdir(parents=True, exist_ok=True)
    raw.write_bytes(fewer.read_bytes())
    before = archive_file(volume).read_bytes()
    said = volume.run()
    assert "lacks or changes 0-0-0" in said
    assert archive_file(volume).read_bytes() == before
    assert raw.exists()


def test_an_unreadable_archive_file_is_not_overwritten(archived):
    volume, _ = archived
    path = archive_file(volume)
    path.chmod(0o644)
    path.write_bytes(b"torn")
    volume.scope.acquire(dat_name(0, "0-0-0"), dat_bytes(0))
    assert "no readable raw HDF5" in volume.run()
    assert path.read_bytes() == b"torn"
    assert list(volume.dats.rglob("*.dat"))


def test_a_dat_that_is_not_what_was_archived_is_kept_and_named(archived):
    volume, _ = archived
    name = dat_name(0, "0-0-1")
    path = volume.dats / "2024/03/07/10" / name
    changed = bytearray(dat_bytes(1))
    changed[1100] ^= 1
    path.write_bytes(bytes(changed))
    os.utime(path, ns=(1, 1))  # older than the HDF5: nothing tells that it changed
    assert "is not removed: its bytes are not those in" in volume.run()
    assert path.read_bytes() == bytes(changed)
    path.unlink()
    assert volume.run() == ""


def test_a_failed_layer_is_named_while_the_others_are_done_and_tried_again(tmp_path):
    volume = Volume(tmp_path)
    names = [dat_name(i, f"0-0-{c}") for i in range(3) for c in range(2)]
    for i, name in enumerate(names):
        volume.scope.acquire(name, dat_bytes(i))
    blocked = volume.work / "h5/raw/Merlin-6281/2024/03/07/10" / f"{names[2][:27]}.raw.h5"
    blocked.parent.mkdir(parents=True)
    blocked.write_bytes(b"something else")
    said = volume.run()
    assert said.startswith("1 layer(s) failed; the others are done:")
    assert names[2][:27] in said
    assert [row["status"] for row in volume.layers()] == ["ok", "failed", "ok"]
    blocked.unlink()
    assert volume.run() == ""


def test_without_room_a_layer_fails_with_the_numbers(tmp_path, monkeypatch):
    volume = Volume(tmp_path)
    for c in range(2):
        volume.scope.acquire(dat_name(0, f"0-0-{c}"), dat_bytes(c))
    monkeypatch.setattr("scripts.transfer.space.free_bytes", lambda path: 2000)
    assert "not enough disk space" in volume.run()
    monkeypatch.undo()
    assert volume.run() == ""


def test_a_lost_plan_is_made_anew_from_the_archive(archived):
    volume, acquired = archived
    for table in (volume.work / "transfer").glob("*.*"):
        if table.is_file():
            table.unlink()
    assert volume.run() == ""
    assert [row["tiles"] for row in volume.layers()] == ["2"]
    assert volume.tiles() == {name: {data} for name, data in acquired.items()}


def test_a_volume_without_any_dat_names_the_key(tmp_path):
    volume = Volume(tmp_path)
    volume.scope.flags.mkdir(parents=True)
    volume.work.mkdir()
    with inside(volume.work), pytest.raises(UserError, match="transfer.dat_root: expected .dat"):
        volume._jobs()
