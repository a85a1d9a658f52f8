"""After conversion: the raw HDF5 into the archive, the `.dat` files away; never a byte at risk.

In this order, each step only when the one before is proven:

1. copy the raw HDF5 to the archive under a temporary name, flush, compare every byte with the
   source, rebuild every tile from it, rename. An archive file is replaced only by one that holds
   all its tiles, byte for byte, and more.
2. remove a `.dat` when the file that will stay gives back exactly its bytes.
3. remove the raw HDF5 of the working directory, when the archive holds the same bytes.
"""

from __future__ import annotations

import filecmp
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py

from scripts.lib import layer_files
from scripts.lib.files import atomic_path, grouped, remove_partials
from scripts.lib.names import LayerName
from scripts.transfer import hdf5, space
from scripts.transfer.conversion import FAULTS, Layer, LayerError
from scripts.transfer.hdf5 import Hdf5Error
from scripts.transfer.original import file_of

log = logging.getLogger(__name__)

ARCHIVED_COLUMNS = ("layer_id", "archived", "dats_left", "status", "reason")
_READ_ONLY = 0o444
Row = dict[str, str]


@dataclass(frozen=True)
class Rules:
    """What happens to converted layers."""

    archive_root: Path | None = None
    remove_dats: bool = False
    reserve_gb: float = 0


def settle_layers(
    plan: Sequence[Mapping[str, str]],
    failed: Mapping[str, str],
    rules: Rules,
    *,
    dat_root: Path,
    work_dir: Path,
) -> list[Row]:
    """Settle the layers of some rows of the plan; one that fails does not stop the others.

    Parameters
    ----------
    plan
        Rows of the plan, whole layers.
    failed
        Reason by id of the layers whose conversion failed: they are left as they are.
    rules
        What happens to converted layers.
    dat_root
        Folder that the paths of the plan are relative to.
    work_dir
        Folder of the raw HDF5 files.

    Returns
    -------
    list of dict
        One row of `ARCHIVED_COLUMNS` per layer.
    """
    rows = []
    for layer_id, tiles in grouped(plan, "layer_id").items():
        layer = Layer.of(tiles, dat_root, work_dir, rules.archive_root)
        archived, fault = "-" if layer.archive is None else "0", ""
        if layer_id not in failed:
            try:
                archived, fault = settle_layer(layer, rules)
            except FAULTS as error:
                log.error("%s: %s", layer_id, error)  # noqa: TRY400 - reported in full in the table
                fault = str(error)
        left = sum((dat_root / file_of(tile["dat"])).exists() for tile in tiles)
        row = {"layer_id": layer_id, "archived": archived, "dats_left": str(left)}
        rows.append(row | {"status": "failed" if fault else "ok", "reason": fault})
    return rows


def settle_layer(layer: Layer, rules: Rules) -> tuple[str, str]:
    """Archive one layer and remove its `.dat` files.

    Parameters
    ----------
    layer
        Its tiles, raw HDF5 and place in the archive.
    rules
        What happens to it.

    Returns
    -------
    tuple of str
        1 or - (archived, or nothing to archive), and why a ``.dat`` was not removed.

    Raises
    ------
    LayerError, Hdf5Error
        When something is not as it must be; what is not proven safe is kept.
    """
    if layer.archive is None:
        return "-", _remove_dats(layer, layer.raw) if rules.remove_dats else ""
    if layer.raw.exists():
        _archive(layer.raw, layer.archive, rules.reserve_gb)
    there = layer.archive.exists()
    kept = _remove_dats(layer, layer.archive) if rules.remove_dats and there else ""
    layer.raw.unlink(missing_ok=True)
    return ("1" if there else "-"), kept  # "-": no tile could be read


# ---------------------------------------------------------------------------------------------
# archive
# ---------------------------------------------------------------------------------------------


def _archive(raw: Path, archive: Path, reserve_gb: float) -> None:
    if archive.exists():
        if filecmp.cmp(raw, archive, shallow=False):
            return
        _check_superset(raw, archive)
    if full := space.shortage(archive, raw.stat().st_size, reserve_gb):
        raise LayerError(full)
    remove_partials(archive)
    with atomic_path(archive) as partial:
        shutil.copyfile(raw, partial)
        _flush(partial)
        _check_copy(raw, partial)
        partial.chmod(_READ_ONLY)


def _flush(path: Path) -> None:
    """Write a file to disk and drop it from memory, so that what is read next is the disk's."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _check_copy(raw: Path, copy: Path) -> None:
    filecmp.clear_cache()
    if not filecmp.cmp(raw, copy, shallow=False):
        raise LayerError(f"{raw.name}: the copy in the archive differs from {raw}; tried again")
    with h5py.File(copy, "r") as file:
        for key in file:
            hdf5.rebuild_dat(file[key])


def _check_superset(raw: Path, archive: Path) -> None:
    """Check that `raw` holds every tile of the archive's file, byte for byte.

    Raises
    ------
    LayerError
        Names the tiles that would be lost or changed.
    """
    old, new = hdf5.stored_tiles(archive), hdf5.stored_tiles(raw)
    with h5py.File(archive, "r") as before, h5py.File(raw, "r") as after:
        changed = [
            key
            for key in old.keys() & new.keys()
            # a tile may have got the recipe that was cut off before
            if hdf5.rebuild_dat(after[key])[: old[key].size] != hdf5.rebuild_dat(before[key])
        ]
    if lost := sorted({*(old.keys() - new.keys()), *changed}):
        raise LayerError(
            f"{archive}: expected a raw HDF5 with all its tiles to replace it, found one that "
            f"lacks or changes {', '.join(lost)}. Both are kept: {raw}"
        )


# ---------------------------------------------------------------------------------------------
# .dat files
# ---------------------------------------------------------------------------------------------


def _remove_dats(layer: Layer, keeper: Path) -> str:
    """Remove every `.dat` whose bytes `keeper` gives back; say which were kept and why."""
    stored, kept = hdf5.stored_tiles(keeper), []
    for tile in layer.tiles:
        path = layer.dat_root / tile["dat"]
        if not path.exists() or tile["tile_key"] not in stored:
            continue
        with h5py.File(keeper, "r") as file:
            same = hdf5.gives_back(file[tile["tile_key"]], path.read_bytes())
        if same:
            path.unlink()
        else:
            kept.append(
                f"{path} is not removed: its bytes are not those in {keeper}. Both are kept; move "
                f"the wrong one away"
            )
    return "; ".join(kept)


def stored_anywhere(
    layer: LayerName, work_dir: Path, archive_root: Path | None
) -> dict[str, tuple[str, int]]:
    """Return tile key -> (name of the `.dat`, bytes) of a layer's raw HDF5 and its archive file.

    A file that cannot be read counts as none: its layer fails later, in words.

    Parameters
    ----------
    layer
        The layer.
    work_dir
        Folder of the raw HDF5 files.
    archive_root
        The archive; None: there is none.

    Returns
    -------
    dict
        Name of the ``.dat`` and bytes, by tile key; those of the working directory where both have
        one.
    """
    paths = [work_dir / layer_files.raw_path(layer)]
    paths += [archive_root / layer_files.archive_path(layer)] if archive_root else []
    tiles: dict[str, tuple[str, int]] = {}
    for path in paths:
        try:
            stored = hdf5.stored_tiles(path)
        except Hdf5Error:
            continue
        tiles = {key: (tile.dat_name, tile.size) for key, tile in stored.items()} | tiles
    return tiles
