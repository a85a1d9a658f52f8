"""Keep flags: empty files by which the microscope says "this `.dat` is complete, take it".

``<data set>^<drive>^^<folders joined by ^>^<dat name>^keep`` stands for
``/cygdrive/<drive>/<folders>/<dat name>``. To delete the flag is to acknowledge the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from scripts.lib.names import DatName, dat_or_none

_FLAG = re.compile(
    r"(?P<data_set>[^^]+)\^(?P<drive>[A-Za-z])\^\^(?P<folders>(?:[^^]+\^)*)(?P<dat>[^^]+\.dat)\^keep"
)
_YEAR = re.compile(r"Y\d{4}")
CYGDRIVE = PurePosixPath("/", "cygdrive")


@dataclass(frozen=True)
class Flag:
    """One keep flag: its own file name, data set, drive, folders, and the tile it stands for."""

    file_name: str
    data_set: str
    drive: str
    folders: tuple[str, ...]
    dat_name: str
    tile: DatName

    @property
    def scope_path(self) -> PurePosixPath:
        """Return the path of the ``.dat`` as the microscope's own shell knows it.

        Returns
        -------
        PurePosixPath
            Below ``/cygdrive``.
        """
        return CYGDRIVE.joinpath(self.drive, *self.folders, self.dat_name)

    def path_below(self, root: str) -> str:
        """Return the path of the ``.dat`` below an image folder.

        Parameters
        ----------
        root
            The image folder, the one above ``Y<yyyy>``; below ``/cygdrive`` the flag's own path
            holds.

        Returns
        -------
        str
            Path on the scope.
        """
        if PurePosixPath(root).is_relative_to(CYGDRIVE):
            return str(self.scope_path)
        years = [i for i, folder in enumerate(self.folders) if _YEAR.fullmatch(folder)]
        tail = self.folders[years[0] :] if years else ()
        return str(PurePosixPath(root).joinpath(*tail, self.dat_name))


def parse_flag(name: str) -> Flag | None:
    """Read the file name of a keep flag; None when it is none.

    Parameters
    ----------
    name
        Name of a file, without its folder.

    Returns
    -------
    Flag or None
        None when it is no keep flag.
    """
    match = _FLAG.fullmatch(name)
    tile = dat_or_none(match["dat"]) if match else None
    if match is None or tile is None:
        return None
    folders = tuple(match["folders"].split("^")[:-1])
    return Flag(name, match["data_set"], match["drive"], folders, match["dat"], tile)


def order(tile: DatName) -> tuple[tuple[str, str], int, int, int]:
    """Return the key by which tiles sort in acquisition order.

    Parameters
    ----------
    tile
        A parsed name.

    Returns
    -------
    tuple
        That of the layer, then section, row, column.
    """
    return tile.layer.order, tile.section, tile.row, tile.column


def choose(names: Iterable[str], data_set: str) -> tuple[list[Flag], list[str]]:
    """Choose the flags of a data set.

    Parameters
    ----------
    names
        Names of all files in the flag folder.
    data_set
        Its id, as in the flags.

    Returns
    -------
    tuple
        Flags in acquisition order, and the names that are no flag at all.
    """
    flags, strange = [], []
    for name in names:
        flag = parse_flag(name)
        if flag is None:
            strange.append(name)
        elif flag.data_set == data_set:
            flags.append(flag)
    return sorted(flags, key=lambda flag: order(flag.tile)), sorted(strange)
