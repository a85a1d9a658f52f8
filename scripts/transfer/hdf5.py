"""The two HDF5 files of a layer: raw 16-bit, from which each `.dat` is rebuilt, and 8-bit align.

::

    raw    /<tile key>               attributes: all header fields, dat_file_name,
                                     channel_data_set_names
           /<tile key>/c0, c1 …      (y, x) as in the .dat, attribute element_size_um
           /<tile key>/header        (1024,) uint8, verbatim
           /<tile key>/footer        (n,) uint8, verbatim
    align  /                         attributes: conversion (JSON), contrast_range (black, white),
                                     tile_faults (JSON, where pixels of a tile show nothing)
           /<tile key>               attributes: all header fields, dat_file_name
           /<tile key>/mipmap.k      (1, y, x) uint8, attribute element_size_um

The attributes of the align root are this project's own: they tell whether the file is what the
config asks for. All else is as the readers of these files expect.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from scripts.lib.arrays import Array, Bytes
from scripts.lib.volumes import blocks
from scripts.transfer import dat, mipmaps
from scripts.transfer.contrast import Range
from scripts.transfer.dat import Dat, Header

DAT_NAME = "dat_file_name"
_TEXT = h5py.string_dtype()
_SCALAR = h5py.h5s.create(h5py.h5s.SCALAR)


@dataclass(frozen=True)
class Storage:
    """How data sets are stored: chunk side (px) and gzip level."""

    chunk_px: int = 512
    gzip_level: int = 4

    def options(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """Return the creation options of a data set.

        Parameters
        ----------
        shape
            Its last two axes are y, x; chunks are 1 along others.

        Returns
        -------
        dict
            As `h5py.Group.create_dataset` takes them.
        """
        side = (1,) * (len(shape) - 2) + (self.chunk_px, self.chunk_px)
        chunks = tuple(min(c, s) for c, s in zip(side, shape, strict=True))
        return {"chunks": chunks, "compression": "gzip", "compression_opts": self.gzip_level}


@dataclass(frozen=True)
class Stored:
    """A tile in a raw HDF5: the name of its `.dat` and the size (bytes) of the rebuilt file."""

    dat_name: str
    size: int


def element_size_um(header: Mapping[str, Any], level: int = 0) -> Array:
    """Return the size of a pixel: whole nm, doubled per level; z is not known here.

    Parameters
    ----------
    header
        A parsed header.
    level
        Mipmap level, 0 at full scale.

    Returns
    -------
    Array
        (3,) z, y, x in µm; -1 where not known.
    """
    size = float(header["PixelSize"])
    pixel = math.floor(size + 0.5) / 1000 * 2**level if math.isfinite(size) else -1.0
    return np.array([-1.0, pixel, pixel])


# ---------------------------------------------------------------------------------------------
# raw
# ---------------------------------------------------------------------------------------------


def write_raw_tile(file: h5py.File, key: str, dat_name: str, tile: Dat, storage: Storage) -> None:
    """Add one tile to an open raw HDF5.

    Parameters
    ----------
    file
        A raw HDF5, open to write.
    key
        Key of the tile.
    dat_name
        Name of its ``.dat``.
    tile
        Pixels (y, x, channel), int16 or uint8, and both raw ends.
    storage
        How data sets are stored.
    """
    group = file.create_group(key)
    channels = [f"c{i}" for i in range(tile.pixels.shape[2])]
    _write_header(group, tile.header, dat_name)
    group.attrs.create("channel_data_set_names", channels, dtype=_TEXT)
    for i, name in enumerate(channels):
        image = tile.pixels[:, :, i]
        data = write_pixels(group, name, image, storage)
        data.attrs["element_size_um"] = element_size_um(tile.header)
    _write_bytes(group, "header", tile.head, storage)
    _write_bytes(group, "footer", tile.footer, storage)


def write_pixels(
    group: h5py.Group, name: str, values: NDArray[Any], storage: Storage
) -> h5py.Dataset:
    """Write an image, last two axes y, x; gzip of HDF5, packed by ISA-L.

    HDF5 packs with zlib, which takes ten times as long for 2 % less (level 4, FIB-SEM images), and
    what it packs takes a quarter longer to read.

    Parameters
    ----------
    group
        Where the data set is made.
    name
        Name of the data set.
    values
        Last two axes y, x, any type.
    storage
        How it is stored.

    Returns
    -------
    Dataset
        Has the shape and type of `values`.
    """
    options = storage.options(values.shape)
    data = group.create_dataset(name, values.shape, values.dtype, **options)
    chunk = options["chunks"]
    starts = [range(0, n, c) for n, c in zip(values.shape, chunk, strict=True)]
    for start in itertools.product(*starts):
        part = values[tuple(slice(a, a + c) for a, c in zip(start, chunk, strict=True))]
        whole = blocks.filled(part, chunk)  # HDF5 keeps whole chunks
        packed = isal_zlib.compress(whole, min(storage.gzip_level, blocks.ISAL_MOST))
        data.id.write_direct_chunk(start, packed)
    return data


def _write_bytes(group: h5py.Group, name: str, data: bytes, storage: Storage) -> None:
    values = np.frombuffer(data, np.uint8)
    if len(values) == 0:  # HDF5 cannot chunk, hence not compress, a data set of no extent
        group.create_dataset(name, data=values)
        return
    group.create_dataset(name, data=values, compression="gzip", compression_opts=storage.gzip_level)


def _write_header(group: h5py.Group, header: Header, dat_name: str) -> None:
    # the low-level calls are four times as fast as group.attrs, which writes and then renames:
    # with small tiles the hundred attributes take longer than the pixels
    for name, value in {**header, DAT_NAME: dat_name}.items():
        data = np.asarray(value, _attribute_type(value))
        kind = h5py.h5t.py_create(data.dtype, logical=True)
        space = h5py.h5s.create_simple(data.shape) if data.shape else _SCALAR
        h5py.h5a.create(group.id, name.encode(), kind, space).write(data)


def _attribute_type(value: int | float | str | list[list[float]]) -> Any:  # noqa: ANN401 - numpy and h5py types
    if isinstance(value, str):
        return _TEXT
    return np.int64 if isinstance(value, int) else np.float64


def rebuild_dat(group: h5py.Group) -> bytes:
    """Return the bytes of the `.dat` from which a raw group was made.

    Parameters
    ----------
    group
        The group of a tile in a raw HDF5.

    Returns
    -------
    bytes
        Header, pixels and footer.

    Raises
    ------
    DatError
        When a data set is missing, or the stored header does not fit the pixels.
    """
    name = group.attrs.get(DAT_NAME, group.name)
    try:
        head = group["header"][()].tobytes()
        header = dat.parse_header(head, str(name))
        images = [group[f"c{i}"][()] for i in range(header["ChanNum"])]
        footer = group["footer"][()].tobytes()
    except KeyError as error:
        raise dat.DatError(f"{name}: not a raw tile: {error}") from error
    pixels = np.stack(images, axis=-1).astype(dat.pixel_dtype(header))
    if pixels.shape != dat.pixel_shape(header):
        raise dat.DatError(
            f"{name}: the header expects pixels {dat.pixel_shape(header)}, found {pixels.shape}"
        )
    return b"".join((head, pixels.tobytes(), footer))


def gives_back(group: h5py.Group, expected: bytes) -> bool:
    """Tell whether a raw group gives back the bytes of a `.dat`, as `rebuild_dat` would.

    The file is not rebuilt: some rows at a time are read and compared, which are in the cache then;
    whole copies of a tile take longer than to unpack it.

    Parameters
    ----------
    group
        The group of a tile in a raw HDF5.
    expected
        Header, pixels and footer.

    Returns
    -------
    bool
        False also where a data set is missing, or `expected` is shorter than its header says.
    """
    name = str(group.attrs.get(DAT_NAME, group.name))
    try:
        tile = dat.parse(expected, name)
        channels = [group[f"c{i}"] for i in range(tile.pixels.shape[2])]
        ends = group["header"][()].tobytes(), group["footer"][()].tobytes()
    except (KeyError, dat.DatError):
        return False
    if ends != (tile.head, tile.footer):
        return False
    return all(_holds(data, tile.pixels[:, :, i]) for i, data in enumerate(channels))


def _holds(data: h5py.Dataset, image: NDArray[Any]) -> bool:
    if data.shape != image.shape:
        return False
    rows = data.chunks[0] if data.chunks else len(image)
    # of one type the bytes are compared as they are, whatever their order
    plain = f"u{image.itemsize}" if data.dtype == image.dtype else None
    strips = (slice(start, start + rows) for start in range(0, len(image), rows))
    return all(
        np.array_equal(data[strip].view(plain), image[strip].view(plain))
        if plain
        else np.array_equal(data[strip], image[strip])
        for strip in strips
    )


class Hdf5Error(Exception):
    """An HDF5 file that is there and cannot be read; nothing may be written in its place."""


def stored_tiles(path: Path) -> dict[str, Stored]:
    """Return the tiles of a raw HDF5; reads no pixels.

    Parameters
    ----------
    path
        The file; it need not be there.

    Returns
    -------
    dict
        By tile key, {} when there is no file.

    Raises
    ------
    Hdf5Error
        When there is a file that cannot be read.
    """
    if not path.exists():
        return {}
    try:
        with h5py.File(path, "r") as file:
            return {key: _stored(group) for key, group in file.items()}
    except (OSError, KeyError, RuntimeError) as error:
        raise Hdf5Error(
            f"{path}: there is a file, but it is no readable raw HDF5 ({error}). Nothing was "
            f"changed: move it away to make it anew from what else there is"
        ) from error


def _stored(group: h5py.Group) -> Stored:
    pixels = sum(item.nbytes for name, item in group.items() if name.startswith("c"))
    return Stored(group.attrs[DAT_NAME], group["header"].size + pixels + group["footer"].size)


# ---------------------------------------------------------------------------------------------
# align
# ---------------------------------------------------------------------------------------------


def write_align(
    path: Path,
    tiles: Mapping[str, tuple[str, Header, Bytes]],
    *,
    most_levels: int,
    storage: Storage,
    conversion: str,
    limits: Range | None,
    faults: Mapping[str, str] | None = None,
) -> None:
    """Write an align HDF5.

    Parameters
    ----------
    path
        The file, replaced where it is there.
    tiles
        Name of the ``.dat``, header and (y, x) uint8 image by tile key.
    most_levels
        Mipmap levels besides full scale.
    storage
        How data sets are stored.
    conversion
        What the file is made of, JSON.
    limits
        Raw levels that became 0 and 255; None: NaN is written.
    faults
        What is wrong with the pixels of a tile, by tile key.
    """
    with h5py.File(path, "w") as file:
        file.attrs["conversion"] = conversion
        ends = (limits.black, limits.white) if limits else (math.nan, math.nan)
        file.attrs["contrast_range"] = np.array(ends)
        if faults:
            file.attrs["tile_faults"] = json.dumps(dict(faults))
        for key, (dat_name, header, image) in tiles.items():
            group = file.create_group(key)
            _write_header(group, header, dat_name)
            for level, values in enumerate(mipmaps.levels(image, most_levels)):
                volume = values[np.newaxis]  # readers address slice z=0
                data = write_pixels(group, f"mipmap.{level}", volume, storage)
                data.attrs["element_size_um"] = element_size_um(header, level)


def align_conversion(path: Path) -> str | None:
    """Return the conversion that an align HDF5 was made with.

    None also for one of 8-bit ``.dat`` files from before these were stretched: it has no range.

    Parameters
    ----------
    path
        The file; it need not be there.

    Returns
    -------
    str or None
        JSON; None when there is no readable file.
    """
    try:
        with h5py.File(path, "r") as file:
            shallow = any(group.attrs.get("EightBit") == 1 for group in file.values())
            if shallow and not np.isfinite(file.attrs["contrast_range"]).all():
                return None
            return str(file.attrs["conversion"])
    except (OSError, KeyError):
        return None


def tile_faults(path: Path) -> dict[str, str]:
    """Return what an align HDF5 says to be wrong with the pixels of tiles.

    Parameters
    ----------
    path
        The file; it need not be there.

    Returns
    -------
    dict
        Words by tile key; of files of earlier versions none.
    """
    try:
        with h5py.File(path, "r") as file:
            found: dict[str, str] = json.loads(file.attrs.get("tile_faults", "{}"))
            return found
    except OSError:
        return {}


def align_differences(path: Path, images: Mapping[str, Bytes]) -> list[str]:
    """Read an align HDF5 back and name the tiles that differ from `images` in any pixel.

    Parameters
    ----------
    path
        An align HDF5.
    images
        (y, x) uint8 by tile key.

    Returns
    -------
    list of str
        Tile keys; those that only one of both has come first.
    """
    with h5py.File(path, "r") as file:
        names = set(file) ^ set(images)
        same = sorted(set(file) & set(images))
        return sorted(names) + [
            key for key in same if not np.array_equal(file[f"{key}/mipmap.0"][0], images[key])
        ]


def headers(path: Path) -> dict[str, dict[str, Any]]:
    """Return the attributes of every tile of a raw or align HDF5.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    dict
        Attributes by tile key.
    """
    with h5py.File(path, "r") as file:
        return {key: dict(group.attrs) for key, group in file.items()}


def tile_keys(path: Path) -> Sequence[str]:
    """Return the tile keys of an HDF5 file.

    Parameters
    ----------
    path
        A raw or align HDF5.

    Returns
    -------
    Sequence of str
        In text order.
    """
    with h5py.File(path, "r") as file:
        return sorted(file)


def restore(path: Path, keys: Iterable[str] | None = None) -> Iterable[tuple[str, bytes]]:
    """Rebuild the ``.dat`` files of a raw HDF5, one after the other.

    Parameters
    ----------
    path
        The raw HDF5.
    keys
        Tile keys; None: all.

    Yields
    ------
    tuple
        Name and bytes of a ``.dat``.
    """
    with h5py.File(path, "r") as file:
        for key in sorted(file) if keys is None else keys:
            yield file[key].attrs[DAT_NAME], rebuild_dat(file[key])
