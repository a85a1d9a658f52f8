"""The disk a volume lies on: one message when it cannot be written, and what killed jobs leave."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.export.slabs import Plan
from scripts.lib.job import UserError, needs
from scripts.lib.volumes import multiscale

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
        for target in plan.targets:
            multiscale.flush(target)


def sweep(plan: Plan) -> int:
    """Remove the unfinished files that killed jobs left in the volumes.

    Only when no job writes any more.

    Parameters
    ----------
    plan
        The export.

    Returns
    -------
    int
        How many there were.
    """
    count = 0
    for target in plan.targets:
        above = [Path(target.container) / part for part in Path(target.dataset).parents]
        inside = (path for folder in above for path in folder.iterdir())
        for path in [*inside, *target.group.rglob("*")]:
            if _UNFINISHED.fullmatch(path.name):
                path.unlink(missing_ok=True)
                count += 1
    return count
