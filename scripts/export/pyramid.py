"""Lower resolutions by means: with level 0 while in memory, the rest from what is stored."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from scripts.export import slabs, stored
from scripts.export.buffer import PlaneBuffer
from scripts.export.slabs import BASE, EIGHT_BIT, Plan
from scripts.lib import files, made_by
from scripts.lib.arrays import Voxels
from scripts.lib.numerics import kernels
from scripts.lib.volumes import multiscale
from scripts.lib.volumes.multiscale import Level, Region

log = logging.getLogger(__name__)

Row = dict[str, Any]
Rows = dict[str, list[list[Row]]]  # records by pyramid and level
Place = tuple[tuple[int, int], ...]


class Column:
    """One area of a slab at all levels that a job makes at once, from the lowest z to the highest.

    Level k of a file lies in the slab when all voxels it averages do; those that reach into the
    next slab are left to `build`. At most 1/7 of a task's voxels are held beside it while it is
    rendered, 1/3 where levels keep every layer.

    Parameters
    ----------
    plan
        The export.
    z_range
        Of the slab, half open, voxels.
    area
        y, x.
    """

    def __init__(self, plan: Plan, z_range: tuple[int, int], area: tuple[slice, slice]) -> None:
        self._plan = plan
        depth = min(plan.unit_zyx[0], z_range[1] - z_range[0])
        high, wide = (part.stop - part.start for part in area)
        self._shape = (depth, high, wide)
        self._buffer = PlaneBuffer(math.prod(self._shape) * np.dtype(plan.drawn_dtype).itemsize)
        self._pyramids = {kind: _Levels(each, kind, z_range) for kind, each in plan.kinds.items()}
        self._in_8_bit = set(EIGHT_BIT) if plan.spec.dtype == plan.drawn_dtype else {*plan.kinds}

    @property
    def rows(self) -> Rows:
        """Return the records of what is written.

        Returns
        -------
        dict
            By pyramid and level.
        """
        return {kind: each.rows for kind, each in self._pyramids.items()}

    def voxels(self, depth: int) -> Voxels:
        """Return memory for planes of level 0; the one before, and its content, is gone.

        Parameters
        ----------
        depth
            Number of planes, at most those of one file.

        Returns
        -------
        Voxels
            (depth, h, w) of the area, of any content.
        """
        return self._buffer.array((depth, *self._shape[1:]), self._plan.drawn_dtype)

    def put(self, region: Region, voxels: Voxels, eight: Voxels | None = None) -> None:
        """Write the voxels of a region one file deep, and what they complete at lower levels.

        Parameters
        ----------
        region
            z, y, x.
        voxels
            (z, y, x) as `voxels` gave them; their content may be lost.
        eight
            The same in 8 bit, where the volume is written in 8 bit, too, or in place of `voxels`.
        """
        for kind, pyramid in reversed(self._pyramids.items()):
            shown = eight if kind in self._in_8_bit else voxels
            if shown is None:
                raise ValueError(f"{kind}: expected the voxels in 8 bit, too")
            # the first pyramid is the last to be written: what it has halved is needed no more
            last = kind == "levels" and shown is voxels
            pyramid.put(0, region, shown, self._buffer if last else None)


class _Levels:
    """The levels of one pyramid in a column."""

    def __init__(self, plan: Plan, kind: str, z_range: tuple[int, int]) -> None:
        self._plan, self._z_range = plan, z_range
        self._links_level_0 = kind in BASE
        self._open = _open(plan)
        self.rows: list[list[Row]] = [[] for _ in self._open]
        self._held: dict[int, Voxels] = {}

    def put(
        self, level: int, region: Region, voxels: Voxels, buffer: PlaneBuffer | None = None
    ) -> None:
        """Write the voxels of a region one file deep, and what they complete at lower levels.

        Their memory goes back to `buffer` plane by plane, where there is one.
        """
        if level or not self._links_level_0:
            for goal in self._open[level]:
                goal.write(region, voxels)
            self.rows[level].append(stored.record(region, voxels, self._plan))
        if level + 1 < len(self.rows):
            self._pass_on(level + 1, region, voxels, buffer)

    def _pass_on(
        self, level: int, below: Region, voxels: Voxels, buffer: PlaneBuffer | None
    ) -> None:
        goal, (step, *_) = self._goal(level, below), self._plan.spec.steps_zyx(level)
        if goal is None:
            return
        if level not in self._held:
            shape = [part.stop - part.start for part in goal]
            self._held[level] = np.zeros(shape, voxels.dtype)
        first = below[0].start // step - goal[0].start
        half = self._held[level][first : first + len(voxels) // step]
        for k in range(len(half)):
            _halve_into(half[k : k + 1], voxels[step * k : step * (k + 1)])
            if buffer:  # at once: what is written is new memory as well
                buffer.forget(voxels, step * (k + 1))
        if below[0].stop // step >= goal[0].stop:
            self.put(level, goal, self._held.pop(level))

    def _goal(self, level: int, below: Region) -> Region | None:
        """Return the region of `level` that `below` belongs to, if all of it lies in the slab."""
        unit, shape = self._plan.unit_zyx[0], self._plan.spec.level_shape(level)
        step, factor = self._plan.spec.steps_zyx(level)[0], self._plan.spec.factors_zyx(level)[0]
        start = below[0].start // (step * unit) * unit
        z, y, x = (
            slice(first, min(stop, size))
            for (first, stop), size in zip(
                ((start, start + unit), *((p.start // 2, p.stop // 2) for p in below[1:])),
                shape,
                strict=True,
            )
        )
        last = self._z_range[1] == self._plan.spec.shape_zyx[0] and z.stop == shape[0]
        inside = self._z_range[0] <= z.start * factor and (
            last or z.stop * factor <= self._z_range[1]
        )
        empty = any(part.start >= part.stop for part in (z, y, x))
        return (z, y, x) if inside and not empty else None


def _open(plan: Plan) -> list[list[Level]]:
    """Open the levels that are made with level 0."""
    levels = range(plan.levels_at_once)
    return [[multiscale.open_level(t, level) for t in plan.targets] for level in levels]


def _halve_into(out: Voxels, voxels: Voxels) -> None:
    """Average 2×2×2 voxels, 2×2 of each layer, or 2 in z, as the depths and widths have it.

    What has no partner at an odd end is dropped.
    """
    step = len(voxels) // len(out)
    for k, plane in enumerate(out):
        lower, upper = voxels[step * k], voxels[step * (k + 1) - 1]
        if plane.shape == lower.shape:
            plane[...] = (lower.astype(np.uint32) + upper + 1) >> 1
        else:
            kernels.halve(lower, upper, plane)


def made(
    plan: Plan, level: int, records: Sequence[Mapping[str, Any]], kind: str = "levels"
) -> list[Row]:
    """Return the records of a level that slabs wrote and that are still files of the volume.

    A preview grows: what was the volume's end, and cut, no longer is.

    Parameters
    ----------
    plan
        The export, or its review pyramid.
    level
        0 is full resolution.
    records
        Of slabs or spans.
    kind
        Of the pyramid; level 0 of those in `slabs.BASE` is that of another.

    Returns
    -------
    list of dict
        In order of `slabs.tasks` of each record.
    """
    wanted = {_place(region) for region in slabs.tasks(plan, level)}
    kind = kind if level else BASE.get(kind, kind)
    rows = (row for one in records for row in one[kind][level : level + 1] or ())
    return [row for part in rows for row in part if _place(stored.region_of(row)) in wanted]


def levels(
    plan: Plan,
    kind: str,
    records: Sequence[Mapping[str, Any]],
    known: Sequence[Sequence[Row]] = (),
    *,
    within: tuple[int, int] | None = None,
) -> list[list[Row]]:
    """Build level after level of one pyramid.

    Parameters
    ----------
    plan
        The export, or its review pyramid.
    kind
        Of the pyramid.
    records
        Of slabs and spans.
    known
        As of `build`, level by level.
    within
        A range of z of level 0: what is not made of its layers alone is left.

    Returns
    -------
    list of list
        Records of what was made here, from s1 on.
    """
    out: list[list[Row]] = []
    below = made(plan, 0, records, kind)
    for level in range(1, plan.spec.levels):
        earlier = known[level - 1] if level <= len(known) else ()
        there = made(plan, level, records, kind)
        out.append(list(build(plan, level, below, there, earlier, within=within)))
        below = [*there, *out[-1]]
        fresh = len(out[-1]) - sum(row in earlier for row in out[-1])
        log.info(
            "%s: level %d: %d tasks there, %d here, %d of them made now",
            *(kind, level, len(there), len(out[-1]), fresh),
        )
    return out


def z_range(records: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Return the layers of level 0 that the slabs of some records wrote.

    Parameters
    ----------
    records
        Of slabs.

    Returns
    -------
    tuple of int
        Half open, voxels.
    """
    spans = [row["zyx"][0] for one in records for row in one["levels"][0]]
    return min((z for z, _ in spans), default=0), max((z for _, z in spans), default=0)


