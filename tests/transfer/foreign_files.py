"""The same volume written as every kind of source, and the jobs of a transfer on it."""

import os
from contextlib import contextmanager
from pathlib import Path

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile
import yaml
import zarr

from scripts.lib.files import read_table
from scripts.lib.schema import validate
from scripts.transfer import (
    check_transfer,
    close_transfer,
    convert_layers,
    doctor,
    origin,
    plan_transfer,
)
from scripts.transfer.layers import group
from tests.transfer.synthetic_dat import SHARED, make_dat

SCHEMA = yaml.safe_load((Path(__file__).resolve().parents[2] / "config/schema.yaml").read_text())
NM = 8.0
PER_CM = 1e7 / NM


def real(name, layers):
    """Layers of a real volume beside the project; skips where it is not there."""
    path = SHARED / name
    if not path.exists():
        pytest.skip("needs ../shared/data beside the project")
    with h5py.File(path) as file:
        return file["volume"][:layers]


# ---------------------------------------------------------------------------------------------
# writers: (z, y, x) to files below a folder; each gives section transfer.source
# ---------------------------------------------------------------------------------------------


def slices(folder, volume, **how):
    for z, image in enumerate(volume):
        tifffile.imwrite(folder / f"slice_{z:04d}.tif", image, **how)
    return {"kind": "tiff", "pattern": "slice_{z}.tif"}


def lzw_slices(folder, volume):
    tags = {"resolution": (PER_CM, PER_CM), "resolutionunit": "CENTIMETER"}
    return slices(folder, volume, compression="lzw", predictor=True, **tags)


def big_endian_slices(folder, volume):
    return slices(folder, volume, byteorder=">")


def stack(folder, volume, **how):
    # of four pages tifffile would make channels
    tifffile.imwrite(folder / "stack.tif", volume, photometric="minisblack", **how)
    return {"kind": "tiff", "pattern": "stack.tif"}


def big_tiff(folder, volume):
    return stack(folder, volume, bigtiff=True, tile=(32, 48), compression="zlib")


def strips(folder, volume):
    return stack(folder, volume, rowsperstrip=7, compression="packbits", metadata=None)


def page_by_page(folder, volume):
    with tifffile.TiffWriter(folder / "stack.tif") as file:
        for image in volume:
            file.write(image)
    return {"kind": "tiff", "pattern": "stack.tif"}


def imagej(folder, volume):
    if volume.dtype == np.int16:  # ImageJ knows none
        volume = volume.view(np.uint16) ^ 0x8000
    meta = {"axes": "ZYX", "unit": "nm", "spacing": NM}
    return stack(folder, volume, imagej=True, metadata=meta, resolution=(1 / NM, 1 / NM))


def ome_tiff(folder, volume):
    sizes = {f"PhysicalSize{axis}": NM for axis in "XYZ"}
    units = {f"PhysicalSize{axis}Unit": "nm" for axis in "XYZ"}
    meta = {"axes": "ZYX", **sizes, **units}
    tifffile.imwrite(folder / "stack.ome.tif", volume, ome=True, metadata=meta)
    return {"kind": "tiff", "pattern": "*.ome.tif"}


def two_stacks(folder, volume):
    for first in (0, 2):
        part = volume[first : first + 2] if first == 0 else volume[first:]
        tifffile.imwrite(folder / f"from_{first}.tif", part, photometric="minisblack")
    return {"kind": "tiff", "pattern": "from_{first_z}.tif"}


def mrc(folder, volume):
    values = volume
    if volume.dtype == np.uint8:  # mode 0 has a sign
        values = (volume ^ 0x80).view(np.int8)
    with mrcfile.new(folder / "volume.mrc") as file:
        file.set_data(values)
        file.set_volume()
        file.voxel_size = NM * 10
    return {"kind": "mrc", "pattern": "volume.mrc"}


def ome_zarr(folder, volume):
    made = zarr.open_group(folder / "volume.zarr", mode="w", zarr_format=2)
    data = made.create_array("s0", shape=volume.shape, chunks=(3, 40, 50), dtype=volume.dtype)
    data[:] = volume
    axes = [{"name": n, "type": "space", "unit": "nanometer"} for n in "zyx"]
    scale = [{"type": "scale", "scale": [NM] * 3}]
    datasets = [{"path": "s0", "coordinateTransformations": scale}]
    made.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    return {"kind": "zarr", "pattern": "volume.zarr"}


