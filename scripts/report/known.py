"""Known: the figures that a volume without a report has already, of few and small files."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scripts.lib import files
from scripts.lib.verdicts import ABSENT
from scripts.report import gather, summary
from scripts.report.gather import Evidence

Figures = dict[str, Any]
MATCHED = Path("match/summary.tsv")
# stage -> what its figures are made of; the tables of all pairs are too large to be read for a row
_READ = {
    "ingest": ("transfer", "quarantine", "layers", "restarts", "chunks"),
    "solve": ("solved", "layers", "review", "misalignment"),
    "zcorr": ("qc",),
}


def figures(root: Path) -> Figures:
    """Return figures by stage, named as in ``report/summary.json``.

    Parameters
    ----------
    root
        Working directory of the volume.

    Returns
    -------
    dict
        Of the stages that have left any.
    """
    made: dict[str, Callable[[Evidence], Figures]] = {
        "ingest": _layers,
        "match": lambda _: _saved(root / MATCHED),
        "solve": lambda evidence: _counts(evidence) | summary.solve(evidence),
        "zcorr": summary.zcorr,
    }
    out: Figures = {}
    for stage, of in made.items():
        try:
            found = summary.plain(of(gather.few(root, _READ.get(stage, ()))))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # half of a file, or of older code: the other stages are reported
        if found.get("status") == ABSENT:
            del found["status"]
        if found:
            out[stage] = found
    return out


def added(figures: Mapping[str, Any], later: Mapping[str, Any]) -> Figures:
    """Put figures of a report and later ones of some stages together.

    Parameters
    ----------
    figures
        As in ``report/summary.json``.
    later
        What `figures` of this module returns.

    Returns
    -------
    dict
        Later ones in place of those of the report.
    """
    stages = {stage: {**(figures.get(stage) or {}), **known} for stage, known in later.items()}
    return {**figures, **stages}


def saved_pct(table: Path) -> float | None:
    """Return the share of pairs with matches, of all that were compared.

    Parameters
    ----------
    table
        ``match/summary.tsv``: a row for each run and stage, in order; each stage takes what those
        before it have not matched.

    Returns
    -------
    float or None
        %; None without any pair.
    """
    if not table.is_file():
        return None
    tried: dict[str, int] = {}
    saved = 0
    with files.open_table(table) as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            tried.setdefault(row["run"], int(row["processed"]))
            saved += int(row["saved"])
    compared = sum(tried.values())
    return 100 * saved / compared if compared else None


def changed(root: Path) -> float:
    """Return when the files were last written that `figures` is made of.

    Parameters
    ----------
    root
        Working directory of the volume.

    Returns
    -------
    float
        s since 1970; 0 where there is none.
    """
    places = {name: path for name, (path, _) in gather.TABLES.items()} | gather.DOCUMENTS
    there = [root / places[name] for names in _READ.values() for name in names]
    times = (path.stat().st_mtime for path in [root / MATCHED, *there] if path.exists())
    return max(times, default=0.0)


def _layers(evidence: Evidence) -> Figures:
    return (summary.ingest if evidence["layers"].found else summary.transfer)(evidence)


def _saved(table: Path) -> Figures:
    share = saved_pct(table)
    return {} if share is None else {"saved_pct": share}


def _counts(evidence: Evidence) -> Figures:
    """Count tiles; before the solve those that are missing alone are known."""
    if evidence["solved"].found:
        return {"counts": summary.headline(evidence)}
    if not evidence["layers"].found:
        return {}
    holes = summary.holes_of(evidence["layers"])
    return {"counts": {"missing": sum(len(hole["missing"]) for hole in holes)}}
