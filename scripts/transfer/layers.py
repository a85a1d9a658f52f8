"""Layers: `.dat` files grouped by scope and time stamp.

A layer is every tile of one scope with one time stamp. Layers are in order of time, whatever folder
their files lie in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.lib.job import UserError
from scripts.lib.names import DatName, LayerName, dat_or_none, parse_dat, parse_layer


@dataclass(frozen=True)
class Found:
    """A file as it lies there: path relative to the root, size (bytes), last change (ns)."""

    path: str
    size: int
    modified_ns: int = 0


@dataclass(frozen=True)
class DatFile:
    """One `.dat` file: parsed name, and where it lies."""

    name: DatName
    found: Found


@dataclass(frozen=True)
class Misfit:
    """A `.dat` file that cannot be a tile of the volume, and why."""

    found: Found
    reason: str


@dataclass(frozen=True)
class Grid:
    """Tiles that every layer should have."""

    rows: int
    columns: int

    @property
    def count(self) -> int:
        """Return the number of cells.

        Returns
        -------
        int
            Rows times columns.
        """
        return self.rows * self.columns

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Return the cells that no tile fills.

        Parameters
        ----------
        keys
            Tile keys, ``<section>-<row>-<column>``.

        Returns
        -------
        list of str
            ``0-<row>-<column>``, row by row.
        """
        there = {tuple(key.split("-")[1:]) for key in keys}
        cells = ((str(r), str(c)) for r in range(self.rows) for c in range(self.columns))
        return [f"0-{r}-{c}" for r, c in cells if (r, c) not in there]


@dataclass(frozen=True)
class Limits:
    """Which layers belong to the volume: first and last inclusive, of one scope; None = open."""

    first: LayerName | None = None
    last: LayerName | None = None
    scope: str | None = None

    @staticmethod
    def of(acquisition: Mapping[str, Any]) -> Limits:
        """Read section `acquisition` of the config.

        Parameters
        ----------
        acquisition
            ``acquisition`` of the config.

        Returns
        -------
        Limits
            None where a limit is open.

        Raises
        ------
        UserError
            When a bound is no name, or first lies after last.
        """
        first = _bound("first_dat", acquisition.get("first_dat"))
        last = _bound("last_dat", acquisition.get("last_dat"))
        if first and last and first.order > last.order:
            raise UserError(
                f"acquisition.first_dat {first.layer_id} is later than acquisition.last_dat "
                f"{last.layer_id}: swap them or mend the one that is wrong"
            )
        return Limits(first, last, acquisition.get("scope"))

    def hold(self, layer: LayerName) -> bool:
        """Tell whether a layer belongs to the volume.

        Parameters
        ----------
        layer
            Any.

        Returns
        -------
        bool
            Both limits are included.
        """
        return (
            (self.scope is None or layer.scope == self.scope)
            and (self.first is None or layer.order >= self.first.order)
            and (self.last is None or layer.order <= self.last.order)
        )


def not_the_corners(ends: Mapping[str, str | None], grid: Grid) -> list[str]:
    """Say which end of a volume is not the first or the last tile of a layer.

    The microscope writes the tiles of a layer row by row, so a volume that ends with another tile
    than the last of the grid hints at a wrong grid. Layer ids name no tile, and are left alone.

    Parameters
    ----------
    ends
        The first and the last ``.dat`` of the volume, by the key that names it; None: open.
    grid
        The tiles a layer should have.

    Returns
    -------
    list of str
        A line for each; names that are no ``.dat`` are passed over.
    """
    said = []
    corners = ((0, 0), (grid.rows - 1, grid.columns - 1))
    for (key, end), cell in zip(ends.items(), corners, strict=True):
        name = dat_or_none(end)
        if name is not None and (name.section, name.row, name.column) != (0, *cell):
            said.append(
                f"{key}: expected tile 0-{cell[0]}-{cell[1]} of a grid of {grid.rows} x "
                f"{grid.columns}, found {name.tile_key} ({end}): is the grid right?"
            )
    return said


def _bound(key: str, value: str | None) -> LayerName | None:
    if value is None:
        return None
    try:
        return parse_layer(value)
    except ValueError as error:
        raise UserError(f"acquisition.{key}: {error}") from error


def name_files(found: Iterable[Found]) -> tuple[list[DatFile], list[Misfit]]:
    """Read the names of files; those that do not fit the grammar are misfits.

    Parameters
    ----------
    found
        Files below the root.

    Returns
    -------
    tuple
        Files whose names fit, and those whose names do not.
    """
    files, misfits = [], []
    for each in found:
        try:
            files.append(DatFile(parse_dat(each.path.rpartition("/")[2]), each))
        except ValueError as error:
            misfits.append(Misfit(each, str(error)))
    return files, misfits


def group(files: Iterable[DatFile]) -> dict[LayerName, list[DatFile]]:
    """Return the files of each layer by row and column; layers in order of time.

    Parameters
    ----------
    files
        Files of any layers.

    Returns
    -------
    dict
        Files by layer.
    """
    layers: dict[LayerName, list[DatFile]] = {}
    for file in files:
        layers.setdefault(file.name.layer, []).append(file)
    return {
        layer: sorted(layers[layer], key=lambda f: (f.name.section, f.name.row, f.name.column))
        for layer in sorted(layers, key=lambda layer: layer.order)
    }


def fit(
    layers: Mapping[LayerName, Sequence[DatFile]], grid: Grid, same: Callable[[str, str], bool]
) -> tuple[dict[LayerName, list[DatFile]], list[Misfit]]:
    """Keep one file per cell of the grid; the others are misfits.

    Parameters
    ----------
    layers
        Files by layer.
    grid
        The tiles a layer should have.
    same
        Tells whether two files (relative paths) hold the same bytes; such a copy is a misfit
        without a reason.

    Returns
    -------
    tuple
        One file per cell, by layer, layers without any left out; and the misfits.
    """
    kept: dict[LayerName, list[DatFile]] = {}
    misfits = []
    for layer, files in layers.items():
        cells: dict[tuple[int, int], DatFile] = {}
        for file in files:
            cell = (file.name.row, file.name.column)
            there = cells.setdefault(cell, file)
            if cell[0] >= grid.rows or cell[1] >= grid.columns:
                misfits.append(Misfit(file.found, _outside(cell, grid)))
                del cells[cell]
            elif there is not file:
                copy = same(there.found.path, file.found.path)
                words = "" if copy else f"the same tile as {there.found.path}, but {_OTHER}"
                misfits.append(Misfit(file.found, words))
        if cells:
            kept[layer] = list(cells.values())
    return kept, misfits


_OTHER = "other bytes: move the wrong one out of transfer.dat_root"


def _outside(cell: tuple[int, int], grid: Grid) -> str:
    return (
        f"row {cell[0]}, column {cell[1]} lies outside of the grid of {grid.rows} x "
        f"{grid.columns} tiles: mend acquisition.rows and columns, or move the file away"
    )
