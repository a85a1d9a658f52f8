"""Cost of the composed export, beside its own codec and OpenCV's warp alone on the same pixels.

A volume of 2×2 tiles per layer, each layer with affines of its own, every output layer between two
input layers: decode, warp, blend, z, pyramid and packing are all in the figure, of one job whose
machine code is compiled already (a cluster job of gigabytes). CPU seconds of one core; bytes are
those of full resolution.

Content: consecutive slices of real tissue (FIB-25), mirrored side by side to the size of a tile, so
that blocks have the noise and the depth of an acquisition; noise of cell size where those data are
absent. The tiles are stored as the transfer stores them: HDF5, chunks of 512², gzip by ISA-L.
"""

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import yaml
from isal import isal_zlib
from scipy import ndimage

from scripts.export import plan_export
from scripts.export.slabs import Plan
from scripts.lib import files
from scripts.lib.drawing import filters, pixels
from scripts.lib.service.client import RenderClient
from scripts.lib.service.records import Leaf, Ref, TileSet, TileSpec
from scripts.lib.transforms import AFFINE, SEM_DISTORTION_A, affine_data
from scripts.lib.volumes import blocks, multiscale
from tests.benchmarks.slab_job import RENDER, slab

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared/data/fib25/fib25_250.h5"
TOP = {"uint8": 255, "uint16": 60000}
CHUNK = 512
SCHEMA = yaml.safe_load((ROOT / "config/schema.yaml").read_text())["properties"]["export"]
EXPORT = {key: value["default"] for key, value in SCHEMA["properties"].items()}
EXPORT |= {
    "dtype": "uint8",
    "formats": ["n5"],
    "n5_codec": "zstd",
    "n5_codec_level": EXPORT["zarr_codec_level"],
}


class Size:
    """Of one export: tile side (px), layers."""

    def __init__(self, side, layers):
        self.side, self.layers = side, layers


def columns(layers, dtype):
    """Four stacks of real slices (layers, 512, 512), or noise of cell size."""
    rng = np.random.default_rng(3)
    for k in range(4):
        if DATA.exists():
            with h5py.File(DATA) as file:
                part = file["volume"][:layers] if k % 2 else file["volume"][-layers:]
            part = np.roll(part, (0, 60 * k, 90 * k), (0, 1, 2))
            part = np.pad(part, ((0, 0), (0, 262), (0, 262)), "symmetric")
        else:
            part = 120 + 300 * ndimage.gaussian_filter(rng.normal(size=(layers, 512, 512)), 3)
            part += 20 * rng.normal(size=part.shape)
        scaled = part * (TOP[dtype] / 255.0)
        if dtype == "uint16":  # the low bits of a detector are noise
            scaled += rng.integers(0, 235, scaled.shape)
        yield np.clip(scaled, 1, TOP[dtype]).astype(dtype)


def store(folder, size, dtype):
    """Write one file per layer; each distinct chunk is packed once, as the transfer does."""
    packed = [
        [isal_zlib.compress(image.tobytes(), 3) for image in part]
        for part in columns(size.layers + 1, dtype)
    ]
    chunk = (1, CHUNK, CHUNK)
    for z in range(size.layers + 1):
        with h5py.File(folder / f"{dtype}-{z}.h5", "w") as file:
            data = file.create_dataset(
                "mipmap.0", (1, size.side, size.side), dtype, chunks=chunk, compression="gzip"
            )
            for y in range(0, size.side, CHUNK):
                for x in range(0, size.side, CHUNK):
                    which = (x + 2 * y) // CHUNK % 4
                    data.id.write_direct_chunk((0, y, x), packed[which][z])


def affine(z, row, column, side):
    rng = np.random.default_rng([z, row, column])
    step = 0.92 * side
    linear = np.eye(2) + rng.uniform(-1e-3, 1e-3, (2, 2))
    shift = [column * step + rng.uniform(-3, 3), row * step + rng.uniform(-3, 3)]
    return np.column_stack([linear, shift])


