"""Estimate: jobs, core-hours, memory and wall time of a volume, and what earlier ones said."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scripts.lib.files import read_json
from scripts.transfer.extent import Extent
from scripts.transfer.rates import Item
from scripts.transfer.storage import Kept

HOUR_S, MINUTE_S = 3600.0, 60.0
# from one job to the next that waits for it: Snakemake's own work; the profiles' polls and latency
LOCAL_GAP_S, CLUSTER_GAP_S = 1.0, 40.0
COLUMNS = (
    *("rule", "run", "stage", "jobs", "jobs_done", "core_hours", "used_core_hours"),
    *("longest_job_min", "asked_min", "peak_mb", "asked_mb", "rate", "source"),
)
MOST_NOTES = 4

Asked = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Limits:
    """How many jobs run side by side, and whether a cluster runs them."""

    parallel: int
    cluster: bool

    @property
    def gap_s(self) -> float:
        """Return the time that passes between two jobs of which one waits for the other.

        Returns
        -------
        float
            Seconds.
        """
        return CLUSTER_GAP_S if self.cluster else LOCAL_GAP_S

    def wall_s(self, jobs_s: Sequence[float]) -> float:
        """Return the wall time of jobs that do not wait for each other.

        Parameters
        ----------
        jobs_s
            Seconds of each.

        Returns
        -------
        float
            Seconds; 0 without jobs.
        """
        if not jobs_s:
            return 0.0
        rounds = math.ceil(len(jobs_s) / self.parallel)
        return max(max(jobs_s), math.fsum(jobs_s) / self.parallel) + rounds * self.gap_s


def rows(items: Iterable[Item], asked: Asked) -> list[dict[str, Any]]:
    """Return a row of the table for each rule, and each run of the matching.

    Parameters
    ----------
    items
        Jobs of the volume.
    asked
        Of each rule its stage, cores, ``mem_mb`` and ``runtime_min``.

    Returns
    -------
    list of dict
        Of `COLUMNS`.
    """
    return [_row(item, asked[item.rule]) for item in items]


def _row(item: Item, asked: Mapping[str, Any]) -> dict[str, Any]:
    hours = asked["cores"] / HOUR_S
    return {
        "rule": item.rule,
        "run": item.run,
        "stage": asked["stage"],
        "jobs": max(len(item.shares), len(item.done)),
        "jobs_done": len(item.done),
        "core_hours": item.total_s * hours,
        "used_core_hours": item.used_s * hours,
        "longest_job_min": item.longest_s / MINUTE_S,
        "asked_min": asked["runtime_min"],
        "peak_mb": min(item.peak_mb, asked["mem_mb"]) if item.left else item.peak_mb,
        "asked_mb": asked["mem_mb"],
        "rate": "done" if not item.left else "measured" if item.measured else "table",
        "source": item.rate.source,
    }


def stages(
    items: Sequence[Item], table: Sequence[Mapping[str, Any]], limits: Limits
) -> list[dict[str, Any]]:
    """Return the sums of each stage.

    Parameters
    ----------
    items
        Jobs of the volume.
    table
        `rows` of them, in the same order.
    limits
        What runs side by side.

    Returns
    -------
    list of dict
        In the order of the stages; ``wall_h`` is that of the jobs that are left.
    """
    sums: dict[str, dict[str, Any]] = {}
    for item, row in zip(items, table, strict=True):
        nothing = dict.fromkeys(("jobs", "jobs_done", "core_hours", "used_core_hours", "wall_h"), 0)
        total = sums.setdefault(row["stage"], nothing | {"peak_mb": 0, "asked_mb": 0})
        for key in ("jobs", "jobs_done", "core_hours", "used_core_hours"):
            total[key] += row[key]
        for key in ("peak_mb", "asked_mb"):
            total[key] = max(total[key], row[key])
        total["wall_h"] += limits.wall_s(item.left) / HOUR_S
    return [{"stage": stage, **total} for stage, total in sums.items()]


def notes(table: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the rules whose jobs are expected to take longer than they may.

    Parameters
    ----------
    table
        Rows of `COLUMNS`.

    Returns
    -------
    list of str
        A line for each, with what to change.
    """
    return [
        f"{row['rule']} {row['run']}".strip()
        + f": {row['longest_job_min']:.0f} min a job, and {row['asked_min']} are asked for."
        f" Make chunks smaller, or set-resources {row['rule']}:runtime in the profile"
        for row in table
        if row["longest_job_min"] > row["asked_min"] and row["rate"] != "done"
    ]


