"""Free disk space, checked before anything is written; the message holds the numbers."""

from __future__ import annotations

import shutil
from pathlib import Path

GB = 10**9


def free_bytes(path: Path) -> int:
    """Return the free bytes of a file system.

    Parameters
    ----------
    path
        File or folder that is, or will be, on it.

    Returns
    -------
    int
        Bytes that this user may write.
    """
    there = path
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free


def shortage(path: Path, need_bytes: int, reserve_gb: float) -> str | None:
    """Say in numbers what is missing to write a file.

    Parameters
    ----------
    path
        The file.
    need_bytes
        Its size.
    reserve_gb
        What has to stay free, GB of 10^9 bytes.

    Returns
    -------
    str or None
        A line for a person; None when it fits.
    """
    free = free_bytes(path)
    if need_bytes <= free - reserve_gb * GB:
        return None
    return (
        f"not enough disk space for {path.name}: {need_bytes / GB:.3f} GB needed, "
        f"{free / GB:.3f} GB free, of which transfer.free_space_gb keeps {reserve_gb:g} GB. Free "
        f"some space or lower that key"
    )
