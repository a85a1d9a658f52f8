"""Lower resolutions: each level from the one before, by 2×2×2 means, task by task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from scripts.export import slabs
from scripts.export.slabs import Plan
from scripts.lib import files, volumes
from scripts.lib.volumes import Level, Region

Row = dict[str, Any]


def build(plan: Plan, level: int, below: Sequence[Row], known: Sequence[Row] = ()) -> Iterator[Row]:
    """Make one level (>= 1) of all targets; gives the record of each task as it is written.

    Voxels are read from the first target only: all hold the same. At most eight times a task's
    voxels are in memory, so tasks are half as wide as those of level 0.

    Parameters
    ----------
    plan
        Of the volume.
    level
        The level to make.
    below
        Records of the level before.
    known
        Records of this level from an earlier run: a task that would be made of the same voxels is
        left as it is.
    """
    shape, block = plan.spec.level_shape(level), plan.spec.block_zyx
    source = volumes.open_level(plan.targets[0], level - 1)
    goals = [volumes.open_level(target, level) for target in plan.targets]
    done = {row["made_of"]: row for row in known}
    for region in slabs.tasks(shape, block, (0, shape[0]), plan.task_px // 2):
        made_of = _made_of(plan, region, below)
        yield done.get(made_of) or _one(source, goals, region, plan) | {"made_of": made_of}


def _one(source: Level, goals: list[Level], region: Region, plan: Plan) -> Row:
    voxels = volumes.halve(source.read(_doubled(region)))
    for goal in goals:
        goal.write(region, voxels)
    return slabs.record(region, voxels, plan.spec.block_zyx)


def _made_of(plan: Plan, region: Region, below: Sequence[Row]) -> str:
    """Digest of a task's place and of the tasks below that it reads."""
    wanted = _doubled(region)
    read = sorted(
        (row["zyx"], row["crc32"])
        for row in below
        if all(
            start < part.stop and part.start < stop
            for part, (start, stop) in zip(wanted, row["zyx"], strict=True)
        )
    )
    place = [[part.start, part.stop] for part in region]
    return files.digest({"frame": plan.frame, "zyx": place, "below": read})


def _doubled(region: Region) -> Region:
    z, y, x = (slice(2 * part.start, 2 * part.stop) for part in region)
    return z, y, x