def zarr3(folder, volume):
    made = zarr.create_array(
        folder / "plain.zarr", shape=volume.shape, chunks=(2, 64, 64), dtype=volume.dtype
    )
    made[:] = volume
    return {"kind": "zarr", "pattern": "plain.zarr"}


def zarr_slices(folder, volume):
    for z, image in enumerate(volume):
        made = zarr.create_array(folder / f"{z}.zarr", shape=image.shape, dtype=image.dtype)
        made[:] = image
    return {"kind": "zarr", "pattern": "{z}.zarr"}


def n5(folder, volume):
    import tensorstore

    spec = {
        "driver": "n5",
        "kvstore": {"driver": "file", "path": str(folder / "volume.n5/s0")},
        "metadata": {"compression": {"type": "gzip"}, "blockSize": [50, 40, 3]},
        "dtype": volume.dtype.name,
        "schema": {"domain": {"shape": volume.shape[::-1]}},
    }
    tensorstore.open(spec, create=True).result().write(volume.T).result()
    text = '{"pixelResolution": {"dimensions": [8.0, 8.0, 8.0], "unit": "nm"}}'
    (folder / "volume.n5/attributes.json").write_text(text)
    return {"kind": "n5", "pattern": "volume.n5"}


WRITERS = [
    *(
        slices,
        lzw_slices,
        big_endian_slices,
        stack,
        big_tiff,
        strips,
        page_by_page,
        imagej,
        ome_tiff,
    ),
    *(two_stacks, mrc, ome_zarr, zarr3, zarr_slices, n5),
]
SAY_THE_SIZE = {lzw_slices, imagej, ome_tiff, mrc, ome_zarr, n5}


def dats(folder, volume):
    """Write a volume as ``.dat`` files, one a second."""
    for z, image in enumerate(volume):
        name = f"Merlin-1_24-03-07_10{z // 60:02d}{z % 60:02d}_0-0-0.dat"
        (folder / name).write_bytes(make_dat(image[:, :, np.newaxis], version=8))


# ---------------------------------------------------------------------------------------------
# jobs
# ---------------------------------------------------------------------------------------------


def config(source, **sections):
    """Return the whole config of a volume of one tile a layer, with defaults."""
    made = {
        "volume": "v",
        "work_dir": "w",
        "render": {"owner": "o", "project": "p"},
        "acquisition": {"rows": 1, "columns": 1, "pixel_nm": NM, "z_nm": NM},
        "transfer": {"dat_root": "d", "source": source, "mipmap_levels": 1},
    }
    for name, values in sections.items():
        made[name] = made.get(name, {}) | values
    validate(made, SCHEMA)
    return made


@contextmanager
def inside(folder):
    before = Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def transfer(root, work, made):
    """Run the jobs of a transfer; give its table of layers."""
    grid = {key: made["acquisition"][key] for key in ("rows", "columns")}
    of_source = {"dat_root": str(root), "source": origin.section(made)}
    names = ("channel", "mipmap_levels", "chunk_px", "gzip_level", "fill", "bad_tiles")
    settings = {key: made["transfer"][key] for key in names}
    plan, table = "transfer/plan.tsv", "transfer/layers.tsv"
    with inside(work):
        plan_transfer.main(**of_source, **grid, layers_per_job=1000, plan=plan)
        converted = "transfer/converted/0000.tsv"
        convert_layers.main(
            chunk="0000", plan=plan, **of_source, **settings, free_space_gb=0, converted=converted
        )
        quarantine = "transfer/quarantine.tsv"
        close_transfer.main(
            converted=[converted], **of_source, **grid, layers=table, bad_tiles=quarantine
        )
        check_transfer.main(
            layers=table,
            quarantine=quarantine,
            misfits="transfer/misfits.tsv",
            copy_state=None,
            max_bad_share=made["transfer"]["max_bad_share"],
            max_bad_tiles=None,
            passed="transfer/gate.json",
        )
    return read_table(work / table)


def aligned(work):
    """Return the levels of all tiles of all align files, in order of their layers."""
    out = []
    for path in sorted((work / "h5/align").rglob("*.h5")):
        with h5py.File(path) as file:
            out.append({f"{k}/{n}": d[0] for k, g in file.items() for n, d in g.items()})
    return out


def findings(root, made):
    """Return errors and notes of the doctor."""
    found = doctor.examine(made, root, root.parent)
    return [each for each in found if each.severity != "fact"]


def layers(root, made):
    """Return the layers that a source has."""
    return group(origin.of(made, root).files()[0])
