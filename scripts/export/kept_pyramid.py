"""Lower resolutions of a volume that grows: what was made of the same voxels stays as it is.

Snakemake removes the record of a pyramid's job before the job runs, so a copy of it lies in
``kept/`` beside it. A row of the copy has a name of its own since its blocks were last written, by
which `close_export` knows what it has read back since. The copy is gone while a job is at work: of
a job that was killed nobody knows which blocks are whose.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.export import stored
from scripts.export.slabs import Plan
from scripts.lib import files

Row = Mapping[str, Any]
Levels = Mapping[str, Sequence[Sequence[Row]]]  # rows by pyramid and level, s1 first

_NAME = "written"  # column of a copy
_CLOSED = "closed.json"  # names of the rows that were read back


def _copy(out: str | Path) -> Path:
    return Path(out).parent / "kept" / Path(out).name


def take(out: str | Path, plan: Plan) -> dict[str, list[list[dict[str, Any]]]]:
    """Read the copy of a record, and remove it: its blocks are about to be written.

    Parameters
    ----------
    out
        The record that the job will write.
    plan
        The export.

    Returns
    -------
    dict
        Named rows by pyramid and level, s1 first; only rows whose files are all there.
    """
    path = _copy(out)
    if not path.exists():
        return {}
    found = files.read_json(path)
    path.unlink()
    return {
        kind: [
            [row for row in rows if stored.is_stored(plan.kinds[kind], level, row)]
            for level, rows in enumerate(levels, start=1)
            if level < plan.kinds[kind].spec.levels
        ]
        for kind, levels in found.items()
        if kind in plan.kinds
    }


def unnamed(rows: Levels) -> dict[str, list[list[dict[str, Any]]]]:
    """Return rows as the record of a job has them.

    Parameters
    ----------
    rows
        Of `take`.

    Returns
    -------
    dict
        The same without names.
    """
    return {
        kind: [[{k: v for k, v in row.items() if k != _NAME} for row in level] for level in levels]
        for kind, levels in rows.items()
    }


def put(out: str | Path, built: Levels, before: Levels) -> None:
    """Write the copy of a record: rows that were taken keep their names, others get one.

    Parameters
    ----------
    out
        The record that the job wrote.
    built
        Its rows by pyramid and level, s1 first.
    before
        Of `take`.
    """
    named = {
        kind: [
            [{**row, _NAME: names.get(row["made_of"]) or uuid.uuid4().hex} for row in level]
            for level, names in zip(levels, _names(before.get(kind, ()), len(levels)), strict=True)
        ]
        for kind, levels in built.items()
    }
    files.write_json(_copy(out), named)


def _names(levels: Sequence[Sequence[Row]], number: int) -> list[dict[str, str]]:
    found = [{row["made_of"]: row[_NAME] for row in level} for level in levels]
    return [*found, *({} for _ in range(number - len(found)))][:number]


def unread(built: Levels, records: Sequence[str | Path], volume: str | Path) -> Levels:
    """Return the rows whose blocks were written since they were last read back.

    Parameters
    ----------
    built
        Rows by pyramid and level, s1 first.
    records
        What jobs of the pyramid wrote.
    volume
        The record that closes the export.

    Returns
    -------
    dict
        Some of `built`.
    """
    path = _copy(volume).with_name(_CLOSED)
    closed = set(files.read_json(path)) if path.exists() else set()
    read = {
        (kind, level, row["made_of"])
        for kind, level, row in _copied(records)
        if row[_NAME] in closed
    }
    return {
        kind: [
            [row for row in rows if (kind, level, row.get("made_of")) not in read]
            for level, rows in enumerate(levels)
        ]
        for kind, levels in built.items()
    }


def closed(records: Sequence[str | Path], volume: str | Path) -> None:
    """Record that all blocks of the pyramid are as they were written.

    Parameters
    ----------
    records
        What jobs of the pyramid wrote.
    volume
        The record that closes the export.
    """
    names = sorted(row[_NAME] for _, _, row in _copied(records))
    files.write_json(_copy(volume).with_name(_CLOSED), names)


def forget(records: Sequence[str | Path]) -> None:
    """Remove the copies: something is damaged, and what is removed by hand must be made anew.

    Parameters
    ----------
    records
        What jobs of the pyramid wrote.
    """
    for path in records:
        _copy(path).unlink(missing_ok=True)


def _copied(records: Sequence[str | Path]) -> Iterable[tuple[str, int, Row]]:
    for path in filter(Path.exists, map(_copy, records)):
        for kind, levels in files.read_json(path).items():
            for level, rows in enumerate(levels):
                yield from ((kind, level, row) for row in rows)
