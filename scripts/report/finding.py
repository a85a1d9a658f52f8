"""Finding: one thing to look at, and how findings make the verdict of a stage."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from scripts.lib import verdicts
from scripts.lib.verdicts import GOOD, LOOK, NOT_GOOD

_RANK = {NOT_GOOD: 0, LOOK: 1, GOOD: 2}


@dataclass(frozen=True)
class Finding:
    """One thing to look at; a note, whose `state` is good, changes no verdict."""

    stage: str
    what: str
    where: str
    advice: str
    state: str = GOOD
    lines: str = ""  # YAML to copy into the volume's config
    command: str = ""  # to copy

    @property
    def reason(self) -> str:
        """Return what and where in one line.

        Returns
        -------
        str
            What alone where it is everywhere.
        """
        return f"{self.where}: {self.what}" if self.where else self.what

    @property
    def record(self) -> dict[str, str]:
        """Return the finding as it stands in ``report/summary.json``.

        Returns
        -------
        dict
            Texts by the names of the fields.
        """
        return dict(asdict(self))


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings with the worst first, else as they came.

    Parameters
    ----------
    findings
        In the order in which they are reported.

    Returns
    -------
    list of Finding
        Those of one state in the order given.
    """
    return sorted(findings, key=lambda one: _RANK[one.state])


def state_of(findings: Iterable[Finding], stage: str) -> str:
    """Return the state that the findings give a stage that the run has reached.

    Parameters
    ----------
    findings
        Those of any stages.
    stage
        Its name.

    Returns
    -------
    str
        Good, look or not good.
    """
    return verdicts.worst([GOOD, *(one.state for one in findings if one.stage == stage)])


def spans(z: Iterable[int]) -> str:
    """Return whole numbers as runs.

    Parameters
    ----------
    z
        In any order.

    Returns
    -------
    str
        ``1-7, 20, 30-31``, at most six runs.
    """
    runs: list[list[int]] = []
    for value in sorted(z):
        if runs and value <= runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    shown = [f"{a}" if a == b else f"{a}-{b}" for a, b in runs[:6]]
    return ", ".join(shown) + (", …" if len(runs) > 6 else "")
