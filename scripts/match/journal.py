"""Rows of a match job that has not ended, so that one that was killed goes on where it was.

The journal lies beside the table that the rows will stand in, in ``match/timing``, a line for each
row. It is no output of a rule: Snakemake removes those of a job that failed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any


def written(
    timing: str | Path | None, rows: Iterable[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    """Pass rows on, each added to the journal as it comes.

    Parameters
    ----------
    timing
        The table that they will stand in; None: nothing is written.
    rows
        Of pairs whose records are stored.

    Yields
    ------
    Mapping
        The rows.
    """
    if timing is None:
        yield from rows
        return
    path = _beside(timing)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write("\n")  # after a line that was cut off
        for row in rows:
            stream.write(json.dumps({name: _text(value) for name, value in row.items()}) + "\n")
            stream.flush()
            yield row


def read(timing: str | Path) -> Iterator[dict[str, str]]:
    """Read the rows of a journal, but one that was cut off.

    Parameters
    ----------
    timing
        The table that they would have stood in.

    Yields
    ------
    dict
        Texts by column, as `files.read_table` gives them; nothing without a journal.
    """
    path = _beside(timing)
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        yield row


def remove(timing: str | Path) -> None:
    """Remove the journal of a table that is written.

    Parameters
    ----------
    timing
        The table.
    """
    _beside(timing).unlink(missing_ok=True)


def _beside(timing: str | Path) -> Path:
    return Path(f"{timing}.journal")


def _text(value: object) -> str:
    """Return what stands in a table for a value."""
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value)