RECORDED = {"extent", "jobs_done", "rules", "core_hours", "peak_gb", "open"}  # keys of `record`


def record(extent: Extent, table: Iterable[Mapping[str, Any]], peak_gb: float) -> dict[str, Any]:
    """Return what later estimates, and the report, compare with what was used.

    Parameters
    ----------
    extent
        Size of the volume.
    table
        Rows of `COLUMNS`.
    peak_gb
        Most space.

    Returns
    -------
    dict
        JSON values.
    """
    listed = list(table)
    return {
        "extent": asdict(extent),
        "jobs_done": sum(row["jobs_done"] for row in listed),
        "rules": sorted({row["rule"] for row in listed}),
        "core_hours": math.fsum(row["core_hours"] for row in listed),
        "peak_gb": peak_gb,
        "open": {_name(row): row["core_hours"] for row in listed if row["rate"] != "done"},
    }


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['rule']} {row['run']}".strip()


def compared(
    before: Iterable[Mapping[str, Any]], table: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Compare earlier estimates with what was used since, where all jobs of a rule have run.

    Parameters
    ----------
    before
        Records of estimates.
    table
        Rows of `COLUMNS` as they are now.

    Returns
    -------
    list of dict
        Of each that can be judged ``jobs_done`` then, ``core_hours`` said and ``used_core_hours``
        of the rules that have ended since, and the ``factor`` of the first to the second.
    """
    ended = {_name(row): row["used_core_hours"] for row in table if row["rate"] == "done"}
    judged = []
    for each in before:
        both = each["open"].keys() & ended.keys()
        said, used = (math.fsum(of[name] for name in both) for of in (each["open"], ended))
        if used:
            judged.append(
                {"jobs_done": each["jobs_done"], "core_hours": said, "used_core_hours": used}
                | {"factor": said / used}
            )
    return judged


def earlier(path: Path) -> list[Mapping[str, Any]]:
    """Read the estimates that were made before.

    Parameters
    ----------
    path
        ``estimate/history.json``; it may be missing.

    Returns
    -------
    list of dict
        Records, in order, without those of another form that an earlier version left.
    """
    found = read_json(path) if path.exists() else []
    records = found if isinstance(found, list) else []
    return [each for each in records if isinstance(each, dict) and each.keys() >= RECORDED]


def found(
    before: Iterable[Mapping[str, Any]], table: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what the table of the stages does not tell.

    Parameters
    ----------
    before
        Records of earlier estimates.
    table
        Rows of `COLUMNS`.

    Returns
    -------
    dict
        Number of rules with ``rates`` of each kind, ``notes``, and ``earlier`` estimates judged.
    """
    rates = Counter(row["rate"] for row in table)
    return {"rates": rates, "notes": notes(table), "earlier": compared(before, table)}


def kept(before: Sequence[Mapping[str, Any]], now: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Add an estimate to those that were made before.

    Parameters
    ----------
    before
        Records, in order.
    now
        The new one.

    Returns
    -------
    list of dict
        One for each number of jobs done: it takes the place of another made at the same point.
    """
    return [each for each in before if each["jobs_done"] != now["jobs_done"]] + [now]


def document(
    now: Mapping[str, Any],
    stages: Sequence[Mapping[str, Any]],
    stored: Sequence[Kept],
    others: Mapping[str, Any],
) -> dict[str, Any]:
    """Return all of an estimate for a JSON file.

    Parameters
    ----------
    now
        Its record.
    stages
        Sums of the stages.
    stored
        Space.
    others
        ``rates``, ``notes`` and ``earlier``.

    Returns
    -------
    dict
        JSON values.
    """
    space = [asdict(each) for each in stored]
    return {**now, "stages": list(stages), "storage": space, **others}
