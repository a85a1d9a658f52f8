"""Faults that a run meets by chance.

Kills, a shaky service, damaged files, a second run, a full disk, clocks that jump.
"""

from __future__ import annotations

import functools
import http.client
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import yaml

ROOT = Path(__file__).resolve().parents[2]
OUTAGE_S = 3.0  # of the service; jobs wait for it for minutes


class Shaky(ThreadingHTTPServer):
    """Passes requests on to a render-ws, or does what a bad day does to them."""

    daemon_threads = True

    def __init__(self, port):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind, self.mood = port, "well"


class _Handler(BaseHTTPRequestHandler):
    def _answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        mood = self.server.mood
        if mood == "slow":
            time.sleep(0.5)
        if mood == "hangs":
            time.sleep(OUTAGE_S)
        if mood in ("away", "hangs"):
            self.close_connection = True
            return
        if mood == "answers 500":
            self._send(500, {}, b"a bad day")
            return
        inner = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=60)
        inner.request(self.command, self.path, body, dict(self.headers))
        answer = inner.getresponse()
        self._send(answer.status, dict(answer.getheaders()), answer.read())
        inner.close()

    def _send(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("transfer-encoding", "content-length", "connection", "date"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815 - names of http.server

    def log_message(self, *words):
        """Say nothing."""


@contextmanager
def shaky_service(folder):
    """Serve a fresh database; give the server in front of it and its base URL."""
    argv = [sys.executable, "-m", "scripts.render_ws", "serve", "--write", "--port", "0"]
    process = subprocess.Popen(
        [*argv, "--db", str(folder / "site.db")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    found = None
    while found is None:
        found = re.search(r"http://[^\s/]+?:(\d+)(/\S*[^\s,])?", process.stdout.readline())
    front = Shaky(int(found[1]))
    threading.Thread(target=front.serve_forever, daemon=True).start()
    try:
        yield front, f"http://127.0.0.1:{front.server_port}{found[2] or ''}"
    finally:
        front.shutdown()
        front.server_close()
        process.terminate()
        process.stdout.close()
        process.wait(10)


def jobs_of(pid):
    """Processes below a process, of Linux."""
    found, parents = [], {pid}
    for path in sorted(Path("/proc").glob("[0-9]*"), key=lambda each: int(each.name)):
        with suppress(OSError):
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent in parents:
                parents.add(int(path.name))
                found.append(int(path.name))
    return found


def kill_all(case):
    """As a crash of the host does."""
    os.killpg(case.process.pid, signal.SIGKILL)


def kill_snakemake(case):
    """Leaves its jobs at work."""
    os.kill(case.process.pid, signal.SIGKILL)


def kill_a_job(case):
    """As a host that runs out of memory does."""
    if jobs := jobs_of(case.process.pid):
        with suppress(ProcessLookupError):
            os.kill(int(case.rng.choice(jobs)), signal.SIGKILL)


def _service(mood):
    def fault(case):
        case.front.mood = mood
        time.sleep(OUTAGE_S)
        case.front.mood = "well"

    fault.__name__ = f"service_{mood.replace(' ', '_')}"
    return fault


def damage_a_file(case):
    """Overwrite bytes of an HDF5 file; they are put back when the run has ended."""
    files = sorted(case.volume.work.glob("h5/align/**/*.h5"))
    if files:
        path = files[int(case.rng.integers(len(files)))]
        before, status = path.read_bytes(), path.stat()
        at = len(before) // 2
        path.write_bytes(before[:at] + bytes(64) + before[at + 64 :])
        times = (status.st_atime_ns, status.st_mtime_ns)
        case.mend += [
            functools.partial(path.write_bytes, before),
            functools.partial(os.utime, path, ns=times),
        ]


def second_run(case):
    """Start another run; it has to be refused in one line, and to change nothing."""
    second = case.volume.snakemake(*case.targets, environment=case.environment)
    if case.process.poll() is None:
        assert second.returncode != 0, second.stdout
        assert "another run is at work on it" in second.stdout, second.stdout


def fill_the_disk(case):
    """Leave no byte of the volume's file system; it is free again when the run has ended."""
    ballast = case.volume.folder / "ballast"
    case.mend.append(functools.partial(ballast.unlink, missing_ok=True))
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size)


def _touch_some(case, paths, seconds):
    """Give some files the time of a clock that is off."""
    some = case.rng.permutation(np.array(sorted(map(str, paths))))[:20].tolist()
    for path in some:
        with suppress(FileNotFoundError):
            os.utime(path, (time.time() + seconds,) * 2)


def clock_ahead(case):
    """As after jobs on a host whose clock is an hour ahead; put right when the run has ended.

    Snakemake stops at outputs older than their inputs, and names the files and the clock.
    """
    _touch_some(case, _made(case), 3600)
    case.mend.append(functools.partial(_no_future, case))


def clock_behind(case):
    """As after jobs on a host whose clock is a day behind."""
    _touch_some(case, _made(case), -86400)


def scope_ahead(case):
    """The clock of the scope is an hour ahead: `.dat` files of the future, until the run ends."""
    paths = [*Path(case.dat_root).rglob("*.dat")]
    before = {path: path.stat() for path in paths}
    _touch_some(case, paths, 3600)
    for path, status in before.items():
        times = (status.st_atime_ns, status.st_mtime_ns)
        case.mend.append(functools.partial(os.utime, path, ns=times))


def _no_future(case):
    for path in _made(case):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime > time.time():
                os.utime(path)


def _made(case):
    """Results and tables of a volume, without what Snakemake keeps of its own."""
    found = case.volume.work.rglob("*")
    return [path for path in found if path.is_file() and ".snakemake" not in path.parts]


@contextmanager
def small_disk(folder, size):
    """Give a folder a file system of its own; False where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    argv = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    mounted = subprocess.run(argv, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


FAULTS = [
    *(kill_all, kill_snakemake, kill_a_job, damage_a_file, second_run),
    *(fill_the_disk, clock_ahead, clock_behind, scope_ahead),
    *map(_service, ("away", "slow", "hangs", "answers 500")),
]


class Case:
    """One volume that goes through faults, one in each of its runs."""

    def __init__(self, volume, front, url, rng, *targets):
        self.volume, self.front, self.rng, self.targets = volume, front, rng, targets
        self.environment = {"RENDER_WS_URL": url}
        self.mend, self.process, self.met = [], None, []

    @property
    def dat_root(self):
        return yaml.safe_load(self.volume.config.read_text())["transfer"]["dat_root"]

    def run(self, fault, limit_s, *again):
        """Run with a fault after some jobs; give the exit status and what was said, None: hung.

        What is asked for `again` (``--forcerun`` and rules) is there to be disturbed.
        """
        log = (
            self.volume.folder.parent / f"{fault.__name__}.log"
        )  # not on its disk, which may be full
        before = self._done()
        jobs = int(self.rng.integers(1, 8))
        with log.open("w") as stream:
            self.process = subprocess.Popen(
                self.volume.command(*self.targets, *again),
                cwd=ROOT,
                env=os.environ | self.environment,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        end = time.monotonic() + limit_s
        while self.process.poll() is None and len(self._done() - before) < jobs:
            time.sleep(0.05)
        if self.process.poll() is None:
            self.met.append(fault.__name__)
            fault(self)
        try:
            self.process.wait(max(1.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            kill_all(self)
            return None, log.read_text()
        finally:
            for step in self.mend:
                step()
            self.mend.clear()
        return self.process.returncode, log.read_text()

    def _done(self):
        found = self.volume.work.glob("benchmarks/**/*.tsv")
        return {(path, path.stat().st_mtime_ns) for path in found}
