"""Twice: tiles that two files have the name of, reported before anything is converted."""

from __future__ import annotations

import filecmp
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.lib.names import LayerName
from scripts.transfer.layers import DatFile

Pair = tuple[DatFile, DatFile]
_MOST_READ = 3  # pairs whose bytes are compared


def pairs(layers: Mapping[LayerName, Sequence[DatFile]]) -> list[Pair]:
    """Return the files that name a tile which another file has already.

    Parameters
    ----------
    layers
        Files by layer, of `layers.group`.

    Returns
    -------
    list of tuple
        The first file of the tile, and the other one.
    """
    found: list[Pair] = []
    for files in layers.values():
        first: dict[tuple[int, int], DatFile] = {}
        for file in files:
            there = first.setdefault((file.name.row, file.name.column), file)
            if there is not file:
                found.append((there, file))
    return found


def sentence(root: Path, found: Sequence[Pair]) -> str:
    """Say how many tiles are there twice, where, and what the transfer makes of them.

    Parameters
    ----------
    root
        Folder that the paths of the files are relative to.
    found
        Of `pairs`.

    Returns
    -------
    str
        Empty where no name occurs twice.
    """
    if not found:
        return ""
    other = next((pair for pair in found[:_MOST_READ] if not _same(root, pair)), None)
    (first, second), count = other or found[0], len(found)
    said = (
        "with other bytes: the transfer ends with the wrong ones in the way; move them out of"
        " transfer.dat_root"
        if other
        else "with the same bytes, as far as they were compared: one of each is taken"
    )
    named = f"{first.found.path} and {second.found.path}"
    return f"{count} tile name(s) occur twice, e.g. {named}, {said}"


def _same(root: Path, pair: Pair) -> bool:
    """Compare two files, sizes first; one that cannot be read counts as another."""
    first, second = (each.found for each in pair)
    if first.size != second.size:
        return False
    try:
        return filecmp.cmp(root / first.path, root / second.path, shallow=False)
    except OSError:
        return False
