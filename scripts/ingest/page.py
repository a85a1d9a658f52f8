"""The page of all problems: `ingest/validation.html`, one file without references to others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2

from scripts.ingest.validation import CHECKS, ERROR

MOST_SHOWN = 200  # rows of one kind; all are in the table beside
_TEMPLATE = Path(__file__).with_name("page.html.j2")


def render(
    problems: Sequence[Mapping[str, Any]],
    layers: Sequence[Mapping[str, str]],
    found: Mapping[int, str],
    table: str,
) -> str:
    """Return the page as HTML.

    `problems` are rows of `ingest/problems.tsv` (whose path is `table`), sorted by severity and
    check; `layers` is the layer table, `found` z -> reason of the restarts.
    """
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(_TEMPLATE.read_text())
    groups = groupby(problems, key=lambda row: (row["severity"], row["check"]))
    return template.render(
        errors=sum(row["severity"] == ERROR for row in problems),
        groups=[_group(*key, list(rows)) for key, rows in groups],
        layers=len(layers),
        tiles=sum(int(row["tiles"]) for row in layers),
        gaps=spans(int(row["z"]) for row in layers if row["status"] == "gap"),
        restarts=list(found.items()),
        declared=[row for row in layers if row["declared"]],
        most=MOST_SHOWN,
        table=table,
    )


def _group(severity: str, check: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    title, remedy = CHECKS[check]
    return {
        "severity": severity,
        "title": title,
        "remedy": remedy,
        "count": len(rows),
        "z": spans(int(row["z"]) for row in rows if row["z"]),
        "rows": rows[:MOST_SHOWN],
        "rest": len(rows) - MOST_SHOWN,
    }


def spans(values: Iterable[int]) -> str:
    """Return z values as text: ``3, 7 to 9``."""
    out: list[list[int]] = []
    for z in sorted(set(values)):
        if out and z == out[-1][1] + 1:
            out[-1][1] = z
        else:
            out.append([z, z])
    shown = [str(a) if a == b else f"{a} to {b}" for a, b in out[:30]]
    return ", ".join(shown) + (f" and {len(out) - 30} more ranges" if len(out) > 30 else "")
