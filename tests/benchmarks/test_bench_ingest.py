"""Cost of ingest: headers to tile specs to the embedded service, and doing it again for nothing."""

import csv
import itertools
import sqlite3
from datetime import datetime, timedelta
from pathlib import Path

import h5py
import numpy as np
import orjson
import pytest

from scripts.ingest import headers, specs
from scripts.ingest.align import TILE
from scripts.lib.job import look_for_cycles_seldom
from scripts.lib.service.client import RenderClient
from tests.ingest import test_ingest_jobs as jobs
from tests.ingest.synthetic_layers import make_tile, write_layer

CELLS = 4
START = datetime(2024, 3, 7)
ACQUISITION = {"rows": 1, "columns": CELLS, "pixel_nm": 8, "z_nm": 8}
NM = (8.0, 8.0, 8.0)


@pytest.fixture(scope="module")
def layers(bench):
    look_for_cycles_seldom()  # as every job does
    return 25_000 if bench.measuring else 50


@pytest.fixture(scope="module")
def volume(layers, tmp_path_factory):
    """A transferred volume in a folder of its own: the files are empty, their headers cached."""
    root = tmp_path_factory.mktemp("volume")
    rows = []
    for index in range(layers):
        time = START + timedelta(seconds=30 * index)
        layer_id = f"Merlin-6281_{time:%y-%m-%d_%H%M%S}"
        path = root / f"h5/align/Merlin-6281/{time:%Y/%m/%d/%H}" / f"{layer_id}.uint8.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        path = str(path.relative_to(root))
        rows.append({"layer_id": layer_id, "tiles": CELLS, "bad": 0, "align_h5": path})
    return root, rows


@pytest.fixture
def here(volume, monkeypatch):
    """The folder of the volume as working directory; no file is opened, only the cache is read."""
    root, rows = volume
    monkeypatch.chdir(root)
    monkeypatch.setenv("RENDER_WS_URL", f"sqlite:///{root}/render-ws.db")
    size = {"width": 6250, "height": 1875}
    tiles = np.array([make_tile(0, c, first_x=6000 * c, **size)[()] for c in range(CELLS)], TILE)
    monkeypatch.setattr(headers, "read_layer", lambda path, name: tiles)
    return rows


def test_unchanged_volume(bench, here):
    """All jobs of ingest, run by force; Snakemake itself would run none of them."""
    jobs.ingest(here, acquisition=ACQUISITION)
    receipt = jobs.RECEIPT.read_bytes()
    seconds = bench.cpu_s(lambda: jobs.run(acquisition=ACQUISITION))
    assert jobs.RECEIPT.read_bytes() == receipt
    publish = bench.cpu_s(lambda: jobs.publish(jobs.SPECS, ACQUISITION))
    plain = bench.cpu_s(_plain_csv)
    tiles = 100_000 / (CELLS * len(here))
    bench.row(
        "ingest.unchanged_100k_s", seconds * tiles, "CPU s, all jobs, forced", better="lower",
        publish_acquire=publish * tiles, plain_csv_of_the_tables=plain * tiles,
    )  # fmt: skip


def _plain_csv():
    """Read and write the tables that these jobs read and write, and do nothing with them."""
    for path, reads in (("transfer/layers", 2), ("ingest/layers", 2), ("ingest/headers", 2)):
        for _ in range(reads):
            with Path(f"{path}.tsv").open(newline="") as stream:
                rows = list(csv.DictReader(stream, delimiter="\t"))
        with Path("plain.tsv").open("w", newline="") as stream:
            table = csv.DictWriter(stream, list(rows[0]), delimiter="\t")
            table.writerows(rows)


def test_tiles_into_the_service(bench, here, tmp_path):
    """From cached headers; beside it the same text into plain SQLite, and headers by plain h5py."""
    jobs.ingest(here, acquisition=ACQUISITION)
    settings = specs.Settings.of(**jobs.SPECS)
    tiles = specs.Acquired.of("ingest/layers.tsv", "ingest/headers.tsv", {}, settings, 8.0)
    count = len(tiles.ids())
    client = RenderClient("bench", "bench", base_url=f"sqlite:///{tmp_path}/r.db")

    names = itertools.count()

    def publish():  # each time a stack that is not there yet
        source = specs.Acquired.of("ingest/layers.tsv", "ingest/headers.tsv", {}, settings, 8.0)
        client.publish_stack(f"s{next(names)}", source, resolution_nm=NM)

    seconds = bench.cpu_s(publish, repeats=2)
    assert client.stack_metadata("s0")["stats"]["tileCount"] == count
    bodies = [(t.tile_id, t.to_json()) for batch in tiles.batches(5000) for t in batch.tiles]
    plain = bench.cpu_s(lambda: _plain_sqlite(tmp_path / "plain.db", bodies), repeats=2)
    bench.row(
        "ingest.tiles_per_s", count / seconds, "tiles/CPU s from cached headers", better="higher",
        plain_sqlite=count / plain,
    )  # fmt: skip


def _plain_sqlite(path, bodies):
    """Serialise the same specs and insert them, checking nothing, with one index by z."""
    Path(path).unlink(missing_ok=True)
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE tile(id TEXT UNIQUE, z REAL, body BLOB)")
    db.execute("CREATE INDEX by_z ON tile(z)")
    rows = ((name, body["z"], orjson.dumps(body)) for name, body in bodies)
    db.executemany("INSERT INTO tile VALUES(?, ?, ?)", rows)
    db.commit()
    db.close()


def test_headers_of_files(bench, tmp_path, monkeypatch):
    """The first reading of real files, beside plain h5py that reads all attributes alone."""
    monkeypatch.chdir(tmp_path)  # the record of the code lands there
    rows = [write_layer(tmp_path, 30 * i) for i in range(50 if bench.measuring else 2)]
    rows = [row | {"align_h5": str(tmp_path / row["align_h5"])} for row in rows]
    folder = tmp_path / "headers"

    def read():
        for shard in folder.glob("*.npz"):
            shard.unlink()
        return list(headers.refresh(rows, folder))

    def plain():
        for row in rows:
            with h5py.File(row["align_h5"], "r") as file:
                for group in file.values():
                    dict(group.attrs)

    assert not any(row["problem"] for row in read())
    tiles = 2 * len(rows)
    mine, theirs = bench.cpu_s(read), bench.cpu_s(plain)
    bench.row(
        "ingest.headers_per_s", tiles / mine, "tiles/CPU s, first reading", better="higher",
        h5py_attributes_alone=tiles / theirs,
    )  # fmt: skip
