"""The quarantine folder: one link to every `.dat` that could not be read; the files stay put."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def link(folder: Path, dats: Iterable[Path]) -> None:
    """Make `folder` hold exactly one symbolic link per file, named as the file.

    Parameters
    ----------
    folder
        Made where it is absent; other links in it are removed, files are not.
    dats
        Files, by absolute paths.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {path.name: path for path in dats}
    for old in folder.iterdir():
        if old.is_symlink() and (old.name not in wanted or old.readlink() != wanted[old.name]):
            old.unlink()
    for name, target in wanted.items():
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(target)
