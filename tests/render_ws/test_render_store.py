"""The database: several processes at once, kills, forks, threads."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from scripts.lib.service.transport import WsgiAdapter
from scripts.render_ws import store, tiles
from scripts.render_ws.app import create_app
from scripts.render_ws.store import Store
from tests.render_ws.service import Service, Url, fault, made, pair, resolved, tile, value

BATCH = 40
fork = multiprocessing.get_context("fork")


def _service(database: Path) -> Service:
    session = requests.Session()
    session.mount("http+embedded://", WsgiAdapter(create_app(database)))
    return Service(session, "http+embedded://render-ws/render-ws/v1", "o")


def _stack(database: Path) -> Url:
    return _service(database).stack("p", "s")


def _put_batches(database: Path, worker: int, batches: int) -> None:
    service = _service(database)
    for batch in range(batches):
        names = [f"w{worker}b{batch}t{i}" for i in range(BATCH)]
        made(service.stack("p", "s").put("resolvedTiles", resolved(*map(tile, names))))
        pairs = [pair(f"{worker}.0", name, f"{worker}.0", f"{name}q") for name in names]
        made(service.collection("c").put("matches", pairs))


def _tables(database: Path) -> Any:
    return sqlite3.connect(database)


def test_processes_that_write_at_once_lose_no_record(tmp_path):
    database = tmp_path / "r.db"
    made(_stack(database).post(body={}))  # the children inherit an open connection
    workers = [fork.Process(target=_put_batches, args=(database, n, 6)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(value(_stack(database).get("tileIds"))) == 4 * 6 * BATCH
    (listed,) = value(_service(database).call("GET", "owner/o/matchCollections"))
    assert listed["pairCount"] == 4 * 6 * BATCH


def test_processes_that_make_the_database_at_once_agree(tmp_path):
    database = tmp_path / "new" / "r.db"
    workers = [fork.Process(target=_make, args=(database, n)) for n in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    assert [worker.exitcode for worker in workers] == [0] * 6
    assert len(value(_service(database).call("GET", "owner/o/stackIds"))) == 6


def _make(database: Path, number: int) -> None:
    made(_service(database).stack("p", f"s{number}").post(body={}))


def test_killed_writer_leaves_whole_requests_only(tmp_path):
    database = tmp_path / "r.db"
    stack = _stack(database)
    made(stack.post(body={}))
    writer = fork.Process(target=_put_batches, args=(database, 0, 10_000))
    writer.start()
    deadline = time.monotonic() + 30
    while len(value(stack.get("tileIds"))) < 3 * BATCH and time.monotonic() < deadline:
        time.sleep(0.01)
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join(timeout=30)
    found = len(value(stack.get("tileIds")))
    assert found >= 3 * BATCH
    assert found % BATCH == 0
    assert value(_service(database).call("GET", "owner/o/matchCollections"))[0]["pairCount"] in (
        found,
        found - BATCH,
    )
    assert _tables(database).execute("PRAGMA integrity_check").fetchone() == ("ok",)
    made(stack.put("resolvedTiles", resolved(tile("after"))))  # no lock was left


def test_failed_transaction_leaves_nothing(tmp_path):
    database = Store(tmp_path / "r.db")
    insert = "INSERT INTO collection(owner, name) VALUES('o', 'c')"
    with pytest.raises(sqlite3.IntegrityError), database.writing() as db:
        db.executemany(insert, [(), ()])  # the second one is refused
    with database.reading() as db:
        assert db.execute("SELECT count(*) FROM collection").fetchone() == (0,)


def test_threads_have_connections_of_their_own(tmp_path):
    database = Store(tmp_path / "r.db")
    seen: list[int] = []

    def work() -> None:
        with database.reading() as db:
            seen.append(id(db))
            barrier.wait(timeout=30)

    barrier = threading.Barrier(3)
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seen)) == 3


def test_reader_sees_one_state_while_another_writes(tmp_path):
    reader, writer = Store(tmp_path / "r.db"), Store(tmp_path / "r.db")
    count = "SELECT count(*) FROM collection"
    with reader.reading() as db:
        assert db.execute(count).fetchone() == (0,)
        with writer.writing() as other:
            other.execute("INSERT INTO collection(owner, name) VALUES('o', 'c')")
        assert db.execute(count).fetchone() == (0,)
    with reader.reading() as db:
        assert db.execute(count).fetchone() == (1,)


def test_database_of_another_version_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / "r.db") as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(RuntimeError, match="schema 99"), Store(tmp_path / "r.db").reading():
        pass


def test_application_keeps_its_database_when_the_working_directory_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    service = _service(Path("r.db"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    made(service.stack("p", "s").post(body={}))
    assert (tmp_path / "r.db").exists()


def test_answers_above_the_limit_of_tiles_are_refused(tmp_path, monkeypatch):
    stack = _stack(tmp_path / "r.db").filled(tile("a"), tile("b"), tile("c"))
    monkeypatch.setattr(tiles, "MAX_RESOLVED", 3)
    assert len(value(stack.get("resolvedTiles"))["tileIdToSpecMap"]) == 3
    monkeypatch.setattr(tiles, "MAX_RESOLVED", 2)
    assert "more than 2 tiles" in fault(stack.get("resolvedTiles"), 400)


def test_database_that_stays_locked_answers_503_so_that_clients_try_again(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "BUSY_TIMEOUT_S", 0.05)
    stack = _stack(tmp_path / "r.db").filled()
    with Store(tmp_path / "r.db").writing():
        fault(stack.put("resolvedTiles", resolved(tile("a"))), 503)
    made(stack.put("resolvedTiles", resolved(tile("a"))))


def test_unforeseen_failure_is_500_with_words_and_leaves_nothing(tmp_path, monkeypatch):
    stack = _stack(tmp_path / "r.db").filled()
    monkeypatch.setattr(tiles, "_TILE_COLUMNS", "id, nonsense")
    assert "nonsense" in fault(stack.put("resolvedTiles", resolved(tile("a"))), 500)
    assert value(stack.get("tileIds")) == []
