"""What a finished volume no longer needs: listed with sizes, removed only as listed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py

from scripts.lib import files
from scripts.lib.job import UserError

COLUMNS = ("path", "files", "bytes", "what")
# in the working directory; each can be made again from the archive. No declared output of a rule of
# the volume is among them: Snakemake would make it again at once
_KINDS = {
    "h5/align": "8-bit images for alignment; conversion of the archived raw files makes them again",
    "h5/restored": "copies of archived raw files",
    "preview": "preview of the unaligned volume",
}
_SHOWN = 5
Row = dict[str, Any]


def found(work_dir: Path) -> list[Row]:
    """List what is there.

    Parameters
    ----------
    work_dir
        The working directory.

    Returns
    -------
    list of dict
        A row of `COLUMNS` for each folder: number of files and bytes.
    """
    rows = []
    for name, what in _KINDS.items():
        sizes = [entry.stat(follow_symlinks=False).st_size for entry in _files(work_dir / name)]
        if sizes:
            rows.append({"path": name, "files": len(sizes), "bytes": sum(sizes), "what": what})
    return rows


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    for entry in os.scandir(folder) if folder.is_dir() else ():
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path))
        else:
            yield entry


def check_archive(layers: Sequence[Mapping[str, str]], archive_root: str | None) -> None:
    """Check that the archive holds a readable raw file with all tiles of every layer.

    A layer counts when its transfer compared the archive's file with its source byte by byte
    (``archived`` is 1). Whether the file still is there, opens and has as many tiles is looked at
    here.

    Parameters
    ----------
    layers
        ``transfer/layers.tsv``.
    archive_root
        Folder of the archive; None: there is none.

    Raises
    ------
    UserError
        Names the layers that are not safe.
    """
    wanted = [row for row in layers if int(row["tiles"])]
    if archive_root is None:
        raise UserError(
            "cleanup: transfer.archive_root is not set, so the raw files have no verified archive;"
            " nothing is removed"
        )
    unsafe = [
        f"{row['layer_id']}: {fault}"
        for row in wanted
        if (fault := _fault(row, Path(archive_root)))
    ]
    if unsafe:
        more = f" and {len(unsafe) - _SHOWN} more" if len(unsafe) > _SHOWN else ""
        raise UserError(
            f"cleanup: {len(unsafe)} of {len(wanted)} layers are not safe in the archive"
            f" {archive_root}: {'; '.join(unsafe[:_SHOWN])}{more}; nothing is removed"
        )


def _fault(row: Mapping[str, str], archive_root: Path) -> str:
    if row["archived"] != "1":
        return "not archived and verified by the transfer"
    path = Path(row["raw_h5"])
    if not path.is_relative_to(archive_root):  # named by another root, or from the time before
        layer = row["raw_h5"].partition("h5/raw/")[2].removesuffix(".raw.h5")
        path = archive_root / f"{layer}.raw-archive.h5"
    try:
        with h5py.File(path, "r") as file:
            tiles = len(file)
    except OSError:
        return f"{path} cannot be read"
    expected = int(row["tiles"])
    return "" if tiles >= expected else f"{path}: found {tiles} tiles, expected {expected}"


def confirmation(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the word that confirms exactly this listing: the start of its digest.

    Parameters
    ----------
    rows
        The listing.

    Returns
    -------
    str
        12 characters.
    """
    return files.digest([[str(row[key]) for key in COLUMNS] for row in rows])[:12]


def remove(rows: Sequence[Mapping[str, Any]], work_dir: Path) -> None:
    """Remove the folders of a listing.

    Parameters
    ----------
    rows
        The listing.
    work_dir
        The working directory.

    Raises
    ------
    UserError
        When what is there is not what was listed; nothing is removed then.
    """
    now = {row["path"]: row for row in found(work_dir)}
    for row in rows:
        there = now.get(row["path"])
        if there and any(str(there[key]) != str(row[key]) for key in ("files", "bytes")):
            raise UserError(
                f"cleanup: {row['path']} has {there['files']} files of {there['bytes']} bytes,"
                f" expected {row['files']} of {row['bytes']} as listed; remove cleanup/listing.tsv"
                " and look at a new one. Nothing was removed."
            )
    for row in rows:
        if row["path"] in now:
            _remove(work_dir / row["path"])


def _remove(folder: Path) -> None:
    """Remove a folder; of a link the folder first, so that what is left can be found."""
    if folder.is_symlink():
        shutil.rmtree(folder.resolve())
        folder.unlink()
    else:
        shutil.rmtree(folder)
