"""Volumes: N5, OME-Zarr 0.4 and sharded OME-Zarr 0.5 multiscale volumes, one content.

All arrays at this border are z, y, x and all tuples named ``_zyx`` too; N5 stores x, y, z and that
stays inside this module. Every write covers whole blocks, so that jobs which own different blocks
never touch the same file; a block of zeros is not stored (and one that was stored is removed). In
OME-Zarr 0.5 the unit of writing is a shard, a file of many blocks.

Level k is level 0 averaged by f = 2**k along each axis (remainders dropped, as n5-spark does; z may
be left alone, for review layer by layer), so voxel i of it is centred on full-resolution voxel
``f * i + (f - 1) / 2``: the half-voxel term that both metadata carry. Positions in nm are
``origin_px * voxel_nm`` plus that term.
"""

from __future__ import annotations

import functools
import itertools
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from scripts.lib import files
from scripts.lib.arrays import Voxels
from scripts.lib.volumes import blocks

Zyx = tuple[int, int, int]
Region = tuple[slice, slice, slice]  # z, y, x; explicit starts and stops
Format = Literal["n5", "zarr", "zarr3"]
FORMATS = ("n5", "zarr", "zarr3")
DTYPES = {"uint8": "|u1", "uint16": "<u2"}
_ONE_THREAD = {"data_copy_concurrency": {"limit": 1}, "file_io_concurrency": {"limit": 4}}
_META = {"n5": "attributes.json", "zarr": ".zarray", "zarr3": "zarr.json"}


@dataclass(frozen=True)
class VolumeSpec:
    """Geometry of a multiscale volume."""

    shape_zyx: Zyx  # voxels of level 0
    block_zyx: Zyx  # voxels of a block, the same at every level
    dtype: str  # uint8 or uint16
    voxel_nm_zyx: tuple[float, float, float]
    origin_px_zyx: Zyx  # stack coordinates of voxel (0, 0, 0)
    levels: int
    halves_z: bool = True  # False: lower levels keep every layer

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype {self.dtype!r} is not one of {', '.join(DTYPES)}")
        if min(self.shape_zyx) < 1 or min(self.block_zyx) < 1:
            raise ValueError(f"volume of {self.shape_zyx} voxels in blocks of {self.block_zyx}")
        if not 1 <= self.levels <= most_levels(self.shape_zyx[0 if self.halves_z else 1 :]):
            raise ValueError(f"{self.shape_zyx} voxels cannot have {self.levels} levels")

    def level_shape(self, level: int) -> Zyx:
        """Voxels z, y, x of a level."""
        z, y, x = (n // f for n, f in zip(self.shape_zyx, self.factors_zyx(level), strict=True))
        return z, y, x

    def factors_zyx(self, level: int) -> Zyx:
        """Voxels of level 0 along each axis that make one of a level."""
        return (1 << level if self.halves_z else 1), 1 << level, 1 << level

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
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
    shard_blocks_zyx: Zyx = (1, 1, 1)  # blocks of one file; zarr3 alone can have more than one

    def __post_init__(self) -> None:
        if self.format not in FORMATS or self.codec not in ("gzip", "zstd"):
            raise ValueError(f"format {self.format!r} with codec {self.codec!r} is not known")
        if self.format != "zarr3" and self.shard_blocks_zyx != (1, 1, 1):
            raise ValueError(f"format {self.format!r} has no shards")

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Target:
        """Read what `dataclasses.asdict` gave."""
        plain: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
        return Target(**plain)

    def unit_zyx(self, block_zyx: Zyx) -> Zyx:
        """Voxels of one file: a block, or a shard of several."""
        z, y, x = (b * n for b, n in zip(block_zyx, self.shard_blocks_zyx, strict=True))
        return z, y, x

    @property
    def group(self) -> Path:
        """Folder of the multiscale group."""
        return Path(self.container) / self.dataset

    def folder(self, level: int) -> Path:
        """Folder of one level."""
        return self.group / f"s{level}"


def most_levels(shape: Sequence[int]) -> int:
    """Count the levels until an axis would have no voxel; `shape` of the axes that are halved."""
    return int(math.log2(min(shape))) + 1


# ---------------------------------------------------------------------------------------------
# metadata
# ---------------------------------------------------------------------------------------------


def create(target: Target, spec: VolumeSpec, attributes: Mapping[str, Any] | None = None) -> None:
    """Write all metadata of a volume; blocks already there stay when they fit the new metadata.

    `attributes` are added to those of the multiscale group (provenance). Levels whose shape,
    block, type or codec changed are removed with their blocks, and levels beyond the last. A
    volume that only grew in z keeps its blocks: their places are the same.
    """
    make = {"n5": _create_n5, "zarr": _create_zarr, "zarr3": _create_zarr3}[target.format]
    _drop_levels_beyond(target, spec.levels)
    make(target, spec, dict(attributes or {}))


def _own_levels(target: Target, spec: VolumeSpec) -> range:
    """Levels whose metadata belongs to `target`: a linked level 0 has its own."""
    return range(1 if target.folder(0).is_symlink() else 0, spec.levels)


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
    for level in _own_levels(target, spec):
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
        "scales": [list(spec.factors_zyx(k)[::-1]) for k in range(spec.levels)],
        "pixelResolution": {"dimensions": list(spec.voxel_nm_zyx[::-1]), "unit": "nm"},
        "translate": list(spec.origin_px_zyx[::-1]),
    }


