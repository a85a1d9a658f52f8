"""Cost of the composed export, beside its own codec and OpenCV's warp alone on the same pixels.

A volume of 2×2 tiles per layer, each layer with affines of its own, every output layer between two
input layers: decode, warp, blend, z, pyramid and packing are all in the figure. CPU seconds of one
core; bytes are those of full resolution.
"""

import json
import multiprocessing
import resource
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from numcodecs import Zstd
from scipy import ndimage

from scripts.export import plan_export, render_slab
from scripts.lib import files
from scripts.lib.records import Leaf, TileSet, TileSpec
from scripts.lib.render import RenderClient
from scripts.lib.transforms import AFFINE, affine_data

RENDER = {"owner": "o", "project": "p"}
DISTINCT = 3  # layers whose images differ; the files of deeper layers are read as often
DATA = Path(__file__).parents[3] / "shared/data/fib25/fib25_250.h5"
PLAN = {
    "block_zyx_px": [64, 128, 128],
    "shard_blocks_zyx": [1, 8, 8],
    "levels": 0,
    "n5_codec": "zstd",
    "n5_codec_level": 3,
    "zarr_codec": "zstd",
    "zarr_codec_level": 3,
    "formats": ["n5"],
    "task_px": 2048,
}
SHOWN = {
    "blend": "feather",
    "interpolation": "linear",
    "z_correction": True,
    "fill_gaps": "interpolate",
}


@pytest.fixture(scope="module")
def size(bench):
    """Tile side, px, and layers."""
    return (2048, 128) if bench.measuring else (160, 8)


def texture(rng, side, top):
    """Pictures of real tissue side by side, of other slices each, or noise of cell size."""
    if not DATA.exists():
        noise = ndimage.gaussian_filter(rng.normal(size=(side, side)), 3)
        noise = noise / noise.std() + 0.2 * rng.normal(size=(side, side))
        return np.clip(top / 2 * (1 + 0.3 * noise), 1, top)
    out = np.empty((side, side))
    with h5py.File(DATA) as file:
        for y in range(0, side, 250):
            for x in range(0, side, 250):
                patch = file["volume"][int(rng.integers(250))]
                h, w = min(250, side - y), min(250, side - x)
                out[y : y + h, x : x + w] = patch[:h, :w]
    return np.clip(out * (top / 255) + (top > 255) * rng.integers(0, 200, out.shape), 1, top)


@pytest.fixture(scope="module")
def pictures(size, tmp_path_factory):
    """Tile images as the converter stores them: (folder, dtype) -> images."""
    side, _ = size
    folder = tmp_path_factory.mktemp("tiles")
    rng = np.random.default_rng(3)
    for dtype, top in (("uint8", 255), ("uint16", 60000)):
        for name in range(DISTINCT * 4):
            with h5py.File(folder / f"{dtype}-{name}.h5", "w") as file:
                file.create_dataset(
                    "mipmap.0",
                    data=texture(rng, side, top).astype(dtype)[None],
                    chunks=(1, min(512, side), min(512, side)),
                    compression="gzip",
                    compression_opts=4,
                )
    return folder


def affine(z, row, column, side):
    rng = np.random.default_rng([z, row, column])
    step = 0.92 * side
    linear = np.eye(2) + rng.uniform(-1e-3, 1e-3, (2, 2))
    shift = [column * step + rng.uniform(-3, 3), row * step + rng.uniform(-3, 3)]
    return np.column_stack([linear, shift])


