"""Rows of large tables in a fraction of the memory of dicts.

A dict of 26 texts takes some 3 kB, most of it for texts that are the same in many rows (cells, ids
of tiles, zeros). Here a row is a tuple beside the names that all rows share, and of every text
there is one.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from scripts.lib import files


class Row(Mapping[str, str]):
    """A row of a table: its cells by the names of the columns; of no other use than a dict.

    Two rows are the same when they are one object.

    Parameters
    ----------
    at
        Position of each column.
    cells
        Texts of the row.
    """

    __slots__ = ("_at", "_cells")

    def __init__(self, at: Mapping[str, int], cells: Sequence[str]) -> None:
        self._at, self._cells = at, cells

    def __getitem__(self, name: str) -> str:  # numpydoc ignore=PR01,RT01
        """Return the text of a column."""
        return self._cells[self._at[name]]

    def __iter__(self) -> Iterator[str]:  # numpydoc ignore=RT01
        """Return the names of the columns."""
        return iter(self._at)

    def __len__(self) -> int:  # numpydoc ignore=RT01
        """Return the number of columns."""
        return len(self._at)

    __eq__ = object.__eq__
    __hash__ = object.__hash__


class Texts:
    """Texts of which each is kept once."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def rows(self, path: str | Path) -> list[Row]:
        """Read a table of `files.write_table`.

        Parameters
        ----------
        path
            The file; unpacked when the name ends in ``.gz``.

        Returns
        -------
        list of Row
            In its order; every line has all columns.

        Raises
        ------
        ValueError
            When a line has not; the message names the file.
        """
        keep = self._known.setdefault
        with files.open_table(path) as stream:
            lines = csv.reader(stream, delimiter="\t")
            at = {name: k for k, name in enumerate(next(lines, []))}
            out = [Row(at, tuple(keep(cell, cell) for cell in line)) for line in lines if line]
        if any(len(row._cells) != len(at) for row in out):
            raise ValueError(f"{path}: a line has other columns than the header: {', '.join(at)}")
        return out
