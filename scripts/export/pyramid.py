"""Lower resolutions: each level from the one before, by 2×2×2 means, task by task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scripts.export import slabs
from scripts.export.slabs import Plan
from scripts.lib import volumes
from scripts.lib.volumes import Level, Region


def build(plan: Plan, level: int) -> Iterator[dict[str, Any]]:
    """Make one level (>= 1) of all targets; gives the record of each task as it is written.

    Voxels are read from the first target only: all hold the same. At most eight times a task's
    voxels are in memory, so tasks are half as wide as those of level 0.
    """
    shape, block = plan.spec.level_shape(level), plan.spec.block_zyx
    source = volumes.open_level(plan.targets[0], level - 1)
    goals = [volumes.open_level(target, level) for target in plan.targets]
    for region in slabs.tasks(shape, block, (0, shape[0]), plan.task_px // 2):
        yield _one(source, goals, region, plan)


def _one(source: Level, goals: list[Level], region: Region, plan: Plan) -> dict[str, Any]:
    z, y, x = (slice(2 * part.start, 2 * part.stop) for part in region)
    voxels = volumes.halve(source.read((z, y, x)))
    for goal in goals:
        goal.write(region, voxels)
    return slabs.record(region, voxels, plan.spec.block_zyx)
