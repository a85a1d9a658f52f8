"""The formats of volumes: how each names and lays out its files (docs/extending.md adds one)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Format:
    """How a format lays out a volume.

    Attributes
    ----------
    suffix
        End of the container's name, behind that of the volume.
    above
        Groups above the dataset in the container, with a slash at the end.
    family
        ``n5`` or ``zarr``: section of the codec in the config, and what viewers call it.
    driver
        Name of the format in tensorstore.
    document
        File in which an array describes itself.
    shape, unit
        Where it states its voxels, and the voxels of a file.
    turned
        Axes on disk are x, y, z.
    sharded
        A file holds several blocks.
    folder
        Folder between an array and its files.
    separator
        Between the numbers of a file's name.
    """

    suffix: str
    above: str
    family: str
    driver: str
    document: str
    shape: tuple[str, ...]
    unit: tuple[str, ...]
    turned: bool = False
    sharded: bool = False
    folder: str = ""
    separator: str = "/"

    def sizes(self, document: Mapping[str, Any]) -> tuple[Sequence[int], Sequence[int]]:
        """Read shape and unit of an array.

        Parameters
        ----------
        document
            What the array's document says.

        Returns
        -------
        tuple of sequences
            Voxels of the array, and of one file; both z, y, x.
        """
        shape, unit = _at(document, self.shape), _at(document, self.unit)
        return (shape[::-1], unit[::-1]) if self.turned else (shape, unit)

    def name(self, index: Sequence[int]) -> str:
        """Return the path of a file below its array.

        Parameters
        ----------
        index
            Number of the file along z, y, x.

        Returns
        -------
        str
            With `folder` before it, if there is one.
        """
        numbers = self.separator.join(map(str, index[::-1] if self.turned else index))
        return f"{self.folder}/{numbers}" if self.folder else numbers

    def names(self, name: str) -> bool:
        """Tell whether a file in an array's folders is one of voxels.

        Parameters
        ----------
        name
            Of the file, without its folder.

        Returns
        -------
        bool
            False for documents, and for what a killed job left.
        """
        return name.isdigit() or name.replace(self.separator, "").isdigit()


def _at(document: Mapping[str, Any], keys: tuple[str, ...]) -> Any:  # noqa: ANN401 - any JSON value
    value: Any = document
    for key in keys:
        value = value[key]
    return value


_GRID = ("chunk_grid", "configuration", "chunk_shape")
FORMATS = {
    "n5": Format(
        ".n5", "", "n5", "n5", "attributes.json", ("dimensions",), ("blockSize",), turned=True
    ),
    "zarr": Format(".zarr", "recon-1/", "zarr", "zarr", ".zarray", ("shape",), ("chunks",)),
    "zarr3": Format(
        ".v3.zarr",
        "recon-1/",
        "zarr",
        "zarr3",
        "zarr.json",
        ("shape",),
        _GRID,
        sharded=True,
        folder="c",
    ),
}


def fields_of(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a record as JSON kept them: its lists were tuples.

    Parameters
    ----------
    value
        The fields, by name.

    Returns
    -------
    dict
        Arguments of the record's class.
    """
    return {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
