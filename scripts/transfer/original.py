"""Originals: where the tiles of a volume come from, ``.dat`` files or those of `foreign`."""

from __future__ import annotations

import filecmp
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from scripts.lib.names import DatName
from scripts.transfer import dat, scan
from scripts.transfer.dat import Dat, Header
from scripts.transfer.layers import DatFile, Misfit, name_files

# a slice of a file, and what stands between the channels of a tile, in column ``dat`` of a plan
PLANE = re.compile(r"(?P<path>.+)#(?P<plane>\d+)", re.DOTALL)
JOINED = "|"


@dataclass(frozen=True)
class Original:
    """One tile as acquired: name, size (bytes) and channels of its ``.dat``, last change (ns).

    `tile` reads it, `read` gives the bytes of its ``.dat``; `mark` is what a file made of it says
    besides, in JSON values.
    """

    name: str
    size: int
    channels: int
    modified_ns: int
    tile: Callable[[], Dat]
    read: Callable[[], bytes]
    mark: Mapping[str, Any] = field(default_factory=dict)


class Files(Protocol):
    """The files of a volume below a root; tiles are named as in column ``dat`` of the plan."""

    root: Path

    @property
    def keeps_raw(self) -> bool:
        """Tell whether raw HDF5 files are written.

        Returns
        -------
        bool
            False when their pixels stay where they are.
        """

    def close(self) -> None:
        """Close the files that were read from."""

    def files(self) -> tuple[list[DatFile], list[Misfit]]:
        """Return every tile, and what cannot be one.

        Returns
        -------
        tuple
            Tiles, and misfits.
        """

    def unfit(self) -> list[str]:
        """Return files that are passed over because of their names.

        Returns
        -------
        list of str
            Paths below the root.
        """

    def same(self, tile: str, other: str) -> bool:
        """Tell whether two tiles have the same bytes.

        Parameters
        ----------
        tile, other
            As column ``dat`` of the plan has them.

        Returns
        -------
        bool
            True for a mere copy.
        """

    def exists(self, tile: str) -> bool:
        """Tell whether the files of a tile are there.

        Parameters
        ----------
        tile
            As column ``dat`` of the plan has it.

        Returns
        -------
        bool
            False when one of them is missing.
        """

    def is_whole(self, tile: str) -> bool:
        """Tell whether a tile is as long as its header says.

        Parameters
        ----------
        tile
            As column ``dat`` of the plan has it.

        Returns
        -------
        bool
            False also where there is none.
        """

    def inspect(self, name: DatName, tile: str) -> tuple[Header, int]:
        """Return header and size in bytes of a tile; reads no pixel, raises `DatError`.

        Parameters
        ----------
        name
            Of the ``.dat`` that it is, or would be.
        tile
            As column ``dat`` of the plan has it.

        Returns
        -------
        tuple
            Header, bytes.
        """

    def original(self, name: DatName, tile: str) -> Original:
        """Return a tile, which is read when it is asked for; raises `DatError`.

        Parameters
        ----------
        name
            Of the ``.dat`` that it is, or would be.
        tile
            As column ``dat`` of the plan has it.

        Returns
        -------
        Original
            Not read yet.
        """


def file_of(tile: str) -> str:
    """Return the file that a tile of a plan is in, the first one of several channels.

    Parameters
    ----------
    tile
        Column ``dat`` of the plan.

    Returns
    -------
    str
        Relative path; of a ``.dat`` the text itself.
    """
    match = PLANE.fullmatch(tile.partition(JOINED)[0])
    return tile if match is None else match["path"]


class DatFiles:
    """``.dat`` files.

    Parameters
    ----------
    root
        ``transfer.dat_root``.
    """

    keeps_raw = True

    def __init__(self, root: Path) -> None:
        self.root = root

    def close(self) -> None:
        """Close nothing: no file is kept open."""

    def files(self) -> tuple[list[DatFile], list[Misfit]]:
        """Return every tile, and what cannot be one.

        Returns
        -------
        tuple
            Tiles, and misfits.
        """
        return name_files(scan.dat_files(self.root))

    def unfit(self) -> list[str]:
        """Return nothing: a ``.dat`` of another name is a misfit.

        Returns
        -------
        list of str
            Paths below the root.
        """
        return []

    def same(self, tile: str, other: str) -> bool:
        """Tell whether two tiles have the same bytes.

        Parameters
        ----------
        tile, other
            As column ``dat`` of the plan has them.

        Returns
        -------
        bool
            True for a mere copy.
        """
        return filecmp.cmp(self.root / tile, self.root / other, shallow=False)

    def exists(self, tile: str) -> bool:
        """Tell whether the file of a tile is there.

        Parameters
        ----------
        tile
            As column ``dat`` of the plan has it.

        Returns
        -------
        bool
            False when one of them is missing.
        """
        return (self.root / tile).exists()

    def is_whole(self, tile: str) -> bool:
        """Tell whether a tile is as long as its header says.

        Parameters
        ----------
        tile
            As column ``dat`` of the plan has it.

        Returns
        -------
        bool
            False also where there is none.
        """
        return dat.is_whole(self.root / tile)

    def inspect(self, name: DatName, tile: str) -> tuple[Header, int]:
        """Return header and size in bytes of a tile; reads no pixel, raises `DatError`.

        Parameters
        ----------
        name
            Of the ``.dat`` that it is, or would be.
        tile
            As column ``dat`` of the plan has it.

        Returns
        -------
        tuple
            Header, bytes.
        """
        return dat.inspect(self.root / tile)

    def original(self, name: DatName, tile: str) -> Original:
        """Return a tile, which is read when it is asked for; raises `DatError`.

        Parameters
        ----------
        name
            Of the ``.dat`` that it is, or would be.
        tile
            As column ``dat`` of the plan has it.

        Returns
        -------
        Original
            Not read yet.
        """
        path = self.root / tile
        header, size = dat.inspect(path)
        return Original(
            name=path.name,
            size=size,
            channels=header["ChanNum"],
            modified_ns=path.stat().st_mtime_ns,
            tile=lambda: dat.parse(path.read_bytes(), path.name),
            read=path.read_bytes,
        )
