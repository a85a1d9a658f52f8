"""Who writes which voxels: the plan of an export, slabs of whole blocks, tasks of bounded memory.

A block belongs to the chunk of layers that holds the block's first z. So jobs never share a
block whatever the size of a chunk is; best it is a multiple of the block's z.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from scripts.lib import files, made_by
from scripts.lib.geometry import Box
from scripts.lib.volumes import multiscale
from scripts.lib.volumes.multiscale import Region, Target, VolumeSpec, Zyx

Json = dict[str, Any]


# pyramids beside the first, whose level 0 is a link to that of another
BASE = {"review": "levels", "eight_review": "eight"}
EIGHT_BIT = ("eight", "eight_review")  # of a 16-bit volume


@dataclass(frozen=True)
class Plan:
    """What is exported, and where to."""

    stack: str
    spec: VolumeSpec
    targets: tuple[Target, ...]
    task_px: int
    step_px: int = 1  # world pixels per voxel in x and y; a power of 2
    with_review: bool = False  # a second pyramid that keeps every layer
    drawn_as: str | None = None  # dtype in which voxels are drawn, if they are written in another
    with_eight: bool = False  # a volume in 8 bit beside that of 16

    def to_json(self) -> Json:
        """Return plain JSON values.

        Returns
        -------
        dict
            What `from_json` takes.
        """
        value = {each.name: getattr(self, each.name) for each in fields(self)}
        plain = {
            "spec": self.spec.to_json(),
            "targets": [asdict(target) for target in self.targets],
        }
        # what is not asked for is not said: the plans, and keys, of such exports stay as they were
        later = {key for key in ("drawn_as", "with_eight") if not value[key]}
        return {key: item for key, item in (value | plain).items() if key not in later}

    @property
    def drawn_dtype(self) -> str:
        """Return the type of voxel in which layers are drawn.

        Returns
        -------
        str
            ``uint8`` or ``uint16``.
        """
        return self.drawn_as or self.spec.dtype

    @property
    def in_8_bit(self) -> bool:
        """Tell whether grey values of 16 bit are shown in 8.

        Returns
        -------
        bool
            Then a contrast belongs to the export.
        """
        return self.with_eight or self.drawn_dtype != self.spec.dtype

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
        spec = replace(self.spec, halves_z=False, yx_kept=0, levels=1)
        targets = (replace(t, dataset=f"{t.dataset}_review") for t in self.targets)
        return replace(
            self,
            spec=replace(spec, levels=sensible_levels(spec)),
            targets=tuple(targets),
            with_review=False,
            with_eight=False,
        )

    @property
    def eight(self) -> Plan | None:
        """Return the volume in 8 bit beside that of 16.

        Returns
        -------
        Plan or None
            None when there is none.
        """
        if not self.with_eight:
            return None
        targets = (replace(t, dataset=_in_8_bit(t.dataset)) for t in self.targets)
        return replace(
            self,
            spec=replace(self.spec, dtype="uint8"),
            targets=tuple(targets),
            drawn_as=self.drawn_dtype,
            with_eight=False,
        )

    @property
    def kinds(self) -> dict[str, Plan]:
        """Return the pyramids, by the name of their part of a slab's record.

        Returns
        -------
        dict
            ``levels``; ``review``, ``eight`` and ``eight_review`` if there are such.
        """
        eight = self.eight
        found = {
            "levels": self,
            "review": self.review,
            "eight": eight,
            "eight_review": eight.review if eight else None,
        }
        return {kind: each for kind, each in found.items() if each}

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
        times = max(0, level - self.spec.yx_kept)
        y, x = (max(n, (self.task_px // n * n >> times) // n * n) for n in unit)
        return y, x

    @property
    def levels_at_once(self) -> int:
        """Return how many levels have files that never reach beyond a task's area.

        Returns
        -------
        int
            They are made with level 0, in memory; at least 1. Where z alone is halved a level of
            the whole area would be held beside level 0: it is made of what is stored.
        """
        if self.spec.yx_kept:
            return 1
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
        known = {each.name: value[each.name] for each in fields(Plan) if each.name in value}
        read = {
            "spec": VolumeSpec.from_json(value["spec"]),
            "targets": tuple(Target.from_json(target) for target in value["targets"]),
        }
        return Plan(**known | read)


def _in_8_bit(dataset: str) -> str:
    """Return the name of a dataset of 8 bit beside one of 16."""
    named = dataset.replace("uint16", "uint8")
    return named if named != dataset else f"{dataset}_uint8"


def sensible_levels(spec: VolumeSpec) -> int:
    """Count the levels until one block holds everything, or an axis would have no voxel.

    Where z is never halved it does not count.

    Parameters
    ----------
    spec
        The volume; its own levels do not matter.

    Returns
    -------
    int
        At least 1.
    """
    z, *yx = (math.log2(n / b) for n, b in zip(spec.shape_zyx, spec.block_zyx, strict=True))
    across = max(yx) + spec.yx_kept if max(yx) > 0 else 0
    halvings = max(across, z + spec.z_kept if spec.halves_z and z > 0 else 0)
    z_kept = spec.z_kept if spec.halves_z else None
    most = multiscale.most_levels(spec.shape_zyx, z_kept, spec.yx_kept)
    return min(most, 1 + max(0, math.ceil(halvings)))


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


def output_z(plan: Plan, z_range: tuple[int, int]) -> range:
    """Return the z of a voxel range, as layers are counted.

    Parameters
    ----------
    plan
        The export.
    z_range
        Half open, voxels.

    Returns
    -------
    range
        One for each voxel in z.
    """
    first = plan.spec.origin_px_zyx[0]
    return range(first + z_range[0], first + z_range[1])


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
    value = _made_of(plan, z_range, mixed, export)
    return files.digest(value | {"tiles": tiles, "code": made_by.SLABS.digest()})


def work(
    plan: Plan,
    z_range: tuple[int, int],
    mixed: Sequence[Any],
    export: Mapping[str, Any],
    tiles: str,
) -> str:
    """Digest what a slab's job has to do: as `key`, without the code.

    Parameters
    ----------
    plan, z_range, mixed, export, tiles
        As for `key`.

    Returns
    -------
    str
        SHA-256; it also changes when more levels are made with level 0.
    """
    levels = {kind: each.levels_at_once for kind, each in plan.kinds.items()}
    value = _made_of(plan, z_range, mixed, export)
    return files.digest(value | {"tiles": tiles, "levels": levels})


def _made_of(
    plan: Plan, z_range: tuple[int, int], mixed: Sequence[Any], export: Mapping[str, Any]
) -> Json:
    made_of = [one and [one.a, one.b, one.share] for one in mixed]
    return {"frame": plan.frame, "z": z_range, "mixed": made_of, "export": dict(export)}
