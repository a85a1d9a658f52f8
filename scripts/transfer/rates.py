"""Rates: what a job of each rule takes, of `config/rates.tsv` and of the jobs that have run.

`seconds = start_s + units x (s_per_unit + s_per_mpx x Mpx of a unit + s_per_seen_mpx x the Mpx that
are looked at)`, these at most `seen_mpx`, and `MB = start_mb + mb_per_unit x units`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

from scripts.lib.costs import Cost
from scripts.lib.files import read_table

LEAST_JOBS = 2  # that have run before their rate counts
LEAST_RULES = 5  # that have run before they tell how slow the machine is
STORED, ON_DEMAND = "stored", "demand"  # columns `jobs` of what is no job, or no job of a whole run


@dataclass(frozen=True)
class Rate:
    """A row of the table."""

    item: str
    part: str  # cross, montage, or empty
    jobs: str  # what there is a job for, a key of `fan_out.KINDS`
    unit: str  # a key of `fan_out.units`
    start_s: float
    s_per_unit: float
    s_per_mpx: float
    s_per_seen_mpx: float
    seen_mpx: float
    start_mb: float
    mb_per_unit: float
    source: str

    def of_unit_s(self, mpx: float) -> float:
        """Return the seconds of a unit.

        Parameters
        ----------
        mpx
            Its pixels, 10^6.

        Returns
        -------
        float
            Without the start of the job.
        """
        seen = self.s_per_seen_mpx * min(mpx, self.seen_mpx)
        return self.s_per_unit + self.s_per_mpx * mpx + seen


def read(path: Path) -> list[Rate]:
    """Read the table of rates.

    Parameters
    ----------
    path
        ``config/rates.tsv``.

    Returns
    -------
    list of Rate
        In its order.
    """
    texts = {f.name for f in fields(Rate) if f.type == "str"}
    found = []
    for row in read_table(path):
        cells: dict[str, Any] = {
            f.name: row[f.name] if f.name in texts else float(row[f.name]) for f in fields(Rate)
        }
        found.append(Rate(**cells))
    return found


@dataclass(frozen=True)
class Item:
    """Jobs of a rule, or of one run of the matching: how many, and each one's share of the work."""

    rule: str
    run: str
    rate: Rate
    units: float
    mpx: float  # of a unit
    shares: Mapping[str, float]  # name of a job -> share of the units; the sum is 1
    done: Sequence[Cost] = field(default=())
    slowness: float = 1.0  # of this machine, against that of the table

    @cached_property
    def done_names(self) -> set[str]:
        """Return the jobs that have run.

        Returns
        -------
        set of str
            Keys of `shares`; jobs with other names stand for any.
        """
        named = {cost.place[-1] for cost in self.done if cost.place} & self.shares.keys()
        others = len(self.done) - len(named)
        free = [name for name in self.shares if name not in named]
        return named | set(free[:others])

    @property
    def measured(self) -> bool:
        """Tell whether enough jobs have run for their own rate to count.

        Returns
        -------
        bool
            Never of a rule with one job.
        """
        return len(self.done) >= LEAST_JOBS

    @property
    def used_s(self) -> float:
        """Return what the jobs took that have run.

        Returns
        -------
        float
            Seconds of wall time.
        """
        return math.fsum(cost.wall_s for cost in self.done if math.isfinite(cost.wall_s))

    @cached_property
    def unit_s(self) -> float:
        """Return the seconds of a unit: measured, or those of the table.

        Returns
        -------
        float
            Without the start of the job.
        """
        units = self.units * math.fsum(self.shares[name] for name in self.done_names)
        if not (self.measured and units):
            return self.slowness * self.rate.of_unit_s(self.mpx)
        return max(0.0, self.used_s - len(self.done) * self.start_s) / units

    @property
    def start_s(self) -> float:
        """Return what a job takes besides its units.

        Returns
        -------
        float
            Seconds.
        """
        return self.slowness * self.rate.start_s

    @property
    def ratio(self) -> float | None:
        """Return how many times as long the jobs took that have run, as the table says.

        Returns
        -------
        float or None
            None where none has run.
        """
        units = self.units * math.fsum(self.shares[name] for name in self.done_names)
        said = len(self.done_names) * self.rate.start_s + units * self.rate.of_unit_s(self.mpx)
        return self.used_s / said if self.done_names and said else None

    def job_s(self, name: str) -> float:
        """Return what a job is expected to take.

        Parameters
        ----------
        name
            A key of `shares`.

        Returns
        -------
        float
            Seconds.
        """
        return self.start_s + self.units * self.shares[name] * self.unit_s

    @cached_property
    def left(self) -> list[float]:
        """Return what the jobs are expected to take that have not run.

        Returns
        -------
        list of float
            Seconds of each.
        """
        return [self.job_s(name) for name in self.shares if name not in self.done_names]

    @property
    def total_s(self) -> float:
        """Return what all jobs take, those that have run as measured.

        Returns
        -------
        float
            Seconds.
        """
        return self.used_s + math.fsum(self.left)

    @property
    def longest_s(self) -> float:
        """Return what the longest job takes.

        Returns
        -------
        float
            Seconds; 0 without jobs.
        """
        return max([*self.left, *(cost.wall_s for cost in self.done)], default=0.0)

    @property
    def peak_mb(self) -> float:
        """Return the memory that the largest job is expected to take, or took.

        Returns
        -------
        float
            MB; 0 without jobs.
        """
        units = self.units * max(self.shares.values(), default=0.0)
        expected = self.rate.start_mb + self.rate.mb_per_unit * units if self.left else 0.0
        seen = [cost.peak_mb for cost in self.done if math.isfinite(cost.peak_mb)]
        return max([expected if not self.measured else 0.0, *seen], default=0.0)


def at_the_pace(items: Sequence[Item]) -> list[Item]:
    """Scale the rates of the table to the machine, as the rules tell that have run.

    Parameters
    ----------
    items
        Jobs of the volume.

    Returns
    -------
    list of Item
        With the median ratio of what their jobs took to what the table says; unchanged as long as
        fewer than `LEAST_RULES` have run.
    """
    ratios = [item.ratio for item in items if item.ratio is not None]
    pace = median(ratios) if len(ratios) >= LEAST_RULES else 1.0
    return [replace(item, slowness=pace) for item in items]
