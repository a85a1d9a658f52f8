"""Digests of foreign sources: what was converted, since there need be no raw copy of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib import files, layer_files
from scripts.lib.names import parse_layer
from scripts.transfer import hdf5
from scripts.transfer.conversion import CONVERTED_COLUMNS, Row


def columns(source: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the columns of the table of tiles.

    Parameters
    ----------
    source
        Section ``transfer.source``; None: ``.dat`` files.

    Returns
    -------
    tuple of str
        With the digest of the pixels where there is a source.
    """
    return CONVERTED_COLUMNS if source is None else (*CONVERTED_COLUMNS, "sha256")


def with_digests(
    rows: Sequence[Row], source: Mapping[str, Any] | None, work_dir: Path = Path()
) -> list[Row]:
    """Add what align HDF5 files say of the pixels they were made of.

    Parameters
    ----------
    rows
        Rows of `CONVERTED_COLUMNS`.
    source
        Section ``transfer.source``; None: ``.dat`` files, to which nothing is added.
    work_dir
        Folder of ``h5/``.

    Returns
    -------
    list of dict
        With ``sha256``; empty where the file does not say.
    """
    if source is None:
        return list(rows)
    out = []
    for layer_id, tiles in files.grouped(rows, "layer_id").items():
        path = work_dir / layer_files.align_path(parse_layer(layer_id))
        said = hdf5.headers(path) if path.exists() else {}
        for row in tiles:
            digest = said.get(row["tile_key"], {}).get("source_sha256", "")
            out.append(row | {"sha256": str(digest)})
    return out