def build(
    plan: Plan,
    level: int,
    below: Sequence[Row],
    there: Sequence[Row],
    known: Sequence[Row] = (),
    *,
    within: tuple[int, int] | None = None,
) -> Iterator[Row]:
    """Make what is missing of a level (>= 1) in all targets.

    Voxels are read from the first target only: all hold the same.

    Parameters
    ----------
    plan
        Of the volume.
    level
        The level to make.
    below
        Records of the level before, all of it.
    there
        Records of this level that slabs wrote.
    known
        Records of this level from an earlier run: a task that would be made of the same voxels is
        left as it is.
    within
        Only tasks made of these layers of level 0 alone.

    Yields
    ------
    dict
        The records, as they are written.
    """
    source = multiscale.open_level(plan.targets[0], level - 1)
    goals = [multiscale.open_level(target, level) for target in plan.targets]
    done = {row["made_of"]: row for row in known if "made_of" in row}
    written = {_place(stored.region_of(row)) for row in there}
    for region in slabs.tasks(plan, level):
        if _place(region) in written or not _is_within(plan, level, region, within):
            continue
        made_of = _made_of(plan, level, region, below)
        yield done.get(made_of) or _one(source, goals, level, region, plan) | {"made_of": made_of}


def _is_within(plan: Plan, level: int, region: Region, within: tuple[int, int] | None) -> bool:
    """Tell whether all that a region is made of lies in a range of z of level 0."""
    if within is None:
        return True
    factor, depth = plan.spec.factors_zyx(level)[0], plan.spec.level_shape(level)[0]
    start, stop = region[0].start * factor, region[0].stop * factor
    if region[0].stop == depth:  # an odd end is dropped
        stop = plan.spec.shape_zyx[0]
    return bool(within[0] <= start and stop <= within[1])


