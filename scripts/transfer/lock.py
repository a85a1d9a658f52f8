"""One copier per microscope: an advisory lock on a file, let go by the system when the run ends."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class LockedError(Exception):
    """Another run holds the lock; the message says which."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; it stays behind, empty of meaning, since to remove it is a race.

    Parameters
    ----------
    path
        The lock file; its folder is made where it is absent.

    Yields
    ------
    None
        While the lock is held.

    Raises
    ------
    LockedError
        When another process holds it; there is no waiting.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            stream.seek(0)
            holder = stream.read().strip() or "an unknown process"
            raise LockedError(f"{path}: held by {holder}") from error
        stream.truncate(0)
        stream.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        stream.flush()
        yield
