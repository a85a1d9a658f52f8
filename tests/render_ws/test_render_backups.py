"""One file holds all: copies of a database in use, an orderly stop; faults of the file in words."""

import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import requests

from scripts.lib.job import UserError
from scripts.lib.service.transport import WsgiAdapter
from scripts.render_ws import __main__ as command
from scripts.render_ws import backups, store
from scripts.render_ws.app import create_app
from scripts.render_ws.store import Store
from tests.render_ws.conftest import ROOT, address
from tests.render_ws.service import Service, Url, fault, made, resolved, tile, value

COUNT = "SELECT count(*) FROM tile"


def stack(database: Path) -> Url:
    session = requests.Session()
    session.mount("http+embedded://", WsgiAdapter(create_app(database)))
    return Service(session, "http+embedded://render-ws/render-ws/v1", "o").stack("p", "s")


def put(url: Url, *names: str) -> None:
    made(url.put("resolvedTiles", resolved(*map(tile, names))))


def tiles_of(path: Path) -> int:
    """Count the tiles in one file alone, as copied elsewhere by hand."""
    alone = path.with_name(f"alone-{path.name}")
    shutil.copy(path, alone)
    with sqlite3.connect(alone) as db:
        return int(db.execute(COUNT).fetchone()[0])


def run(*argv: object) -> str:
    """Run the command; return the one line with which it stops."""
    with pytest.raises(SystemExit) as stop:
        command.main([str(each) for each in argv])
    said = str(stop.value.code)
    assert len(said.splitlines()) == 1
    return said


@pytest.fixture
def url(tmp_path):
    return stack(tmp_path / "r.db").filled(tile("a"), tile("b"))


def test_after_an_orderly_stop_the_file_alone_holds_all(tmp_path):
    database = tmp_path / "r.db"
    argv = [sys.executable, "-m", "scripts.render_ws", "serve", "--write", "--port", "0", "--db"]
    with subprocess.Popen([*argv, database], cwd=ROOT, stderr=subprocess.PIPE, text=True) as served:
        base = address(served)
        with requests.Session() as session:
            Service(session, base, "o").stack("p", "s").filled(tile("a"))
        other = Store(database)  # whoever closes last empties the -wal: it shall not be needed
        with other.reading() as db:
            assert db.execute(COUNT).fetchone() == (1,)
        served.send_signal(signal.SIGTERM)
        assert served.wait(timeout=30) == 0
    assert tiles_of(database) == 1
    other.close()


def test_a_backup_is_one_file_and_whole_although_others_write(tmp_path, url):
    stop = threading.Event()

    def write() -> None:
        other, number = stack(tmp_path / "r.db"), 0
        while not stop.is_set():
            put(other, f"t{number}", f"u{number}")  # of a request all or nothing
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            backups.backup(tmp_path / "r.db", tmp_path / f"copy{number}.db")
    finally:
        stop.set()
        writer.join()
    counts = [tiles_of(tmp_path / f"copy{number}.db") for number in range(3)]
    assert counts == sorted(counts)
    assert all(count >= 2 and count % 2 == 0 for count in counts)
    assert sorted(p.name for p in tmp_path.glob("*copy0*")) == ["alone-copy0.db", "copy0.db"]


def test_restored_content_is_seen_by_what_runs_and_the_former_is_kept(tmp_path, url):
    backups.backup(tmp_path / "r.db", tmp_path / "copy.db")
    put(url, "c")
    assert backups.restore(tmp_path / "r.db", tmp_path / "copy.db") == tmp_path / (
        "r.db.before-restore"
    )
    assert value(url.get("tileIds")) == ["a", "b"]
    put(url, "d")
    assert value(url.get("tileIds")) == ["a", "b", "d"]
    assert tiles_of(tmp_path / "r.db.before-restore") == 3
    with pytest.raises(UserError, match="move it away first"):
        backups.restore(tmp_path / "r.db", tmp_path / "copy.db")
    assert value(url.get("tileIds")) == ["a", "b", "d"]


@pytest.mark.parametrize("spoilt", [None, b"no database"])
def test_what_is_gone_or_beyond_reading_is_restored_too(tmp_path, url, spoilt):
    backups.backup(tmp_path / "r.db", tmp_path / "copy.db")
    for path in tmp_path.glob("r.db*"):
        path.unlink()
    if spoilt:
        (tmp_path / "r.db").write_bytes(spoilt)
    kept = backups.restore(tmp_path / "r.db", tmp_path / "copy.db")
    assert (kept.read_bytes() if kept else None) == spoilt
    assert value(stack(tmp_path / "r.db").get("tileIds")) == ["a", "b"]


