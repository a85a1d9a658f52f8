"""The end of an export: everything is there, and what it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scripts.export import pyramid, stored, viewer
from scripts.export.disk import Counts
from scripts.export.slabs import Plan
from scripts.lib.documents import Exported, ExportedTarget
from scripts.lib.job import UserError
from scripts.lib.volumes import multiscale
from scripts.lib.volumes.multiscale import Target

Rows = Sequence[Mapping[str, Any]]

_MOST_LINES = 20


def levels(
    plan: Plan,
    records: Sequence[Mapping[str, Any]],
    built: Sequence[Rows],
    kind: str = "levels",
) -> list[list[Mapping[str, Any]]]:
    """Return all records of each level: those of the slabs and those of the pyramid.

    Parameters
    ----------
    plan
        The export, or its review pyramid.
    records
        Of slabs.
    built
        Records of s1, s2 … that spans and the pyramid's job made.
    kind
        ``levels`` or ``review``.

    Returns
    -------
    list of list
        Records by level, from 0 on.
    """
    return [
        [*pyramid.made(plan, level, records, kind), *(built[level - 1] if level else ())]
        for level in range(plan.spec.levels)
    ]


def joined(
    plan: Plan, built: Sequence[Rows], spans: Sequence[Mapping[str, Any]], kind: str = "levels"
) -> list[Rows]:
    """Return all records of s1, s2 … that spans and the pyramid's job made.

    Parameters
    ----------
    plan
        The export, or its review pyramid.
    built
        Records of the pyramid's job by level, from s1 on.
    spans
        Records of the spans.
    kind
        ``levels`` or ``review``.

    Returns
    -------
    list of list
        Records by level, from s1 on.
    """
    return [
        [*pyramid.made(plan, level, spans, kind), *rows]
        for level, rows in enumerate(built, start=1)
    ]


def check(
    plan: Plan, found: Sequence[Rows], built: Sequence[Rows], counts: Sequence[Sequence[int]]
) -> None:
    """Check that all voxels of all levels were written and all files are there.

    What slabs wrote was read back by their own jobs (`check_slab`); `built` is read back here.

    Parameters
    ----------
    plan
        The export, or its review pyramid.
    found
        All records by level.
    built
        Those of s1, s2 … that spans and the pyramid's job made.
    counts
        Number of stored files by target and level.

    Raises
    ------
    UserError
        With the place of each fault (the first twenty), and what to do.
    """
    for level, rows in enumerate(found):
        shape = plan.spec.level_shape(level)
        if pyramid.voxels(rows) != math.prod(shape):
            raise UserError(
                f"export: the records of s{level} hold {pyramid.voxels(rows)} voxels, expected"
                f" {math.prod(shape)} of {shape}; remove export/plan.json and start the same"
                " command again"
            )
    lines = [
        fault["fault"]
        for target in plan.targets
        for level, rows in enumerate(built, start=1)
        for fault in stored.faults(plan, target, level, rows)
    ]
    lines += [] if lines else _miscounted(plan, found, counts)
    if lines:
        shown = "\n  ".join(lines[:_MOST_LINES])
        raise UserError(
            f"export: {len(lines)} faults\n  {shown}\nRemove export/pyramid.json and export/spans"
            " (for s0 and blocks of slabs: export/checked/<chunk>.json) and start the same command"
            " again: the blocks are then rewritten."
        )


def _miscounted(plan: Plan, found: Sequence[Rows], counts: Sequence[Sequence[int]]) -> list[str]:
    """Compare the number of stored files with the records."""
    out = []
    for target, stands in zip(plan.targets, counts, strict=True):
        for level, (rows, count) in enumerate(zip(found, stands, strict=True)):
            expected = sum(stored.stored_files(row, target) for row in rows)
            if count != expected:
                out.append(f"{target.folder(level)}: {count} files are stored, expected {expected}")
    return out


def counted(plan: Plan, counts: Mapping[str, Counts]) -> dict[str, list[int]]:
    """Return the number of stored files of each level.

    Parameters
    ----------
    plan
        The export.
    counts
        Of `disk.sweep`.

    Returns
    -------
    dict
        By path of the volume; those of the second data type too.
    """
    kinds = (("levels", plan), ("eight", plan.eight))
    pairs = [zip(each.targets, counts[kind], strict=True) for kind, each in kinds if each]
    return {str(target.group): found for pair in pairs for target, found in pair}


def description(plan: Plan, found: Sequence[Rows], links: viewer.Links) -> Exported:
    """Describe the exported volumes.

    Parameters
    ----------
    plan
        The export.
    found
        All records by level.
    links
        Name of the volume, and how others see it.

    Returns
    -------
    Exported
        What ``export/volume.json`` holds.
    """
    spec = plan.spec
    origin_nm = multiscale.level_geometry_nm(spec, 0)[1]
    shown = viewer.contrast(plan.targets[0], spec)
    return {
        "volume": links.volume,
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
            for level, rows in enumerate(found)
        ],
        "shown_values": list(shown),
        "targets": [
            _target(each, target, links)
            for each in (plan, plan.eight)
            if each
            for target in each.targets
        ],
    }


def _target(plan: Plan, target: Target, links: viewer.Links) -> ExportedTarget:
    shown = viewer.contrast(plan.targets[0], plan.spec)
    name = f"{links.volume} {plan.spec.dtype}"
    state = viewer.state(target, plan.spec, data_url=links.data_url, name=name, shown=shown)
    return {
        "format": target.format,
        "dtype": plan.spec.dtype,
        "path": str(target.group),
        "codec": target.codec,
        "neuroglancer": {
            "state": state,
            "link": viewer.link(state, neuroglancer_url=links.neuroglancer_url),
        },
    }
