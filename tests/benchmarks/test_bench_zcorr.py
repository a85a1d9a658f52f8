"""CPU seconds of the thickness stage: a pair of layers with reading, and the inference of a volume.

Pairs: layers of 1 Mpx on disk as the transfer leaves them (8-bit HDF5), each compared with the ten
behind it: reading, rendering, resin mask, correlation, grain and regions. Beside it the correlation
alone in plain numpy (boolean masks and `numpy.corrcoef`), pictures in memory.

Inference: 25,776 layers and ten neighbours, both methods; the thickness is known. Beside it one
step of coordinates with a general sparse solver.
"""

import h5py
import numpy as np
import pytest
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.linalg import splu

from scripts.lib import files, geometry
from scripts.lib.service.client import RenderClient
from scripts.lib.service.records import Leaf, TileSet, TileSpec
from scripts.lib.transforms import AFFINE, affine_data
from scripts.transfer import hdf5
from scripts.transfer.hdf5 import Storage
from scripts.zcorr import correlate_layers, decay, inference, isotropy, thickness
from scripts.zcorr.changes import Process, StepError
from tests.zcorr.test_zcorr_jobs import ZCORR

REACH = 10
RENDER = {"owner": "o", "project": "p"}


def publish(folder, pictures):
    """Publish layers of one tile each."""
    tiles = []
    for z, picture in enumerate(pictures, start=1):
        path = folder / f"tiles/{z}.h5"
        path.parent.mkdir(exist_ok=True)
        with h5py.File(path, "w") as file:
            hdf5.write_pixels(file.create_group("0-0-0"), "mipmap.0", picture[None], Storage())
        url = f"file://{path}?dataSet=/0-0-0/mipmap.0&z=0"
        leaf = Leaf(AFFINE, affine_data(geometry.identity()))
        h, w = picture.shape
        tiles.append(TileSpec(f"t{z:03d}", float(z), w, h, url, (leaf,)))
    client = RenderClient(**RENDER)
    receipt = client.publish_stack(
        "s", TileSet(tuple(tiles)), resolution_nm=(8, 8, 8), inputs=[], params={}
    )
    receipt.write(folder / "stacks/s.json")
    row = {"chunk": "0000", "z_first": 1, "z_last": len(pictures)}
    files.write_table(folder / "ingest/chunks.tsv", list(row), [row])


def pictures(count, side):
    rng = np.random.default_rng(0)
    field = ndimage.gaussian_filter(rng.standard_normal((count + 4, side, side)), 2.0)
    field = 128 + 30 * field[2:-2] / field.std() + 4 * rng.standard_normal((count, side, side))
    return np.clip(np.rint(field), 1, 255).astype(np.uint8)


def test_milliseconds_of_a_pair_of_layers(bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RENDER_WS_URL", raising=False)
    side, count = (1024, 32) if bench.measuring else (128, 5)
    shown = pictures(count, side)
    publish(tmp_path, shown)
    # full resolution, as for layers of 1 Mpx; a larger layer is seen at 0.22
    # the mask is measured, but takes nothing out: plain numpy has none
    options = ZCORR | {"comparison_range": REACH, "min_picture_px": 1024}
    options |= {"resin_content_threshold": 0.0, "region_px": 500}

    def ours():
        correlate_layers.main(
            receipt="stacks/s.json",
            chunks="ingest/chunks.tsv",
            correlations="c.npz",
            layers="l.npz",
            chunk="0000",
            render=RENDER,
            zcorr=options,
        )

    a, b = shown[0].astype(float), shown[1].astype(float)
    mask = np.ones(a.shape, bool)

    def plain():
        both = mask & mask
        return np.corrcoef(a[both], b[both])[0, 1]

    seconds = bench.cpu_s(ours, repeats=4)
    pairs = np.isfinite(np.load("c.npz")["corr"]).sum()
    assert pairs == sum(max(0, min(REACH, count - 1 - i)) for i in range(count))
    assert np.load("c.npz")["corr"][0, 0] == pytest.approx(plain(), abs=1e-4)
    bench.row(
        "zcorr.ms_per_pair",
        1e3 * seconds / pairs,
        "ms",
        better="lower",
        numpy_corrcoef_without_reading=1e3 * bench.cpu_s(plain),
    )
    print(f"{1e3 * seconds / pairs:.2f} ms a pair, {pairs} pairs of {side} x {side}")


def uneven(n):
    steps = np.clip(1 + 0.2 * np.random.default_rng(0).standard_normal(n - 1), 0.3, 2)
    z = np.concatenate([[0], np.cumsum(steps)])
    return z * (n - 1) / z[-1]


def correlations(z, curve):
    corr = np.full((len(z), REACH), np.nan)
    for k in range(REACH):
        corr[: len(z) - k - 1, k] = curve(z[k + 1 :] - z[: -k - 1])
    return corr


def general_solver(weight):
    """One step with scipy's general sparse factorisation, for comparison."""
    n = len(weight)
    i, k = np.nonzero(weight > 0)
    j, w = i + k + 1, weight[i, k]
    rows, columns = np.concatenate([i, j, i, j]), np.concatenate([i, j, j, i])
    matrix = coo_array((np.concatenate([w, w, -w, -w]), (rows, columns)), shape=(n, n)).tocsc()
    matrix[0, 0] += 1
    return splu(matrix)


def test_seconds_of_the_inference_of_a_volume(bench):
    n = 25_776 if bench.measuring else 300
    true = uneven(n)
    present, even = np.ones(n, bool), np.ones((n, REACH))
    options = inference.Options(1.0, coordinate_regularizer=0.1)
    corr = correlations(true, lambda d: np.exp(-d / 6))

    def reference():
        return inference.infer(corr, present, options, even).z

    width = 4.6
    lag = np.hypot(*isotropy.LAGS_PX.T)
    inplane = np.repeat(900 * np.exp(-(lag**2) / (2 * width**2))[None], n, axis=0)
    grain = decay.decay(inplane[:2], np.ones(2), (1.0, 1.0), REACH)
    peak = np.full(n, 1.0)
    band = correlations(true, lambda d: np.interp(d, grain.nodes, grain.curves[0]))

    floor = (Process(0.05**2, 4.0),)
    error = StepError(
        np.full(n - 1, 0.05), np.full(n - 1, 0.05), Process(0.4, 3.0), floor, 0.01, 1000.0
    )

    def isotropic():
        curve = decay.decay(inplane, peak, (1.0, 1.0), REACH)
        distance = decay.distances(band, curve)
        fit = thickness.positions(distance, even)
        known = thickness.spanned(distance, even)
        return thickness.posterior(np.diff(fit.z), known, error)[0]

    steps = np.diff(true)
    assert np.corrcoef(np.diff(reference()), steps)[0, 1] > 0.95
    assert np.corrcoef(isotropic(), steps)[0, 1] > 0.95
    weight = np.where(np.isfinite(corr), 1.0, 0.0)
    beside = {
        "reference": bench.cpu_s(reference, repeats=2),
        "splu_one_step": bench.cpu_s(lambda: general_solver(weight), repeats=2),
        "banded_one_step": bench.cpu_s(lambda: thickness.fit(even, weight), repeats=2),
    }
    seconds = bench.cpu_s(isotropic, repeats=2)
    bench.row("zcorr.solve_s", seconds, "s", better="lower", **beside)
    print(f"isotropic {seconds:.2f} s", {k: round(v, 3) for k, v in beside.items()})
