"""Volumes: N5, OME-Zarr 0.4 and sharded OME-Zarr 0.5 multiscale volumes, one content.

All arrays at this border are z, y, x and all tuples named ``_zyx`` too; N5 stores x, y, z and that
stays inside this module. Every write covers whole blocks, so that jobs which own different blocks
never touch the same file; a block of zeros is not stored (and one that was stored is removed). In
OME-Zarr 0.5 the unit of writing is a shard, a file of many blocks.

Level k is level 0 averaged by f = 2**k along each axis (remainders dropped, as n5-spark does; z
may be left alone at all levels, for review layer by layer, or at the first ones, until x and y are
as coarse), so voxel i of it is centred on full-resolution voxel ``f * i + (f - 1) / 2``: the
half-voxel term that both metadata carry. Positions in nm are ``place_px * voxel_nm`` plus it.
"""

from __future__ import annotations

import functools
import itertools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scripts.lib import files
from scripts.lib.arrays import Voxels
from scripts.lib.volumes import blocks
from scripts.lib.volumes.formats import FORMATS, Format, fields_of

Zyx = tuple[int, int, int]
Region = tuple[slice, slice, slice]  # z, y, x; explicit starts and stops
DTYPES = {"uint8": "|u1", "uint16": "<u2"}
_ONE_THREAD = {"data_copy_concurrency": {"limit": 1}, "file_io_concurrency": {"limit": 4}}


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
    z_kept: int = 0  # so many levels keep every layer before z is halved, too
    yx_kept: int = 0  # so many levels keep rows and columns, and halve z alone
    at_zero: bool = False  # the metadata put voxel (0, 0, 0) at 0, not at the origin in the stack

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype {self.dtype!r} is not one of {', '.join(DTYPES)}")
        if min(self.shape_zyx) < 1 or min(self.block_zyx) < 1:
            raise ValueError(f"volume of {self.shape_zyx} voxels in blocks of {self.block_zyx}")
        most = most_levels(self.shape_zyx, self.z_kept if self.halves_z else None, self.yx_kept)
        if not 1 <= self.levels <= most:
            raise ValueError(f"{self.shape_zyx} voxels cannot have {self.levels} levels")

    def level_shape(self, level: int) -> Zyx:
        """Return the voxels of a level.

        Parameters
        ----------
        level
            0 is full resolution.

        Returns
        -------
        tuple of int
            z, y, x.
        """
        z, y, x = (n // f for n, f in zip(self.shape_zyx, self.factors_zyx(level), strict=True))
        return z, y, x

    def factors_zyx(self, level: int) -> Zyx:
        """Return how many voxels of level 0 make one of a level.

        Parameters
        ----------
        level
            0 is full resolution.

        Returns
        -------
        tuple of int
            Along z, y, x.
        """
        z = 1 << max(0, level - self.z_kept) if self.halves_z else 1
        yx = 1 << max(0, level - self.yx_kept)
        return z, yx, yx

    def steps_zyx(self, level: int) -> Zyx:
        """Return how many voxels of the level above make one of a level.

        Parameters
        ----------
        level
            1 or more.

        Returns
        -------
        tuple of int
            1 or 2 along z, y, x.
        """
        z, yx, _ = self.factors_zyx(level)
        z_above, yx_above, _ = self.factors_zyx(level - 1)
        return z // z_above, yx // yx_above, yx // yx_above

    @property
    def place_px_zyx(self) -> Zyx:
        """Return where the metadata put voxel (0, 0, 0).

        Returns
        -------
        tuple of int
            In voxels: the origin in the stack, or zeros.
        """
        return (0, 0, 0) if self.at_zero else self.origin_px_zyx

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values.

        Returns
        -------
        dict
            The fields, by name.
        """
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> VolumeSpec:
        """Read what `to_json` returned.

        Parameters
        ----------
        value
            The fields, by name.

        Returns
        -------
        VolumeSpec
            As it was.
        """
        return VolumeSpec(**fields_of(value))


@dataclass(frozen=True)
class Target:
    """Where a volume lives and how its blocks are packed."""

    format: str  # of `formats.FORMATS`
    container: str  # folder that ends in .n5 or .zarr
    dataset: str  # group inside it that holds s0, s1 …
    codec: str  # gzip or zstd
    codec_level: int
    shard_blocks_zyx: Zyx = (1, 1, 1)  # blocks of one file; one where the format has no shards

    def __post_init__(self) -> None:
        if self.format not in FORMATS or self.codec not in ("gzip", "zstd"):
            raise ValueError(f"format {self.format!r} with codec {self.codec!r} is not known")
        if not self.layout.sharded and self.shard_blocks_zyx != (1, 1, 1):
            raise ValueError(f"format {self.format!r} has no shards")

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Target:
        """Read what `dataclasses.asdict` returned.

        Parameters
        ----------
        value
            The fields, by name.

        Returns
        -------
        Target
            As it was.
        """
        return Target(**fields_of(value))

    @property
    def layout(self) -> Format:
        """Return how the format lays out its files.

        Returns
        -------
        Format
            Entry of `formats.FORMATS`.
        """
        return FORMATS[self.format]

    def unit_zyx(self, block_zyx: Zyx) -> Zyx:
        """Return the voxels of one file: a block, or a shard of several.

        Parameters
        ----------
        block_zyx
            Voxels of a block.

        Returns
        -------
        tuple of int
            z, y, x.
        """
        z, y, x = (b * n for b, n in zip(block_zyx, self.shard_blocks_zyx, strict=True))
        return z, y, x

    @property
    def group(self) -> Path:
        """Return the folder of the multiscale group.

        Returns
        -------
        Path
            Relative where the container is.
        """
        return Path(self.container) / self.dataset

    def folder(self, level: int) -> Path:
        """Return the folder of one level.

        Parameters
        ----------
        level
            0 is full resolution.

        Returns
        -------
        Path
            In the group.
        """
        return self.group / f"s{level}"


def most_levels(shape_zyx: Sequence[int], z_kept: int | None = 0, yx_kept: int = 0) -> int:
    """Count the levels until an axis would have no voxel.

    Parameters
    ----------
    shape_zyx
        Voxels of level 0.
    z_kept
        Levels that keep every layer before z is halved; None: all do.
    yx_kept
        Levels that keep rows and columns before those are halved.

    Returns
    -------
    int
        At least 1.
    """
    z, *yx = shape_zyx
    halvings = int(math.log2(min(yx))) + yx_kept
    return 1 + (halvings if z_kept is None else min(halvings, int(math.log2(z)) + z_kept))


def level_geometry_nm(spec: VolumeSpec, level: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return where the voxels of a level lie.

    Parameters
    ----------
    spec
        The volume.
    level
        0 is full resolution.

    Returns
    -------
    tuple
        Voxel size and centre of voxel (0, 0, 0), both z, y, x in nm.
    """
    axes = list(zip(spec.factors_zyx(level), spec.voxel_nm_zyx, spec.place_px_zyx, strict=True))
    scale = tuple(float(factor * nm) for factor, nm, _ in axes)
    return scale, tuple(float((origin + (factor - 1) / 2) * nm) for factor, nm, origin in axes)


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
                "driver": self.target.layout.driver,
                "kvstore": {"driver": "file", "path": f"{self.folder.absolute()}/"},
                "context": _ONE_THREAD,
            },
            open=True,
        ).result()
        return store.T if self.target.layout.turned else store

    def read(self, region: Region) -> Voxels:
        """Read voxels.

        Parameters
        ----------
        region
            z, y, x.

        Returns
        -------
        Voxels
            (z, y, x); blocks that are not stored are zeros.

        Raises
        ------
        ValueError
            For a block that cannot be unpacked.
        """
        return np.ascontiguousarray(self._store[region].read().result())

    def write(self, region: Region, voxels: Voxels) -> None:
        """Write whole blocks (whole shards where there are any); `flush` brings them to the disk.

        Parameters
        ----------
        region
            z, y, x, of whole files.
        voxels
            (z, y, x).

        Raises
        ------
        ValueError
            When the region cuts a block (two jobs would then share it) or the shapes differ.
        """
        self._check(region, voxels)
        if not self.target.layout.sharded:
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
        """Count the stored files (blocks or shards) of a region.

        Parameters
        ----------
        region
            z, y, x.

        Returns
        -------
        int
            Those that exist.
        """
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
        if self.target.layout.family == "n5":
            return blocks.n5_file(block, *codec)
        return blocks.zarr_file(block, self.unit_zyx, *codec)

    def _files(self, region: Region) -> Iterator[tuple[str, Region]]:
        """Return the files of a region, with the voxels of this level that each holds."""
        spans = [
            range(part.start // unit, -(-part.stop // unit))
            for part, unit in zip(region, self.unit_zyx, strict=True)
        ]
        folder, layout = str(self.folder), self.target.layout
        for index in itertools.product(*spans):
            z, y, x = (
                slice(i * unit, min((i + 1) * unit, size))
                for i, unit, size in zip(index, self.unit_zyx, self.shape_zyx, strict=True)
            )
            yield f"{folder}/{layout.name(index)}", (z, y, x)

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

    Parameters
    ----------
    target
        The volume.
    level
        0 is full resolution.

    Returns
    -------
    Level
        To read and write.

    Raises
    ------
    FileNotFoundError
        When the level has no metadata; the message names its folder.
    ValueError
        When they are no JSON.
    """
    folder = target.folder(level)
    path = folder / target.layout.document
    if not path.exists():
        raise FileNotFoundError(f"{folder} holds no {target.format} array")
    shape, unit = target.layout.sizes(files.read_json(path))
    return Level(_zyx(shape), _zyx(unit), folder, target)


def _zyx(values: Sequence[int]) -> Zyx:
    z, y, x = map(int, values)
    return z, y, x


def flush(target: Target) -> None:
    """Bring all that was written to the disk, before a record says that it is there.

    Parameters
    ----------
    target
        The volume.
    """
    files.flush(target.group)


def count_blocks(target: Target, level: int) -> int:
    """Count the stored files of a level: blocks, or shards of blocks.

    Parameters
    ----------
    target
        The volume.
    level
        0 is full resolution.

    Returns
    -------
    int
        Those that exist.
    """
    folder = target.folder(level)
    return sum(target.layout.names(one.name) for one in walk(folder)) if folder.is_dir() else 0


def walk(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    """Find all files of a folder and of those in it, of which there may be millions.

    Parameters
    ----------
    folder
        Where to look.

    Yields
    ------
    os.DirEntry
        Files, and links; the system is asked for names alone.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from walk(entry.path)
            else:
                yield entry
