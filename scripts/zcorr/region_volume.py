"""The correlation of regions as a volume that viewers open beside the export: OME-Zarr 0.4.

One voxel is one region of a layer, as large as the region in x and y and one layer thick, float32,
NaN where there is nothing to compare. It says how a layer fits the next, so it lies between the
two: voxel z is centred on z + 1/2. Positions are those of the export, in nm of the stack's world.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numcodecs import Zstd
from numpy.typing import NDArray

from scripts.lib import files
from scripts.lib.arrays import Array
from scripts.lib.geometry import Box

GROUP = "correlation"
_CHUNK_Z = 1024  # layers in a file: a region or two of 500 px make kilobytes


@dataclass(frozen=True)
class Place:
    """Where the regions lie, z, y, x: size and centre of the first in full-resolution px, and nm.

    ``size_px``, ``centre_px`` (y, x); ``voxel_nm`` (z, y, x) of the stack.
    """

    size_px: tuple[float, float]
    centre_px: tuple[float, float]
    voxel_nm: tuple[float, float, float]

    @staticmethod
    def of(
        box: Box, scale: float, shape: tuple[int, int], cells: tuple[int, int], version: Any  # noqa: ANN401
    ) -> Place:  # fmt: skip
        """Find the place of the regions of a picture.

        Pixel (0, 0) of a picture shows the corner of the box, so it reaches half a picture pixel
        beyond.

        Parameters
        ----------
        box
            What the picture shows, world px.
        scale
            Picture px per world px.
        shape
            Rows and columns of the picture, px.
        cells
            Rows and columns of regions.
        version
            ``currentVersion`` of the stack's metadata.

        Returns
        -------
        Place
            Of the first region.
        """
        y, x = (n / count / scale for n, count in zip(shape, cells, strict=True))
        half = 0.5 / scale
        nm = tuple(float(version[f"stackResolution{axis}"]) for axis in "ZYX")
        return Place((y, x), (box.y0 - half + y / 2, box.x0 - half + x / 2), nm)  # type: ignore[arg-type]

    def arrays(self) -> dict[str, Array]:
        """Convert to arrays.

        Returns
        -------
        dict
            What `of_arrays` reads.
        """
        return {f"region_{name}": np.array(value) for name, value in vars(self).items()}

    @staticmethod
    def of_arrays(stored: Mapping[str, NDArray[Any]]) -> Place:
        """Read what `arrays` gave.

        Parameters
        ----------
        stored
            Arrays by name.

        Returns
        -------
        Place
            The same.
        """
        return Place(
            **{name: tuple(stored[f"region_{name}"].tolist()) for name in Place.__annotations__}
        )


def write(container: str | Path, z_first: int, correlation: Array, place: Place) -> None:
    """Write the correlations of regions as OME-Zarr 0.4.

    Parameters
    ----------
    container
        Folder ``….zarr``; the volume is its group `GROUP`.
    z_first
        True z of the first layer.
    correlation
        (n, rows, columns) of each layer with the next; NaN = none.
    place
        Where the regions lie.
    """
    root = Path(container)
    group = root / GROUP
    for folder in (root, group):
        files.write_json(folder / ".zgroup", {"zarr_format": 2})
    files.write_json(group / ".zattrs", {"multiscales": [_multiscale(z_first, place)]})
    chunk = (_CHUNK_Z, *correlation.shape[1:])
    codec = Zstd(level=6)
    layout = {
        "zarr_format": 2,
        "shape": list(correlation.shape),
        "chunks": list(chunk),
        "dtype": "<f4",
        "compressor": {"id": "zstd", "level": 6},
        "fill_value": "NaN",
        "order": "C",
        "filters": None,
        "dimension_separator": "/",
    }
    files.write_json(group / "s0/.zarray", layout)
    for number, start in enumerate(range(0, len(correlation), _CHUNK_Z)):
        part = correlation[start : start + _CHUNK_Z]
        voxels = np.full(chunk, np.nan, "<f4")
        voxels[: len(part)] = part
        with files.atomic_path(group / f"s0/{number}/0/0") as partial:
            partial.write_bytes(codec.encode(voxels.tobytes()))


def _multiscale(z_first: int, place: Place) -> dict[str, Any]:
    nm_z, nm_y, nm_x = place.voxel_nm
    scale = [nm_z, place.size_px[0] * nm_y, place.size_px[1] * nm_x]
    shift = [(z_first + 0.5) * nm_z, place.centre_px[0] * nm_y, place.centre_px[1] * nm_x]
    return {
        "version": "0.4",
        "name": f"/{GROUP}",
        "axes": [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"],
        "datasets": [
            {
                "path": "s0",
                "coordinateTransformations": [
                    {"type": "scale", "scale": scale},
                    {"type": "translation", "translation": shift},
                ],
            }
        ],
    }
