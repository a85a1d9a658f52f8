"""Speed of the embedded render-ws in process; plain tests unless benchmarks are switched on."""

from __future__ import annotations

import orjson
import pytest
import requests

from scripts.lib.wsgi import WsgiAdapter
from scripts.render_ws.app import create_app
from tests.render_ws.service import Service, Url, made, pair, resolved, tile, value

TILES = 2000
PAIRS = 200


@pytest.fixture
def stack(tmp_path) -> Url:
    session = requests.Session()
    session.mount("http+embedded://", WsgiAdapter(create_app(tmp_path / "r.db")))
    url = Service(session, "http+embedded://render-ws/render-ws/v1", "o").stack("p", "s")
    return url.filled()


@pytest.fixture
def body() -> bytes:
    return orjson.dumps(resolved(*(tile(f"t{i:05d}", i // 4) for i in range(TILES))))


def test_saving_tiles(benchmark, stack, body):
    benchmark.extra_info["tiles"] = TILES
    made(benchmark(stack.put, "resolvedTiles", body))


def test_reading_a_layer(benchmark, stack, body):
    made(stack.put("resolvedTiles", body))
    assert len(value(benchmark(stack.get, "z/100/resolvedTiles"))["tileIdToSpecMap"]) == 4


def test_completing_a_stack(benchmark, stack, body):
    made(stack.put("resolvedTiles", body))
    made(benchmark(stack.put, "state/COMPLETE"))


def test_saving_matches(benchmark, stack):
    pairs = orjson.dumps([pair("1.0", f"a{i}", "2.0", f"b{i}", 150) for i in range(PAIRS)])
    benchmark.extra_info["pairs"] = PAIRS
    made(benchmark(stack.service.collection("c").put, "matches", pairs))
