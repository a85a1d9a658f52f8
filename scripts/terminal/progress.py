"""How far a volume is: a share that never falls, though checkpoints add jobs, and the time left.

What earlier runs have done counts as done: a run that goes on begins where the one before ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

# shares of a volume's time, in per cent, as the demo and the volumes of the benchmarks spend it; a
# stage counts in proportion to its own jobs, so jobs that a checkpoint adds move no other stage
WEIGHTS = {
    "transfer": 10,
    "ingest": 3,
    "match": 40,
    "review": 6,
    "solve": 4,
    "zcorr": 12,
    "correct": 5,
    "export": 18,
    "report": 2,
}
_OTHER_WEIGHT = 2
_EARLIEST_SHARE = 0.03  # below it an estimate of the time left means nothing


class Progress:
    """Jobs done and planned of each rule.

    Parameters
    ----------
    stage_of
        Rule -> its stage; rules that are not in it, the targets, do not count.
    until
        The last stage that the run is to reach: the stages before it count although checkpoints
        hide their jobs at first. None: only what is planned counts.
    """

    def __init__(self, stage_of: Mapping[str, str], until: str | None = None) -> None:
        self.stage_of = stage_of
        self.until = until
        self.done: Counter[str] = Counter()
        self.planned: Counter[str] = Counter()
        self.share = 0.0
        self.before = 0.0  # of the share: what earlier runs have done

    def plan(self, jobs: Mapping[str, int], done: Mapping[str, int] | None = None) -> None:
        """Take the jobs of each rule of the whole workflow.

        Parameters
        ----------
        jobs
            Rule -> number of jobs, done or not.
        done
            Rule -> how many of them are done, by this run or by earlier ones.
        """
        was = self._share()
        # a checkpoint's done jobs may be gone
        self.done |= self._known(done or {})
        self.planned = self._known(jobs) | self.done
        self.before += max(0.0, self._share() - was)
        self.share = max(self.share, self._share())

    def _known(self, jobs: Mapping[str, int]) -> Counter[str]:
        return Counter({rule: n for rule, n in jobs.items() if rule in self.stage_of})

    def finish(self, rule: str) -> None:
        """Count a job that ended well.

        Parameters
        ----------
        rule
            Its rule.
        """
        if rule not in self.stage_of:
            return
        self.done[rule] += 1
        self.planned[rule] = max(self.planned[rule], self.done[rule])
        self.share = max(self.share, self._share())

    def count(self, rule: str) -> str:
        """Return how many jobs of a rule are done.

        Parameters
        ----------
        rule
            Its name.

        Returns
        -------
        str
            Like ``3 of 40``; nothing for a rule with one job.
        """
        return f"{self.done[rule]} of {self.planned[rule]}" if self.planned[rule] > 1 else ""

    def stages(self) -> dict[str, tuple[int, int]]:
        """Return how many jobs of each stage are done, and planned.

        Returns
        -------
        dict of tuple
            In the order of the stages; others last.
        """
        done, planned = self._by_stage(self.done), self._by_stage(self.planned)
        order = [*WEIGHTS, *sorted(planned.keys() - WEIGHTS.keys())]
        return {stage: (done[stage], planned[stage]) for stage in order if planned[stage]}

    def left_s(self, elapsed_s: float) -> float | None:
        """Return the time that is left, if the rest goes like what this run has done.

        Parameters
        ----------
        elapsed_s
            Seconds since the run began.

        Returns
        -------
        float or None
            Seconds; None while too little is done to tell.
        """
        own, rest = self.share - self.before, 1 - self.share
        if own < _EARLIEST_SHARE * (own + rest):
            return None
        return elapsed_s * rest / own if own > 0 else 0.0

    def _share(self) -> float:
        done, planned = self._by_stage(self.done), self._by_stage(self.planned)
        weights = {stage: WEIGHTS.get(stage, _OTHER_WEIGHT) for stage in planned}
        parts = (weights[stage] * done[stage] / planned[stage] for stage in planned)
        whole = sum(weights.values()) + self._hidden(set(planned))
        return sum(parts) / whole if whole else 0.0

    def _hidden(self, planned: set[str]) -> int:
        """Weight of the stages not yet planned, after those that are at work and up to the last."""
        order = list(WEIGHTS)
        last = order.index(self.until) if self.until in WEIGHTS else -1
        worked = {self.stage_of[rule] for rule in self.done} or planned
        first = max((order.index(each) for each in worked if each in WEIGHTS), default=last)
        return sum(WEIGHTS[each] for each in order[first : last + 1] if each not in planned)

    def _by_stage(self, jobs: Mapping[str, int]) -> Counter[str]:
        stages: Counter[str] = Counter()
        for rule, n in jobs.items():
            stages[self.stage_of[rule]] += n
        return stages


def duration(seconds: float) -> str:
    """Return a duration as a person would say it.

    Parameters
    ----------
    seconds
        Duration.

    Returns
    -------
    str
        Like ``40 s``, ``12 min`` or ``3.5 h``.
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