def n5_level(spec: VolumeSpec, level: int) -> dict[str, Any]:
    """Attributes of one level beside those of the array; nm, without the export's origin.

    Readers multiply ``pixelResolution`` by ``downsamplingFactors`` (x, y, z): n5-viewer, Fiji, and
    neuroglancer where it opens a level alone. Of ``transform``, which Fiji and n5-viewer prefer,
    they take scale and translate as z, y, x whatever its axes and ordering say.
    """
    factors = spec.factors_zyx(level)
    pairs = list(zip(factors, spec.voxel_nm_zyx, strict=True))
    return {
        "downsamplingFactors": list(factors[::-1]),
        "pixelResolution": {"dimensions": list(spec.voxel_nm_zyx[::-1]), "unit": "nm"},
        "transform": {
            "axes": ["z", "y", "x"],
            "ordering": "C",
            "units": ["nm", "nm", "nm"],
            "scale": [f * v for f, v in pairs],
            "translate": [(f - 1) / 2 * v for f, v in pairs],
        },
    }


def _create_zarr(target: Target, spec: VolumeSpec, attributes: dict[str, Any]) -> None:
    folder = Path(target.container)
    files.write_json(folder / ".zgroup", {"zarr_format": 2})
    for part in Path(target.dataset).parts:
        folder = folder / part
        files.write_json(folder / ".zgroup", {"zarr_format": 2})
    multiscale = {"version": "0.4"} | ome_multiscale(spec, name=f"/{target.dataset}")
    files.write_json(target.group / ".zattrs", {"multiscales": [multiscale]} | attributes)
    for level in _own_levels(target, spec):
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


def _create_zarr3(target: Target, spec: VolumeSpec, attributes: dict[str, Any]) -> None:
    folder = Path(target.container)
    group: dict[str, Any] = {"zarr_format": 3, "node_type": "group", "attributes": {}}
    files.write_json(folder / "zarr.json", group)
    for part in Path(target.dataset).parts:
        folder = folder / part
        files.write_json(folder / "zarr.json", group)
    ome = {"version": "0.5", "multiscales": [ome_multiscale(spec, name=f"/{target.dataset}")]}
    files.write_json(target.group / "zarr.json", group | {"attributes": {"ome": ome} | attributes})
    for level in _own_levels(target, spec):
        array = {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(spec.level_shape(level)),
            "data_type": spec.dtype,
            "chunk_grid": {
                "name": "regular",
                "configuration": {"chunk_shape": list(target.unit_zyx(spec.block_zyx))},
            },
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": [_shards(target, spec)],
            "dimension_names": ["z", "y", "x"],
            "attributes": {},
        }
        _put_array(target, level, "zarr.json", array, {})


def _shards(target: Target, spec: VolumeSpec) -> dict[str, Any]:
    """Return the codec of Zarr 3 that puts blocks into shards, with a checksum on the index."""
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    level: dict[str, Any] = {"level": target.codec_level}
    packed = {
        "name": target.codec,
        "configuration": level | ({"checksum": False} if target.codec == "zstd" else {}),
    }
    return {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": list(spec.block_zyx),
            "codecs": [little, packed],
            "index_codecs": [little, {"name": "crc32c"}],
            "index_location": "end",
        },
    }


