"""Watched: a volume stage by stage while it runs: jobs, what runs now, what failed, the cost."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.lib import costs, files
from scripts.lib.running import News
from scripts.report.progress import Stop

ROOT = Path(__file__).resolve().parents[2]
HEADER = ("stage", "jobs done", "of", "running", "failed with")
HISTORY, BENCHMARKS = Path("estimate/history.json"), Path("benchmarks")
_RULE = re.compile(r"^(?:rule|checkpoint) (\w+):|^use rule \w+ as (\w+) with:", re.MULTILINE)


@dataclass(frozen=True)
class Stage:
    """A stage: its jobs, those that run, and the first line of its last error."""

    name: str
    done: int
    planned: int
    running: str = ""
    failed: str = ""

    @property
    def cells(self) -> list[str]:
        """Return the row in the order of `HEADER`.

        Returns
        -------
        list of str
            Empty where there is nothing to say.
        """
        return [self.name, str(self.done), str(self.planned), self.running, self.failed]


def stages(news: News | None, stops: Sequence[Stop], *, at_work: bool) -> list[Stage]:
    """Return the stages of the last run of a volume.

    Parameters
    ----------
    news
        Of the run.
    stops
        Jobs whose log ends with an error.
    at_work
        Whether the run goes on.

    Returns
    -------
    list of Stage
        In order; none where the run left no news of them.
    """
    known = news.stages if news else {}
    running: dict[str, list[str]] = {}
    for rule in news.running if news and at_work else ():
        running.setdefault(stage_of(rule.partition(" ")[0]), []).append(rule)
    failed = {stage_of(stop.rule): stop.headline for stop in reversed(stops)}
    return [
        Stage(name, done, planned, ", ".join(running.get(name, ())), failed.get(name, ""))
        for name, (done, planned) in known.items()
    ]


def stage_of(rule: str) -> str:
    """Return the stage that a rule belongs to.

    Parameters
    ----------
    rule
        Its name.

    Returns
    -------
    str
        Name of the rule's file; empty of a rule that is gone.
    """
    return _stages().get(rule, "")


@functools.cache
def _stages() -> dict[str, str]:
    return {
        first or second: path.stem
        for path in sorted((ROOT / "rules").glob("*.smk"))
        for first, second in _RULE.findall(path.read_text(encoding="utf-8"))
    }


def cost(folder: Path) -> str:
    """Say what a volume has cost so far, beside what was estimated first.

    Parameters
    ----------
    folder
        Its working directory.

    Returns
    -------
    str
        In hours of jobs; without an estimate what was used alone.
    """
    known = [one.wall_s for one in costs.read(folder / BENCHMARKS) if math.isfinite(one.wall_s)]
    used = f"{math.fsum(known) / 3600:.3g} h of jobs so far"
    first = _first_estimate(folder)
    return used if first is None else f"{used}; estimated at first: {first:.3g} core-hours"


def _first_estimate(folder: Path) -> float | None:
    try:
        records = files.read_json(folder / HISTORY)
        return float(min(records, key=lambda each: int(each["jobs_done"]))["core_hours"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def lines(found: Sequence[Stage]) -> list[str]:
    """Return the stages as text.

    Parameters
    ----------
    found
        Stages.

    Returns
    -------
    list of str
        One for each, aligned.
    """
    return [
        f"  {one.name:<10} {one.done:>4} of {one.planned:<4} "
        f"{f'running: {one.running}  ' if one.running else ''}"
        f"{f'failed: {one.failed}' if one.failed else ''}".rstrip()
        for one in found
    ]
