"""L1 · Volumes: N5 and OME-Zarr 0.4 multiscale volumes, the same voxels in both.

All arrays at this border are z, y, x and all tuples named ``_zyx`` too; N5 stores x, y, z and that
stays inside this module. Every write covers whole blocks, so that jobs which own different blocks
never touch the same file; a block of zeros is not stored (and one that was stored is removed).

Level k is level 0 averaged by f = 2**k along each axis (remainders dropped, as n5-spark does), so
voxel i of it is centred on full-resolution voxel ``f * i + (f - 1) / 2``: the half-voxel term
that both metadata carry. Positions in nm are ``origin_px * voxel_nm`` plus that term.
"""

from __future__ import annotations

import itertools
import math
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorstore
from numpy.typing import NDArray

from scripts.lib import files

Zyx = tuple[int, int, int]
Region = tuple[slice, slice, slice]  # z, y, x; explicit starts and stops
Voxels = NDArray[Any]
Format = Literal["n5", "zarr"]
DTYPES = {"uint8": "|u1", "uint16": "<u2"}


@dataclass(frozen=True)
class VolumeSpec:
    """Geometry of a multiscale volume."""

    shape_zyx: Zyx  # voxels of level 0
    block_zyx: Zyx  # voxels of a block, the same at every level
    dtype: str  # uint8 or uint16
    voxel_nm_zyx: tuple[float, float, float]
    origin_px_zyx: Zyx  # stack coordinates of voxel (0, 0, 0)
    levels: int

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype {self.dtype!r} is not one of {', '.join(DTYPES)}")
        if min(self.shape_zyx) < 1 or min(self.block_zyx) < 1:
            raise ValueError(f"volume of {self.shape_zyx} voxels in blocks of {self.block_zyx}")
        if not 1 <= self.levels <= most_levels(self.shape_zyx):
            raise ValueError(f"{self.shape_zyx} voxels cannot have {self.levels} levels")

    def level_shape(self, level: int) -> Zyx:
        """Voxels z, y, x of a level."""
        z, y, x = (n >> level for n in self.shape_zyx)
        return z, y, x

    def to_json(self) -> dict[str, Any]:
        """Give plain JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> VolumeSpec:
        """Read what `to_json` gave."""
        plain: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
        return VolumeSpec(**plain)


@dataclass(frozen=True)
class Target:
    """Where a volume lives and how its blocks are packed."""

    format: Format
    container: str  # folder that ends in .n5 or .zarr
    dataset: str  # group inside it that holds s0, s1 …
    codec: str  # gzip or zstd
    codec_level: int

    def __post_init__(self) -> None:
        if self.format not in ("n5", "zarr") or self.codec not in ("gzip", "zstd"):
            raise ValueError(f"format {self.format!r} with codec {self.codec!r} is not known")

    @property
    def group(self) -> Path:
        """Folder of the multiscale group."""
        return Path(self.container) / self.dataset

    def folder(self, level: int) -> Path:
        """Folder of one level."""
        return self.group / f"s{level}"


def most_levels(shape_zyx: Zyx) -> int:
    """Count the levels until an axis would have no voxel."""
    return int(math.log2(min(shape_zyx))) + 1


def sensible_levels(shape_zyx: Zyx, block_zyx: Zyx) -> int:
    """Count the levels until one block holds everything, or an axis would have no voxel."""
    ratio = max(n / b for n, b in zip(shape_zyx, block_zyx, strict=True))
    return min(most_levels(shape_zyx), 1 + max(0, math.ceil(math.log2(ratio))))


# ---------------------------------------------------------------------------------------------
# metadata
# ---------------------------------------------------------------------------------------------


def create(target: Target, spec: VolumeSpec, attributes: Mapping[str, Any] | None = None) -> None:
    """Write all metadata of a volume; blocks already there stay when they fit the new metadata.

    `attributes` are added to those of the multiscale group (provenance). Levels whose shape,
    block, type or codec changed are removed with their blocks, and levels beyond the last. A
    volume that only grew in z keeps its blocks: their places are the same.
    """
    make = _create_n5 if target.format == "n5" else _create_zarr
    _drop_levels_beyond(target, spec.levels)
    make(target, spec, dict(attributes or {}))


def _drop_levels_beyond(target: Target, levels: int) -> None:
    level = levels
    while target.folder(level).exists():
        shutil.rmtree(target.folder(level))
        level += 1


def _put_array(target: Target, level: int, name: str, array: dict[str, Any], rest: Any) -> None:  # noqa: ANN401
    folder = target.folder(level)
    path = folder / name
    if path.exists():
        known = files.read_json(path)
        if not _keeps_blocks(known, array):
            shutil.rmtree(folder)
    files.write_json(path, array | rest)


def _keeps_blocks(known: Mapping[str, Any], array: Mapping[str, Any]) -> bool:
    """Tell whether blocks written under `known` metadata are valid under that of `array`."""
    changed = {key for key, value in array.items() if known.get(key) != value}
    if changed == {"dimensions"}:  # N5: x, y, z
        (*old_xy, old_z), (*new_xy, new_z) = known["dimensions"], array["dimensions"]
        return bool(old_xy == new_xy and old_z <= new_z)
    if changed == {"shape"}:  # Zarr: z, y, x
        (old_z, *old_yx), (new_z, *new_yx) = known["shape"], array["shape"]
        return bool(old_yx == new_yx and old_z <= new_z)
    return not changed


def _create_n5(target: Target, spec: VolumeSpec, attributes: dict[str, Any]) -> None:
    root = Path(target.container)
    folder = root
    files.write_json(root / "attributes.json", {"n5": "4.0.0", "neuroglancer_supported": True})
    for part in Path(target.dataset).parts[:-1]:
        folder = folder / part
        files.write_json(folder / "attributes.json", {"neuroglancer_supported": True})
    files.write_json(target.group / "attributes.json", n5_group(spec) | attributes)
    for level in range(spec.levels):
        array = {
            "dimensions": list(spec.level_shape(level)[::-1]),
            "blockSize": list(spec.block_zyx[::-1]),
            "dataType": spec.dtype,
            "compression": _n5_codec(target),
        }
        _put_array(target, level, "attributes.json", array, n5_level(spec, level))


def _n5_codec(target: Target) -> dict[str, Any]:
    packed: dict[str, Any] = {"type": target.codec, "level": target.codec_level}
    return packed | ({"useZlib": False} if target.codec == "gzip" else {})


def n5_group(spec: VolumeSpec) -> dict[str, Any]:
    """Attributes of the multiscale group, x, y, z (neuroglancer, n5-viewer and BigDataViewer).

    ``translate`` is in voxels, as the reference's exports have it (spec solve-export 5.2).
    """
    return {
        "neuroglancer_supported": True,
        "axes": ["x", "y", "z"],
        "ordering": "F",
        "units": ["nm", "nm", "nm"],
        "scales": [[1 << k] * 3 for k in range(spec.levels)],
        "pixelResolution": {"dimensions": list(spec.voxel_nm_zyx[::-1]), "unit": "nm"},
        "translate": list(spec.origin_px_zyx[::-1]),
    }


def n5_level(spec: VolumeSpec, level: int) -> dict[str, Any]:
    """Attributes of one level beside those of the array; nm, without the export's origin."""
    factor = 1 << level
    voxel_nm = spec.voxel_nm_zyx[::-1]
    return {
        "downsamplingFactors": [factor] * 3,
        "pixelResolution": {"dimensions": [factor * v for v in voxel_nm], "unit": "nm"},
        "transform": {
            "axes": ["x", "y", "z"],
            "ordering": "F",
            "units": ["nm", "nm", "nm"],
            "scale": [factor * v for v in voxel_nm],
            "translate": [(factor - 1) / 2 * v for v in voxel_nm],
        },
    }


