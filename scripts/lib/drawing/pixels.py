"""Pixels: the image of one tile at a mipmap level.

An image URL is ``file://PATH.h5?dataSet=/0-0-1/mipmap.0&z=0``; PATH may be relative (to the working
directory). Level k lies in data set ``mipmap.k`` beside ``mipmap.0``; a level that was not written
is made from the deepest one above it. Level k of a (h, w) image is ``(h >> k, w >> k)``.
"""

from __future__ import annotations

import contextlib
import functools
import math
import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs

import deflate
import h5py
import numpy as np

from scripts.lib.arrays import Image
from scripts.lib.files import path_of_url
from scripts.lib.numerics.reduction import halved

Window = tuple[slice, slice]  # rows, columns; explicit starts and stops

MOST_HELD = 16  # files: the layers that a job looks at in turn
_LEVEL = re.compile(r"(.*mipmap\.)\d+$")


@dataclass(frozen=True)
class _Stored:
    """The data set that a level is read from, or made of, and whether deflate alone packed it."""

    data: h5py.Dataset | h5py.Group
    level: int
    deflated: bool
    path: Path


@dataclass(frozen=True, eq=False)
class _Opened:
    """An open file, and what was looked up in it: by data set and level."""

    file: h5py.File
    path: Path
    stored: dict[tuple[str, int], _Stored | None] = field(default_factory=dict)

    def deepest(self, dataset: str, level: int) -> _Stored | None:
        """Return the deepest stored data set that is not below `level`; None: there is none."""
        if (dataset, level) not in self.stored:
            name, stored = _deepest(self.file, dataset, level)
            data = self.file.get(name)
            found = None if data is None else _Stored(data, stored, _only_deflated(data), self.path)
            self.stored[dataset, level] = found
        return self.stored[dataset, level]


@dataclass(eq=False)
class _Held:
    """What stays in memory within `held_open`: files, and chunks as they were unpacked last."""

    most_bytes: int
    files: OrderedDict[Path, _Opened] = field(default_factory=OrderedDict)
    chunks: OrderedDict[tuple[Path, str, tuple[int, ...]], Image] = field(
        default_factory=OrderedDict
    )
    size: int = 0

    def chunk(self, path: Path, data: h5py.Dataset, corner: tuple[int, ...]) -> Image:
        """Return a chunk by its first pixel, unpacked at most once while there is room."""
        key = path, data.name, corner
        if key not in self.chunks:
            self.chunks[key] = unpacked = _unpacked(data, corner)
            self.size += unpacked.nbytes
            while self.size > self.most_bytes and len(self.chunks) > 1:
                self.size -= self.chunks.popitem(last=False)[1].nbytes
        self.chunks.move_to_end(key)
        return self.chunks[key]


_held: list[_Held] = []  # of each `held_open` that is entered


def level_for(scale: float) -> int:
    """Return the mipmap level to read for a rendering: floor(log2(floor(1 / scale))), at least 0.

    Parameters
    ----------
    scale
        Output pixels per full-scale px.

    Returns
    -------
    int
        The level; its pixels are 2**level full-scale px.

    Raises
    ------
    ValueError
        When `scale` is not a positive number.
    """
    if not scale > 0 or not math.isfinite(scale):
        raise ValueError(f"scale must be a positive number, found {scale}")
    # 1 / 0.2 and the like must not fall below their integer
    return max(0, math.floor(1 / scale + 1e-9).bit_length() - 1)


def read_image(url: str, level: int = 0, window: Window | None = None) -> Image:
    """Read an image at a mipmap level, or rows and columns of it.

    Of a stored level only the HDF5 chunks that `window` touches are read.

    Parameters
    ----------
    url
        See the module.
    level
        Mipmap level.
    window
        Rows and columns of the level; None: all.

    Returns
    -------
    Image
        (h, w). A stored level keeps its dtype (uint8, uint16, int16); one made here is float32.

    Raises
    ------
    ValueError
        When the URL has another form; the message shows it.
    FileNotFoundError
        When the file or the data set is absent.
    """
    path, dataset, z = _parse(url)
    if not _there(path):
        raise FileNotFoundError(f"image file {path} is absent (image URL {url})")
    with _opened(path) as opened:
        stored = opened.deepest(dataset, level)
        if stored is None:
            raise FileNotFoundError(f"{path} has no data set {dataset} (image URL {url})")
        data = _checked(stored.data, z, url)
        if stored.level == level:
            return _read(stored, data, z, _inside(data, window, url))
        image = _read(stored, data, z, None)
    for _ in range(level - stored.level):
        image = halved(image.astype(np.float32, copy=False))
    return image if window is None else image[window]


