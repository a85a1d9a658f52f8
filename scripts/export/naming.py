"""Names of datasets: a pattern of the config, filled in."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path

from scripts.lib import files
from scripts.lib.job import UserError

_FIELDS = ("project", "stack", "dtype", "time")
_PART = re.compile(r"[A-Za-z0-9][\w.+-]*", re.ASCII)


def dataset(pattern: str, *, known: Mapping[str, str], times: Path) -> str:
    """Return the path of a multiscale group in its container.

    The time is that of the first plan of a stack with this content: it is kept, so that a run that
    is started again goes on in the same place.

    Parameters
    ----------
    pattern
        Of ``export.dataset``: ``{project}``, ``{stack}``, ``{dtype}`` and ``{time}`` are filled in.
    known
        project, stack, dtype; ``digest`` of the stack.
    times
        File that keeps the times, by digest.

    Returns
    -------
    str
        Without a slash at either end.

    Raises
    ------
    UserError
        For an unknown field, and for what is no path of plain names.
    """
    asked = re.findall(r"\{(.*?)\}", pattern)
    wrong = [name for name in asked if name not in _FIELDS]
    value = pattern.strip("/")
    for name in () if wrong else dict.fromkeys(asked):
        filled = _time_of(known["digest"], times) if name == "time" else known[name]
        value = value.replace(f"{{{name}}}", filled)
    if wrong or not all(_PART.fullmatch(part) for part in value.split("/")):
        raise UserError(
            f"export.dataset: found {pattern!r}, expected a path of plain names, like em/fibsem, in"
            f" which {', '.join(f'{{{name}}}' for name in _FIELDS)} are filled in"
        )
    return value


def _time_of(digest: str, path: Path) -> str:
    known: dict[str, str] = files.read_json(path) if path.exists() else {}
    if digest not in known:
        known[digest] = time.strftime("%Y%m%d_%H%M%S")
        files.write_json(path, known)
    return known[digest]
