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

    def to_json(self) -> Json:
        """Give plain JSON values."""
        return {
            "stack": self.stack,
            "spec": self.spec.to_json(),
            "targets": [asdict(target) for target in self.targets],
            "task_px": self.task_px,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Plan:
        """Read what `to_json` gave."""
        return Plan(
            value["stack"],
            VolumeSpec.from_json(value["spec"]),
            tuple(Target(**target) for target in value["targets"]),
            value["task_px"],
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
    """Plan the export of a stack: its bounds rounded outward, every z of `z_range` (inclusive)."""
    x0, y0 = math.floor(bounds[0]), math.floor(bounds[1])
    x1, y1 = math.ceil(bounds[2]), math.ceil(bounds[3])
    first, last = z_range
    shape = (last - first + 1, y1 - y0, x1 - x0)
    z_block, y_block, x_block = export["block_zyx_px"]
    block = (z_block, y_block, x_block)
    most = volumes.sensible_levels(shape, block)
    spec = VolumeSpec(
        shape_zyx=shape,
        block_zyx=block,
        dtype="uint8",
        voxel_nm_zyx=(voxel_nm["z_nm"], voxel_nm["pixel_nm"], voxel_nm["pixel_nm"]),
        origin_px_zyx=(first, y0, x0),
        levels=min(export["levels"], volumes.most_levels(shape)) if export["levels"] else most,
    )
    targets = [_target(name, volume, spec.dtype, export) for name in sorted(export["formats"])]
    return Plan(stack, spec, tuple(targets), export["task_px"])


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


def area(spec: VolumeSpec, region: Region) -> Box:
    """World box of a region of level 0: its pixel centres are whole numbers."""
    _, y0, x0 = spec.origin_px_zyx
    _, rows, columns = region
    return Box(x0 + columns.start, y0 + rows.start, x0 + columns.stop, y0 + rows.stop)


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
        if found != dict(row):
            out.append(
                f"{where}: expected {row['blocks']} blocks, checksum {row['crc32']}; found"
                f" {found['blocks']}, {found['crc32']}"
            )
    expected = sum(row["blocks"] for row in rows)
    stored = volumes.count_blocks(target, level)
    if stored != expected and not out:
        out.append(f"{target.folder(level)}: {stored} blocks are stored, expected {expected}")
    return out
