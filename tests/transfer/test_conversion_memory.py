"""Memory of conversion: that of one layer, however many a job converts."""

import gc
import tracemalloc

import numpy as np

from scripts.transfer import conversion
from tests.transfer.synthetic_dat import make_dat

SIDE = 256
TILES = 2
PIXELS = SIDE * SIDE * 2  # bytes of a tile


def plan(layers, root):
    """Rows of a plan, and the files they name."""
    rng = np.random.default_rng(3)
    pixels = rng.integers(-500, 500, (SIDE, SIDE, 1)).astype(np.int16)
    rows = []
    for index in range(layers):
        layer_id = f"M-1_24-03-07_1011{index:02d}"
        for column in range(TILES):
            name = f"{layer_id}_0-0-{column}.dat"
            (root / name).write_bytes(make_dat(pixels))
            rows.append({"layer_id": layer_id, "tile_key": f"0-0-{column}", "dat": name})
    return rows


def peak(layers, root):
    """Bytes at most in use while so many layers are converted."""
    root.mkdir()
    rows = plan(layers, root)
    settings = conversion.Settings()
    gc.collect()
    tracemalloc.start()
    done = conversion.convert_layers(
        rows, dat_root=root, work_dir=root / "work", settings=settings, stop=True
    )
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [row["status"] for row in done] == ["ok"] * TILES * layers
    return found


def test_four_times_the_layers_take_no_more_memory(tmp_path):
    peak(1, tmp_path / "first")  # imports and caches
    few = peak(2, tmp_path / "few")
    # threads of tests before this one may allocate meanwhile: what layers take is there each time
    many = min(peak(8, tmp_path / f"many_{k}") for k in range(3))
    assert few > TILES * PIXELS  # it does measure
    assert many - few < 6 * TILES * PIXELS / 20  # a twentieth of the pixels of 6 layers more
