"""The end of an export: everything is there, and what it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scripts.export import slabs, viewer
from scripts.export.slabs import Plan
from scripts.lib import volumes
from scripts.lib.job import UserError

Rows = Sequence[Mapping[str, Any]]

_MOST_LINES = 20


def check(plan: Plan, levels: Sequence[Rows]) -> None:
    """Compare every level of every target with the records of its writers.

    Raises
    ------
    UserError
        With the place of each fault (the first twenty), and what to do.
    """
    whole = [math.prod(stop - start for start, stop in row["zyx"]) for row in levels[0]]
    if sum(whole) != math.prod(plan.spec.shape_zyx):
        raise UserError(
            f"export: the slabs hold {sum(whole)} voxels, expected"
            f" {math.prod(plan.spec.shape_zyx)} of {plan.spec.shape_zyx}; remove export/plan.json"
            " and run again"
        )
    found = [
        line
        for target in plan.targets
        for level, rows in enumerate(levels)
        for line in slabs.faults(target, level, rows, plan.spec.block_zyx)
    ]
    if found:
        lines = "\n  ".join(found[:_MOST_LINES])
        raise UserError(
            f"export: {len(found)} faults\n  {lines}\nRemove the export/slabs/<chunk>.json of that"
            " z (for s1 and up: export/pyramid.json) and run again: the blocks are then rewritten."
        )


def description(
    plan: Plan, levels: Sequence[Rows], *, volume: str, export: Mapping[str, Any]
) -> dict[str, Any]:
    """Describe the exported volumes."""
    spec = plan.spec
    origin_nm = volumes.level_geometry_nm(spec, 0)[1]
    return {
        "volume": volume,
        "stack": plan.stack,
        "dtype": spec.dtype,
        "voxels": math.prod(spec.shape_zyx),
        "shape_zyx": list(spec.shape_zyx),
        "block_zyx": list(spec.block_zyx),
        "voxel_nm_zyx": list(spec.voxel_nm_zyx),
        "origin_px_zyx": list(spec.origin_px_zyx),
        "origin_nm_zyx": list(origin_nm),
        "levels": [
            {
                "level": level,
                "shape_zyx": list(spec.level_shape(level)),
                "blocks": sum(row["blocks"] for row in rows),
            }
            for level, rows in enumerate(levels)
        ],
        "targets": [_target(plan, index, volume, export) for index in range(len(plan.targets))],
    }


def _target(plan: Plan, index: int, volume: str, export: Mapping[str, Any]) -> dict[str, Any]:
    target = plan.targets[index]
    name = f"{volume} {plan.spec.dtype}"
    state = viewer.state(target, plan.spec, data_url=export["data_url"], name=name)
    return {
        "format": target.format,
        "path": str(target.group),
        "codec": target.codec,
        "neuroglancer": {
            "state": state,
            "link": viewer.link(state, neuroglancer_url=export["neuroglancer_url"]),
        },
    }
