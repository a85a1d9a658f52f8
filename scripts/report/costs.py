"""Costs: what each rule asked for and used, and what the estimate had said before."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from scripts.lib.pages.page import Section, Table
from scripts.lib.pages.text import duration, number
from scripts.report.gather import Evidence

Figures = Mapping[str, Any]
Jobs = Sequence[Mapping[str, float]]
HOUR_S, MINUTE_S = 3600.0, 60.0
HEADER = [
    *("rule", "jobs", "core-hours", "share", "CPU", "cores asked", "median job", "longest job"),
    *("time asked", "median memory", "peak memory", "memory asked"),
]


def figures(evidence: Evidence, exported: Figures) -> dict[str, Any]:
    """Return what each rule asked for and used, in order of seconds.

    Parameters
    ----------
    evidence
        What the run left.
    exported
        Figures of the export.

    Returns
    -------
    dict
        Sums, ``rules``, the rate of the export, and ``estimate``: None where none was made.
    """
    rules = {
        name: _cost(jobs, evidence.asked.get(name, {})) for name, jobs in evidence.costs.items()
    }
    ordered = dict(sorted(rules.items(), key=lambda item: (-item[1]["seconds"], item[0])))
    return {
        "seconds": sum(rule["seconds"] for rule in rules.values()),
        "core_hours": math.fsum(rule["core_hours"] for rule in rules.values()),
        "jobs": sum(rule["jobs"] for rule in rules.values()),
        "peak_mb": max((r["peak_mb"] for r in rules.values() if r["peak_mb"]), default=None),
        "rules": ordered,
        "export_mb_per_s": _export_rate(exported, rules),
        "estimate": _estimate(evidence.documents.get("estimate"), rules),
    }


def _cost(jobs: Jobs, asked: Figures) -> dict[str, Any]:
    seconds = [job["s"] for job in jobs]
    cores = asked.get("cores", 1)
    return {
        "jobs": len(jobs),
        "seconds": float(np.nansum(seconds)),
        "core_hours": float(np.nansum(seconds)) * cores / HOUR_S,
        "cpu_seconds": float(np.nansum([job["cpu_time"] for job in jobs])),
        "median_s": _of(np.median, seconds),
        "longest_s": _of(np.max, seconds),
        "median_mb": _of(np.median, [job["max_rss"] for job in jobs]),
        "peak_mb": _of(np.max, [job["max_rss"] for job in jobs]),
        "asked_cores": cores,
        "asked_min": asked.get("runtime_min"),
        "asked_mb": asked.get("mem_mb"),
    }


def _of(measure: Callable[..., Any], values: Sequence[float]) -> float | None:
    """Measure what was measured: Snakemake has no figures of jobs that end at once."""
    known = [value for value in values if math.isfinite(value)]
    return float(measure(known)) if known else None


def _export_rate(exported: Figures, rules: Mapping[str, Figures]) -> float | None:
    seconds = rules.get("render_slab", {}).get("seconds", 0)
    if not exported.get("voxels") or not seconds:
        return None
    return float(
        exported["voxels"] * np.dtype(exported["dtype"] or "uint8").itemsize / 1e6 / seconds
    )


def _estimate(
    history: Sequence[Figures] | None, rules: Mapping[str, Figures]
) -> dict[str, Any] | None:
    """Compare the first estimate with what the jobs used that it was about."""
    needed = {"jobs_done", "core_hours", "rules"}  # a file of an earlier version may lack some
    records = [each for each in history or () if needed <= each.keys()]
    if not records:
        return None
    first = min(records, key=lambda each: int(each["jobs_done"]))
    used = math.fsum(rules[name]["core_hours"] for name in first["rules"] if name in rules)
    return {
        "jobs_done": first["jobs_done"],
        "core_hours": first["core_hours"],
        "used_core_hours": used,
        "factor": first["core_hours"] / used if used else None,
    }


def section(costs: Figures) -> Section:
    """Return the part of the page.

    Parameters
    ----------
    costs
        Block ``costs`` of the figures.

    Returns
    -------
    Section
        A table of the rules below one line.
    """
    rate, said = costs["export_mb_per_s"], costs["estimate"]
    written = f"; export wrote {rate:.1f} MB/s of voxels" if rate else ""
    total = (
        f"{_hours(costs['core_hours'])} core-hours, {duration(costs['seconds'])} of work in"
        f" {costs['jobs']} jobs{written}."
    )
    note = f"{total} Jobs run side by side, so the run itself was shorter.{_said(said)}"
    table = Table("Asked for and used by rule", HEADER, rows(costs))
    return Section("Costs", [table], note, id="costs")


def _said(said: Figures | None) -> str:
    if said is None:
        return ""
    when = f"after {said['jobs_done']} jobs" if said["jobs_done"] else "before the run"
    return (
        f" The estimate made {when} said {_hours(said['core_hours'])} core-hours, its jobs used"
        f" {_hours(said['used_core_hours'])}."
    )


def rows(costs: Figures) -> list[list[Any]]:
    """Return one row per rule, with a bar of its share of the largest.

    Parameters
    ----------
    costs
        Block ``costs`` of the figures.

    Returns
    -------
    list of list
        Cells in the order of `HEADER`.
    """
    largest = max((rule["seconds"] for rule in costs["rules"].values()), default=0) or 1
    bar = Markup('<span class="bar" style="width:{:.1f}%"></span>')
    return [
        [
            name,
            number(rule["jobs"]),
            _hours(rule["core_hours"]),
            bar.format(100 * rule["seconds"] / largest),
            duration(rule["cpu_seconds"]),
            number(rule["asked_cores"]),
            duration(rule["median_s"]),
            duration(rule["longest_s"]),
            duration(None if rule["asked_min"] is None else rule["asked_min"] * MINUTE_S),
            *(number(rule[key], 0, "MB") for key in ("median_mb", "peak_mb", "asked_mb")),
        ]
        for name, rule in costs["rules"].items()
    ]


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}"