@contextlib.contextmanager
def held_open(most_bytes: int = 0) -> Iterator[None]:
    """Keep the last files open that are read within: for jobs that read many small windows.

    What is read must not be replaced meanwhile.

    Parameters
    ----------
    most_bytes
        Memory for chunks as they were unpacked last: for jobs that read a place again and again.

    Yields
    ------
    None
        While files stay open.
    """
    _held.append(_Held(most_bytes))
    try:
        yield
    finally:
        for opened in _held.pop().files.values():
            opened.file.close()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[_Opened]:
    """Open a file, or take it where it is held open."""
    if not _held:
        with h5py.File(path, "r") as file:
            yield _Opened(file, path)
        return
    files = _held[-1].files
    if path not in files:
        files[path] = _Opened(h5py.File(path, "r"), path)
        if len(files) > MOST_HELD:
            files.popitem(last=False)[1].file.close()
    files.move_to_end(path)
    yield files[path]


def _there(path: Path) -> bool:
    """Tell whether a file is there; one that is held open is not asked for again."""
    return bool(_held and path in _held[-1].files) or path.is_file()


def contrast_range(path: str | Path) -> tuple[float, float]:
    """Return the raw levels that are 0 and 255 in a file of 8-bit images.

    Parameters
    ----------
    path
        The align HDF5.

    Returns
    -------
    tuple of float
        NaN where there is no file, or it does not say.
    """
    try:
        with h5py.File(path, "r") as file:
            found = file.attrs.get("contrast_range")
    except OSError:
        found = None
    return (math.nan, math.nan) if found is None else (float(found[0]), float(found[1]))


def read_into(out: Image, url: str, level: int, window: Window) -> bool:
    """Read rows and columns of a level into an array.

    Parameters
    ----------
    out
        (h, w) of the window, written.
    url, level, window
        As of `read_image`.

    Returns
    -------
    bool
        False when the level has another dtype than `out`, which then holds nothing of use.

    Raises
    ------
    ValueError, FileNotFoundError
        As `read_image`.
    """
    path, dataset, z = _parse(url)
    if _there(path):
        with _opened(path) as opened:
            stored = opened.deepest(dataset, level)
            if stored is not None and stored.level == level:
                data = _checked(stored.data, z, url)
                if data.dtype == out.dtype:
                    _inside(data, window, url)
                    _fill(out, stored, data, z, window)
                    return True
    image = read_image(url, level, window)  # made of another level, or absent: says so
    if image.dtype == out.dtype:
        out[...] = image
    return image.dtype == out.dtype


def _checked(data: h5py.Dataset | h5py.Group, z: int, url: str) -> h5py.Dataset:
    """Return what a URL names if it is an image, or a stack of images that has number `z`."""
    shape: tuple[int, ...] = data.shape if isinstance(data, h5py.Dataset) else ()
    if len(shape) not in (2, 3) or 0 in shape or data.dtype.kind not in "iuf":
        raise ValueError(f"image URL {url}: its dataSet is no image")
    if len(shape) == 3 and not 0 <= z < shape[0]:
        raise ValueError(f"image URL {url}: its dataSet has z 0 to {shape[0] - 1}")
    return data


def _inside(data: h5py.Dataset, window: Window | None, url: str) -> Window | None:
    """Return the window if all of it lies in the image."""
    high, wide = data.shape[-2:]
    if window is not None and (window[0].stop > high or window[1].stop > wide):
        raise ValueError(
            f"image URL {url}: the image is {wide} x {high} px, its tile spec says more"
        )
    return window


