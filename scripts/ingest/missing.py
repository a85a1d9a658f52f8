"""Layers of which no file is there, between layers that are: `ingest/missing_layers.tsv`.

FIBSliceNum of the headers tells of them where the microscope counts its slices; else the time
between two layers does, when it is a multiple of what a layer takes. Either way the specimen was
milled and no image is there: what is missing has a place along z, which a ``gap`` entry of
``ingest.layers`` keeps. What such entries and layers that were left out account for is not
reported.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scripts.ingest.declarations import MOVED, parse, time_order
from scripts.lib.arrays import Array
from scripts.lib.numerics import cadence

COLUMNS = ("z", "after", "layer_id", "after_id", "layers", "by", "evidence")
COUNTER, TIME = "FIBSliceNum", "time"
Row = Mapping[str, str]


@dataclass(frozen=True)
class Missing:
    """`layers` that seem to be missing between the layers with z `after` and `z`."""

    z: int
    after: int
    layer_id: str
    after_id: str
    layers: int
    by: str  # COUNTER, which is sure, or TIME
    evidence: str

    @property
    def text(self) -> str:
        """Return what is wrong, with the entry of ``ingest.layers`` that keeps the place.

        Returns
        -------
        str
            One line.
        """
        what = "a layer seems" if self.layers == 1 else f"{self.layers} layers seem"
        return (
            f"{what} to be missing between z {self.after} and {self.z}: {self.evidence}. Bring the"
            f" files, or keep the place: - {entry(self.row())}"
        )

    def row(self) -> dict[str, Any]:
        """Return the row of ``ingest/missing_layers.tsv``.

        Returns
        -------
        dict
            `COLUMNS`.
        """
        return {name: getattr(self, name) for name in COLUMNS}


def entry(row: Mapping[str, Any]) -> str:
    """Return the entry of ``ingest.layers`` that keeps the place of missing layers.

    Parameters
    ----------
    row
        Row of ``ingest/missing_layers.tsv``.

    Returns
    -------
    str
        YAML on one line.
    """
    words = f"gap: {row['layers']}, after: {row['after_id']}, renumber: true"
    return f"{{{words}, reason: no file of {'it' if int(row['layers']) == 1 else 'them'}}}"


@dataclass
class Search:
    """Layers that are missing, looked for once the slice numbers are known, and kept."""

    layers: Sequence[Row]
    left_out: Collection[str]
    max_gap_s: float
    found: list[Missing] = field(default_factory=list)

    @staticmethod
    def of(
        layers: Sequence[Row], declared: Iterable[Mapping[str, Any]], max_gap_s: float
    ) -> Search:
        """Take what accounts for layers from the decisions.

        Parameters
        ----------
        layers
            Rows of ``ingest/layers.tsv``.
        declared
            Entries of ``ingest.layers``.
        max_gap_s
            Longest time between two layers that is no interruption, s.

        Returns
        -------
        Search
            That has found nothing yet.
        """
        drops = parse(declared).drops
        left_out = sorted(name for name, entry in drops.items() if not entry.keep_z)
        return Search(layers, left_out, max_gap_s)

    def __call__(self, numbers: Mapping[int, float]) -> list[Missing]:
        """Find the layers (`find`).

        Parameters
        ----------
        numbers
            Slice number by z.

        Returns
        -------
        list of Missing
            In order of z.
        """
        self.found = list(find(self.layers, numbers, self.left_out, self.max_gap_s))
        return self.found


def find(
    layers: Sequence[Row],
    numbers: Mapping[int, float],
    left_out: Collection[str] = (),
    max_gap_s: float = np.inf,
) -> Iterator[Missing]:
    """Find layers that are missing.

    Parameters
    ----------
    layers
        Rows of ``ingest/layers.tsv``.
    numbers
        Slice number by z.
    left_out
        Ids of layers that have no z by decision; they are no layers that are missing.
    max_gap_s
        Longest time between two layers that is no interruption, s.

    Yields
    ------
    Missing
        In order of z.
    """
    there = [row for row in layers if row["layer_id"]]
    number = np.array([numbers.get(int(row["z"]), np.nan) for row in there])
    gap_s = np.array([float(row["gap_before_s"] or "nan") for row in there])
    moved = [row["layer_id"] for row in there if row["declared"].startswith(MOVED)]
    for one in _candidates(number, gap_s, max_gap_s):
        low, high, before = there[one.since], there[one.at], there[one.at - 1]
        elsewhere = [*left_out, *(moved if one.by == TIME else ())]
        if one.by == TIME and {low["layer_id"], high["layer_id"]} & {*moved}:
            continue
        reserved = int(high["z"]) - int(low["z"]) - (one.at - one.since)
        layers_left = one.layers - reserved - _between(elsewhere, low["layer_id"], high["layer_id"])
        if layers_left > 0:
            yield Missing(
                int(high["z"]), int(before["z"]), high["layer_id"], before["layer_id"],
                layers_left, one.by, one.evidence,
            )  # fmt: skip


@dataclass(frozen=True)
class _Candidate:
    """Layers missing between those at two positions, before decisions are looked at."""

    since: int
    at: int
    layers: int
    by: str
    evidence: str


def _candidates(number: Array, gap_s: Array, max_gap_s: float) -> Iterator[_Candidate]:
    counted, (timed, usual) = cadence.by_counter(number), cadence.by_time(gap_s, max_gap_s)
    counts = bool(np.isfinite(counted).any())
    since = 0
    for i in range(1, len(number)):
        if counted[i] > 0:
            words = f"{COUNTER} goes from {number[since]:.0f} to {number[i]:.0f}"
            yield _Candidate(since, i, int(counted[i]), COUNTER, words)
        # a layer without a number is reported by the next one that has it
        elif np.isnan(counted[i]) and timed[i] > 0 and (np.isfinite(number[i]) or not counts):
            words = f"{gap_s[i]:.0f} s between them, where {usual[i]:.0f} s are usual"
            yield _Candidate(i - 1, i, int(timed[i]), TIME, words)
        since = i if np.isfinite(number[i]) else since


def _between(ids: Iterable[str], low: str, high: str) -> int:
    """Count the layers whose time lies between those of two."""
    return sum(time_order(low) < time_order(each) < time_order(high) for each in ids)
