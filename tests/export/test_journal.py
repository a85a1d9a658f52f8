"""The journal of a slab: what a job that goes on may take over, and what it must not."""

import json
from pathlib import Path

import pytest

from scripts.export import planning
from scripts.export.journal import Journal
from scripts.lib.volumes import metadata

EXPORT = {
    "formats": ["n5"], "block_zyx_px": [8, 16, 16], "shard_blocks_zyx": [1, 1, 1], "task_px": 16,
    "n5_codec": "gzip", "n5_codec_level": 5, "levels": 2, "review": True,
}  # fmt: skip


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """An export of which no block is stored yet."""
    monkeypatch.chdir(tmp_path)
    voxel = {"pixel_nm": 5.0, "z_nm": 8.0}
    out = planning.plan("s", (0, 0, 32, 48), (1, 8), volume="v", voxel_nm=voxel, export=EXPORT)
    for target in out.targets:
        metadata.create(target, out.spec, {})
    for target in out.review.targets:
        metadata.create(target, out.review.spec, {})
    return out


def rows(y, x, *, blocks=0, level=0, kind="levels"):
    """Records of a column; without a block that is not zero no file is expected."""
    empty, row = [], {"zyx": [[0, 8], [y, y + 16], [x, x + 16]], "crc32": 1, "blocks": 0}
    levels = {"levels": [[row], list(empty)], "review": [[row], list(empty)]}
    levels[kind][level] = [row, row | {"blocks": blocks}]
    return levels


def area(y, x):
    return slice(y, y + 16), slice(x, x + 16)


def test_a_journal_lies_in_a_folder_beside_that_of_the_records():
    found = Journal.beside("exports/region/slabs/0003.json", "key")
    assert found == Journal(Path("exports/region/journals/0003.jsonl"), "key")


def test_finished_columns_are_found_by_their_first_y_and_x(plan, tmp_path):
    journal = Journal(tmp_path / "notes" / "0000.jsonl", "key")
    assert journal.finished(plan) == {}
    for place in ((0, 16), (32, 0)):
        journal.add(area(*place), rows(*place))
    assert journal.finished(plan) == {(0, 16): rows(0, 16), (32, 0): rows(32, 0)}
    first, *others = journal.path.read_text().splitlines()
    assert json.loads(first) == {"key": "key"}
    assert len(others) == 2


@pytest.mark.parametrize("kind", ["levels", "review"])
@pytest.mark.parametrize("level", [0, 1])
def test_a_column_whose_files_are_not_all_there_is_not_finished(plan, tmp_path, kind, level):
    journal = Journal(tmp_path / "0000.jsonl", "key")
    journal.add(area(0, 0), rows(0, 0, blocks=1, level=level, kind=kind))
    journal.add(area(16, 0), rows(16, 0))
    assert list(journal.finished(plan)) == [(16, 0)]


@pytest.mark.parametrize("key", ["another", "kez", "kex"])
def test_a_journal_of_other_voxels_is_thrown_away(plan, tmp_path, key):
    journal = Journal(tmp_path / "0000.jsonl", "key")
    journal.add(area(0, 0), rows(0, 0))
    assert Journal(journal.path, key).finished(plan) == {}
    assert not journal.path.exists()


def test_a_torn_line_ends_a_journal_and_an_empty_file_is_none(plan, tmp_path):
    journal = Journal(tmp_path / "0000.jsonl", "key")
    journal.add(area(0, 0), rows(0, 0))
    journal.add(area(16, 0), rows(16, 0))
    whole = journal.path.read_text()
    journal.path.write_text(whole[:-20])
    assert list(journal.finished(plan)) == [(0, 0)]
    lines = whole.splitlines()
    journal.path.write_text("\n".join([lines[0], "{torn", lines[2]]))
    assert journal.finished(plan) == {}
    journal.path.write_text("")
    assert journal.finished(plan) == {}
    assert not journal.path.exists()


def test_a_job_that_ended_well_leaves_no_journal_and_may_say_so_twice(tmp_path):
    journal = Journal(tmp_path / "0000.jsonl", "key")
    journal.add(area(0, 0), rows(0, 0))
    journal.remove()
    assert not journal.path.exists()
    journal.remove()


def test_a_journal_cut_at_any_byte_goes_on_and_loses_no_column_added_later(plan, tmp_path):
    journal = Journal(tmp_path / "0000.jsonl", "key")
    for place in ((0, 0), (16, 0)):
        journal.add(area(*place), rows(*place))
    whole = journal.path.read_bytes()
    for length in range(len(whole)):
        journal.path.write_bytes(whole[:length])
        before = {} if b"\n" not in whole[:length] else None
        journal.add(area(0, 16), rows(0, 16))
        journal.add(area(0, 32), rows(0, 32))
        found = journal.finished(plan)
        assert {(0, 16), (0, 32)} <= found.keys(), length
        assert before is None or set(found) == {(0, 16), (0, 32)}
