import os
import tracemalloc
from datetime import datetime, timedelta
from pathlib import Path

import h5py
import numpy as np
import pytest

from scripts.ingest import align, headers, read_headers, specs
from scripts.ingest.settings import Settings
from scripts.lib.files import write_table
from scripts.lib.job import UserError
from scripts.lib.layer_files import align_path
from scripts.lib.names import parse_layer
from tests.ingest.synthetic_layers import make_tile, write_layer
from tests.lib.other_code import other_code

FOLDER = Path("ingest/headers")
DAY_S = 86400


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def reads(monkeypatch):
    """Names of the files that are opened."""
    opened = []
    monkeypatch.setattr(
        headers,
        "read_layer",
        lambda path, name: (opened.append(path.name[13:19]), read(path, name))[1],
    )
    return opened


read = align.read_layer


def refresh(rows):
    return list(headers.refresh(rows, FOLDER))


def test_a_file_is_read_once_and_again_when_it_changed(reads):
    rows = [write_layer(".", s) for s in (0, 40, DAY_S)]
    first = refresh(rows)
    assert reads == ["120000", "120040", "120000"]
    assert [row["tiles"] for row in first] == ["0-0-0,0-0-1"] * 3
    assert refresh(rows) == first
    assert len(reads) == 3
    write_layer(".", 40, StageX=2.0)
    changed = refresh(rows)
    assert reads[3:] == ["120040"]
    assert [a["digest"] == b["digest"] for a, b in zip(first, changed, strict=True)] == [1, 0, 1]


def converted(rows, path):
    write_table(path, ("layer_id", "tile_key"), [row | {"tile_key": "0-0-0"} for row in rows])


def test_what_the_jobs_of_spans_read_is_not_read_again_and_gives_the_same_cache(reads):
    rows = [write_layer(".", s) for s in (0, 40, DAY_S)]
    rows = [row | {"align_h5": str(align_path(parse_layer(row["layer_id"])))} for row in rows]
    for row in rows:
        Path(row["align_h5"]).parent.mkdir(parents=True, exist_ok=True)
        Path("h5/align", Path(row["align_h5"]).name).rename(row["align_h5"])
    alone, there = refresh(rows), sorted(FOLDER.iterdir())
    cached = [path.read_bytes() for path in there]
    for path in there:
        path.unlink()
    gone = {"layer_id": "M-1_21-05-20_235959"}  # in no file: its conversion failed
    converted([rows[0], gone], "a.tsv")
    converted(rows[1:], "b.tsv")
    read_headers.main(converted=["a.tsv"], out="ingest/read/0000.npz")
    read_headers.main(converted=["b.tsv"], out="ingest/read/0020.npz")
    reads.clear()
    parts = sorted(Path("ingest/read").iterdir())
    assert list(headers.refresh(rows, FOLDER, parts)) == alone
    assert (reads, [path.read_bytes() for path in there]) == ([], cached)
    os.utime(rows[1]["align_h5"], ns=(1, 1))  # changed since
    assert list(headers.refresh(rows, FOLDER, parts)) == alone
    assert reads == ["120040"]
    with other_code("scripts/ingest/align.py"):
        list(headers.refresh(rows, FOLDER, parts))
    assert len(reads) == 4


def test_a_span_without_any_file_is_an_empty_part(reads):
    converted([{"layer_id": "M-1_21-05-20_235959"}], "a.tsv")
    read_headers.main(converted=["a.tsv"], out="ingest/read/0000.npz")
    rows = [write_layer(".", 0)]
    assert len(list(headers.refresh(rows, FOLDER, ["ingest/read/0000.npz"]))) == 1


def test_the_digest_is_of_the_content_not_of_the_time(reads):
    rows = [write_layer(".", 0)]
    first = refresh(rows)
    os.utime(rows[0]["align_h5"], ns=(1, 1))
    assert refresh(rows) == first
    assert len(reads) == 2


def test_a_late_layer_rewrites_the_shard_of_its_day_alone(reads):
    rows = [write_layer(".", s) for s in (0, 80, DAY_S)]
    refresh(rows)
    other = (FOLDER / "21-05-21.npz").stat().st_mtime_ns
    rows.insert(1, write_layer(".", 40))
    assert [row["layer_id"][-6:] for row in refresh(rows)] == [
        "120000", "120040", "120120", "120000",
    ]  # fmt: skip
    assert reads[3:] == ["120040"]
    assert (FOLDER / "21-05-21.npz").stat().st_mtime_ns == other


def test_days_that_left_the_volume_leave_the_cache():
    rows = [write_layer(".", s) for s in (0, DAY_S)]
    refresh(rows)
    refresh(rows[:1])
    assert [path.name for path in FOLDER.iterdir()] == ["21-05-20.npz"]


@pytest.mark.parametrize("content", [b"", b"no npz", None])
def test_a_damaged_cache_is_read_anew(reads, content):
    rows = [write_layer(".", 0)]
    first = refresh(rows)
    shard = FOLDER / "21-05-20.npz"
    shard.write_bytes(shard.read_bytes()[:700] if content is None else content)
    assert refresh(rows) == first
    assert len(reads) == 2


