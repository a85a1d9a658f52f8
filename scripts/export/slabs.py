"""Who writes which voxels: the plan of an export, slabs of whole blocks, tasks of bounded memory.

A block belongs to the chunk of layers that holds the block's first z. So jobs never share a
block whatever the size of a chunk is; best it is a multiple of the block's z.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lib import volumes
from scripts.lib.geometry import Box
from scripts.lib.volumes import Region, Target, VolumeSpec, Zyx

Json = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What is exported, and where to."""

    stack: str
    spec: VolumeSpec
    targets: tuple[Target, ...]
    task_px: int
    step_px: int = 1  # world pixels per voxel in x and y; a power of 2

    def to_json(self) -> Json:
        """Give plain JSON values."""
        return {
            "stack": self.stack,
            "spec": self.spec.to_json(),
            "targets": [asdict(target) for target in self.targets],
            "task_px": self.task_px,
            "step_px": self.step_px,
        }

    @property
    def frame(self) -> Json:
        """Give all that blocks depend on and that stays the same while a volume grows in z."""
        value = self.to_json()
        spec = self.spec.to_json()
        _, *shape_yx = spec.pop("shape_zyx")
        del value["spec"], spec["levels"]
        return {**value, **spec, "shape_yx": shape_yx}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Plan:
        """Read what `to_json` gave."""
        return Plan(
            value["stack"],
            VolumeSpec.from_json(value["spec"]),
            tuple(Target(**target) for target in value["targets"]),
            value["task_px"],
            value.get("step_px", 1),
        )


def plan(
    stack: str,
    bounds: tuple[float, float, float, float],
    z_range: tuple[int, int],
    *,
    volume: str,
    voxel_nm: Mapping[str, float],
    export: Mapping[str, Any],
) -> Plan:
    """Plan the export of a stack: its bounds rounded outward, every z of `z_range` (inclusive).

    With ``step_px`` above 1 (a preview) a voxel stands for as many world pixels in x and y; the
    bounds are rounded to whole blocks then, so that a slight shift of new layers changes nothing.
    """
    z_block, y_block, x_block = export["block_zyx_px"]
    block = (z_block, y_block, x_block)
    step = export.get("step_px", 1)
    x0, x1 = _rounded(bounds[0], bounds[2], step, x_block)
    y0, y1 = _rounded(bounds[1], bounds[3], step, y_block)
    first, last = z_range
    shape = (last - first + 1, y1 - y0, x1 - x0)
    most = volumes.sensible_levels(shape, block)
    spec = VolumeSpec(
        shape_zyx=shape,
        block_zyx=block,
        dtype="uint8",
        voxel_nm_zyx=(voxel_nm["z_nm"], voxel_nm["pixel_nm"] * step, voxel_nm["pixel_nm"] * step),
        origin_px_zyx=(first, y0, x0),
        levels=min(export["levels"], volumes.most_levels(shape)) if export["levels"] else most,
    )
    targets = [_target(name, volume, spec.dtype, export) for name in sorted(export["formats"])]
    return Plan(stack, spec, tuple(targets), export["task_px"], step)


def _rounded(low: float, high: float, step: int, block: int) -> tuple[int, int]:
    """Round an interval of world pixels outward, to voxels of `step`: first and end."""
    if step == 1:
        return math.floor(low), math.ceil(high)
    side = step * block
    return math.floor(low / side) * block, math.ceil(high / side) * block


def _target(name: str, volume: str, dtype: str, export: Mapping[str, Any]) -> Target:
    dataset = f"em/fibsem-{dtype}"
    codec, level = export[f"{name}_codec"], export[f"{name}_codec_level"]
    if name == "n5":
        return Target("n5", f"{volume}.n5", dataset, codec, level)
    return Target("zarr", f"{volume}.zarr", f"recon-1/{dataset}", codec, level)


def owned(spec: VolumeSpec, z_first: int, z_last: int) -> tuple[int, int]:
    """Give the voxel range in z (half-open, whole blocks) of a chunk of layers; may be empty."""
    block, origin = spec.block_zyx[0], spec.origin_px_zyx[0]
    start = math.ceil((z_first - origin) / block) * block
    stop = math.ceil((z_last + 1 - origin) / block) * block
    size = spec.shape_zyx[0]
    return min(start, size), min(stop, size)


def tasks(shape: Zyx, block: Zyx, z_range: tuple[int, int], side_px: int) -> list[Region]:
    """Cut a slab into regions of whole blocks: one block deep, about `side_px` wide and high."""
    _, height, width = shape
    sides = [max(n, side_px // n * n) for n in block[1:]]
    return [
        (slice(z, min(z + block[0], z_range[1])), slice(y, y1), slice(x, x1))
        for y, y1 in _spans(height, sides[0])
        for x, x1 in _spans(width, sides[1])
        for z in range(z_range[0], z_range[1], block[0])
    ]


def _spans(size: int, side: int) -> Iterable[tuple[int, int]]:
    return [(start, min(start + side, size)) for start in range(0, size, side)]


def area(spec: VolumeSpec, region: Region, step_px: int = 1) -> Box:
    """World box of a region of level 0: its pixel centres are whole numbers."""
    _, y0, x0 = spec.origin_px_zyx
    _, rows, columns = region
    edges = (x0 + columns.start, y0 + rows.start, x0 + columns.stop, y0 + rows.stop)
    return Box(*(edge * step_px for edge in edges))


# ---------------------------------------------------------------------------------------------
# what was written, and whether it still is there
# ---------------------------------------------------------------------------------------------


def record(region: Region, voxels: NDArray[Any], block: Zyx) -> Json:
    """Describe written voxels: place, number of blocks that are not all zero, CRC-32."""
    return {
        "zyx": [[part.start, part.stop] for part in region],
        "blocks": volumes.count_nonzero_blocks(voxels, block),
        "crc32": zlib.crc32(np.ascontiguousarray(voxels).data),
    }


def region_of(row: Mapping[str, Any]) -> Region:
    """Give the region of a record."""
    z, y, x = (slice(start, stop) for start, stop in row["zyx"])
    return z, y, x


def faults(target: Target, level: int, rows: Sequence[Mapping[str, Any]], block: Zyx) -> list[str]:
    """Read a level back and say what is not as recorded (empty = all is well)."""
    store = volumes.open_level(target, level)
    out = []
    for row in rows:
        where = f"{target.folder(level)} voxels z, y, x {row['zyx']}"
        try:
            found = record(region_of(row), store.read(region_of(row)), block)
        except ValueError as error:  # a block that cannot be unpacked
            out.append(f"{where}: {str(error).splitlines()[0]}")
            continue
        if any(row[key] != value for key, value in found.items()):
            out.append(
                f"{where}: expected {row['blocks']} blocks, checksum {row['crc32']}; found"
                f" {found['blocks']}, {found['crc32']}"
            )
    expected = sum(row["blocks"] for row in rows)
    stored = volumes.count_blocks(target, level)
    if stored != expected and not out:
        out.append(f"{target.folder(level)}: {stored} blocks are stored, expected {expected}")
    return out