def test_a_restore_waits_no_longer_than_others_may(tmp_path, url, monkeypatch):
    backups.backup(tmp_path / "r.db", tmp_path / "copy.db")
    monkeypatch.setattr(store, "BUSY_TIMEOUT_S", 0.1)
    with (
        Store(tmp_path / "r.db").writing(),
        pytest.raises(UserError, match="locked"),
    ):
        backups.restore(tmp_path / "r.db", tmp_path / "copy.db")
    assert value(url.get("tileIds")) == ["a", "b"]


def test_a_backup_is_not_written_over_anything(tmp_path, url):
    (tmp_path / "copy.db").write_bytes(b"mine")
    assert "there already" in run("backup", "--db", tmp_path / "r.db", "--to", tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_bytes() == b"mine"


# -- the command stops in one line -------------------------------------------------------------


def test_a_file_that_is_no_database_is_not_served(tmp_path):
    (tmp_path / "r.db").write_bytes(b"no database" * 1000)
    for switch in ([], ["--write"]):
        said = run("serve", "--db", tmp_path / "r.db", *switch)
        assert f"{tmp_path}/r.db: it is no SQLite database" in said
    with sqlite3.connect(tmp_path / "other.db") as db:
        db.execute("CREATE TABLE other(x)")
    assert "no database of this render-ws" in run("serve", "--write", "--db", tmp_path / "other.db")
    assert "no such file" in run("serve", "--db", tmp_path / "absent.db")
    assert "no such file" in run("serve", "--db", tmp_path)
    assert not (tmp_path / "absent.db").exists()


def test_a_damaged_database_is_no_backup(tmp_path, url):
    backups.backup(tmp_path / "r.db", tmp_path / "copy.db")
    data = bytearray((tmp_path / "copy.db").read_bytes())
    data[8192:20480] = bytes(12288)
    (tmp_path / "copy.db").write_bytes(data)
    again = tmp_path / "again.db"
    assert "damaged" in run("backup", "--db", tmp_path / "copy.db", "--to", again)
    assert "damaged" in run("restore", "--db", tmp_path / "r.db", "--from", tmp_path / "copy.db")
    assert not again.exists()
    assert value(url.get("tileIds")) == ["a", "b"]


def test_a_port_in_use_is_named(tmp_path, url):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = run("serve", "--db", tmp_path / "r.db", "--port", port)
    assert f"port {port}" in said
    assert "--port" in said


def test_a_database_that_stays_locked_is_named(tmp_path, url, monkeypatch):
    monkeypatch.setattr(store, "BUSY_TIMEOUT_S", 0.1)
    with Store(tmp_path / "r.db").writing():
        said = run("serve", "--write", "--db", tmp_path / "r.db")
    assert "another process holds it locked" in said


def test_an_archived_database_is_read_although_its_folder_is_closed(tmp_path, url, monkeypatch):
    backups.backup(tmp_path / "r.db", tmp_path / "archive.db")
    monkeypatch.setattr(store.os, "access", lambda *_: False)
    archived = Store(tmp_path / "archive.db", writable=False)
    with archived.reading() as db:
        assert db.execute(COUNT).fetchone() == (2,)
    archived.close()
    assert sorted(p.name for p in tmp_path.glob("archive*")) == ["archive.db"]


# -- faults of the file while it serves --------------------------------------------------------


def broken(tmp_path, monkeypatch, pragma):
    """A stack whose service has its connection changed by a pragma."""
    url = stack(tmp_path / "r.db").filled()
    opened = store._connect

    def connect(*args, **named):
        connection = opened(*args, **named)
        connection.execute(pragma)
        return connection

    monkeypatch.setattr(store, "_connect", connect)
    del url
    return stack(tmp_path / "r.db")


@pytest.mark.parametrize(
    ("pragma", "status", "words"),
    [
        ("PRAGMA max_page_count=1", 507, "disk is full"),
        ("PRAGMA query_only=1", 500, "must not be written"),
    ],
)
def test_a_disk_that_is_full_or_closed_is_one_line(tmp_path, monkeypatch, pragma, status, words):
    url = broken(tmp_path, monkeypatch, pragma)
    many = resolved(*(tile(f"t{i}") for i in range(500)))
    said = fault(url.put("resolvedTiles", many), status)
    assert f"{tmp_path}/r.db" in said
    assert words in said
    assert len(said.splitlines()) == 1
    assert value(url.get("tileIds")) == []


def test_a_file_that_is_no_database_is_named_to_jobs(tmp_path):
    (tmp_path / "r.db").write_bytes(b"no database" * 1000)
    assert "it is no SQLite database" in fault(stack(tmp_path / "r.db").get(), 500)


def test_tables_of_something_else_are_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / "r.db") as db:
        db.execute("CREATE TABLE other(x)")
    assert "something else" in fault(stack(tmp_path / "r.db").post(body={}), 500)
    with sqlite3.connect(tmp_path / "r.db") as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("other",)]
