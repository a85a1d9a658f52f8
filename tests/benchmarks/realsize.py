"""An acquisition with the tiles of a real one: real texture, 8875 x 3500 px, known motion.

Tissue is laid out of patches of a real volume, each with a first section, an axis and a turn of
its own (1,272 choices, some 1,200 of them in a layer, so that nothing repeats), feathered into each
other. Each layer shows the next section of every patch, moved by the layer's own jitter, turn and
scale, with the noise of a detector. Two columns of such tiles overlap by 8 %. A third column holds
tissue that has nothing to do with what is beside or beneath it (sections of the volume that no
other tile shows), a fourth resin: what is to fail.

    python -m tests.benchmarks.realsize FOLDER 2    # two layers, to look at
"""

import itertools
import json
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import h5py
import numpy as np

from scripts.lib import files, geometry
from scripts.lib.service.client import RenderClient
from scripts.lib.service.records import Leaf, TileSet, TileSpec
from scripts.lib.transforms import AFFINE
from scripts.transfer import conversion
from tests.transfer.synthetic_dat import make_dat

VOLUME = Path(__file__).resolve().parents[3] / "shared/data/fib25/fib25_250.h5"
RENDER = {"owner": "o", "project": "p"}
PATCH, FEATHER, MARGIN = 250, 25, 100  # px
JITTER_PX, STAGE_PX = 22.5, 3.0
NOISE = 8.0  # grey levels
TISSUE = range(0, 106, 2)  # first sections of the patches
# the same of a third column, by layer
STRANGE = {0: range(124, 150), 1: range(162, 188), 3: range(200, 226)}
RESIN = (0, 1)  # of the fourth


@dataclass(frozen=True)
class Size:
    """Of an acquisition: tile width, height and overlap (px), layers."""

    width: int = 8875
    height: int = 3500
    overlap: int = 710
    layers: int = 8

    @property
    def step(self):
        """Px from a tile to the next of its row."""
        return self.width - self.overlap


SMALL = Size(1024, 640, 160, 2)  # as a plain test


def patches(firsts, count):
    """First section, axis and turn of `count` patches, no two alike while there are enough."""
    kinds = list(itertools.product(range(3), firsts, range(8)))
    order = np.random.default_rng(firsts.start).permutation(len(kinds))
    return [kinds[order[k % len(kinds)]] for k in range(count)]


