"""The embedded render-ws: cost of metadata in and out, in process; what wrong requests do to it."""

import numpy as np
import pytest

from scripts.lib.service.client import RenderClient
from scripts.lib.service.records import CanvasMatches, Leaf, TileSet, TileSpec
from scripts.lib.transforms import AFFINE
from tests.render_ws import fuzz

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
