"""The embedded render-ws: cost of metadata in and out, in process; what wrong requests do to it."""

import http.client
import subprocess
import sys
import threading
import time
from contextlib import closing
from urllib.parse import urlsplit

import numpy as np
import orjson
import pytest

from scripts.lib.service.client import RenderClient
from scripts.lib.service.records import CanvasMatches, Leaf, TileSet, TileSpec
from scripts.lib.transforms import AFFINE
from tests.render_ws import fuzz
from tests.render_ws.conftest import ROOT, address

POINTS = 100
NM = (8.0, 8.0, 8.0)


@pytest.fixture(scope="module")
def layers(bench):
    return 2500 if bench.measuring else 5


@pytest.fixture
def client(tmp_path):
    client = RenderClient("bench", "bench", base_url=f"sqlite:///{tmp_path}/r.db")
    yield client
    client.close()


def make_tiles(layers):
    return TileSet(
        tuple(
            TileSpec(
                tile_id=f"t_0-0-{column}.{z}.0",
                z=float(z),
                width=4096,
                height=3072,
                image_url=f"file:///d/{z}.h5?dataSet=/0-0-{column}/mipmap.0&z=0",
                transforms=(Leaf(AFFINE, f"1 0 0 1 {column * 3600} 0"),),
                column=column,
            )
            for z in range(1, layers + 1)
            for column in range(4)
        )
    )


def make_pair(z):
    points = np.random.default_rng(z).uniform(0, 4096, (POINTS, 2))
    return CanvasMatches(
        f"{z}.0", f"t_0-0-0.{z}.0", f"{z + 1}.0", f"t_0-0-0.{z + 1}.0", points, points + 1,
        np.ones(POINTS),
    )  # fmt: skip


def test_tiles_in_and_out(bench, client, layers):
    tiles = make_tiles(layers)
    in_s = bench.cpu_s(lambda: client.publish_stack("s", tiles, resolution_nm=NM), repeats=2)
    out_s = bench.cpu_s(lambda: client.tiles("s"), repeats=2)
    assert len(client.tiles("s").tiles) == 4 * layers
    bench.row("publish_stack", 4 * layers / in_s, "tiles/CPU s", better="higher")
    bench.row("read_stack", 4 * layers / out_s, "tiles/CPU s", better="higher")


def test_matches_in_and_out(bench, client, layers):
    pairs = [make_pair(z) for z in range(1, layers + 1)]
    in_s = bench.cpu_s(lambda: client.put_matches("c", pairs), repeats=2)
    out_s = bench.cpu_s(lambda: [client.matches("c", f"{z}.0") for z in range(1, layers + 1)])
    assert len(client.matches("c", "1.0")) == 1
    unit = f"pairs/CPU s ({POINTS} points each)"
    bench.row("put_matches", layers / in_s, unit, better="higher")
    bench.row("read_matches", layers / out_s, unit, better="higher")


def test_wrong_requests(bench, tmp_path, monkeypatch):
    service = fuzz.Fuzz(tmp_path)
    fuzz.limited(monkeypatch)
    # seeds that the tests do not have
    for seed in range(1_000_000, 1_000_000 + (40_000 if bench.measuring else 10)):
        service.example(seed)
    bench.row("render_ws.fuzz.requests", service.requests, "requests", better="higher")
    bench.row("render_ws.fuzz.faults", len(service.faults), "answers 500", better="lower")
    assert not service.faults, service.faults[0]


SECONDS = 120.0  # for which all clients ask without a pause


class Job(threading.Thread):
    """A client as a job of matching is one: it reads a layer, saves a pair and reads it back."""

    def __init__(self, base, number, until):
        super().__init__(daemon=True)
        self.base, self.number, self.until = urlsplit(base), number, until
        self.seconds, self.saved, self.faults = [], 0, []

    def run(self):
        with closing(
            http.client.HTTPConnection(self.base.hostname, self.base.port, timeout=60)
        ) as c:
            self.work(c)

    def work(self, connection):
        group = f"{self.number}.0"
        collection = f"{self.base.path}/owner/bench/matchCollection/load"
        while not self.saved or time.monotonic() < self.until:
            pair = make_pair(self.number).to_json() | {"pGroupId": group, "pId": f"p{self.saved}"}
            layer = f"{self.base.path}/owner/bench/project/bench/stack/s/z/1/resolvedTiles"
            asked = [("GET", layer, None), ("PUT", f"{collection}/matches", orjson.dumps([pair]))]
            for method, path, body in asked:
                self.ask(connection, method, path, body)
            self.saved += 1
            one = f"{collection}/group/{group}/id/p{self.saved - 1}"
            if len(orjson.loads(self.ask(connection, "GET", one, None))) != 1:
                self.faults.append(f"{one} is not there")

    def ask(self, connection, method, path, body):
        start = time.monotonic()
        connection.request(method, path, body)
        answer = connection.getresponse()
        data = answer.read()
        self.seconds.append(time.monotonic() - start)
        if answer.status not in (200, 201):
            self.faults.append(f"{method} {path}: {answer.status} {data[:100]}")
        return data


def test_many_clients_at_once(bench, tmp_path):
    command = [sys.executable, "-m", "scripts.render_ws", "serve", "--write", "--port", "0"]
    command += ["--db", str(tmp_path / "r.db")]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            base = address(process)
            client = RenderClient("bench", "bench", base_url=base)
            client.publish_stack("s", make_tiles(2), resolution_nm=NM)
            until = time.monotonic() + (SECONDS if bench.measuring else 0)
            jobs = [Job(base, i, until) for i in range(200 if bench.measuring else 5)]
            for job in jobs:
                job.start()
            for job in jobs:
                job.join()
            stored = client.counted_pairs("load")
            client.close()
        finally:
            process.terminate()
    faults = [fault for job in jobs for fault in job.faults]
    seconds = np.concatenate([job.seconds for job in jobs])
    lost = sum(job.saved for job in jobs) - stored + len(faults)
    p99 = 1e3 * float(np.percentile(seconds, 99))
    bench.row("render_ws.clients_200.requests", len(seconds), "requests", better="higher")
    bench.row("render_ws.clients_200.p99_ms", p99, "ms", better="lower")
    bench.row("render_ws.clients_200.lost", lost, "answers or pairs", better="lower")
    assert lost == 0, faults[:1]