def test_files_that_cannot_be_used_are_named_and_stop_no_other():
    rows = [write_layer(".", s) for s in (0, 40, 80, 120, 160)]
    Path(rows[0]["align_h5"]).unlink()
    Path(rows[1]["align_h5"]).write_bytes(b"no HDF5")
    with h5py.File(rows[2]["align_h5"], "a") as file:
        file.move("0-0-1", "0-0-5")
    with h5py.File(rows[3]["align_h5"], "a") as file:
        del file["0-0-0"].attrs["XResolution"]
    found = [row["problem"] for row in refresh(rows)]
    words = ["no such file", "not a readable align HDF5", "group 0-0-5 holds", "XResolution", ""]
    for problem, expected in zip(found, words, strict=True):
        assert expected in problem
        assert "snakemake" not in problem  # it is kept, and one starts a run in many ways
    write_layer(".", 0)
    assert refresh(rows)[0]["problem"] == ""


def test_what_a_header_says_is_kept_exactly_and_what_it_lacks_is_absent():
    row = write_layer(".", 0, FirstX=None, FirstY=None, SampleID=None, Notes="worm, 8 nm", WD=3.42)
    (tile, _) = align.read_layer(Path(row["align_h5"]), parse_layer(row["layer_id"]))
    assert np.isnan(tile["first_x"])
    assert (tile["sample"], tile["wd_mm"], tile["channels"]) == (b"worm", 3.42, 1)
    assert tile["shape"].tolist() == [1, 40, 50]
    assert (tile["levels"], tile["stored"]) == (3, 3)
    assert 0 <= tile["low"] < tile["high"] <= 255


def test_a_level_of_another_size_ends_the_levels():
    row = write_layer(".", 0, cells=((0, 0),))
    with h5py.File(row["align_h5"], "a") as file:
        del file["0-0-0/mipmap.2"]
        file["0-0-0/mipmap.2"] = np.zeros((1, 10, 13), np.uint8)
    (tile,) = align.read_layer(Path(row["align_h5"]), parse_layer(row["layer_id"]))
    assert (tile["levels"], tile["stored"]) == (1, 3)


def test_parts_are_days_with_z_ascending_and_without_layers_that_are_left_out():
    rows = [write_layer(".", s) for s in (0, 40, 80, DAY_S)]
    refresh(rows)
    table = [row | {"z": str(z)} for row, z in zip(rows, (1, 0, 5, 6), strict=True)]
    del table[1]
    first, second = headers.parts(table, FOLDER)
    assert first.z.tolist() == [1, 1, 5, 5]
    assert first.stamps[first.layer[2]] == "21-05-20_120120"
    assert second.paths[second.layer[0]] == rows[3]["align_h5"]


def test_parts_of_a_cache_that_is_gone_are_read_anew_if_they_are_what_the_table_says(reads):
    rows = [write_layer(".", s) for s in (0, 40, DAY_S)]
    refresh(rows)
    table = [row | {"z": str(z), "tiles": "2"} for z, row in enumerate(rows, 1)]
    before = [part.tiles.tobytes() for part in headers.parts(table, FOLDER)]
    reads.clear()
    (FOLDER / "21-05-20.npz").unlink()
    assert [part.tiles.tobytes() for part in headers.parts(table, FOLDER)] == before
    assert reads == ["120000", "120040"]
    list(headers.parts(table, FOLDER))
    assert len(reads) == 2  # saved
    (FOLDER / "21-05-20.npz").unlink()
    Path(rows[0]["align_h5"]).unlink()
    with pytest.raises(UserError, match=r"expected 2 tiles.*no such file.*--forcerun cache_hea"):
        list(headers.parts(table, FOLDER))


def test_memory_is_that_of_one_day_however_many_there_are(monkeypatch):
    tiles = np.array([make_tile(0, c)[()] for c in range(4)], align.TILE)
    monkeypatch.setattr(headers, "read_layer", lambda path, name: tiles)
    Path("x.h5").touch()
    start, peaks = datetime(2024, 3, 7), []
    for days in (2, 10):
        times = [start + timedelta(days=d, seconds=s) for d in range(days) for s in range(300)]
        rows = [{"layer_id": f"M-1_{t:%y-%m-%d_%H%M%S}", "align_h5": "x.h5"} for t in times]
        refresh(rows)
        table = [row | {"z": str(z), "status": "ok"} for z, row in enumerate(rows, start=1)]
        settings = Settings.of(scan_correction=None, mask=None, tile_overlap_um=2)
        source = specs.Acquired(lambda t=table: headers.parts(t, FOLDER), table, {}, settings, 8)
        assert sum(len(batch.tiles) for batch in source.batches(500)) == 1200 * days
        tracemalloc.start()
        for _ in source.batches(500):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0], peaks
