"""What lies on disk of foreign sources: files by the ends of their names, containers by content."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from scripts.transfer.images import MRC, N5, TIFF, ZARR
from scripts.transfer.layers import Found

SUFFIXES = {
    TIFF: (".tif", ".tiff", ".btf", ".tf8"),
    MRC: (".mrc", ".mrcs", ".rec", ".st", ".map"),
    ZARR: (".zarr",),
    N5: (".n5",),
}


def files(root: Path, kind: str) -> Iterator[Found]:
    """Find the files of a kind in and below a folder, or the outermost containers.

    Parameters
    ----------
    root
        The folder; links are followed.
    kind
        ``tiff``, ``mrc``, ``zarr`` or ``n5``.

    Yields
    ------
    Found
        In no order; hidden ones are left out. Size and time of a container are its folder's.
    """
    start = len(str(root)) + 1
    chunked = kind in (ZARR, N5)
    for folder, folders, names in os.walk(root, followlinks=True):
        if chunked:
            yield from _containers(folder, folders, start)
            continue
        folders[:] = [each for each in folders if not each.startswith(".")]
        for name in names:
            if name.lower().endswith(SUFFIXES[kind]) and not name.startswith("."):
                yield _as_found(f"{folder}/{name}", start)


def _containers(folder: str, folders: list[str], start: int) -> Iterator[Found]:
    from scripts.transfer.chunked_images import is_container

    inside = [name for name in folders if is_container(Path(folder, name))]
    folders[:] = [n for n in folders if n not in inside and not n.startswith(".")]
    for name in inside:
        yield _as_found(f"{folder}/{name}", start)


def _as_found(path: str, start: int) -> Found:
    status = Path(path).lstat() if not Path(path).exists() else Path(path).stat()
    return Found(path[start:], status.st_size, status.st_mtime_ns)
