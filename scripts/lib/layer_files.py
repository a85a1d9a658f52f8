"""Where the HDF5 files of a layer lie."""

from __future__ import annotations

from pathlib import PurePosixPath

from scripts.lib.names import LayerName


def raw_path(layer: LayerName) -> PurePosixPath:
    """Return the path of the raw 16-bit HDF5.

    Parameters
    ----------
    layer
        The layer.

    Returns
    -------
    PurePosixPath
        Relative to the working directory.
    """
    return PurePosixPath("h5/raw") / layer.folder / f"{layer.layer_id}.raw.h5"


def archive_path(layer: LayerName) -> PurePosixPath:
    """Return the path of the raw HDF5 in the archive.

    Parameters
    ----------
    layer
        The layer.

    Returns
    -------
    PurePosixPath
        Relative to the root of the archive.
    """
    return PurePosixPath(layer.folder) / f"{layer.layer_id}.raw-archive.h5"


def align_path(layer: LayerName) -> PurePosixPath:
    """Return the path of the 8-bit align HDF5.

    Parameters
    ----------
    layer
        The layer.

    Returns
    -------
    PurePosixPath
        Relative to the working directory.
    """
    return PurePosixPath("h5/align") / layer.folder / f"{layer.layer_id}.uint8.h5"
