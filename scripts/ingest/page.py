"""The page of all problems: `ingest/validation.html`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from scripts.ingest.validation import CHECKS, ERROR
from scripts.lib.pages import page
from scripts.lib.pages.page import Part, Section, Table, Text
from scripts.lib.pages.text import spans

Row = Mapping[str, Any]


def render(
    problems: Sequence[Row], layers: Sequence[Mapping[str, str]], found: Mapping[int, str],
    table: str, here: str,
) -> str:  # fmt: skip
    """Return the page of all problems.

    Parameters
    ----------
    problems
        Rows of ``ingest/problems.tsv``, sorted by severity and check.
    layers
        The layer table.
    found
        z -> reason of the restarts.
    table
        Path of ``ingest/problems.tsv``.
    here
        Path of the page in the working directory.

    Returns
    -------
    str
        HTML.
    """
    groups = groupby(problems, key=lambda row: (row["severity"], row["check"]))
    declared = [row for row in layers if row["declared"]]
    sections = [_group(*key, list(rows), table) for key, rows in groups]
    sections += [
        _listed("Layers with a decision", ["z", "layer_id", "status", "declared"], declared),
        _listed(
            f"Restarts of the microscope: {len(found)}", ["z", "reason"],
            [{"z": z, "reason": reason} for z, reason in found.items()],
        ),
    ]  # fmt: skip
    return page.render(
        "Ingest: what was checked", sections, here=here, lead=_lead(problems, layers, table)
    )


def _lead(problems: Sequence[Row], layers: Sequence[Mapping[str, str]], table: str) -> list[Part]:
    errors = sum(row["severity"] == ERROR for row in problems)
    words = Text("No problem: the volume can be published.")
    if errors:
        stopped = f"{errors} problem(s): v1_acquire is not published until they are mended."
        words = Text(f"{stopped} All rows: {table}.", "error")
    tiles = sum(int(row["tiles"]) for row in layers)
    gaps = spans(int(row["z"]) for row in layers if row["status"] == "gap")
    holes = f"; layers without any tile: z {gaps}" if gaps else ""
    return [words, Text(f"{len(layers)} layers, {tiles} tiles{holes}.")]


def _group(severity: str, check: str, rows: Sequence[Row], table: str) -> Section:
    title, remedy = CHECKS[check]
    z = spans(int(row["z"]) for row in rows if row["z"])
    listed = [[row[name] for name in ("z", "layer_id", "tile", "problem")] for row in rows]
    header = ["z", "layer", "tile", "problem"]
    return Section(
        f"{title}: {len(rows)} {severity}(s)",
        [Text(f"{remedy}{f' At z {z}.' if z else ''}"), Table("", header, listed, where=table)],
    )


def _listed(title: str, names: Sequence[str], rows: Sequence[Row]) -> Section:
    table = Table("", names, [[row[name] for name in names] for row in rows])
    return Section(title, [table] if rows else [])
