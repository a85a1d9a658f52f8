"""Jobs that read the files of all chunks hold a constant number of them open."""

from pathlib import Path

import numpy as np

from scripts.lib import files
from scripts.lib.geometry import Box
from scripts.zcorr import infer_z, region_volume
from scripts.zcorr.isotropy import CELLS, LAGS_PX
from tests.zcorr.test_zcorr_jobs import OUT, ZCORR

CHUNKS, REACH = 1_100, 3
PLACE = region_volume.Place.of(
    Box(0, 0, 40, 40), 1.0, (40, 40), (1, 1), {f"stackResolution{axis}": 8.0 for axis in "XYZ"}
)


def write_chunk(k, corr):
    """Write a chunk of a single layer, z = k + 1."""
    facts = PLACE.arrays() | {"pixel_layers": np.ones(2), "scale": np.array(1.0)}
    one = np.full((1, REACH), corr)
    arrays = {"z": np.array([k + 1]), "present": np.array([True]), "own": np.array([True])}
    arrays |= {"corr": one, "share": 0 * one + 1, "band": one, "band_share": 0 * one + 1}
    arrays |= {"shift": np.zeros((1, REACH, 2)), "curvature": np.zeros((1, REACH, 3))}
    inplane = 900 * np.exp(-(LAGS_PX**2).sum(axis=1) / 40.0)[None]
    arrays |= {
        "variance": np.array([80.0]),
        "inplane": inplane,
        "regional": np.full((1, 1, 1), corr),
        "cell_band": np.zeros((1, REACH, CELLS)),
        "cell_share": np.full((1, CELLS), 1 / CELLS),
        "cell_inplane": np.zeros((1, CELLS, len(LAGS_PX))),
        "cell_variance": np.zeros((1, CELLS)),
    }
    np.savez(f"correlations/{k:04d}.npz", **arrays, **facts)
    np.savez(f"layers/{k:04d}.npz", z=arrays["z"], pixels=np.full((1, 8, 8), 90, np.uint8))


def test_a_volume_of_more_chunks_than_files_may_be_open_is_inferred(workdir, few_files):
    for folder in ("correlations", "layers", "zcorr"):
        Path(folder).mkdir()
    for k in range(CHUNKS):
        write_chunk(k, 0.1 if k == 700 else 0.8)
    names = [f"{k:04d}.npz" for k in range(CHUNKS)]
    files.write_table("layers.tsv", ("z", "layer_id"), [])
    with few_files():
        infer_z.main(
            correlations=[f"correlations/{name}" for name in names],
            layers=[f"layers/{name}" for name in names],
            names="layers.tsv",
            out=OUT,
            volume="v",
            grid=(1, 1),
            zcorr=ZCORR | {"problem_correlation": 0.3},
        )
    report = files.read_json(OUT["report"])
    assert len(report["layers"]) == CHUNKS
    assert [row["z"] for row in report["layers"] if row["problem"]] == [701]
    assert "data:image/png;base64" in Path(OUT["page"]).read_text()