def publish(folder, pictures, size, dtype):
    side, layers = size
    tiles = []
    for z in range(layers + 1):
        for k in range(4):
            image = pictures / f"{dtype}-{4 * (z % DISTINCT) + k}.h5"
            leaf = Leaf(AFFINE, affine_data(affine(z, *divmod(k, 2), side)))
            url = f"file://{image}?dataSet=/mipmap.0&z=0"
            tiles.append(TileSpec(f"t{z:03d}-{k}", float(z), side, side, url, (leaf,)))
    client = RenderClient(**RENDER)
    tile_set = TileSet(tuple(tiles)).with_bounds()
    receipt = client.publish_stack("s", tile_set, resolution_nm=(8, 8, 8), inputs=[], params={})
    receipt.write(folder / "stacks/s.json")
    rows = [{"chunk": "0000", "z_first": 0, "z_last": layers - 1}]
    files.write_table(folder / "ingest/chunks.tsv", ["chunk", "z_first", "z_last"], rows)
    shifted = [f"{z} {z + (0.3 if 0 < z < layers else 0)}\n" for z in range(layers + 1)]
    files.write_text(folder / "zcorr/Zcoords.txt", "".join(shifted))


def plan(**changes):
    plan_export.main(
        receipt="stacks/s.json",
        chunks="ingest/chunks.tsv",
        out="export/plan.json",
        volume="v",
        voxel_nm={"pixel_nm": 8.0, "z_nm": 8.0},
        export=PLAN | changes,
    )


def slab():
    render_slab.main(
        plan="export/plan.json",
        receipt="stacks/s.json",
        chunks="ingest/chunks.tsv",
        coordinates="zcorr/Zcoords.txt",
        out="export/slabs/0000.json",
        notes="export/journals/0000.jsonl",
        chunk="0000",
        render=RENDER,
        export=SHOWN,
    )
    return json.loads(Path("export/slabs/0000.json").read_text())["voxels"]


@pytest.fixture
def volume(tmp_path, monkeypatch, pictures, size):
    """Make a working directory with a published stack of a type of voxels."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RENDER_WS_URL", raising=False)
    return lambda dtype: publish(tmp_path, pictures, size, dtype)


def ceiling(bench, pictures, size, voxels):
    """CPU seconds of packing as many voxels with the same codec, and of warping them once."""
    side, _ = size
    with h5py.File(pictures / "uint8-0.h5") as file:
        image = file["mipmap.0"][0]
    block = np.stack([image[k : k + 128, -128:] for k in range(16)])
    codec = Zstd(3)
    packed = bench.cpu_s(lambda: codec.encode(block)) / block.size
    matrix = affine(1, 0, 0, side)
    warped = bench.cpu_s(lambda: cv2.warpAffine(image, matrix, (side, side))) / image.size
    return voxels * packed, voxels * warped


def test_composed_export(bench, volume, pictures, size):
    volume("uint8")
    plan()
    voxels = []
    seconds = bench.cpu_s(lambda: voxels.append(slab()), repeats=2)
    codec, warp = ceiling(bench, pictures, size, voxels[0])
    megabytes = voxels[0] / 1e6
    bench.row(
        "export.mb_per_cpu_s",
        megabytes / seconds,
        "MB/CPU s",
        better="higher",
        codec_alone=megabytes / codec,
        opencv_warp_alone=megabytes / warp,
        codec_and_warp=megabytes / (codec + warp),
    )
    bench.row("export.ratio_to_ceiling", (codec + warp) / seconds, "ratio", better="higher")


def test_sixteen_bit(bench, volume):
    volume("uint16")
    plan(dtype="uint16")
    voxels = []
    seconds = bench.cpu_s(lambda: voxels.append(slab()), repeats=1)
    rate = voxels[0] / 1e6 / seconds
    bench.row("export.16bit.mvoxel_per_cpu_s", rate, "Mvoxel/CPU s", better="higher")


def test_gzip(bench, volume):
    volume("uint8")
    plan(n5_codec="gzip")
    voxels = []
    seconds = bench.cpu_s(lambda: voxels.append(slab()), repeats=1)
    rate = voxels[0] / 1e6 / seconds
    bench.row("export.gzip.mb_per_cpu_s", rate, "MB/CPU s", better="higher")


def _peak_mb(queue):
    slab()
    queue.put(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def test_memory_of_a_slab(bench, volume):
    """Peak of a job with tasks of 4096², in a process of its own."""
    volume("uint8")
    plan(task_px=4096)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_peak_mb, args=(queue,))
    process.start()
    bench.row("export.peak_mb", queue.get(timeout=600), "MB", better="lower")
    process.join()