def ome_multiscale(spec: VolumeSpec, *, name: str) -> dict[str, Any]:
    """OME-Zarr multiscale: z, y, x in nm, the export's origin and half voxels included.

    0.4 states its version here, 0.5 beside the list of multiscales.
    """
    return {
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
    axes = list(zip(spec.factors_zyx(level), spec.voxel_nm_zyx, spec.origin_px_zyx, strict=True))
    scale = tuple(float(factor * nm) for factor, nm, _ in axes)
    return scale, tuple(float((origin + (factor - 1) / 2) * nm) for factor, nm, origin in axes)


# ---------------------------------------------------------------------------------------------
# voxels
# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Level:
    """One open level of a volume; z, y, x."""

    shape_zyx: Zyx
    unit_zyx: Zyx  # voxels of one file: a block, or a shard of several
    folder: Path
    target: Target

    @functools.cached_property
    def _store(self) -> Any:  # noqa: ANN401 - tensorstore has no types
        """Opened by tensorstore when it is needed, turned to z, y, x."""
        import tensorstore  # 16 MB that jobs which only write blocks need not have

        store = tensorstore.open(
            {
                "driver": self.target.format,
                "kvstore": {"driver": "file", "path": f"{self.folder.absolute()}/"},
                "context": _ONE_THREAD,
            },
            open=True,
        ).result()
        return store.T if self.target.format == "n5" else store

    def read(self, region: Region) -> Voxels:
        """Read voxels; blocks that are not stored are zeros.

        Raises
        ------
        ValueError
            For a block that cannot be unpacked.
        """
        return np.ascontiguousarray(self._store[region].read().result())

    def write(self, region: Region, voxels: Voxels) -> None:
        """Write whole blocks (whole shards where there are any); `flush` brings them to the disk.

        Raises
        ------
        ValueError
            When the region cuts a block (two jobs would then share it) or the shapes differ.
        """
        self._check(region, voxels)
        if self.target.format != "zarr3":
            self._write_blocks(region, voxels)
            return
        try:
            self._store[region].write(voxels).result()
        except ValueError:
            # shards that reach beyond the volume are read first; a torn one must not stay for ever
            for path, _ in self._files(region):
                Path(path).unlink(missing_ok=True)
            self._store[region].write(voxels).result()

    def count_files(self, region: Region) -> int:
        """Count the stored files (blocks or shards) of a region."""
        return sum(Path(path).exists() for path, _ in self._files(region))

    def _write_blocks(self, region: Region, voxels: Voxels) -> None:
        """Write block files with our own packing of them."""
        corner = [part.start for part in region]
        for path, parts in self._files(region):
            inside = tuple(
                slice(part.start - zero, part.stop - zero)
                for part, zero in zip(parts, corner, strict=True)
            )
            block = voxels[inside]
            if blocks.is_empty(block):
                Path(path).unlink(missing_ok=True)
            else:
                files.replace_bytes(path, *self._parts(block))

    def _parts(self, block: Voxels) -> tuple[bytes, bytes]:
        """Return the bytes of a block file, in two parts."""
        codec = (self.target.codec, self.target.codec_level)
        if self.target.format == "n5":
            return blocks.n5_file(block, *codec)
        return blocks.zarr_file(block, self.unit_zyx, *codec)

    def _files(self, region: Region) -> Iterator[tuple[str, Region]]:
        """Return the files of a region, with the voxels of this level that each holds."""
        spans = [
            range(part.start // unit, -(-part.stop // unit))
            for part, unit in zip(region, self.unit_zyx, strict=True)
        ]
        folder = f"{self.folder}/c" if self.target.format == "zarr3" else str(self.folder)
        for index in itertools.product(*spans):
            z, y, x = (
                slice(i * unit, min((i + 1) * unit, size))
                for i, unit, size in zip(index, self.unit_zyx, self.shape_zyx, strict=True)
            )
            names = reversed(index) if self.target.format == "n5" else index
            yield "/".join((folder, *map(str, names))), (z, y, x)

    def _check(self, region: Region, voxels: Voxels) -> None:
        wanted = tuple(part.stop - part.start for part in region)
        if voxels.shape != wanted:
            raise ValueError(f"{self.folder}: voxels of shape {voxels.shape} for a box of {wanted}")
        for axis, part, unit, size in zip(
            "zyx", region, self.unit_zyx, self.shape_zyx, strict=True
        ):
            whole_end = part.stop % unit == 0 or part.stop == size
            if part.start % unit or not whole_end or not 0 <= part.start < part.stop <= size:
                raise ValueError(
                    f"{self.folder}: {axis} {part.start}:{part.stop} is not made of whole blocks of"
                    f" {unit} voxels (axis of {size})"
                )


def open_level(target: Target, level: int) -> Level:
    """Open an existing level.

    Raises
    ------
    FileNotFoundError
        When the level has no metadata; the message names its folder.
    ValueError
        When they are no JSON.
    """
    folder = target.folder(level)
    path = folder / _META[target.format]
    if not path.exists():
        raise FileNotFoundError(f"{folder} holds no {target.format} array")
    meta = files.read_json(path)
    if target.format == "n5":
        shape, unit = meta["dimensions"][::-1], meta["blockSize"][::-1]
    elif target.format == "zarr":
        shape, unit = meta["shape"], meta["chunks"]
    else:
        shape, unit = meta["shape"], meta["chunk_grid"]["configuration"]["chunk_shape"]
    return Level(_zyx(shape), _zyx(unit), folder, target)


def _zyx(values: Sequence[int]) -> Zyx:
    z, y, x = map(int, values)
    return z, y, x


def flush(target: Target) -> None:
    """Bring all that was written to the disk, before a record says that it is there."""
    files.flush(target.group)


def count_blocks(target: Target, level: int) -> int:
    """Count the stored files of a level: blocks, or shards of blocks."""
    pattern = "c/*/*/*" if target.format == "zarr3" else "*/*/*"
    return sum(1 for path in target.folder(level).glob(pattern) if path.name.isdigit())
