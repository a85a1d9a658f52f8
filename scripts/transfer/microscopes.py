"""Microscopes: what `config/microscopes.yaml` knows of the one that took a volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.lib import yaml_files
from scripts.lib.job import UserError
from scripts.transfer.acquired import Acquired

TABLE = Path(__file__).resolve().parents[2] / "config" / "microscopes.yaml"


@dataclass(frozen=True)
class Microscope:
    """An entry of the table; `scan_correction` is as the config of a volume takes it."""

    name: str
    what: str
    scan_correction: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    mask: Mapping[str, int] = field(default_factory=dict)
    scopes: Sequence[str] = ()
    header: Mapping[str, str] = field(default_factory=dict)
    from_width_px: int = 0

    def fits(self, found: Acquired) -> bool:
        """Tell whether the entry is about the microscope of an acquisition.

        Parameters
        ----------
        found
            What was acquired.

        Returns
        -------
        bool
            False for an entry that is taken by its name alone.
        """
        if not (self.scopes or self.header or self.from_width_px):
            return False
        texts = self.header.items()
        return (
            (not self.scopes or found.scope in self.scopes)
            and all(found.texts.get(name, "").startswith(text) for name, text in texts)
            and found.width_px >= self.from_width_px
        )


def table() -> list[Microscope]:
    """Read the table.

    Returns
    -------
    list of Microscope
        In its order.

    Raises
    ------
    UserError
        When an entry has other keys than it should.
    """
    try:
        return [Microscope(**entry) for entry in yaml_files.read(TABLE)]
    except TypeError as error:
        raise UserError(f"{TABLE}: {str(error).rpartition('__init__() ')[2]}") from None


def choose(found: Acquired, name: str | None) -> Microscope | None:
    """Choose an entry by its name, or else by names of files and headers.

    Parameters
    ----------
    found
        What was acquired.
    name
        Name of an entry; None = the first that fits.

    Returns
    -------
    Microscope or None
        None where none fits.

    Raises
    ------
    UserError
        When no entry has the name.
    """
    known = table()
    if name is None:
        return next((one for one in known if one.fits(found)), None)
    for one in known:
        if one.name == name:
            return one
    listed = ", ".join(one.name for one in known)
    raise UserError(f"--microscope {name}: config/microscopes.yaml has {listed}")
