"""Planning: what of a stack is exported, in which levels, and where to."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from scripts.export.slabs import Plan, sensible_levels
from scripts.lib.drawing.coverage import Coverage
from scripts.lib.job import UserError
from scripts.lib.volumes import multiscale
from scripts.lib.volumes.formats import FORMATS
from scripts.lib.volumes.multiscale import Target, VolumeSpec


def plan(
    stack: str,
    bounds: tuple[float, float, float, float],
    z_range: tuple[int, int],
    *,
    volume: str,
    voxel_nm: Mapping[str, float],
    export: Mapping[str, Any],
) -> Plan:
    """Plan the export of a stack: its bounds rounded outward, every z of its range.

    With ``step_px`` above 1 a voxel stands for as many world pixels in x and y. With a ``box`` only
    that part of the stack is planned; without one, a coarse volume (a preview) is rounded to whole
    blocks, so that a slight shift of new layers changes nothing.

    Parameters
    ----------
    stack
        Its name.
    bounds
        x0, y0, x1, y1 of the stack, px.
    z_range
        First and last z, inclusive.
    volume
        Path of the volumes, without suffix.
    voxel_nm
        ``pixel_nm`` and ``z_nm``.
    export
        Section ``export`` of the config, with ``dtype``; of a part also ``box`` and ``step_px``.

    Returns
    -------
    Plan
        Nothing is written.

    Raises
    ------
    UserError
        When the box holds nothing of the stack.
    """
    z_block, y_block, x_block = export["block_zyx_px"]
    block = (z_block, y_block, x_block)
    step, box = export.get("step_px", 1), export.get("box")
    for name in ("crop", "box"):
        if export.get(name) is not None:
            bounds, z_range = _cut(bounds, z_range, export[name], f"export.{name}")
    grid = (x_block, y_block) if step > 1 and box is None else (1, 1)
    x0, x1 = _rounded(bounds[0], bounds[2], step, grid[0])
    y0, y1 = _rounded(bounds[1], bounds[3], step, grid[1])
    first, last = z_range
    shape = (last - first + 1, y1 - y0, x1 - x0)
    voxel = (voxel_nm["z_nm"], voxel_nm["pixel_nm"] * step, voxel_nm["pixel_nm"] * step)
    kept = levels_to_isotropy(voxel) if export.get("pyramid") == "isotropic" else 0
    spec = VolumeSpec(
        shape_zyx=shape,
        block_zyx=block,
        dtype=export.get("dtype", "uint8"),
        voxel_nm_zyx=voxel,
        origin_px_zyx=(first, y0, x0),
        levels=1,
        z_kept=max(0, kept),
        yx_kept=max(0, -kept),
        at_zero=export.get("origin") == "zero",
    )
    most = multiscale.most_levels(shape, spec.z_kept, spec.yx_kept)
    levels = min(export["levels"], most) if export["levels"] else sensible_levels(spec)
    spec = replace(spec, levels=levels)
    targets = [_target(name, volume, spec.dtype, export) for name in sorted(export["formats"])]
    return Plan(
        stack,
        spec,
        tuple(targets),
        export["task_px"],
        step,
        export.get("review", False),
        export.get("drawn_as"),
        export.get("with_eight", False),
    )


def levels_to_isotropy(voxel_nm_zyx: Sequence[float]) -> int:
    """Return how many levels halve x and y alone until they are as coarse as z, or z alone.

    Doubling x and y brings them nearer to z, in ratio, while z is more than the square root of 2
    times as coarse; and the other way round.

    Parameters
    ----------
    voxel_nm_zyx
        Sides of a voxel; x and y are alike.

    Returns
    -------
    int
        Above 0: so many levels keep every layer. Below 0: so many keep rows and columns.
    """
    z, y, x = voxel_nm_zyx
    return round(math.log2(z / math.sqrt(y * x)))


def _cut(
    bounds: tuple[float, float, float, float],
    z_range: tuple[int, int],
    box: Mapping[str, Sequence[int] | None],
    key: str,
) -> tuple[tuple[float, float, float, float], tuple[int, int]]:
    """Cut bounds and inclusive z range to a box of half-open ranges; None is all."""
    stack = {
        "x_px": (bounds[0], bounds[2]),
        "y_px": (bounds[1], bounds[3]),
        "z_px": (z_range[0], z_range[1] + 1),
    }
    part = {}
    for name, (low, high) in stack.items():
        first, end = box.get(name) or (low, high)
        part[name] = max(low, first), min(high, end)
        if part[name][0] >= part[name][1]:
            raise UserError(
                f"{key}.{name}: found [{first}, {end}], but the stack goes from {low:g} to"
                f" {high:g}; expected a range (first, end) that holds part of it"
            )
    (x0, x1), (y0, y1), (z0, z1) = part.values()
    return (x0, y0, x1, y1), (int(z0), int(z1) - 1)


def shared(
    seen: Coverage, share: float, box: Mapping[str, Sequence[int] | None]
) -> dict[str, Sequence[int] | None]:
    """Return what a share of the layers shows of a box.

    Parameters
    ----------
    seen
        Coverage of the stack.
    share
        Of the layers.
    box
        Half-open ranges; None is all.

    Returns
    -------
    dict
        Half-open ranges.

    Raises
    ------
    UserError
        When so many layers share no place, or none of the box.
    """
    found = seen.shared(share)
    if found is None:
        raise UserError(
            f"export.crop.shared_by: no place is shown by {share:g} of the {seen.layers} layers;"
            " give a smaller share, or ranges x_px and y_px (the report shows what layers share)"
        )
    out = dict(box)
    for name, (low, high) in {"x_px": found[::2], "y_px": found[1::2]}.items():
        first, end = box[name] or (low, high)
        out[name] = [max(low, first), min(high, end)]
    return out


def _rounded(low: float, high: float, step: int, block: int) -> tuple[int, int]:
    """Round an interval of world pixels outward, to whole blocks of voxels of `step`."""
    side = step * block
    return math.floor(low / side) * block, math.ceil(high / side) * block


def _target(name: str, volume: str, dtype: str, export: Mapping[str, Any]) -> Target:
    layout = FORMATS[name]
    codec, level = (export[f"{layout.family}_{key}"] for key in ("codec", "codec_level"))
    z, y, x = export["shard_blocks_zyx"] if layout.sharded else (1, 1, 1)
    container = f"{volume}{layout.suffix}"
    dataset = f"{layout.above}{export.get('dataset') or f'em/fibsem-{dtype}'}"
    return Target(name, container, dataset, codec, level, (z, y, x))


def link_level_0(target: Target, source: Target) -> None:
    """Make level 0 of a pyramid a link to that of another in the same container.

    Safe to repeat.

    Parameters
    ----------
    target
        Gets the link.
    source
        Holds the level.
    """
    folder = target.folder(0)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not folder.is_symlink():
        folder.symlink_to(os.path.relpath(source.folder(0), folder.parent))