def _read(stored: _Stored, data: h5py.Dataset, z: int, window: Window | None) -> Image:
    """Read rows and columns of a (h, w) or (n, h, w) data set."""
    rows, columns = window or tuple(slice(0, n) for n in data.shape[-2:])
    out = np.empty((rows.stop - rows.start, columns.stop - columns.start), data.dtype)
    _fill(out, stored, data, z, (rows, columns))
    return out


def _fill(out: Image, stored: _Stored, data: h5py.Dataset, z: int, window: Window) -> None:
    """Read rows and columns of a (h, w) or (n, h, w) data set into an array."""
    place = () if data.ndim == 2 else (z,)
    if stored.deflated:
        _inflate(stored.path, data, place, window, out)
    else:
        out[...] = data[(*place, *window)]


def _only_deflated(data: h5py.Dataset | h5py.Group) -> bool:
    """Tell whether all chunks are there and packed by deflate alone."""
    if not isinstance(data, h5py.Dataset) or data.chunks is None:
        return False
    layout = data.id.get_create_plist()
    chunks = math.prod(-(-n // c) for n, c in zip(data.shape, data.chunks, strict=True))
    deflated = layout.get_nfilters() == 1 and layout.get_filter(0)[0] == h5py.h5z.FILTER_DEFLATE
    return bool(deflated and data.id.get_num_chunks() == chunks)


def _inflate(
    path: Path, data: h5py.Dataset, place: tuple[int, ...], window: Window, out: Image
) -> None:
    """Read chunk by chunk, or take a chunk where it is held."""
    rows, columns = window
    *leading, high, wide = data.chunks
    corner = tuple(i // n * n for i, n in zip(place, leading, strict=True))
    held = _held[-1] if _held and _held[-1].most_bytes else None
    for y in range(rows.start // high * high, rows.stop, high):
        for x in range(columns.start // wide * wide, columns.stop, wide):
            at = (*corner, y, x)
            chunk = _unpacked(data, at) if held is None else held.chunk(path, data, at)
            image = chunk[tuple(i % n for i, n in zip(place, leading, strict=True))]
            to_y, from_y = _shared(rows, y, high)
            to_x, from_x = _shared(columns, x, wide)
            out[to_y, to_x] = image[from_y, from_x]


def _unpacked(data: h5py.Dataset, corner: tuple[int, ...]) -> Image:
    """Return a chunk by its first pixel: libdeflate is 2.4 times as fast as the zlib of HDF5."""
    skipped, packed = data.id.read_direct_chunk(corner)
    size = math.prod(data.chunks) * data.dtype.itemsize
    raw = packed if skipped else deflate.zlib_decompress(packed, size)
    return np.frombuffer(raw, data.dtype).reshape(data.chunks)


def _shared(part: slice, start: int, size: int) -> tuple[slice, slice]:
    """Return where a chunk's pixels go in `part`, and which of them."""
    first, stop = max(part.start, start), min(part.stop, start + size)
    return slice(first - part.start, stop - part.start), slice(first - start, stop - start)


def image_path(url: str) -> Path | None:
    """Return the file of an image URL.

    Parameters
    ----------
    url
        See the module.

    Returns
    -------
    Path or None
        None when the URL has another form.
    """
    try:
        return _parse(url)[0]
    except ValueError:
        return None


@functools.lru_cache(maxsize=4096)
def _parse(url: str) -> tuple[Path, str, int]:
    scheme, found, rest = url.partition("://")
    place, _, query = (rest if found else url).partition("?")
    fields = parse_qs(query)
    if (found and scheme != "file") or "dataSet" not in fields:
        raise ValueError(f"image URL {url!r}: expected file://PATH.h5?dataSet=/GROUP/mipmap.0&z=0")
    return Path(path_of_url(place)), fields["dataSet"][0], int(fields.get("z", ["0"])[0])


def _deepest(file: h5py.File, dataset: str, level: int) -> tuple[str, int]:
    """Return name and level of the deepest stored data set that is not below `level`."""
    pattern = _LEVEL.match(dataset)
    if pattern is None:
        return dataset, 0
    for stored in range(level, 0, -1):
        if f"{pattern[1]}{stored}" in file:
            return f"{pattern[1]}{stored}", stored
    return f"{pattern[1]}0", 0