def _one(source: Level, goals: list[Level], level: int, region: Region, plan: Plan) -> Row:
    """Make one task; of the level below the files of one depth at a time are in memory."""
    z, y, x = region
    voxels = np.empty([part.stop - part.start for part in region], plan.spec.dtype)
    step = plan.spec.steps_zyx(level)[0]
    planes = max(1, plan.unit_zyx[0] // step)  # of one depth below
    for first in range(z.start, z.stop, planes):
        part = slice(first, min(first + planes, z.stop))
        out = voxels[part.start - z.start : part.stop - z.start]
        _halve_into(out, source.read(_doubled(plan, level, (part, y, x))))
    for goal in goals:
        goal.write(region, voxels)
    return stored.record(region, voxels, plan)


def _made_of(plan: Plan, level: int, region: Region, below: Sequence[Row]) -> str:
    """Digest of a task's place and of the tasks below that it reads."""
    wanted = _doubled(plan, level, region)
    read = sorted(
        (row["zyx"], row["crc32"])
        for row in below
        if all(
            start < part.stop and part.start < stop
            for part, (start, stop) in zip(wanted, row["zyx"], strict=True)
        )
    )
    place = [[part.start, part.stop] for part in region]
    made_of = {"frame": plan.frame, "zyx": place, "below": read}
    return files.digest(made_of | {"code": made_by.PYRAMID.digest()})


def _doubled(plan: Plan, level: int, region: Region) -> Region:
    """Return the region of the level below that a region is made of."""
    z, y, x = (
        slice(step * part.start, step * part.stop)
        for step, part in zip(plan.spec.steps_zyx(level), region, strict=True)
    )
    return z, y, x


def _place(region: Region) -> Place:
    return tuple((part.start, part.stop) for part in region)


def voxels(rows: Sequence[Mapping[str, Any]]) -> int:
    """Count the voxels of records.

    Parameters
    ----------
    rows
        As of `stored.record`.

    Returns
    -------
    int
        Their number.
    """
    return sum(math.prod(stop - start for start, stop in row["zyx"]) for row in rows)
