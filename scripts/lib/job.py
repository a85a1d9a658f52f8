"""Jobs: what every job script does around its `main`: a log file and uncaught errors in it."""

from __future__ import annotations

import errno
import gc
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}  # nothing in the code explains these
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class UserError(Exception):
    """A fault that a person mends in the config or the data; shown without a traceback."""


@contextmanager
def job(snakemake: Any) -> Iterator[None]:  # noqa: ANN401 - Snakemake's injected object has no type
    """Send logging to the rule's ``log:`` file and to stderr; log any uncaught error there.

    A `UserError` ends the job with its message alone: what is wrong, where, and what to change. So
    does a full disk, or one that must not be written.

    Parameters
    ----------
    snakemake
        The object that Snakemake injects into a script.
    """
    start = time.perf_counter()
    look_for_cycles_seldom()
    _configure(snakemake.log)
    log = logging.getLogger("job")
    log.info("rule %s wildcards %s", snakemake.rule, dict(snakemake.wildcards.items()))
    try:
        yield
    except UserError as error:
        log.error("%s", error)  # noqa: TRY400 - the message is the whole story
        sys.exit(1)
    except OSError as error:
        if error.errno not in _FULL:
            log.exception("rule %s failed", snakemake.rule)
            raise
        reason = os.strerror(error.errno)
        log.error("%s: %s", error.filename or "a file", reason)  # noqa: TRY400
        sys.exit(1)
    except Exception:
        log.exception("rule %s failed", snakemake.rule)
        raise
    log.info("done in %.1f s", time.perf_counter() - start)


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
        handlers.append(logging.FileHandler(path, mode="w"))
    logging.basicConfig(level=logging.INFO, format=FORMAT, handlers=handlers, force=True)
