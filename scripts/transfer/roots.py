"""Folders for HDF5 files outside of the working directory, which then holds links to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scripts.lib.job import UserError
from scripts.transfer.storage import FOLDERS


def faults(transfer: Mapping[str, Any], work_dir: Path) -> Iterator[tuple[str, str, str]]:
    """Find what keeps files from being made where the config wants them.

    Parameters
    ----------
    transfer
        Section ``transfer`` of the config, with absolute ``raw_h5`` and ``align_h5``.
    work_dir
        The working directory.

    Yields
    ------
    tuple
        Key, what was found, what to do.
    """
    for key, folder in FOLDERS.items():
        at, target = work_dir / folder, transfer[key]
        stated = f"transfer.{key}"
        if target is None:
            if at.is_symlink():
                change = f"Set {stated}: {at.readlink()}, as when the files were made"
                yield stated, "null", change
        elif at.is_symlink():
            if at.readlink() != Path(target):
                change = f"Set it back; or move the files and the link {at} by hand, between runs"
                yield stated, f"{target}, and files made in {at.readlink()}", change
        elif at.exists():
            change = (
                f"Set {stated}: null; or move all of {at} there and put a link to it in its place"
            )
            yield stated, f"{target}, and the folder {at} of an earlier run", change
        elif Path(target).exists() and not _is_free(Path(target)):
            change = "Name an empty folder; files that are to be gone on from: takeover." + key
            yield stated, f"{target}, which holds something already", change


def _is_free(folder: Path) -> bool:
    return folder.is_dir() and next(folder.iterdir(), None) is None


def place(transfer: Mapping[str, Any], work_dir: Path) -> None:
    """Make the folders, and the links to them; what is there stays.

    Parameters
    ----------
    transfer, work_dir
        As of `faults`.

    Raises
    ------
    UserError
        When files would be made in two places, or among those of others.
    """
    for key, found, change in faults(transfer, work_dir):
        raise UserError(
            f"{key}: expected the place of this volume's files alone, found {found}. {change}"
        )
    for key, folder in FOLDERS.items():
        at, target = work_dir / folder, transfer[key]
        if target is None:
            continue
        Path(target).mkdir(parents=True, exist_ok=True)
        if not at.is_symlink():
            at.parent.mkdir(parents=True, exist_ok=True)
            at.symlink_to(target)