def publish(folder, size, dtype, scan, corrections):
    tiles = []
    first = (Ref("scan"),) if scan else ()
    for z in range(size.layers + 1):
        for k in range(4):
            leaf = Leaf(AFFINE, affine_data(affine(z, *divmod(k, 2), size.side)))
            url = f"file://{dtype}-{z}.h5?dataSet=/mipmap.0&z=0"
            tiles.append(
                TileSpec(f"t{z:03d}-{k}", float(z), size.side, size.side, url, (*first, leaf))
            )
    tiles = [filters.with_filters(tile, corrections) for tile in tiles]
    client = RenderClient(**RENDER)
    shared = {"scan": Leaf(SEM_DISTORTION_A, scan, "scan")} if scan else {}
    tile_set = TileSet(tuple(tiles), shared).with_bounds()
    receipt = client.publish_stack("s", tile_set, resolution_nm=(8, 8, 8), inputs=[], params={})
    receipt.write(folder / "stacks/s.json")
    rows = [{"chunk": "0000", "z_first": 0, "z_last": size.layers - 1}]
    files.write_table(folder / "ingest/chunks.tsv", ["chunk", "z_first", "z_last"], rows)
    shifted = [f"{z} {z + (0.3 if 0 < z < size.layers else 0)}\n" for z in range(size.layers + 1)]
    files.write_text(folder / "zcorr/Zcoords.txt", "".join(shifted))


@pytest.fixture
def volume(bench, tmp_path, monkeypatch):
    """Make a working directory with a published stack of a type of voxels, and the plan."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RENDER_WS_URL", raising=False)

    def make(side, layers, dtype="uint8", scan=None, corrections=(), **changes):
        size = Size(side, layers) if bench.measuring else Size(CHUNK, 4)
        store(tmp_path, size, dtype)
        publish(tmp_path, size, dtype, scan, corrections)
        plan(dtype=dtype, **changes)
        return size

    return make


def plan(**changes):
    plan_export.main(
        receipt="stacks/s.json",
        chunks="ingest/chunks.tsv",
        out="export/plan.json",
        volume="v",
        voxel_nm={"pixel_nm": 8.0, "z_nm": 8.0},
        export=EXPORT | changes,
    )


def first_slab(bench):
    """Voxels and CPU seconds of a slab that is written for the first time."""
    for path in Path("v.n5").rglob("s*/*/"):
        shutil.rmtree(path, ignore_errors=True)
    voxels = []
    seconds = bench.cpu_s(lambda: voxels.append(slab(EXPORT)), repeats=1)
    return voxels[0], seconds


def rate(bench, repeats):
    """Voxels and CPU seconds of such a slab, machine code ready."""
    if bench.measuring:
        first_slab(bench)
    found = [first_slab(bench) for _ in range(repeats if bench.measuring else 1)]
    return min(found, key=lambda one: one[1])


def spent(work):
    start = time.process_time()
    work()
    return time.process_time() - start


def ceiling(size, voxels):
    """CPU seconds of packing as many voxels with the same codec, of warping them once with OpenCV.

    And of reading all tiles once, which the ceiling of the issue leaves out. All on parts of the
    volume as it is in memory, larger than a processor's cache.
    """
    what = Plan.from_json(files.read_json("export/plan.json"))
    (target,), (z, y, x) = what.targets, what.spec.block_zyx
    level = multiscale.open_level(target, 0)
    high, wide = level.shape_zyx[1:]
    part = level.read((slice(0, min(z, size.layers)), slice(0, high // 2), slice(0, wide // 2)))
    corners = itertools.product(range(0, high // 2, y), range(0, wide // 2, x))
    cut = [np.ascontiguousarray(part[:, a : a + y, b : b + x]) for a, b in corners]
    codec = (target.codec, target.codec_level)
    packed = spent(lambda: [blocks.pack(block, *codec) for block in cut]) / part.size
    layers = range(min(32, size.layers))
    urls = [f"file://uint8-{k}.h5?dataSet=/mipmap.0&z=0" for k in layers]
    images = []
    decoded = spent(lambda: images.extend(map(pixels.read_image, urls))) / len(layers)
    matrix, flags = affine(1, 0, 0, size.side), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    pixel_count = sum(image.size for image in images)
    warped = spent(lambda: [cv2.warpAffine(one, matrix, one.shape, flags=flags) for one in images])
    decode_all = 4 * (size.layers + 1) * decoded
    return np.array([voxels * packed, voxels * warped / pixel_count, decode_all])


def test_composed_export(bench, volume):
    """The parts are measured before and after each slab: a shared machine's speed drifts."""
    size = volume(2048, 64)
    voxels, _ = first_slab(bench)
    alone, seconds = [ceiling(size, voxels)], []
    for _ in range(3 if bench.measuring else 1):
        seconds.append(first_slab(bench)[1])
        alone.append(ceiling(size, voxels))
    between = (np.array(alone[1:]) + np.array(alone[:-1])) / 2
    codec, warp, decode = np.median(between, axis=0)
    megabytes = voxels / 1e6
    bench.row(
        "export.mb_per_cpu_s",
        megabytes / np.median(seconds),
        "MB/CPU s",
        better="higher",
        best=megabytes / min(seconds),
        codec_alone=megabytes / codec,
        opencv_warp_alone=megabytes / warp,
        codec_and_warp=megabytes / (codec + warp),
        tiles_read_alone=megabytes / decode,
    )
    bench.row(
        "export.ratio_to_ceiling",
        float(np.median(between[:, :2].sum(axis=1) / seconds)),
        "ratio",
        better="higher",
        with_tiles_read=float(np.median(between.sum(axis=1) / seconds)),
    )