def tissue(volume, firsts, z, shape):
    """Section z of a specimen: (h, w) float32 grey levels."""
    pitch = PATCH - FEATHER
    rows, columns = (-(-n // pitch) for n in shape)
    total = np.zeros((rows * pitch + FEATHER, columns * pitch + FEATHER), np.float32)
    ramp = np.minimum(np.arange(1, PATCH + 1), np.arange(PATCH, 0, -1)) / (FEATHER + 1)
    weight = np.outer(*[np.minimum(ramp, 1).astype(np.float32)] * 2)
    for k, (axis, first, turn) in enumerate(patches(firsts, rows * columns)):
        section = np.take(volume, first + z, axis=axis)
        section = np.rot90(section if turn < 4 else section.T, turn % 4)
        y, x = (pitch * i for i in divmod(k, columns))
        total[y : y + PATCH, x : x + PATCH] += weight * section
    return total[: shape[0], : shape[1]]


def motion(rng, column, size):
    """Affine of a tile to its layer's section, px."""
    turn, scale = np.deg2rad(rng.uniform(-0.05, 0.05)), 1 + rng.uniform(-1e-3, 1e-3)
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    shift = [column * size.step + MARGIN, MARGIN] + rng.uniform(-STAGE_PX, STAGE_PX, 2)
    return np.column_stack([linear, shift])


def seen(section, affine, size, rng):
    """What the detector gives of a section: (h, w, 1) int16."""
    how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    drawn = cv2.warpAffine(section, affine, (size.width, size.height), flags=how)
    drawn += NOISE * rng.standard_normal(drawn.shape, np.float32)
    return np.rint(-60 * drawn).astype(np.int16)[..., None]


def tiles_of_layer(volume, z, size):
    """Yield column, pixels, affine of tile to section (None: no tissue that others share)."""
    rng = np.random.default_rng([7, z])
    jitter = rng.normal(0, JITTER_PX / 2, 2)
    shape = (size.height + 2 * MARGIN, size.step + size.width + 2 * MARGIN)
    section = tissue(volume, TISSUE, z, shape)
    for column in (0, 1):
        affine = geometry.compose(geometry.translation(*jitter), motion(rng, column, size))
        yield column, seen(section, affine, size, rng), affine
    alone = motion(rng, 0, size)
    shape = (shape[0], size.width + 2 * MARGIN)
    if z in STRANGE:
        yield 2, seen(tissue(volume, STRANGE[z], z, shape), alone, size, rng), None
    if z in RESIN:
        resin = cv2.GaussianBlur(rng.standard_normal(shape, np.float32), (0, 0), 40)
        yield 3, seen(150 + 4 * resin / resin.std(), alone, size, rng), None


def acquire(folder, size, convert):
    """Write HDF5 of all layers, the stack and its truth into `folder`, the working directory.

    `convert` is called for each layer with its planned tiles, the folder of the .dat files and that
    of the HDF5; it stands for the job that converts.
    """
    with h5py.File(VOLUME) as file:
        volume = file["volume"][()]
    truth, specs = {}, []
    for z in range(size.layers):
        name, plan = f"M-1_24-03-07_10{z:02d}00", []
        for column, pixels, affine in tiles_of_layer(volume, z, size):
            dat = f"{name}_0-0-{column}.dat"
            (folder / dat).write_bytes(make_dat(pixels))
            plan.append({"layer_id": name, "tile_key": f"0-0-{column}", "dat": dat})
            specs.append((z, column, name))
            truth[f"{name}_0-0-{column}"] = None if affine is None else affine.tolist()
        align = convert(plan, folder, folder)
        for row in plan:
            (folder / row["dat"]).unlink()
        shutil.rmtree(folder / "h5/raw")
        specs = [(*one[:3], align) if len(one) == 3 else one for one in specs]
    publish(folder, [spec(*one, size) for one in specs], size)
    files.write_json(folder / "truth.json", truth)


def convert(plan, dats, work):
    """Convert one layer; give the align HDF5."""
    layer = conversion.Layer.of(plan, dats, work)
    rows = conversion.convert_layer(layer, conversion.Settings())
    assert {row["status"] for row in rows} == {"ok"}
    return layer.align


def spec(z, column, name, align, size):
    """A tile where its stage has it."""
    return TileSpec(
        f"{name}_0-0-{column}",
        float(z),
        size.width,
        size.height,
        f"file://{align}?dataSet=/0-0-{column}/mipmap.0&z=0",
        (Leaf(AFFINE, f"1 0 0 1 {column * size.step} 0"),),
        column=column,
    )


def publish(folder, tiles, size):
    """Put the stack, and one of many layers of the same images, into the embedded service."""
    with h5py.File(tiles[0].image_url[7:].partition("?")[0]) as file:
        assert "0-0-0/mipmap.1" in file
    for name, layers, chunks in (
        ("s", range(size.layers), "chunks"),
        ("long", there_and_back(size), "long"),
    ):
        publish_layers(folder, name, tiles, layers)
        rows = [{"chunk": "0000", "z_first": 0, "z_last": len(layers) - 1}]
        files.write_table(folder / f"ingest/{chunks}.tsv", ["chunk", "z_first", "z_last"], rows)


def there_and_back(size, times=4):
    """Layers 0, 1 … last … 1, again and again: each has its own neighbors, as in a long stack."""
    period = [*range(size.layers), *range(size.layers - 2, 0, -1)]
    return period * times


def publish_layers(folder, name, tiles, layers):
    """Put a stack that shows layers in an order; tiles shown again get ids of their own."""
    shown = [
        replace(tile, z=float(z), tile_id=f"{tile.tile_id}.{z}" if name != "s" else tile.tile_id)
        for z, layer in enumerate(layers)
        for tile in tiles
        if tile.z == layer
    ]
    receipt = RenderClient(**RENDER).publish_stack(
        name, TileSet(tuple(shown)).with_bounds(), resolution_nm=(8, 8, 8), inputs=[], params={}
    )
    receipt.write(folder / f"stacks/{name}.json")


if __name__ == "__main__":
    where = Path(sys.argv[1])
    acquire(where, Size(layers=int(sys.argv[2])), convert)
    print(json.dumps(sorted(map(str, where.rglob("*.h5")))))  # noqa: T201
