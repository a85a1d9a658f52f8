"""The disk a volume lies on: one message when it cannot be written, and what killed jobs leave."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.export.slabs import Plan
from scripts.lib.job import UserError, needs
from scripts.lib.volumes import multiscale
from scripts.lib.volumes.multiscale import Target

_MENDABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
_TENSORSTORE_CODE = re.compile(r"os_error_code='(\d+)'")
_UNFINISHED = re.compile(r"\..+\.partial|.+\.__lock")  # ours; tensorstore's


@contextmanager
def reported() -> Iterator[None]:
    """Turn a full disk, a read-only target and the like into one message.

    Raises
    ------
    UserError
        Says what the system said, and that the next run goes on where this one stopped.
    """
    try:
        yield
    except (OSError, ValueError) as error:  # tensorstore raises ValueError for both
        code = _code(error)
        if code not in _MENDABLE:
            raise
        where = getattr(error, "filename", None) or "the volume's folder"
        full = needs() if code in (errno.ENOSPC, errno.EDQUOT) else ""
        raise UserError(
            f"export: {where} cannot be written: {os.strerror(code)}{full}. Mend that and start"
            " the same command again: finished blocks stay, and the job goes on behind them."
        ) from error


def _code(error: Exception) -> int | None:
    if isinstance(error, OSError):
        return error.errno
    found = _TENSORSTORE_CODE.search(str(error))
    return int(found[1]) if found else None


def flush(plan: Plan) -> None:
    """Bring the blocks of all targets to the disk, before a record says that they are there.

    A journal needs none: what a power cut took from a column that it names, `check_slab` finds.

    Parameters
    ----------
    plan
        The export.

    Raises
    ------
    UserError
        As `reported`.
    """
    with reported():
        for each in plan.kinds.values():
            for target in each.targets:
                multiscale.flush(target)


Counts = list[list[int]]  # stored files by target and level


def sweep(plan: Plan) -> dict[str, Counts]:
    """Remove the unfinished files that killed jobs left in the volumes, and count the others.

    Only when no job writes any more. One walk for both: a large volume has 16 million files.

    Parameters
    ----------
    plan
        The export.

    Returns
    -------
    dict
        Number of blocks, or shards, by pyramid, target and level.
    """
    known: dict[str, int] = {}  # level 0 of the second pyramid is a link to that of the first
    return {
        kind: [_swept(target, each.spec.levels, known) for target in each.targets]
        for kind, each in plan.kinds.items()
    }


def stored(target: Target, group: Path, level: int) -> int:
    """Count the finished files of a level; nothing is removed.

    Parameters
    ----------
    target
        The volume.
    group
        The folder of its levels: its own, or where it was promoted to.
    level
        Of the pyramid.

    Returns
    -------
    int
        Blocks, or shards.
    """
    place = os.path.realpath(group / f"s{level}")
    names = (entry.name for entry in multiscale.walk(place))
    return sum(target.layout.names(name) for name in names if not _UNFINISHED.fullmatch(name))


def _swept(target: Target, levels: int, known: dict[str, int]) -> list[int]:
    parts = Path(target.dataset).parents
    for folder in [target.group, *(Path(target.container) / part for part in parts)]:
        with os.scandir(folder) as entries:
            list(_finished(entry for entry in entries if not entry.is_dir()))
    counts = []
    for level in range(levels):
        place = os.path.realpath(target.folder(level))
        if place not in known:
            known[place] = sum(map(target.layout.names, _finished(multiscale.walk(place))))
        counts.append(known[place])
    return counts


def _finished(entries: Iterable[os.DirEntry[str]]) -> Iterator[str]:
    """Yield the names of finished files; the others are removed."""
    for entry in entries:
        if entry.name.isdigit() or not _UNFINISHED.fullmatch(entry.name):
            yield entry.name
        else:
            Path(entry.path).unlink(missing_ok=True)