def test_sixteen_bit(bench, volume):
    volume(1024, 64, "uint16")
    voxels, seconds = rate(bench, 1)
    bench.row(
        "export.16bit.mvoxel_per_cpu_s", voxels / 1e6 / seconds, "Mvoxel/CPU s", better="higher"
    )


def test_scan_correction(bench, volume):
    """Tiles that are bent along their rows, most near the left border."""
    volume(1024, 64, scan="3 12 2 60 0")
    voxels, seconds = rate(bench, 1)
    bench.row(
        "export.scan_corrected.mb_per_cpu_s", voxels / 1e6 / seconds, "MB/CPU s", better="higher"
    )


def test_intensity_correction(bench, volume):
    """Each tile with a gain and an offset of its own kind, as step intensity leaves them."""
    volume(1024, 64, corrections=[filters.intensity(np.array([[[0.9, 0.02]]]), 255.0)])
    voxels, seconds = rate(bench, 1)
    bench.row("export.corrected.mb_per_cpu_s", voxels / 1e6 / seconds, "MB/CPU s", better="higher")


def test_gzip(bench, volume):
    volume(1024, 64, n5_codec="gzip")
    voxels, seconds = rate(bench, 1)
    bench.row("export.gzip.mb_per_cpu_s", voxels / 1e6 / seconds, "MB/CPU s", better="higher")


def test_memory_of_a_slab(bench, volume):
    """Peak of a job with tasks of 4096², two blocks deep, in a process of its own."""
    assert EXPORT["task_px"] == 4096
    volume(2124, 128)  # 4,090 px wide and high
    if not bench.measuring:
        slab(EXPORT)
        return
    command = [sys.executable, "-m", "tests.benchmarks.slab_job", json.dumps(EXPORT)]
    paths = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=paths, capture_output=True, text=True, check=True)
    # docs/export.md; one voxel a byte, level 1 alone begun
    formula = 250 + 4096**2 / 1e6 * (9 / 8 * EXPORT["block_zyx_px"][0] + 2)
    bench.row("export.peak_mb", float(done.stdout), "MB", better="lower", by_formula=formula)
