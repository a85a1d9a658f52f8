"""How far a volume is: a share that never falls, though checkpoints add jobs, and the time left.

What earlier runs have done counts as done: a run that goes on begins where the one before ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from scripts.terminal.pace import UNKNOWN_S, Expected, Pace

# where no estimate is there: shares of a volume's time, in per cent, as the demo and the volumes
# of the benchmarks spend it; a stage counts in proportion to its own jobs, so that jobs which a
# checkpoint adds move no other stage
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
    """Jobs done and planned of each name: a rule, and where there is one the run of the matching.

    Parameters
    ----------
    stage_of
        Rule -> its stage; rules that are not in it, the targets, do not count.
    until
        The last stage that the run is to reach: the stages before it count although checkpoints
        hide their jobs at first. None: only what is planned counts.

    Attributes
    ----------
    expected
        Name -> what its jobs take, as estimated; nothing where no estimate can be made.
    pace
        Of the jobs of this run.
    """

    def __init__(self, stage_of: Mapping[str, str], until: str | None = None) -> None:
        self.stage_of = stage_of
        self.until = until
        self.done: Counter[str] = Counter()
        self.planned: Counter[str] = Counter()
        self.expected: Mapping[str, Expected] = {}
        self.pace = Pace()
        self.share = 0.0
        self.before = 0.0  # of the share: what earlier runs have done

    def plan(self, jobs: Mapping[str, int], done: Mapping[str, int] | None = None) -> None:
        """Take the jobs of each name of the whole workflow.

        Parameters
        ----------
        jobs
            Name -> number of jobs, done or not.
        done
            Name -> how many of them are done, by this run or by earlier ones.
        """
        was = self._share()
        # a checkpoint's done jobs may be gone
        self.done |= self._known(done or {})
        self.planned = self._known(jobs) | self.done
        self.before += max(0.0, self._share() - was)
        self.share = max(self.share, self._share())

    def _known(self, jobs: Mapping[str, int]) -> Counter[str]:
        return Counter({name: n for name, n in jobs.items() if rule_of(name) in self.stage_of})

    def finish(self, name: str) -> None:
        """Count a job that ended well.

        Parameters
        ----------
        name
            Its rule, and its run of the matching.
        """
        if rule_of(name) not in self.stage_of:
            return
        self.done[name] += 1
        self.planned[name] = max(self.planned[name], self.done[name])
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
        done, planned = (
            sum(n for name, n in jobs.items() if rule_of(name) == rule)
            for jobs in (self.done, self.planned)
        )
        return f"{done} of {planned}" if planned > 1 else ""

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
        """Return the time that is left, if the rest goes at the pace of what this run has done.

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
        if self.expected:
            whole = self._whole()
            left = {name: n - self.done[name] for name, n in whole.items() if n > self.done[name]}
            return self.pace.left_s(elapsed_s, left, self.expected)
        return elapsed_s * rest / own if own > 0 else 0.0

    def _share(self) -> float:
        return self._share_of_time() if self.expected else self._share_of_stages()

    def _share_of_time(self) -> float:
        parts = {name: n * self._each_s(name) for name, n in self._whole().items()}
        done = sum(min(n * self._each_s(name), parts[name]) for name, n in self.done.items())
        return min(1.0, done / sum(parts.values())) if parts else 0.0

    def _each_s(self, name: str) -> float:
        return self.expected[name].each_s if name in self.expected else UNKNOWN_S

    def _whole(self) -> Counter[str]:
        """Return the jobs of each name, those too that checkpoints still hide."""
        ahead, unseen = set(self._ahead()), self.expected.keys() - self.planned.keys()
        hidden = [name for name in unseen if self.stage_of.get(rule_of(name)) in ahead]
        return self.planned + Counter({name: self.expected[name].jobs for name in sorted(hidden)})

    def _share_of_stages(self) -> float:
        done, planned = self._by_stage(self.done), self._by_stage(self.planned)
        weights = {stage: WEIGHTS.get(stage, _OTHER_WEIGHT) for stage in planned}
        parts = (weights[stage] * done[stage] / planned[stage] for stage in planned)
        whole = sum(weights.values()) + self._hidden(set(planned))
        return sum(parts) / whole if whole else 0.0

    def _hidden(self, planned: set[str]) -> int:
        """Weight of the stages not yet planned."""
        return sum(WEIGHTS[each] for each in self._ahead() if each not in planned)

    def _ahead(self) -> list[str]:
        """Return the stages from the furthest that is at work to the last."""
        order = list(WEIGHTS)
        last = order.index(self.until) if self.until in WEIGHTS else -1
        worked = {self.stage_of[rule_of(name)] for name in self.done or self.planned}
        first = max((order.index(each) for each in worked if each in WEIGHTS), default=last)
        return order[first : last + 1]

    def _by_stage(self, jobs: Mapping[str, int]) -> Counter[str]:
        stages: Counter[str] = Counter()
        for name, n in jobs.items():
            stages[self.stage_of[rule_of(name)]] += n
        return stages


def name_of(rule: str, wildcards: Mapping[str, str]) -> str:
    """Return the name under which jobs of one kind are counted.

    Parameters
    ----------
    rule
        Their rule.
    wildcards
        Of a job.

    Returns
    -------
    str
        The rule, with the run of the matching where there is one: a job within layers and one
        between layers are not alike.
    """
    return f"{rule} {wildcards['run']}" if wildcards.get("run") else rule


def rule_of(name: str) -> str:
    """Return the rule of a name.

    Parameters
    ----------
    name
        Of `name_of`.

    Returns
    -------
    str
        Without the run.
    """
    return name.partition(" ")[0]


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
