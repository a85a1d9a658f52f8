"""The time left of a run: what its jobs are expected to take, at the pace of those that ran.

A job of one rule takes a second and one of another hours: as numbers of jobs the first would say
that much is done, and the time left would rise with every job of the second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

UNKNOWN_S = 1.0  # of a job of which nothing is known
_MOST = 0.9  # of a job that still runs, however long it has


class Expected(NamedTuple):
    """What the jobs of one name take: how many there are in the whole volume, seconds of one."""

    jobs: int
    each_s: float


class Pace:
    """When jobs began and how long they took; times are seconds since the run began.

    Parameters
    ----------
    parallel
        How many jobs run side by side.
    """

    def __init__(self, parallel: int = 1) -> None:
        self.parallel = max(1, parallel)
        self._began: dict[int, tuple[str, float]] = {}  # those that run now
        self._first: float | None = None
        self._took: dict[str, list[float]] = {}  # name -> number of jobs, their seconds

    def begin(self, job: int, name: str, now_s: float) -> None:
        """Note that a job began.

        Parameters
        ----------
        job
            Its number.
        name
            Its rule, and run of the matching.
        now_s
            When.
        """
        self._began[job] = name, now_s
        self._first = now_s if self._first is None else self._first

    def end(self, job: int, now_s: float, *, well: bool = True) -> None:
        """Note that a job ended.

        Parameters
        ----------
        job
            Its number.
        now_s
            When.
        well
            False: what it did has to be done again.
        """
        name, began = self._began.pop(job, ("", now_s))
        if name and well:
            took = self._took.setdefault(name, [0, 0.0])
            took[0] += 1
            took[1] += now_s - began

    def left_s(
        self, now_s: float, left: Mapping[str, int], expected: Mapping[str, Expected]
    ) -> float | None:
        """Return the time that is left.

        Parameters
        ----------
        now_s
            The present time.
        left
            Name -> jobs that have not ended.
        expected
            Name -> what one of its jobs takes, before any has run.

        Returns
        -------
        float or None
            Seconds; None where no job has run.
        """
        slow = self._slowness(expected)

        def each_s(name: str) -> float:
            if name in self._took:
                return self._took[name][1] / self._took[name][0]
            return slow * expected[name].each_s if name in expected else UNKNOWN_S * slow

        half: dict[str, float] = {}  # of the jobs that run now, what is done
        for name, began in self._began.values():
            share = min(_MOST, (now_s - began) / max(each_s(name), 1e-9))
            half[name] = half.get(name, 0.0) + share
        done = {name: took[0] + half.get(name, 0.0) for name, took in self._took.items()}
        rest = {name: n - half.get(name, 0.0) for name, n in left.items()}
        spent = self._wall_s((n, each_s(name)) for name, n in (half | done).items())
        if self._first is None or not spent:
            return None
        to_go = self._wall_s((n, each_s(name)) for name, n in rest.items())
        return (now_s - self._first) * to_go / spent

    def _slowness(self, expected: Mapping[str, Expected]) -> float:
        """Return how many times as long jobs took as was expected; 1 where none has run."""
        both = [(took, expected[name]) for name, took in self._took.items() if name in expected]
        said = sum(took[0] * each.each_s for took, each in both)
        return sum(took[1] for took, _ in both) / said if said else 1.0

    def _wall_s(self, jobs: Iterable[tuple[float, float]]) -> float:
        """Time of jobs, (number, seconds of one), name after name, those of a name side by side."""
        return sum(each_s * (n if n < 1 else max(1.0, n / self.parallel)) for n, each_s in jobs)
