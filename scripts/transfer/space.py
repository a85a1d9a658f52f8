"""Free disk space, checked before anything is written; the message holds the numbers."""

from __future__ import annotations

import shutil
from pathlib import Path

GB = 10**9


def free_bytes(path: Path) -> int:
    """Free bytes of the file system on which `path` is, or will be."""
    there = path
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free


def shortage(path: Path, need_bytes: int, reserve_gb: float) -> str | None:
    """Say in numbers what is missing to write `need_bytes` at `path`; None when it fits."""
    free = free_bytes(path)
    if need_bytes <= free - reserve_gb * GB:
        return None
    return (
        f"not enough disk space for {path.name}: {need_bytes / GB:.3f} GB needed, "
        f"{free / GB:.3f} GB free, of which transfer.free_space_gb keeps {reserve_gb:g} GB. Free "
        f"some space or lower that key"
    )
