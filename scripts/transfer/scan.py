"""What lies on disk: `.dat` files in a folder, HDF5 files of layers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from scripts.transfer.layers import Found


def dat_files(root: Path) -> list[Found]:
    """Return all ``.dat`` files in and below a folder; hidden ones are still being copied.

    Parameters
    ----------
    root
        The folder; links are followed.

    Returns
    -------
    list of Found
        Sorted by path; none when the folder is not there.
    """
    return sorted(_walk(root), key=lambda found: found.path)


def _walk(root: Path) -> Iterator[Found]:
    # plain texts: a quarter of the time of paths, and there are 100,000 files
    start = len(str(root)) + 1
    for folder, _, names in os.walk(root, followlinks=True):
        for name in names:
            # hidden names are files that are still being copied
            if name.endswith(".dat") and not name.startswith("."):
                path = f"{folder}/{name}"
                status = _status(path)
                yield Found(path[start:], status.st_size, status.st_mtime_ns)


def _status(path: str) -> os.stat_result:
    try:
        return os.stat(path)  # noqa: PTH116 - see above
    except FileNotFoundError:
        return os.lstat(path)  # a link that leads nowhere is still a file somebody put there


def names_below(root: Path, suffix: str) -> set[str]:
    """Return the names of the files in and below a folder that end alike; no file is opened.

    Parameters
    ----------
    root
        The folder.
    suffix
        How they end.

    Returns
    -------
    set of str
        Without `suffix`; hidden files are left out.
    """
    return {
        name.removesuffix(suffix)
        for _, _, names in os.walk(root)
        for name in names
        if name.endswith(suffix) and not name.startswith(".")
    }
