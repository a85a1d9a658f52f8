"""Runs of a volume that are going on: who they are, and how far they have come.

A run claims the parts of a volume that it works on (`scripts/terminal/claims.py`), and leaves its
news beside the claims: what it does, jobs done and planned, the time left, its last words. Both are
small files in ``.snakemake/`` of the working directory, for `scripts.status` and other onlookers.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from scripts.lib import files

CLAIMS = Path(".snakemake/claims")
NEWS = Path(".snakemake/news")


@dataclass(frozen=True)
class News:
    """How far a run has come.

    Attributes
    ----------
    at
        When this was written, seconds since 1970.
    stage
        What it does now.
    done, planned
        Jobs, as far as they are known.
    share
        Of the whole work, 0 to 1.
    left_s
        Time left at the pace of what is done; None while too little is done to tell.
    said
        Lines that the run ended with; nothing while it goes on.
    command
        That does all of the volume, as this run was started.
    stages
        Jobs done and planned of each stage, in order.
    running
        Jobs that run now, by rule and wildcards.
    refused
        The run ended before its first job, with an error that was known then.
    """

    at: float
    stage: str
    done: int
    planned: int
    share: float
    left_s: float | None
    said: tuple[str, ...] = ()
    command: str = ""
    stages: Mapping[str, Sequence[int]] = field(default_factory=dict)
    running: Sequence[str] = ()
    refused: bool = False


@dataclass(frozen=True)
class Run:
    """A run of a volume, the last one of a part: its claim while it is at work, and its news."""

    part: str
    claim: Mapping[str, Any] | None
    news: News | None

    @property
    def at_work(self) -> bool:
        """Tell whether it goes on, as far as this host can know.

        Returns
        -------
        bool
            True too of a run on another host that has not given up its claim.
        """
        return self.claim is not None and alive(self.claim)


def write(work: Path, part: str, news: News) -> None:
    """Leave the news of a run.

    Parameters
    ----------
    work
        Working directory of the volume.
    part
        What the run works on.
    news
        How far it has come.
    """
    files.write_json(work / NEWS / f"{part}.json", asdict(news))


def read(work: Path) -> list[Run]:
    """Read what runs of a volume have left.

    Parameters
    ----------
    work
        Working directory of the volume.

    Returns
    -------
    list of Run
        By the name of their part.
    """
    claims = {path.stem: _json(path) for path in (work / CLAIMS).glob("*.json")}
    news = {path.stem: _news(_json(path)) for path in (work / NEWS).glob("*.json")}
    return [Run(part, claims.get(part), news.get(part)) for part in sorted(claims | news)]


def began(work: Path, run: Run) -> float:
    """Return when a run claimed its part: what failed before is none of its own.

    Parameters
    ----------
    work
        Working directory of the volume.
    run
        One of `read`.

    Returns
    -------
    float
        s since 1970; 0 without a claim.
    """
    claim = work / CLAIMS / f"{run.part}.json"
    return claim.stat().st_mtime if claim.exists() else 0.0


def _json(path: Path) -> dict[str, Any] | None:
    try:
        return dict(files.read_json(path))
    except (OSError, ValueError):
        return None  # it went away, or its host crashed


def _news(value: Mapping[str, Any] | None) -> News | None:
    names = [each.name for each in fields(News)]
    needed = {
        each.name
        for each in fields(News)
        if each.default is MISSING and each.default_factory is MISSING
    }
    if value is None or not needed <= set(value):
        return None
    return News(**{name: value[name] for name in names if name in value})


def started(pid: int | str) -> str:
    """Return when a process of this host started, and since which boot.

    Parameters
    ----------
    pid
        Its number, or ``self``.

    Returns
    -------
    str
        Equal for one process alone; nothing where the system does not tell.
    """
    try:
        since = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}-{since}"
    except OSError:
        return ""


def alive(claim: Mapping[str, Any]) -> bool:
    """Tell whether the process of a claim may still be there.

    Parameters
    ----------
    claim
        Its host, pid and start.

    Returns
    -------
    bool
        True of another host, of which nothing is known.
    """
    if claim["host"] != socket.gethostname():
        return True
    try:
        os.kill(int(claim["pid"]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # of somebody else
    return bool(started(claim["pid"]) == claim["started"])
