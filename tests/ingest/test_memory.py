"""Memory of ingest does not grow with the volume, but for one row per layer of the layer table."""

import gc
import tracemalloc

import numpy as np

from scripts.ingest import headers, specs
from scripts.ingest.align import TILE
from scripts.lib.service.receipts import Written
from tests.ingest.synthetic_layers import make_tile
from tests.ingest.test_ingest_jobs import SPECS

CELLS, PER_DAY = 4, 50


def tables(days):
    """Rows of the layer table of `days` days, and of the header table, and the cached headers."""
    rows = []
    for day in range(1, days + 1):
        for index in range(PER_DAY):
            layer_id = f"M-1_21-05-{day:02d}_1200{index:02d}"
            rows.append({"z": str(len(rows) + 1), "layer_id": layer_id, "align_h5": __file__})
            rows[-1]["status"] = "ok"
    return rows


def peak(days, folder):
    """Bytes at most in use while all tiles become specs as they are sent, and all their ids."""
    rows = tables(days)
    for _ in headers.refresh(rows, folder):
        pass
    gc.collect()
    tracemalloc.start()
    source = specs.Acquired(
        lambda: headers.parts(rows, folder), rows, {}, specs.Settings.of(**SPECS), 8.0
    )
    written = Written()
    for batch in source.batches(CELLS * PER_DAY):
        written.add(batch)
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert written.figures()["tile_count"] == CELLS * PER_DAY * days
    return found


def test_specs_of_six_times_the_layers_take_no_more_memory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # provenance is written there
    tiles = np.array([make_tile(0, c)[()] for c in range(CELLS)], TILE)
    monkeypatch.setattr(headers, "read_layer", lambda path, name: tiles)
    few, many = peak(2, tmp_path / "few"), peak(12, tmp_path / "many")
    # specs of 10 days more are 2000 * 3 kB = 6 MB; allowed is a tenth of that
    assert many - few < 600_000
    assert few > 200_000  # it does measure
