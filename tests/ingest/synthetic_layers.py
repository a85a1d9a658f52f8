"""Layers as ingest reads them: as columns without files, and as align HDF5 files."""

from datetime import datetime, timedelta
from pathlib import Path

import h5py
import numpy as np

from scripts.ingest.align import TILE
from scripts.ingest.headers import Part

START = datetime(2021, 5, 20, 12, 0, 0)
TILE_FIELDS = {
    "width": 100, "height": 80, "pixel_nm": 8.0, "eight_bit": 0, "channels": 2,
    "software": b"07/31/2021", "stage_x_mm": 1.0, "stage_y_mm": 2.0, "stage_z_mm": 3.0,
    "stage_r_deg": 4.0, "wd_mm": 3.4, "sample": b"fly", "levels": 4, "stored": 4,
    "low": 3, "high": 90,
}  # fmt: skip


def make_tile(row=0, column=0, **fields):
    tile = np.zeros((), TILE)
    places = {"row": row, "column": column, "first_x": 90 * column - 5, "first_y": 70 * row}
    for name, value in (TILE_FIELDS | places | fields).items():
        tile[name] = value
    if "shape" not in fields:
        tile["shape"] = (1, tile["height"], tile["width"])
    return tile


class Volume:
    """A layer table and its tiles: z = 1, 2 … after `gaps_s`, with `cells` in each layer.

    `change` is z -> fields of all its tiles, `acquired` z -> tiles that the microscope wrote;
    `tiles` is z -> list of tiles, to be changed at will.
    """

    def __init__(self, gaps_s, *, cells=((0, 0),), change=None, acquired=None):
        self.times = [START + timedelta(seconds=sum(gaps_s[: i + 1])) for i in range(len(gaps_s))]
        self.gaps_s, self.acquired = gaps_s, acquired or {}
        fields = change or {}
        self.tiles = {
            z: [make_tile(*cell, **fields.get(z, {})) for cell in cells]
            for z in range(1, len(gaps_s) + 1)
        }
        self.counts = {z: len(tiles) for z, tiles in self.tiles.items()}

    @property
    def rows(self):
        """Rows of ingest/layers.tsv, as they are read."""
        return [
            {
                "z": str(z),
                "layer_id": f"M-1_{time:%y-%m-%d_%H%M%S}",
                "tiles": str(len(self.tiles[z])),
                "missing": "",
                "status": "ok" if self.tiles[z] else "gap",
                "gap_before_s": str(gap),
                "align_h5": f"h5/{z}.h5" if self.tiles[z] else "",
                "acquired": str(self.acquired.get(z, self.counts[z])),
                "declared": "",
            }
            for z, (time, gap) in enumerate(zip(self.times, self.gaps_s, strict=True), start=1)
        ]

    def parts(self, size=2):
        """Tiles in parts of `size` layers, so that every test crosses a border of two."""
        for first in range(1, len(self.times) + 1, size):
            zs = [z for z in range(first, first + size) if self.tiles.get(z)]
            if zs:
                yield self._part(zs)

    def _part(self, zs):
        counts = [len(self.tiles[z]) for z in zs]
        return Part(
            z=np.repeat(np.array(zs), counts),
            layer=np.repeat(np.arange(len(zs)), counts),
            tiles=np.array([tile[()] for z in zs for tile in self.tiles[z]], TILE),
            stamps=[f"{self.times[z - 1]:%y-%m-%d_%H%M%S}" for z in zs],
            paths=[f"h5/{z}.h5" for z in zs],
        )


HEADER = {
    "XResolution": 50, "YResolution": 40, "PixelSize": 8.0, "EightBit": 0, "ChanNum": 1,
    "SWdate": "07/31/2021", "StageX": 1.0, "StageY": 2.0, "StageZ": 3.0, "StageR": 4.0,
    "WD": 3.0, "FirstX": 0, "FirstY": 0, "SampleID": "fly",
}  # fmt: skip


def write_layer(root, seconds, cells=((0, 0), (0, 1)), *, scope="M-1", levels=3, **fields):
    """Write one align HDF5; give its row of transfer/layers.tsv. Fields of None are left out."""
    time = START + timedelta(seconds=seconds)
    layer_id = f"{scope}_{time:%y-%m-%d_%H%M%S}"
    path = Path("h5/align") / f"{layer_id}.uint8.h5"
    (Path(root) / path.parent).mkdir(parents=True, exist_ok=True)
    if cells:
        with h5py.File(Path(root) / path, "w") as file:
            for row, column in cells:
                _write_tile(file, layer_id, (row, column), levels, {"FirstX": 45 * column} | fields)
    return {
        "layer_id": layer_id,
        "tiles": len(cells),
        "bad": 0,
        "align_h5": str(path) if cells else "",
    }


def _write_tile(file, layer_id, cell, levels, fields):
    header = {name: v for name, v in (HEADER | fields).items() if v is not None}
    key = "0-{}-{}".format(*cell)
    group = file.create_group(key)
    group.attrs.update({"dat_file_name": f"{layer_id}_{key}.dat"} | header)
    height, width = header["YResolution"], header["XResolution"]
    image = np.arange(height * width, dtype=np.uint8).reshape(1, height, width)
    for level in range(levels + 1):
        step = 2**level
        shape = (
            slice(None),
            slice(0, height // step * step, step),
            slice(0, width // step * step, step),
        )
        group.create_dataset(f"mipmap.{level}", data=image[shape])
