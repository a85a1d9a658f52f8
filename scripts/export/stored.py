"""Records of written voxels, by which a job, and the one that reads back, say what is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from isal import isal_zlib

from scripts.export.slabs import Plan
from scripts.lib.arrays import Voxels
from scripts.lib.volumes import blocks, multiscale
from scripts.lib.volumes.multiscale import Region, Target

Json = dict[str, Any]


def record(region: Region, voxels: Voxels, plan: Plan) -> Json:
    """Describe written voxels: place, CRC-32, and how many files of each format hold them.

    Parameters
    ----------
    region
        z, y, x.
    voxels
        (z, y, x).
    plan
        The export.

    Returns
    -------
    dict
        ``zyx``, ``crc32``, ``blocks``; ``shards`` where a target has any.
    """
    block = plan.spec.block_zyx
    row: Json = {
        "zyx": [[part.start, part.stop] for part in region],
        "crc32": isal_zlib.crc32(np.ascontiguousarray(voxels).data),
        "blocks": blocks.count_nonzero(voxels, block),
    }
    for target in plan.targets:
        if target.unit_zyx(block) != block:
            row["shards"] = blocks.count_nonzero(voxels, target.unit_zyx(block))
    return row


def stored_files(row: Mapping[str, Any], target: Target) -> int:
    """Return the number of files that a record says a target has.

    Parameters
    ----------
    row
        As of `record`.
    target
        The volume.

    Returns
    -------
    int
        Blocks, or shards.
    """
    return int(row["blocks" if target.shard_blocks_zyx == (1, 1, 1) else "shards"])


def region_of(row: Mapping[str, Any]) -> Region:
    """Return the region of a record.

    Parameters
    ----------
    row
        As of `record`.

    Returns
    -------
    Region
        z, y, x.
    """
    z, y, x = (slice(start, stop) for start, stop in row["zyx"])
    return z, y, x


def faults(plan: Plan, target: Target, level: int, rows: Sequence[Mapping[str, Any]]) -> list[Json]:
    """Read back what records say.

    Parameters
    ----------
    plan
        The export.
    target
        The volume.
    level
        0 is full resolution.
    rows
        Records of the level.

    Returns
    -------
    list of dict
        Those records that are not so, each with a ``fault``.
    """
    store = multiscale.open_level(target, level)
    out = []
    for row in rows:
        try:
            found = record(region_of(row), store.read(region_of(row)), plan)
        except ValueError as error:  # a block that cannot be unpacked
            problem = str(error).splitlines()[0]
        else:
            if all(row[key] == value for key, value in found.items()):
                continue
            problem = (
                f"expected {row['blocks']} blocks, checksum {row['crc32']}; found"
                f" {found['blocks']}, {found['crc32']}"
            )
        where = f"{target.folder(level)} voxels z, y, x {row['zyx']}"
        out.append({**row, "fault": f"{where}: {problem}"})
    return out


def is_stored(plan: Plan, level: int, row: Mapping[str, Any]) -> bool:
    """Tell whether every target has as many files of a record's region as it says.

    Parameters
    ----------
    plan
        The export.
    level
        0 is full resolution.
    row
        A record of the level.

    Returns
    -------
    bool
        The files are counted, not read.
    """
    return all(
        multiscale.open_level(target, level).count_files(region_of(row))
        == stored_files(row, target)
        for target in plan.targets
    )
