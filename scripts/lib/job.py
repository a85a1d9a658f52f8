"""Jobs: what every job script does around its `main`: a log file and uncaught errors in it."""

from __future__ import annotations

import errno
import gc
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from scripts.lib import commands

# of the disk, not of the code; what to do about them, after the path and the system's word for it
_FULL = "Free some space there, or set work_dir to a folder on a larger disk"
_CLOSED = (
    "Give whoever runs the workflow access, or name another place (work_dir, transfer.dat_root)"
)
_DISK = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), _FULL),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), _CLOSED),
}
# a full disk in the words of libraries that keep the number to themselves: HDF5, tensorstore,
# SQLite, numpy, and Snakemake where it prints an error of its own
_WORDS_OF_FULL = re.compile(
    r"No space left on device|Disk quota exceeded|errno = (?:28|122)\b|os_error_code='(?:28|122)'"
    r"|database or disk is full|\d+ requested and \d+ written"
)
_LOG_NEEDS = 1 << 20  # bytes; with less the last words of a job may not reach its log
_NEEDS = "VOLUME_NEEDS"  # in the environment, which jobs inherit: how much space the volume takes
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class UserError(Exception):
    """A fault that a person mends in the config or the data; shown without a traceback."""


@contextmanager
def job(snakemake: Any) -> Iterator[None]:  # noqa: ANN401 - Snakemake's injected object has no type
    """Send logging and any uncaught error to the rule's ``log:`` file, or to stderr without one.

    A `UserError` ends the job with its message alone: what is wrong, where, and what to change. So
    do a disk that is full or must not be written, and memory that is used up. The message is the
    last record of the log: the end of a run reads it there (`scripts/terminal`).

    Parameters
    ----------
    snakemake
        The object that Snakemake injects into a script.
    """
    start, to_start_s = time.perf_counter(), _cpu_s()
    look_for_cycles_seldom()
    _configure(snakemake.log)
    log = logging.getLogger("job")
    log.info("rule %s wildcards %s", snakemake.rule, dict(snakemake.wildcards.items()))
    try:
        yield
    except UserError as error:
        _stop(commands.into_sections(str(error)))
    except MemoryError as error:
        log.info("memory", exc_info=True)
        _stop(_memory(snakemake, error))
    except KeyboardInterrupt:
        _stop("stopped as asked")
    except Exception as error:  # noqa: BLE001 - whatever it is, the log has it whole
        of_disk = blamed_on_disk(error)
        if of_disk is None:
            _fault(snakemake)
        log.info("disk", exc_info=True)
        _stop(disk(of_disk))
    log.info(
        "done in %.1f s, of CPU %.2f s and %.2f s to start",
        time.perf_counter() - start,
        _cpu_s() - to_start_s,
        to_start_s,
    )


def _cpu_s() -> float:
    """Return what this process and its children have taken so far."""
    return sum(os.times()[:4])


def blamed_on_disk(error: BaseException) -> OSError | None:
    """Return the fault of a disk that an error is, or came of.

    Parameters
    ----------
    error
        Any error.

    Returns
    -------
    OSError or None
        With a number that `disk` has words for; None for faults of any other kind.
    """
    if isinstance(error, OSError) and error.errno in _DISK:
        return error
    seen: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in seen:  # another error may be what a full disk led to
        if isinstance(one, OSError) and _DISK.get(one.errno or 0) == _FULL:
            return one
        if _WORDS_OF_FULL.search(str(one)):
            return OSError(errno.ENOSPC, str(one))
        seen.append(one)
        one = one.__cause__ or one.__context__
    return None


def full_disk(place: str | Path) -> str:
    """Return that a disk is full, for a job that had no room left to say so.

    Parameters
    ----------
    place
        A file or folder on it; need not be there.

    Returns
    -------
    str
        As `disk`; nothing where there is room for a log.
    """
    if _free_gb(Path(place)) * 1e9 >= _LOG_NEEDS:
        return ""
    return disk(OSError(errno.ENOSPC, "", str(place)))


def disk(error: OSError) -> str:
    """Return what a person does about a disk that cannot be written.

    Parameters
    ----------
    error
        With a number that the system has for a full or closed disk.

    Returns
    -------
    str
        Path, what is wrong with it, how much is free and needed, and the key of the config.
    """
    place = Path(str(error.filename or Path.cwd()))
    remedy = _DISK.get(error.errno or 0, "")
    free = f" ({_free_gb(place):.1f} GB are free there{needs()})" if remedy == _FULL else ""
    return f"{place.absolute()}: {os.strerror(error.errno or 0)}{free}. {remedy}."


def remember_needs(words: str) -> None:
    """Keep, for this process and its jobs, how much space the volume takes.

    Parameters
    ----------
    words
        With the unit; empty where nothing is known.
    """
    os.environ[_NEEDS] = words


def needs() -> str:
    """Return how much space the volume takes.

    Returns
    -------
    str
        The end of a sentence on space; empty where nothing is known.
    """
    words = os.environ.get(_NEEDS, "")
    return f"; the volume needs {words}" if words else ""


def _free_gb(place: Path) -> float:
    there = next((each for each in [place, *place.absolute().parents] if each.exists()), Path("/"))
    return shutil.disk_usage(there).free / 1e9


def _memory(snakemake: Any, error: MemoryError) -> str:  # noqa: ANN401
    had = getattr(snakemake.resources, "mem_mb", "an unknown number of")
    return (
        f"out of memory, planned with {had} MB ({error}). Give it more with"
        f" `{snakemake.rule}:mem_mb=...` under set-resources in the profile, or run fewer jobs at"
        " a time (--cores)"
    )


def _fault(snakemake: Any) -> NoReturn:  # noqa: ANN401
    """End the job with the traceback of the error at hand, in the log and not on the terminal."""
    logging.getLogger("job").exception("rule %s failed", snakemake.rule)
    sys.exit(1)


def _stop(message: str) -> NoReturn:
    """End the job with a message as the last record of its log."""
    logging.getLogger("job").error("%s", message)
    sys.exit(1)


def look_for_cycles_seldom() -> None:
    """Let the garbage collector wait: jobs make records by the ten thousand, and few cycles.

    With Python's defaults it takes a third of the time of a job that publishes a stack.
    """
    gc.set_threshold(50_000, 20, 50)


def _configure(logs: Any) -> None:  # noqa: ANN401 - Snakemake's Log list
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if logs:
        path = Path(str(logs[0]))
        path.parent.mkdir(parents=True, exist_ok=True)
        # not to the terminal too: one job is one line there
        handlers = [logging.FileHandler(path, mode="w")]
    logging.basicConfig(level=logging.INFO, format=FORMAT, handlers=handlers, force=True)
