"""What ingest needs of an align HDF5: header fields, shapes and levels of its tiles, as columns."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from scripts.lib.names import LayerName, parse_dat

# one tile: what its header and its data sets say; lengths in px unless the name says otherwise
TILE = np.dtype(
    [
        ("section", "i4"),
        ("row", "i4"),
        ("column", "i4"),
        ("width", "i4"),
        ("height", "i4"),
        ("pixel_nm", "f8"),
        ("eight_bit", "i4"),
        ("channels", "i4"),
        ("software", "S10"),
        ("stage_x_mm", "f8"),
        ("stage_y_mm", "f8"),
        ("stage_z_mm", "f8"),
        ("stage_r_deg", "f8"),
        ("wd_mm", "f8"),
        ("first_x", "f8"),  # NaN in headers before version 9
        ("first_y", "f8"),
        ("slice", "f8"),  # as the microscope counts; NaN = unknown
        ("sample", "S64"),
        ("shape", "i4", (3,)),  # of mipmap.0: z, y, x
        ("levels", "i4"),  # mipmap levels besides full scale, each half of the one before
        ("stored", "i4"),  # data sets mipmap.k besides full scale, whatever their shape
        ("low", "f8"),  # extreme grey levels of the coarsest level
        ("high", "f8"),
    ]
)
# header fields whose change is a restart, in the order of their precedence, and their columns
CHECKED = {
    "XResolution": "width",
    "YResolution": "height",
    "PixelSize": "pixel_nm",
    "EightBit": "eight_bit",
    "ChanNum": "channels",
    "SWdate": "software",
    "StageX": "stage_x_mm",
    "StageY": "stage_y_mm",
    "StageZ": "stage_z_mm",
    "StageR": "stage_r_deg",
}
_NUMBERS = {
    **{name: column for name, column in CHECKED.items() if name != "SWdate"},
    **{"WD": "wd_mm", "FirstX": "first_x", "FirstY": "first_y", "FIBSliceNum": "slice"},
}
_REQUIRED = ("XResolution", "YResolution")
_ABSENT = {"EightBit": 0, "ChanNum": 0}  # NaN for all others


def tile_keys(tiles: NDArray[np.void]) -> list[str]:
    """Return the keys of tiles.

    Parameters
    ----------
    tiles
        (n,) of dtype `TILE`, or of its fields section, row and column.

    Returns
    -------
    list of str
        ``<section>-<row>-<column>``, in the order of `tiles`.
    """
    cells = tiles[["section", "row", "column"]].tolist()
    return [f"{section}-{row}-{column}" for section, row, column in cells]


def read_layer(path: Path, layer: LayerName) -> NDArray[np.void]:
    """Read the tiles of an align HDF5, by tile key in text order; of the pixels the coarsest level.

    Parameters
    ----------
    path
        An align HDF5 file: one group per tile key, the header as attributes, levels as
        ``mipmap.k``.
    layer
        The layer it belongs to.

    Returns
    -------
    ndarray
        (n,) of dtype `TILE`.

    Raises
    ------
    ValueError
        When the file cannot be opened, has no tile, or a group is no tile of this layer. The
        message names the file; it is kept, so it holds nothing of how a run was started.
    """
    try:
        with h5py.File(path, "r") as file:
            tiles = [_tile(file[key], key, layer) for key in sorted(file)]
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(f"{path}: not a readable align HDF5: {error}") from error
    if not tiles:
        raise ValueError(f"{path}: expected one group per tile, found none")
    return np.array(tiles, TILE)


def _tile(group: h5py.Group, key: str, layer: LayerName) -> tuple[Any, ...]:
    header = group.attrs
    name = parse_dat(str(header["dat_file_name"]))
    if (name.layer, name.tile_key) != (layer, key):
        raise ValueError(f"group {key} holds the tile {header['dat_file_name']}")
    values: dict[str, Any] = {c: _number(header, field) for field, c in _NUMBERS.items()}
    values |= {"section": name.section, "row": name.row, "column": name.column}
    values |= {"software": _text(header, "SWdate")[:10], "sample": _sample(header)}
    values |= _images(group)
    return tuple(values[column] for column in TILE.names or ())


def _number(header: h5py.AttributeManager, field: str) -> float:
    if field in _REQUIRED:
        return float(header[field])
    return float(header.get(field, _ABSENT.get(field, math.nan)))


def _text(header: h5py.AttributeManager, field: str) -> bytes:
    return str(header.get(field, "")).encode()


def _sample(header: h5py.AttributeManager) -> bytes:
    """SampleID, or in headers before version 9 the notes up to their first comma."""
    return (_text(header, "SampleID") or _text(header, "Notes").split(b",")[0]).strip()[:64]


def _images(group: h5py.Group) -> dict[str, Any]:
    shape = group["mipmap.0"].shape
    stored = sum(name.startswith("mipmap.") for name in group) - 1
    levels = 0
    while _halves(group.get(f"mipmap.{levels + 1}"), shape, levels + 1):
        levels += 1
    # of a tile without levels a few rows: the check for constant images needs no more
    coarsest = group[f"mipmap.{levels}"]
    values = coarsest[()] if levels else coarsest[:, :: max(1, shape[1] // 8)]
    low, high = (values.min(), values.max()) if values.size else (0, 0)
    shown = {"low": low, "high": high} if coarsest.dtype == np.uint8 else _NOT_EIGHT_BIT
    padded = (*shape, 0, 0, 0)[:3]
    return {"shape": padded, "levels": levels, "stored": stored, **shown}


_NOT_EIGHT_BIT = {"low": math.nan, "high": math.nan}


def _halves(data: h5py.Dataset | None, shape: tuple[int, ...], level: int) -> bool:
    expected = (shape[0], *(side >> level for side in shape[1:]))
    return data is not None and data.shape == expected
