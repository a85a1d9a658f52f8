"""Layers: `.dat` files grouped by scope and time stamp, and where a layer's HDF5 files lie.

A layer is every tile of one scope with one time stamp. Layers are in order of time, whatever folder
their files lie in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from scripts.lib.job import UserError
from scripts.lib.names import DatName, LayerName, parse_dat, parse_layer

PLAN_COLUMNS = ("chunk", "layer_id", "tile_key", "row", "column", "dat", "bytes")
_MOST_NAMED = 20  # problems listed in one message


@dataclass(frozen=True)
class DatFile:
    """One `.dat` file: parsed name, path relative to the root, size in bytes."""

    name: DatName
    path: str
    size: int


@dataclass(frozen=True)
class Grid:
    """Tiles that every layer should have."""

    rows: int
    columns: int

    @property
    def count(self) -> int:
        """Number of cells."""
        return self.rows * self.columns

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Give the keys ``0-row-column`` of the cells that no key of `keys` fills."""
        there = {tuple(key.split("-")[1:]) for key in keys}
        cells = ((str(r), str(c)) for r in range(self.rows) for c in range(self.columns))
        return [f"0-{r}-{c}" for r, c in cells if (r, c) not in there]


def raw_path(layer: LayerName) -> PurePosixPath:
    """Path of the raw 16-bit HDF5, relative to the working directory."""
    return PurePosixPath("h5/raw") / layer.folder / f"{layer.layer_id}.raw.h5"


def align_path(layer: LayerName) -> PurePosixPath:
    """Path of the 8-bit align HDF5, relative to the working directory."""
    return PurePosixPath("h5/align") / layer.folder / f"{layer.layer_id}.uint8.h5"


def name_files(found: Iterable[tuple[str, int]]) -> list[DatFile]:
    """Read the names of (relative path, size) pairs.

    Raises
    ------
    UserError
        With every name that does not fit the grammar.
    """
    files, problems = [], []
    for path, size in found:
        try:
            files.append(DatFile(parse_dat(Path(path).name), path, size))
        except ValueError as error:
            problems.append(f"{path}: {error}")
    _stop(problems, "Rename these files, or move them out of transfer.dat_root.")
    return files


def select(
    files: Iterable[DatFile], first: str | None, last: str | None, scope: str | None
) -> list[DatFile]:
    """Keep the files of `scope` whose layer lies between those of `first` and `last`, inclusive.

    Raises
    ------
    UserError
        When a bound is no name, or first lies after last.
    """
    low, high = _bound("first_dat", first), _bound("last_dat", last)
    if low and high and low > high:
        raise UserError(
            f"acquisition.first_dat {first} is later than acquisition.last_dat {last}: "
            f"swap them or mend the one that is wrong"
        )
    return [
        file
        for file in files
        if (scope is None or file.name.layer.scope == scope)
        and (low is None or file.name.layer.order >= low)
        and (high is None or file.name.layer.order <= high)
    ]


def _bound(key: str, value: str | None) -> tuple[str, str] | None:
    if value is None:
        return None
    try:
        return parse_layer(value).order
    except ValueError as error:
        raise UserError(f"acquisition.{key}: {error}") from error


def group(files: Iterable[DatFile]) -> dict[LayerName, list[DatFile]]:
    """Give the files of each layer by row and column; layers in order of time."""
    layers: dict[LayerName, list[DatFile]] = {}
    for file in files:
        layers.setdefault(file.name.layer, []).append(file)
    return {
        layer: sorted(layers[layer], key=lambda f: (f.name.section, f.name.row, f.name.column))
        for layer in sorted(layers, key=lambda layer: layer.order)
    }


def check(layers: dict[LayerName, list[DatFile]], grid: Grid) -> None:
    """Check that no cell is filled twice and none lies outside of the grid.

    Raises
    ------
    UserError
        With every file that does not fit, at once.
    """
    problems = []
    for files in layers.values():
        cells: dict[tuple[int, int], DatFile] = {}
        for file in files:
            cell = (file.name.row, file.name.column)
            if cell in cells:
                problems.append(f"{file.path}: the same tile as {cells[cell].path}")
            if cell[0] >= grid.rows or cell[1] >= grid.columns:
                problems.append(
                    f"{file.path}: row {cell[0]}, column {cell[1]} lies outside of the grid of "
                    f"{grid.rows} x {grid.columns} tiles"
                )
            cells.setdefault(cell, file)
    _stop(problems, "Mend acquisition.rows and columns, or move these files out of the way.")


def plan(layers: dict[LayerName, list[DatFile]], layers_per_job: int) -> list[dict[str, str | int]]:
    """Give the rows of the plan: every tile with the chunk that converts it."""
    return [
        {
            "chunk": f"{index // layers_per_job:04d}",
            "layer_id": layer.layer_id,
            "tile_key": file.name.tile_key,
            "row": file.name.row,
            "column": file.name.column,
            "dat": file.path,
            "bytes": file.size,
        }
        for index, (layer, files) in enumerate(layers.items())
        for file in files
    ]


def plan_of_acquisition(
    found: Iterable[tuple[str, int]], acquisition: dict[str, Any], layers_per_job: int
) -> list[dict[str, str | int]]:
    """Give the plan for the files of a folder; `acquisition` is that section of the config.

    Raises
    ------
    UserError
        When no file belongs to the volume, or files do not fit.
    """
    files = name_files(found)
    first, last = acquisition.get("first_dat"), acquisition.get("last_dat")
    scope = acquisition.get("scope")
    mine = select(files, first, last, scope)
    if not mine:
        raise UserError(
            f"no .dat file belongs to the volume: {len(files)} file(s) found in transfer.dat_root, "
            f"none between acquisition.first_dat {first} and last_dat {last} of scope "
            f"{scope or '(any)'}"
        )
    layers = group(mine)
    check(layers, Grid(acquisition["rows"], acquisition["columns"]))
    return plan(layers, layers_per_job)


def _stop(problems: Sequence[str], advice: str) -> None:
    if not problems:
        return
    rest = len(problems) - _MOST_NAMED
    shown = [*problems[:_MOST_NAMED], *([f"and {rest} more"] if rest > 0 else [])]
    raise UserError(
        "\n  ".join([f"{len(problems)} .dat file(s) do not fit:", *shown]) + f"\n{advice}"
    )