def _create_zarr(target: Target, spec: VolumeSpec, attributes: dict[str, Any]) -> None:
    folder = Path(target.container)
    files.write_json(folder / ".zgroup", {"zarr_format": 2})
    for part in Path(target.dataset).parts:
        folder = folder / part
        files.write_json(folder / ".zgroup", {"zarr_format": 2})
    multiscale = ome_multiscale(spec, name=f"/{target.dataset}")
    files.write_json(target.group / ".zattrs", {"multiscales": [multiscale]} | attributes)
    for level in range(spec.levels):
        array = {
            "zarr_format": 2,
            "shape": list(spec.level_shape(level)),
            "chunks": list(spec.block_zyx),
            "dtype": DTYPES[spec.dtype],
            "compressor": {"id": target.codec, "level": target.codec_level},
            "fill_value": 0,
            "order": "C",
            "filters": None,
            "dimension_separator": "/",
        }
        _put_array(target, level, ".zarray", array, {})


def ome_multiscale(spec: VolumeSpec, *, name: str) -> dict[str, Any]:
    """OME-Zarr 0.4 multiscale: z, y, x in nm, the export's origin and half voxels included."""
    return {
        "version": "0.4",
        "name": name,
        "type": "mean",
        "axes": [{"name": a, "type": "space", "unit": "nanometer"} for a in "zyx"],
        "datasets": [_ome_dataset(spec, level) for level in range(spec.levels)],
        "coordinateTransformations": [{"type": "scale", "scale": [1.0, 1.0, 1.0]}],
    }


def _ome_dataset(spec: VolumeSpec, level: int) -> dict[str, Any]:
    scale, shift = level_geometry_nm(spec, level)
    return {
        "path": f"s{level}",
        "coordinateTransformations": [
            {"type": "scale", "scale": list(scale)},
            {"type": "translation", "translation": list(shift)},
        ],
    }


