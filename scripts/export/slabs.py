"""Who writes which voxels: the plan of an export, slabs of whole blocks, tasks of bounded memory.

A block belongs to the chunk of layers that holds the block's first z. So jobs never share a
block whatever the size of a chunk is; best it is a multiple of the block's z.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from scripts.lib import files, made_by
from scripts.lib.geometry import Box
from scripts.lib.job import UserError
from scripts.lib.volumes import multiscale
from scripts.lib.volumes.formats import FORMATS
from scripts.lib.volumes.multiscale import Region, Target, VolumeSpec, Zyx

Json = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What is exported, and where to."""

    stack: str
    spec: VolumeSpec
    targets: tuple[Target, ...]
    task_px: int
    step_px: int = 1  # world pixels per voxel in x and y; a power of 2
    with_review: bool = False  # a second pyramid that keeps every layer

    def to_json(self) -> Json:
        """Return plain JSON values.

        Returns
        -------
        dict
            What `from_json` takes.
        """
        return {
            "stack": self.stack,
            "spec": self.spec.to_json(),
            "targets": [asdict(target) for target in self.targets],
            "task_px": self.task_px,
            "step_px": self.step_px,
            "with_review": self.with_review,
        }

    @property
    def review(self) -> Plan | None:
        """Return the second pyramid: ``<dataset>_review`` with the same level 0, factors 2, 2, 1.

        Returns
        -------
        Plan or None
            None when there is none.
        """
        if not self.with_review:
            return None
        shape, block = self.spec.shape_zyx, self.spec.block_zyx
        levels = sensible_levels(shape[1:], block[1:])
        targets = (replace(t, dataset=f"{t.dataset}_review") for t in self.targets)
        return replace(
            self,
            spec=replace(self.spec, halves_z=False, levels=levels),
            targets=tuple(targets),
            with_review=False,
        )

    @property
    def kinds(self) -> dict[str, Plan]:
        """Return the pyramids, by the name of their part of a slab's record.

        Returns
        -------
        dict
            ``levels``, and ``review`` if there is one.
        """
        review = self.review
        return {"levels": self} | ({"review": review} if review else {})

    @property
    def unit_zyx(self) -> Zyx:
        """Return the voxels of the largest file of any target: what one job owns is made of these.

        Returns
        -------
        tuple of int
            z, y, x.
        """
        units = [target.unit_zyx(self.spec.block_zyx) for target in self.targets]
        z, y, x = (math.lcm(*sides) for sides in zip(*units, strict=True))
        return z, y, x

    def side_yx(self, level: int) -> tuple[int, int]:
        """Return height and width of a task's area: whole files, halved from level to level.

        Parameters
        ----------
        level
            0 is full resolution.

        Returns
        -------
        tuple of int
            y, x in voxels of the level.
        """
        _, *unit = self.unit_zyx
        y, x = (max(n, (self.task_px // n * n >> level) // n * n) for n in unit)
        return y, x

    @property
    def levels_at_once(self) -> int:
        """Return how many levels have files that never reach beyond a task's area.

        Returns
        -------
        int
            They are made with level 0, in memory; at least 1.
        """
        _, *unit = self.unit_zyx
        sides = self.side_yx(0)
        level = 0
        while level + 1 < self.spec.levels and all(
            side % (n << (level + 1)) == 0 for side, n in zip(sides, unit, strict=True)
        ):
            level += 1
        return level + 1

    @property
    def frame(self) -> Json:
        """Return all that blocks depend on and that stays the same while a volume grows in z.

        Returns
        -------
        dict
            Plain JSON values.
        """
        value = self.to_json()
        spec = self.spec.to_json()
        _, *shape_yx = spec.pop("shape_zyx")
        del value["spec"], spec["levels"]
        return {**value, **spec, "shape_yx": shape_yx}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Plan:
        """Read what `to_json` returned.

        Parameters
        ----------
        value
            The fields, by name; those that older plans lack have their defaults.

        Returns
        -------
        Plan
            As it was.
        """
        return Plan(
            value["stack"],
            VolumeSpec.from_json(value["spec"]),
            tuple(Target.from_json(target) for target in value["targets"]),
            value["task_px"],
            value.get("step_px", 1),
            value.get("with_review", False),
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
    if box is not None:
        bounds, z_range = _cut(bounds, z_range, box)
    grid = (x_block, y_block) if step > 1 and box is None else (1, 1)
    x0, x1 = _rounded(bounds[0], bounds[2], step, grid[0])
    y0, y1 = _rounded(bounds[1], bounds[3], step, grid[1])
    first, last = z_range
    shape = (last - first + 1, y1 - y0, x1 - x0)
    most = sensible_levels(shape, block)
    spec = VolumeSpec(
        shape_zyx=shape,
        block_zyx=block,
        dtype=export.get("dtype", "uint8"),
        voxel_nm_zyx=(voxel_nm["z_nm"], voxel_nm["pixel_nm"] * step, voxel_nm["pixel_nm"] * step),
        origin_px_zyx=(first, y0, x0),
        levels=min(export["levels"], multiscale.most_levels(shape)) if export["levels"] else most,
    )
    targets = [_target(name, volume, spec.dtype, export) for name in sorted(export["formats"])]
    review = export.get("review", False)
    return Plan(stack, spec, tuple(targets), export["task_px"], step, review)


def sensible_levels(shape: Sequence[int], block: Sequence[int]) -> int:
    """Count the levels until one block holds everything, or an axis would have no voxel.

    Parameters
    ----------
    shape, block
        Voxels along the axes that are halved.

    Returns
    -------
    int
        At least 1.
    """
    ratio = max(n / b for n, b in zip(shape, block, strict=True))
    return min(multiscale.most_levels(shape), 1 + max(0, math.ceil(math.log2(ratio))))


def _cut(
    bounds: tuple[float, float, float, float],
    z_range: tuple[int, int],
    box: Mapping[str, Sequence[int] | None],
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
                f"export.box.{name}: found [{first}, {end}], but the stack goes from {low:g} to"
                f" {high:g}; expected a range (first, end) that holds part of it"
            )
    (x0, x1), (y0, y1), (z0, z1) = part.values()
    return (x0, y0, x1, y1), (int(z0), int(z1) - 1)


def _rounded(low: float, high: float, step: int, block: int) -> tuple[int, int]:
    """Round an interval of world pixels outward, to whole blocks of voxels of `step`."""
    side = step * block
    return math.floor(low / side) * block, math.ceil(high / side) * block


def _target(name: str, volume: str, dtype: str, export: Mapping[str, Any]) -> Target:
    layout = FORMATS[name]
    codec, level = (export[f"{layout.family}_{key}"] for key in ("codec", "codec_level"))
    z, y, x = export["shard_blocks_zyx"] if layout.sharded else (1, 1, 1)
    container, dataset = f"{volume}{layout.suffix}", f"{layout.above}em/fibsem-{dtype}"
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


def owned(plan: Plan, z_first: int, z_last: int) -> tuple[int, int]:
    """Return the voxel range in z that a chunk of layers owns: whole files.

    Parameters
    ----------
    plan
        The export.
    z_first, z_last
        Layers of the chunk, inclusive.

    Returns
    -------
    tuple of int
        Half open; may be empty.
    """
    unit, origin = plan.unit_zyx[0], plan.spec.origin_px_zyx[0]
    size = plan.spec.shape_zyx[0]
    start, stop = (
        min(max(math.ceil((z - origin) / unit) * unit, 0), size) for z in (z_first, z_last + 1)
    )
    return start, stop


def areas(plan: Plan, level: int) -> list[tuple[slice, slice]]:
    """Cut a level into areas of whole files, about ``task_px`` wide and high at level 0.

    Parameters
    ----------
    plan
        The export.
    level
        0 is full resolution.

    Returns
    -------
    list
        y, x of each.
    """
    _, height, width = plan.spec.level_shape(level)
    sides = plan.side_yx(level)
    return [(y, x) for y in _spans((0, height), sides[0]) for x in _spans((0, width), sides[1])]


def depths(plan: Plan, z_range: tuple[int, int]) -> list[slice]:
    """Cut a range of z that begins with a whole file into spans one file deep.

    Parameters
    ----------
    plan
        The export.
    z_range
        Half open, voxels.

    Returns
    -------
    list of slice
        In ascending order.
    """
    return list(_spans(z_range, plan.unit_zyx[0]))


def tasks(plan: Plan, level: int) -> list[Region]:
    """Cut a whole level into regions one file deep.

    Parameters
    ----------
    plan
        The export.
    level
        0 is full resolution.

    Returns
    -------
    list of Region
        z, y, x of each.
    """
    whole = depths(plan, (0, plan.spec.level_shape(level)[0]))
    return [(z, y, x) for y, x in areas(plan, level) for z in whole]


def _spans(limits: tuple[int, int], side: int) -> Iterable[slice]:
    start, stop = limits
    return [slice(first, min(first + side, stop)) for first in range(start, stop, side)]


def area(spec: VolumeSpec, region: Region, step_px: int = 1) -> Box:
    """Return the world box of a region of level 0: its pixel centres are whole numbers.

    Parameters
    ----------
    spec
        The volume.
    region
        z, y, x.
    step_px
        World px per voxel.

    Returns
    -------
    Box
        World px.
    """
    _, y0, x0 = spec.origin_px_zyx
    _, rows, columns = region
    edges = (x0 + columns.start, y0 + rows.start, x0 + columns.stop, y0 + rows.stop)
    return Box(*(edge * step_px for edge in edges))


def key(
    plan: Plan,
    z_range: tuple[int, int],
    mixed: Sequence[Any],
    export: Mapping[str, Any],
    tiles: str,
) -> str:
    """Digest all that the voxels of a slab depend on, the code too.

    Parameters
    ----------
    plan
        The export.
    z_range
        Of the slab, half open, voxels.
    mixed
        What each output layer is made of.
    export
        What of the config voxels depend on.
    tiles
        Digest of the slab's tiles.

    Returns
    -------
    str
        SHA-256.
    """
    made_of = [one and [one.a, one.b, one.share] for one in mixed]
    value = {"frame": plan.frame, "z": z_range, "mixed": made_of, "export": dict(export)}
    return files.digest(value | {"tiles": tiles, "code": made_by.SLABS.digest()})
