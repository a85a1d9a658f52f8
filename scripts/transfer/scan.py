"""Which `.dat` files lie in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from scripts.lib.job import UserError


def dat_files(root: Path) -> list[tuple[str, int]]:
    """Give (path relative to `root`, size in bytes) of all `.dat` files in and below it, sorted.

    Raises
    ------
    UserError
        When the folder does not exist or holds none.
    """
    if not root.is_dir():
        raise UserError(f"transfer.dat_root: expected a folder of .dat files, found none at {root}")
    found = sorted(_walk(root))
    if not found:
        raise UserError(f"transfer.dat_root: expected .dat files in or below {root}, found none")
    return found


def _walk(root: Path) -> Iterator[tuple[str, int]]:
    for folder, _, names in os.walk(root, followlinks=True):
        for name in names:
            path = Path(folder, name)
            # hidden names are files that are still being copied
            if name.endswith(".dat") and not name.startswith("."):
                yield path.relative_to(root).as_posix(), path.lstat().st_size