def level_geometry_nm(spec: VolumeSpec, level: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Voxel size and centre of voxel (0, 0, 0) of a level, both z, y, x in nm."""
    factor = 1 << level
    pairs = list(zip(spec.voxel_nm_zyx, spec.origin_px_zyx, strict=True))
    scale = tuple(float(factor * nm) for nm, _ in pairs)
    return scale, tuple(float((origin + (factor - 1) / 2) * nm) for nm, origin in pairs)


# ---------------------------------------------------------------------------------------------
# voxels
# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Level:
    """One open level of a volume; z, y, x."""

    store: Any  # tensorstore, already turned to z, y, x
    block_zyx: Zyx
    folder: Path
    reversed_path: bool  # N5 names block files x/y/z, Zarr z/y/x

    @property
    def shape_zyx(self) -> Zyx:
        """Voxels of this level."""
        z, y, x = self.store.shape
        return z, y, x

    def read(self, region: Region) -> Voxels:
        """Read voxels; blocks that are not stored are zeros."""
        return np.ascontiguousarray(self.store[region].read().result())

    def write(self, region: Region, voxels: Voxels) -> None:
        """Write whole blocks.

        Raises
        ------
        ValueError
            When the region cuts a block (two jobs would then share it) or the shapes differ.
        """
        self._check(region, voxels)
        try:
            self.store[region].write(voxels).result()
        except ValueError:
            # blocks that reach beyond the volume are read first; a torn one must not stay for ever
            self._remove(region)
            self.store[region].write(voxels).result()

    def _remove(self, region: Region) -> None:
        """Remove the block files of a region."""
        spans = [
            range(part.start // block, -(-part.stop // block))
            for part, block in zip(region, self.block_zyx, strict=True)
        ]
        for index in itertools.product(*spans):
            names = map(str, reversed(index) if self.reversed_path else index)
            self.folder.joinpath(*names).unlink(missing_ok=True)

    def _check(self, region: Region, voxels: Voxels) -> None:
        wanted = tuple(part.stop - part.start for part in region)
        if voxels.shape != wanted:
            raise ValueError(f"{self.folder}: voxels of shape {voxels.shape} for a box of {wanted}")
        for axis, part, block, size in zip(
            "zyx", region, self.block_zyx, self.shape_zyx, strict=True
        ):
            whole_end = part.stop % block == 0 or part.stop == size
            if part.start % block or not whole_end or not 0 <= part.start < part.stop <= size:
                raise ValueError(
                    f"{self.folder}: {axis} {part.start}:{part.stop} is not made of whole blocks of"
                    f" {block} voxels (axis of {size})"
                )


def open_level(target: Target, level: int, *, threads: int = 1) -> Level:
    """Open an existing level.

    Raises
    ------
    FileNotFoundError
        When the level has no metadata; the message names its folder.
    """
    folder = target.folder(level)
    n5 = target.format == "n5"
    if not (folder / ("attributes.json" if n5 else ".zarray")).exists():
        raise FileNotFoundError(f"{folder} holds no {target.format} array")
    context = {"data_copy_concurrency": {"limit": threads}, "file_io_concurrency": {"limit": 4}}
    store = tensorstore.open(
        {
            "driver": target.format,
            "kvstore": {"driver": "file", "path": f"{folder.absolute()}/"},
            "context": context,
        },
        open=True,
    ).result()
    turned = store.T if n5 else store
    z, y, x = turned.chunk_layout.read_chunk.shape or (1, 1, 1)
    return Level(turned, (int(z or 1), int(y or 1), int(x or 1)), folder, reversed_path=n5)


def count_blocks(target: Target, level: int) -> int:
    """Count the stored blocks of a level."""
    return sum(1 for path in target.folder(level).glob("*/*/*") if path.name.isdigit())


def count_nonzero_blocks(voxels: Voxels, block_zyx: Zyx) -> int:
    """Count the blocks of a block-aligned array that hold anything but zeros: those stored."""
    held = voxels != 0
    for axis, block in enumerate(block_zyx):
        held = np.logical_or.reduceat(held, np.arange(0, held.shape[axis], block), axis=axis)
    return int(held.sum())


def halve(voxels: Voxels) -> Voxels:
    """Average 2×2×2 voxels, rounded half up; (z, y, x) of even sizes, same type.

    The sums are exact in a type four times as wide as needed, one output plane at a time.
    """
    wide = np.uint16 if voxels.dtype == np.uint8 else np.uint32
    out = np.empty([n // 2 for n in voxels.shape], voxels.dtype)
    for k in range(len(out)):
        pair = np.add(voxels[2 * k], voxels[2 * k + 1], dtype=wide)
        rows = pair[0::2] + pair[1::2]
        out[k] = (rows[:, 0::2] + rows[:, 1::2] + wide(4)) >> 3
    return out
