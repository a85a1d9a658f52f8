"""Cost of conversion: from .dat to verified HDF5, beside plain h5py that writes the same bytes."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy import ndimage

from scripts.lib.job import look_for_cycles_seldom
from scripts.transfer import conversion
from tests.transfer.synthetic_dat import make_dat

LAYER = "M-1_24-03-07_101112"
TILES = 2


@pytest.fixture(scope="module")
def side(bench):
    look_for_cycles_seldom()  # as every job does
    return 2048 if bench.measuring else 64


@pytest.fixture(scope="module")
def dats(side, tmp_path_factory):
    """One layer of two tiles of two channels: blurred structure with the noise of a detector."""
    root = tmp_path_factory.mktemp("dat")
    rng = np.random.default_rng(1)
    for column in range(TILES):
        structure = ndimage.gaussian_filter(rng.normal(0, 1, (side, side)), 4)
        image = 2000 + 500 * structure / structure.std() + rng.normal(0, 60, (side, side))
        pixels = np.stack([image, -image], axis=-1).astype(np.int16)
        (root / f"{LAYER}_0-0-{column}.dat").write_bytes(make_dat(pixels))
    return root


def convert(dats, work):
    tiles = [
        {"layer_id": LAYER, "tile_key": f"0-0-{c}", "dat": f"{LAYER}_0-0-{c}.dat"}
        for c in range(TILES)
    ]
    layer = conversion.Layer.of(tiles, dats, work)
    rows = conversion.convert_layer(layer, conversion.Settings())
    assert [row["status"] for row in rows] == ["ok"] * TILES
    return layer.raw, layer.align


def contents(path):
    """All data sets with their creation options, and all attributes, of an HDF5 file."""
    data, attributes = {}, {}

    def visit(name, item):
        attributes[name] = dict(item.attrs)
        if isinstance(item, h5py.Dataset):
            options = {"chunks": item.chunks, "compression": item.compression}
            data[name] = (item[()], options | {"compression_opts": item.compression_opts})

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return data, attributes


def write(path, data, attributes):
    with h5py.File(path, "w") as file:
        for name, (values, options) in data.items():
            file.create_dataset(name, data=values, **options)
        for name, values in attributes.items():
            file[name].attrs.update(values)


def test_conversion_of_a_layer(bench, dats, side, tmp_path):
    work = tmp_path / "work"

    def anew():
        shutil.rmtree(work, ignore_errors=True)
        return convert(dats, work)

    stored = [contents(path) for path in anew()]
    copies = [tmp_path / f"{i}.h5" for i in range(len(stored))]

    def plain():
        for path, (data, attributes) in zip(copies, stored, strict=True):
            write(path, data, attributes)

    mine = bench.cpu_s(anew, repeats=3)
    theirs = bench.cpu_s(plain, repeats=3)
    for path, (data, _) in zip(copies, stored, strict=True):
        assert {k: v[0].tobytes() for k, v in contents(path)[0].items()} == {
            k: v[0].tobytes() for k, v in data.items()
        }
    megabytes = sum(path.stat().st_size for path in Path(dats).iterdir()) / 1e6
    bench.row("convert.mb_per_s", megabytes / mine, "MB of .dat/CPU s", better="higher")
    bench.rows[-1]["beside"]["h5py_alone"] = megabytes / theirs
    bench.row(
        "convert.ratio_to_h5py", theirs / mine, "of the speed of plain h5py", better="higher",
        h5py_alone=1.0,
    )  # fmt: skip
