"""An exported volume beside its source: the truth reaches the ceiling, nothing else does."""

import h5py
import numpy as np
import pytest

from scripts.demo import likeness
from scripts.lib import files, geometry
from scripts.lib.service.records import Leaf
from scripts.lib.transforms import AFFINE, affine_data
from tests.export import synthetic, test_parts
from tests.export.test_export_jobs import coordinates

LAYERS = range(3, 12)


def specimen(x, y, z):
    """Waves of a few pixels in all directions: a pixel of error counts."""
    return (
        120
        + 40 * np.sin(x / 2.5 + z / 3) * np.cos(y / 3.1)
        + 40 * np.cos(y / 2.7 - z / 2.5 + np.sin(x / 4))
    )


@pytest.fixture
def likeness_of(tmp_path, monkeypatch):
    """Export a stack whose tiles lie `jitter_px` off their true places, and compare."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RENDER_WS_URL", raising=False)
    rows = [{"z": z, "layer_id": f"M_d_{z}"} for z in LAYERS]
    files.write_table("ingest/layers.tsv", ["z", "layer_id"], rows)
    coordinates(LAYERS)
    # true z and places begin at 20, in the middle of the source
    z, y, x = np.mgrid[0:40, 0:120, 0:200].astype(float)
    with h5py.File("source.h5", "w") as file:
        file["volume"] = specimen(x - 20, y - 20, z - 20 + LAYERS[0])
    to_world = geometry.translation(20, 20)
    tiles = [
        {
            "tile_id": f"t{z:03d}-{column}",
            "true_affine": geometry.to_wire(
                geometry.compose(to_world, synthetic.affine(z, column))
            ),
        }
        for z in LAYERS
        for column in (0, 1)
    ]
    layers = [{"stamp": f"d_{z}", "layer": i, "z_true": 20.0 + i} for i, z in enumerate(LAYERS)]
    known = {"format": likeness.truth.FORMAT, "tiles": tiles, "layers": layers}
    files.write_json("truth.json", known)

    def compare(jitter_px):
        rng = np.random.default_rng(2)
        moves = {z: geometry.translation(*rng.normal(0, jitter_px, 2)) for z in LAYERS}
        make = synthetic.tile

        def moved(folder, z, column, content, seed=0):
            tile = make(folder, z, column, content, seed)
            there = geometry.compose(moves[z], synthetic.affine(z, column, seed))
            return tile.with_last(Leaf(AFFINE, affine_data(there)))

        with monkeypatch.context() as patch:
            patch.setattr(synthetic, "tile", moved)
            synthetic.publish(tmp_path, LAYERS, specimen)
        test_parts.export("export")
        return likeness.of_run(tmp_path, tmp_path / "truth.json", tmp_path / "source.h5")

    return compare


def test_only_an_export_at_the_true_places_reaches_the_ceiling(likeness_of):
    found = likeness_of(0.0)
    assert found["source"] > 0.98
    assert found["source_share"] == pytest.approx(1, abs=0.005)
    assert found["next_share"] == pytest.approx(1, abs=0.005)
    off = likeness_of(1.0)
    assert off["source_ceiling"] == pytest.approx(found["source_ceiling"], abs=0.002)
    assert off["source_share"] < 0.95
    assert off["next_share"] < 0.9
