"""Verdicts: the states of what is judged, and limits that tell them apart.

A limit is absolute and has a name in the config (section ``report.limits``), so that a volume is
not compared with itself: an alignment that is bad everywhere has no outliers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

GOOD, LOOK, NOT_GOOD, ABSENT = "good", "look", "not good", "absent"
_ORDER = (ABSENT, GOOD, LOOK, NOT_GOOD)


@dataclass(frozen=True)
class Limit:
    """Two values of a figure: at `look` a person looks, at `not_good` it is wrong.

    The greater is worse when ``look < not_good``, else the smaller.
    """

    look: float
    not_good: float

    def state(self, value: float | None) -> str:
        """Judge a figure.

        Parameters
        ----------
        value
            In the unit of the limit; None or NaN where it is not known.

        Returns
        -------
        str
            `GOOD`, `LOOK` or `NOT_GOOD`; `LOOK` for what should be known and is not.
        """
        if value is None or value != value:
            return LOOK
        sign = 1 if self.look < self.not_good else -1
        if sign * value >= sign * self.not_good:
            return NOT_GOOD
        return LOOK if sign * value >= sign * self.look else GOOD


def limits(section: Mapping[str, Mapping[str, Any]]) -> dict[str, Limit]:
    """Return the limits of a section of the config.

    Parameters
    ----------
    section
        ``{name: {look, not_good}}``; entries of another form are left out.

    Returns
    -------
    dict of Limit
        By name.
    """
    return {
        name: Limit(float(entry["look"]), float(entry["not_good"]))
        for name, entry in section.items()
        if isinstance(entry, Mapping)
    }


def worst(states: Iterable[str]) -> str:
    """Return the worst of several states.

    Parameters
    ----------
    states
        Any number.

    Returns
    -------
    str
        `ABSENT` for none.
    """
    return max(states, key=_ORDER.index, default=ABSENT)
