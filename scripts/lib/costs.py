"""Costs: what the jobs of a volume took, from Snakemake's benchmark files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from scripts.lib.files import read_table


@dataclass(frozen=True)
class Cost:
    """What one job took; NaN where nothing was measured, as in jobs that end within a second."""

    rule: str
    place: tuple[str, ...]  # wildcards of the job, as in the name of its benchmark file
    wall_s: float
    cpu_s: float
    peak_mb: float


def read(folder: Path) -> list[Cost]:
    """Read all benchmark files.

    Parameters
    ----------
    folder
        ``benchmarks`` of the working directory; it may be missing.

    Returns
    -------
    list of Cost
        In order of the files' names.
    """
    found = []
    for path in sorted(folder.rglob("*.tsv")):
        rule, *place = path.relative_to(folder).with_suffix("").parts
        for row in read_table(path):
            wall_s, cpu_s, peak_mb = (_measure(row.get(k)) for k in ("s", "cpu_time", "max_rss"))
            found.append(Cost(rule, tuple(place), wall_s, cpu_s, peak_mb))
    return found


def _measure(cell: str | None) -> float:
    """Snakemake writes "NA" or "-" for what it did not measure."""
    try:
        return float(cell or "nan")
    except ValueError:
        return math.nan
