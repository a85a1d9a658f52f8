"""A small published stack of analytic content, for tests of zcorr, correct and export.

Specimen of value ``f(x, y, z)`` in world px; each layer has 2×1 overlapping tiles whose affines are
known, so an export must give back ``f`` at its voxel centres.
"""

import h5py
import numpy as np

from scripts.lib import files, geometry
from scripts.lib.numerics import kernels
from scripts.lib.service.client import RenderClient
from scripts.lib.service.records import Leaf, TileSet, TileSpec
from scripts.lib.transforms import AFFINE, affine_data

RENDER = {"owner": "o", "project": "p"}
W, H = 90, 70


def smooth(x, y, z):
    """Slow waves: linear interpolation of it errs by less than half a grey level."""
    return 120 + 40 * np.sin(x / 17 + z / 9) + 40 * np.cos(y / 13)


def affine(z, column, seed=0):
    rng = np.random.default_rng([seed, int(z), column])
    linear = np.eye(2) + rng.uniform(-0.01, 0.01, (2, 2))
    return np.column_stack([linear, [column * 60 + rng.uniform(-3, 3), rng.uniform(-3, 3)]])


def tile(folder, z, column, content, seed=0):
    """Write a tile's image and give its spec."""
    matrix = affine(z, column, seed)
    v, u = np.indices((H, W))
    world = geometry.apply(matrix, np.stack([u, v], axis=-1).reshape(-1, 2))
    image = content(world[:, 0], world[:, 1], z).reshape(H, W)
    path = folder / f"tiles/{z}-{column}.h5"
    path.parent.mkdir(exist_ok=True, parents=True)
    with h5py.File(path, "w") as file:
        pixels = np.clip(np.rint(image), 1, 255).astype(np.uint8)
        file.create_dataset("0-0-0/mipmap.0", data=pixels[None])
    url = f"file://{path}?dataSet=/0-0-0/mipmap.0&z=0"
    leaf = Leaf(AFFINE, affine_data(matrix))
    return TileSpec(f"t{z:03d}-{column}", float(z), W, H, url, (leaf,), column=column)


def publish(folder, layers, content=smooth, stack="s", chunk=8, last=None):
    """Publish a stack with a receipt and a chunk table; gives the receipt."""
    tiles = TileSet(tuple(tile(folder, z, c, content) for z in layers for c in (0, 1)))
    client = RenderClient(**RENDER)
    receipt = client.publish_stack(stack, tiles, resolution_nm=(5, 5, 8), inputs=[], params={})
    receipt.write(folder / f"stacks/{stack}.json")
    first, end = min(layers), last or max(layers)
    rows = [
        {"chunk": f"{i:04d}", "z_first": z, "z_last": min(z + chunk - 1, end)}
        for i, z in enumerate(range(first, end + 1, chunk))
    ]
    files.write_table(folder / "ingest/chunks.tsv", ["chunk", "z_first", "z_last"], rows)
    return receipt


def halved(voxels):
    """Average 2×2×2 voxels as the export does; even sizes."""
    out = np.empty([n // 2 for n in voxels.shape], voxels.dtype)
    for k, plane in enumerate(out):
        kernels.halve(voxels[2 * k], voxels[2 * k + 1], plane)
    return out
