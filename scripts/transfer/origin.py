"""Origin: the files of a volume, by section ``transfer.source`` of its config."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.transfer.original import DatFiles, Files

Source = Mapping[str, Any]


def files_of(root: Path, source: Source | None) -> Files:
    """Return the files of a volume.

    Parameters
    ----------
    root
        ``transfer.dat_root``.
    source
        Section ``transfer.source`` with the pixel size of the volume (`section`); None:
        ``.dat`` files.

    Returns
    -------
    Files
        Nothing is opened yet.

    Raises
    ------
    UserError
        When the pattern of the section is none.
    """
    if source is None:
        return DatFiles(root)
    # not needed, and not loaded, for .dat files
    from scripts.transfer.foreign import ForeignFiles, ForeignSettings

    return ForeignFiles(root, ForeignSettings.of(source))


def section(config: Mapping[str, Any]) -> Source | None:
    """Return what a job must know of the source of a volume.

    Parameters
    ----------
    config
        Config of the volume, with defaults.

    Returns
    -------
    mapping or None
        Section ``transfer.source`` and ``pixel_nm``; None for ``.dat`` files.
    """
    source = config["transfer"].get("source")
    return None if source is None else {**source, "pixel_nm": config["acquisition"]["pixel_nm"]}


def keeps_raw(config: Mapping[str, Any]) -> bool:
    """Tell whether a volume has raw HDF5 files.

    Parameters
    ----------
    config
        Config of the volume, with defaults.

    Returns
    -------
    bool
        True for ``.dat`` files; of other sources as ``transfer.source.keep_raw`` says.
    """
    source = config["transfer"].get("source")
    return source is None or bool(source["keep_raw"])


def of(config: Mapping[str, Any], root: Path) -> Files:
    """Return the files of a volume by its config.

    Parameters
    ----------
    config
        Config of the volume, with defaults.
    root
        ``transfer.dat_root``, resolved.

    Returns
    -------
    Files
        As `files_of`.
    """
    return files_of(root, section(config))
