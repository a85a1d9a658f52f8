"""What ingest needs of the align HDF5 files: header fields, shape and mipmap levels of tiles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from scripts.lib.job import UserError
from scripts.lib.names import DatName, LayerName, parse_dat, parse_layer

# fields whose change from layer to layer is a restart, in the order of their precedence
CHECKED = (
    *("XResolution", "YResolution", "PixelSize", "EightBit", "ChanNum", "SWdate"),
    *("StageX", "StageY", "StageZ", "StageR"),
)


@dataclass(frozen=True)
class Tile:
    """One group of an align HDF5; `fields` are the header fields that are used here."""

    name: DatName
    fields: Mapping[str, Any]
    shape: tuple[int, ...]  # of mipmap.0
    levels: int  # mipmap levels besides full scale

    @property
    def width(self) -> int:
        """Width by the header, px."""
        return int(self.fields["XResolution"])

    @property
    def height(self) -> int:
        """Height by the header, px."""
        return int(self.fields["YResolution"])

    @property
    def cell(self) -> tuple[int, int]:
        """Row and column in the grid."""
        return self.name.row, self.name.column


@dataclass(frozen=True)
class Layer:
    """One row of the layer table with the tiles of its align HDF5, by tile key in text order."""

    z: int
    name: LayerName
    path: str  # of the align HDF5, "" for a gap
    missing: tuple[str, ...]
    acquired: int  # tiles the microscope wrote, readable or not
    tiles: Mapping[str, Tile]


_REMEDY = "It is made anew by: snakemake transfer --forcerun convert_layers"
_FIELDS = (*CHECKED, "WD", "FirstX", "FirstY")


def missing_cells(path: str, rows: int, columns: int) -> list[str]:
    """Give the keys ``0-row-column`` of the cells without a tile; all of them when path is "".

    Raises
    ------
    UserError
        When the file cannot be opened.
    """
    found: set[tuple[str, ...]] = set()
    if path:
        try:
            with h5py.File(path, "r") as file:
                found = {tuple(key.split("-")[1:]) for key in file}
        except OSError as error:
            raise UserError(f"{path}: not a readable align HDF5: {error}. {_REMEDY}") from error
    cells = [(str(r), str(c)) for r in range(rows) for c in range(columns)]
    return [f"0-{r}-{c}" for r, c in cells if (r, c) not in found]


def read_tiles(path: Path) -> dict[str, Tile]:
    """Read the header fields of all tiles of an align HDF5; no pixel is read.

    Raises
    ------
    ValueError
        When the file cannot be opened, has no tile, or a group is no tile. The message names it.
    """
    try:
        with h5py.File(path, "r") as file:
            tiles = {key: _tile(file[key], key) for key in sorted(file)}
    except (OSError, KeyError) as error:
        raise ValueError(f"{path}: not a readable align HDF5: {error}. {_REMEDY}") from error
    if not tiles:
        raise ValueError(f"{path}: expected one group per tile, found none")
    return tiles


def _tile(group: h5py.Group, key: str) -> Tile:
    attributes = group.attrs
    name = parse_dat(attributes["dat_file_name"])
    if name.tile_key != key:
        raise ValueError(f"group {key} holds the tile {attributes['dat_file_name']}")
    fields = {f: _plain(attributes[f]) for f in _FIELDS if f in attributes}
    levels = sum(item.startswith("mipmap.") for item in group) - 1
    return Tile(name, fields, group["mipmap.0"].shape, levels)


def _plain(value: Any) -> Any:  # noqa: ANN401 - an HDF5 scalar
    return value.item() if hasattr(value, "item") else value


def read_volume(
    rows: Iterable[Mapping[str, str]], acquired: Mapping[str, int]
) -> tuple[list[Layer], list[str]]:
    """Read all layers of the layer table, in order of z, and what is wrong with their files.

    `acquired` is the number of tiles, readable or not, by layer id.
    """
    layers, problems = [], []
    for row in rows:
        tiles: dict[str, Tile] = {}
        if row["status"] != "gap":
            try:
                tiles = read_tiles(Path(row["align_h5"]))
            except ValueError as error:
                problems.append(f"z {row['z']}: {error}")
                continue
        name = parse_layer(row["layer_id"])
        missing = tuple(key for key in row["missing"].split(",") if key)
        count = acquired.get(row["layer_id"], 0)
        layers.append(Layer(int(row["z"]), name, row["align_h5"], missing, count, tiles))
    return layers, problems
