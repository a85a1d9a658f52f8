"""TIFF: a level of a finished volume as slices, or as one stack, for Fiji and other programs.

ImageJ's metadata carry voxel size and unit: the resolution of the pages in pixels per nm,
``spacing`` between slices in nm. A stack beyond 4 GB is a BigTIFF with the same description, which
Fiji opens by Bio-Formats; ImageJ itself opens the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from scripts.lib import files
from scripts.lib.arrays import Voxels
from scripts.lib.job import UserError
from scripts.lib.volumes import multiscale
from scripts.lib.volumes.formats import fields_of
from scripts.lib.volumes.multiscale import Target

_CLASSIC_BYTES = 2**32 - 2**25  # what fits into a TIFF of 32-bit offsets, with its headers
_MARK = ".made_of.json"
_UNIT = "nm"
_MOST_BYTES = 1_000_000_000  # read at a time: blocks of wide levels are inflated more than once


@dataclass(frozen=True)
class TiffPlan:
    """What is written, and where to."""

    target: Target
    level: int
    shape_zyx: tuple[int, int, int]
    dtype: str
    voxel_nm_zyx: tuple[float, float, float]
    place: str  # folder of slices, or the file of a stack
    z_factor: int  # layers of level 0 in one slice
    made_of: str  # digest of the record of the volume

    @property
    def is_stack(self) -> bool:
        """Tell whether one file holds all slices.

        Returns
        -------
        bool
            False for a folder of slices.
        """
        return self.place.endswith(".tif")

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values.

        Returns
        -------
        dict
            What `from_json` takes.
        """
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> TiffPlan:
        """Read what `to_json` returned.

        Parameters
        ----------
        value
            The fields, by name.

        Returns
        -------
        TiffPlan
            As it was.
        """
        return TiffPlan(**fields_of(value) | {"target": Target.from_json(value["target"])})

    def name(self, z: int) -> str:
        """Return the name of a slice.

        Parameters
        ----------
        z
            From 0 on.

        Returns
        -------
        str
            Names sort as the slices lie.
        """
        return f"z{z:06d}.tif"

    def slices(self, z_range: tuple[int, int]) -> range:
        """Return the slices whose first layer lies in a range of layers of level 0.

        Parameters
        ----------
        z_range
            Half open, voxels of level 0.

        Returns
        -------
        range
            Of this level; ranges side by side share none.
        """
        first, end = (-(-z // self.z_factor) for z in z_range)
        return range(min(first, self.shape_zyx[0]), min(end, self.shape_zyx[0]))


def claim(plan: TiffPlan) -> None:
    """Take the place of the files; safe to repeat.

    Parameters
    ----------
    plan
        What is written.

    Raises
    ------
    UserError
        When something else is there.
    """
    place = Path(plan.place)
    mark = mark_of(plan)
    known = TiffPlan.from_json(files.read_json(mark)) if mark.exists() else None
    if place.exists() and known != plan:
        raise UserError(
            f"export.tiff: {place} is there already, and was not made of this volume with these"
            " settings; move it away, or remove it, and start the same command again. Nothing was"
            " changed."
        )
    files.write_json(mark, plan.to_json())


def mark_of(plan: TiffPlan) -> Path:
    """Return the file that says what a place was made of.

    Parameters
    ----------
    plan
        What is written.

    Returns
    -------
    Path
        In the folder of the slices, or beside the stack.
    """
    place = Path(plan.place)
    return place.with_name(f".{place.name}{_MARK}") if plan.is_stack else place / _MARK


def write_slices(plan: TiffPlan, z_range: tuple[int, int]) -> list[str]:
    """Write slices, each at once or not at all, and read them back.

    Parameters
    ----------
    plan
        What is written.
    z_range
        Half open, voxels of level 0.

    Returns
    -------
    list of str
        Names of the files.
    """
    names = []
    wanted = plan.slices(z_range)
    for z, plane in zip(wanted, planes(plan, wanted), strict=True):
        path = Path(plan.place) / plan.name(z)
        with files.atomic_path(path) as partial:
            tifffile.imwrite(
                partial,
                plane,
                imagej=True,
                resolution=_resolution(plan),
                metadata={"axes": "YX", "unit": _UNIT, "spacing": plan.voxel_nm_zyx[0]},
            )
            _compare(path, tifffile.imread(partial), plane)
        names.append(path.name)
    return names


def write_stack(plan: TiffPlan) -> None:
    """Write all slices into one file, at once or not at all, and read it back.

    Parameters
    ----------
    plan
        What is written.
    """
    depth = plan.shape_zyx[0]
    size = np.dtype(plan.dtype).itemsize * int(np.prod(plan.shape_zyx))
    lines = {"ImageJ": "1.54f", "images": depth, "slices": depth, "unit": _UNIT}
    lines |= {"spacing": plan.voxel_nm_zyx[0], "loop": "false"}
    with files.atomic_path(plan.place) as partial:
        with tifffile.TiffWriter(partial, bigtiff=size > _CLASSIC_BYTES) as writer:
            writer.write(
                planes(plan, range(depth)),
                shape=plan.shape_zyx,
                dtype=plan.dtype,
                photometric="minisblack",
                resolution=_resolution(plan),
                description="".join(f"{key}={value}\n" for key, value in lines.items()),
                metadata=None,
            )
        with tifffile.TiffFile(partial) as file:
            stored = (page.asarray() for page in file.pages)
            for found, plane in zip(stored, planes(plan, range(depth)), strict=True):
                _compare(Path(plan.place), found, plane)


def _resolution(plan: TiffPlan) -> tuple[float, float]:
    """Return pixels per nm in x and y."""
    _, y, x = plan.voxel_nm_zyx
    return 1 / x, 1 / y


def _compare(path: Path, found: Voxels, wanted: Voxels) -> None:
    if not np.array_equal(found, wanted):
        raise UserError(
            f"export.tiff: {path} was read back differently from what was written; look at the disk"
            " and start the same command again"
        )


def planes(plan: TiffPlan, wanted: range) -> Iterator[Voxels]:
    """Read planes of the volume, those of one depth of blocks at a time if they fit in memory.

    Parameters
    ----------
    plan
        What is written.
    wanted
        The slices.

    Yields
    ------
    Voxels
        (h, w).
    """
    level = multiscale.open_level(plan.target, plan.level)
    _, high, wide = level.shape_zyx
    depth = level.unit_zyx[0]
    most = max(1, _MOST_BYTES // (high * wide * np.dtype(plan.dtype).itemsize))
    first = wanted.start
    while first < wanted.stop:
        end = min((first // depth + 1) * depth, first + most, wanted.stop)
        yield from level.read((slice(first, end), slice(0, high), slice(0, wide)))
        first = end
