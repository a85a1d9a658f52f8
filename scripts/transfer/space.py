"""Free disk space, checked before anything is written; the message holds the numbers."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.transfer import origin

GB = 10**9
# FIB-SEM images of 16 bit compress to 0.5 to 0.9 of their size; of 8 bit nothing is sure
MOST_RAW_SHARE = 0.9
BYTES_16_BIT = 2
MIPMAPS = 4 / 3  # full resolution and all lower ones in x and y
PYRAMID = 8 / 7  # the same in z, y and x
REVIEW = 1 / 3  # lower levels in x and y beside them


@dataclass(frozen=True)
class Need:
    """Most bytes that a volume takes."""

    hdf5_bytes: float
    volumes_bytes: float

    @property
    def most_bytes(self) -> float:
        """Return the bytes of all.

        Returns
        -------
        float
            The sum.
        """
        return self.hdf5_bytes + self.volumes_bytes

    def text(self) -> str:
        """Return the need in words.

        Returns
        -------
        str
            In GB of 10^9 bytes.
        """
        return (
            f"up to {self.most_bytes / GB:.1f} GB, {self.hdf5_bytes / GB:.1f} GB of HDF5 files and"
            f" {self.volumes_bytes / GB:.1f} GB of exported volumes"
        )


def need(config: Mapping[str, Any], dat_bytes: int) -> Need:
    """Return the most that a volume takes, of the size of its ``.dat`` files.

    Parameters
    ----------
    config
        Config of the volume, with defaults: ``correct`` and ``export`` are read.
    dat_bytes
        Size of all ``.dat`` files of 16 bit.

    Returns
    -------
    Need
        Nothing is taken for compressed that might not be; overlaps of tiles are counted twice.
    """
    correct, export = config["correct"], config["export"]
    deep = "16bit" in correct["steps"]
    # of one channel each; files with more of them hold fewer pixels of it
    pixels = dat_bytes / BYTES_16_BIT
    voxel = (BYTES_16_BIT if deep else 1) * len(export["formats"])
    levels = PYRAMID + (REVIEW if export["review"] else 0)
    raw = dat_bytes * MOST_RAW_SHARE if origin.keeps_raw(config) else 0
    return Need(raw + pixels * MIPMAPS, pixels * voxel * levels)


def existing(path: Path) -> Path:
    """Return the last part of a path that exists.

    Parameters
    ----------
    path
        File or folder that is, or will be, there.

    Returns
    -------
    Path
        It, or the nearest folder above it.
    """
    while not path.exists():
        path = path.parent
    return path


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
    return shutil.disk_usage(existing(path)).free


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
