"""The plan: every tile of the volume, and which job brings its layer up to date.

It is made from what is there: `.dat` files, raw HDF5 files and the archive together, so that a
layer whose `.dat` files were removed keeps its place. What earlier runs wrote only serves to leave
alone what is done. A layer stays in its chunk; its `attempt` goes up whenever there is something to
do for it, and only chunks with a changed row are run again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scripts.lib.files import digest, grouped, read_table
from scripts.lib.names import LayerName, parse_layer
from scripts.transfer.layers import DatFile, Grid, Limits, Misfit

PLAN_COLUMNS = (
    *("chunk", "layer_id", "tile_key", "row", "column", "dat", "bytes"),
    *("modified_ns", "attempt"),
)
MISFIT_COLUMNS = ("dat", "bytes", "modified_ns", "reason")
Row = dict[str, str]
Due = dict[str, str]  # layer id (or "") -> what is to be done


@dataclass(frozen=True)
class PreviousRun:
    """Tables of earlier runs; empty where there are none."""

    plan: tuple[Row, ...] = ()
    misfits: tuple[Row, ...] = ()
    layers: tuple[Row, ...] = ()
    quarantine: tuple[Row, ...] = ()

    @staticmethod
    def read(folder: Path) -> PreviousRun:
        """Read the tables of folder `transfer`.

        Parameters
        ----------
        folder
            ``transfer`` of the working directory.

        Returns
        -------
        PreviousRun
            Empty where a table is not there.
        """
        names = ("plan", "misfits", "layers", "quarantine")
        return PreviousRun(*(_table(folder / f"{name}.tsv") for name in names))

    def without(self, layer_ids: Collection[str]) -> PreviousRun:
        """Leave out layers that are not this transfer's to make.

        Parameters
        ----------
        layer_ids
            Those that are taken over.

        Returns
        -------
        PreviousRun
            The tables without their rows.
        """
        if not layer_ids:
            return self
        plan, layers = (
            tuple(row for row in rows if row["layer_id"] not in layer_ids)
            for rows in (self.plan, self.layers)
        )
        return replace(self, plan=plan, layers=layers)


def _table(path: Path) -> tuple[Row, ...]:
    if not path.exists():
        return ()
    status = path.stat()
    return _read(path.resolve(), (status.st_ino, status.st_size, status.st_mtime_ns))


@functools.lru_cache(maxsize=4)
def _read(path: Path, _as_it_is: tuple[int, ...]) -> tuple[Row, ...]:
    """Read a table once for all rules that ask: the plan of 100,000 tiles takes half a second."""
    return tuple(read_table(path))


@dataclass(frozen=True)
class Hdf5Layers:
    """Layer ids by the HDF5 files they have."""

    raw: Collection[str] = frozenset()
    align: Collection[str] = frozenset()
    archive: Collection[str] = frozenset()


@dataclass(frozen=True)
class Quiet:
    """When the newest layer may be taken although it is not whole yet."""

    imaging: bool  # False: nothing more will come
    quiet_s: float
    now_s: float


# ---------------------------------------------------------------------------------------------
# what there is to do
# ---------------------------------------------------------------------------------------------


def without_growing(
    layers: Mapping[LayerName, Sequence[DatFile]],
    grid: Grid,
    quiet: Quiet,
    is_whole: Callable[[DatFile], bool],
    planned: Collection[str],
) -> dict[LayerName, Sequence[DatFile]]:
    """Leave the newest layer out while it is being acquired or copied.

    It is left out when no planned layer is as new, imaging goes on, cells are empty or files
    shorter than their headers say, and something changed within the quiet time (before or after
    now: clocks differ).

    Parameters
    ----------
    layers
        Files by layer.
    grid
        The tiles a layer should have.
    quiet
        Whether imaging goes on, and times in s.
    is_whole
        Tells whether a file is as long as its header says; asked of the newest layer alone.
    planned
        Ids of the layers that have been planned.

    Returns
    -------
    dict
        Files by layer.
    """
    if not layers or not quiet.imaging:
        return dict(layers)
    newest = max([*layers, *_names(planned)], key=lambda layer: layer.order)
    if newest not in layers:
        return dict(layers)
    files = layers[newest]
    whole = not grid.missing(file.name.tile_key for file in files) and all(map(is_whole, files))
    ages = [abs(quiet.now_s - file.found.modified_ns / 1e9) for file in files]
    if whole or min(ages) >= quiet.quiet_s or newest.layer_id in planned:
        return dict(layers)
    return {layer: files for layer, files in layers.items() if layer != newest}


def due(
    previous: PreviousRun,
    layers: Mapping[LayerName, Sequence[DatFile]],
    misfits: Sequence[Misfit],
    on_disk: Hdf5Layers,
    limits: Limits,
) -> Due:
    """Return what is to be done.

    Parameters
    ----------
    previous
        Tables of earlier runs.
    layers
        Files by layer, as they are.
    misfits
        Files that are no tile of the volume.
    on_disk
        Which HDF5 files there are.
    limits
        Which layers belong to the volume.

    Returns
    -------
    dict
        A reason by layer id, "" for what is no layer; {} when all is as the last plan left it.
    """
    found = {file.found.path: (layer, file.found) for layer, f in layers.items() for file in f}
    planned = {row["dat"]: row for row in previous.plan}
    todo: Due = {}
    for path, (layer, file) in found.items():
        if path not in planned:
            todo.setdefault(layer.layer_id, "new .dat")
        elif _mark(planned[path]) != (str(file.size), str(file.modified_ns)):
            todo.setdefault(layer.layer_id, "changed .dat")
    gone = [row for row in previous.plan if row["dat"] not in found]
    todo |= _vanished(gone, previous, on_disk, limits) | _unfinished(previous, on_disk)
    listed = {(row["dat"], *_mark(row)) for row in previous.misfits}
    if listed != {_misfit_mark(misfit) for misfit in misfits}:
        todo.setdefault("", "files that do not fit")
    return todo


def _mark(row: Mapping[str, str]) -> tuple[str, str]:
    return row["bytes"], row.get("modified_ns", "")


def _misfit_mark(misfit: Misfit) -> tuple[str, str, str]:
    return misfit.found.path, str(misfit.found.size), str(misfit.found.modified_ns)


def _vanished(
    gone: Sequence[Row], previous: PreviousRun, on_disk: Hdf5Layers, limits: Limits
) -> Due:
    """Name layers whose `.dat` files went without being safe in a raw HDF5."""
    safe = {row["layer_id"] for row in previous.layers if row.get("archived") == "1"} | set(
        on_disk.raw
    )
    bad = {(row["layer_id"], row["tile_key"]) for row in previous.quarantine}
    return {
        row["layer_id"]: ".dat gone"
        for row in gone
        if (row["layer_id"] not in safe or (row["layer_id"], row["tile_key"]) in bad)
        and limits.hold(parse_layer(row["layer_id"]))
    }


def _unfinished(previous: PreviousRun, on_disk: Hdf5Layers) -> Due:
    """Name layers that failed, or whose HDF5 files were lost since."""
    todo: Due = {}
    for row in previous.layers:
        layer_id = row["layer_id"]
        if "0" in (row.get("converted"), row.get("archived")):
            todo[layer_id] = "failed"
        elif int(row["tiles"]) and layer_id not in on_disk.align:
            todo[layer_id] = "align HDF5 lost"
        elif int(row["tiles"]) and row.get("archived") != "1" and layer_id not in on_disk.raw:
            todo[layer_id] = "raw HDF5 lost"
    return todo


def words(todo: Due, previous: PreviousRun) -> str:
    """Say what is to be done, in a text that differs from that of every earlier run.

    Parameters
    ----------
    todo
        A reason by layer id.
    previous
        Tables of earlier runs.

    Returns
    -------
    str
        Numbers of layers by reason, and a digest.
    """
    kinds = sorted(set(todo.values()))
    counts = ", ".join(f"{kind}: {list(todo.values()).count(kind)}" for kind in kinds)
    attempts = [(row["layer_id"], row.get("attempt", "")) for row in previous.plan]
    return f"layers to do: {counts} ({digest([sorted(todo.items()), attempts])[:12]})"


# ---------------------------------------------------------------------------------------------
# the plan
# ---------------------------------------------------------------------------------------------


def plan(
    previous: PreviousRun,
    layers: Mapping[LayerName, Sequence[DatFile]],
    on_disk: Hdf5Layers,
    limits: Limits,
    *,
    todo: Due,
    stored: Callable[[LayerName], Mapping[str, tuple[str, int]]],
    layers_per_job: int,
) -> list[Row]:
    """Return the rows of the plan, layers in order of time.

    Parameters
    ----------
    previous
        Tables of earlier runs.
    layers
        Files by layer.
    on_disk
        Which HDF5 files there are.
    limits
        Which layers belong to the volume.
    todo
        A reason by id of the layers that are to be done.
    stored
        Gives the tiles of a layer that are in its raw HDF5 or in the archive: name of the ``.dat``
        and bytes by tile key; {} when there is no such file or it cannot be read.
    layers_per_job
        Layers of a chunk.

    Returns
    -------
    list of dict
        Rows of `PLAN_COLUMNS`, one per tile.
    """
    old = grouped(previous.plan, "layer_id")
    in_hdf5 = {*on_disk.raw, *on_disk.archive, *old}
    names = {layer for layer in _names(in_hdf5) if limits.hold(layer)} | set(layers)
    rows: list[Row] = []
    for name in sorted(names, key=lambda layer: layer.order):
        before, attempt = old.get(name.layer_id, []), _attempt(old, name, todo)
        tiles = {file.name.tile_key: _file_row(file) for file in layers.get(name, ())}
        if not before or name.layer_id in todo:
            kept = _kept(before, stored(name), name.layer_id in on_disk.align)
        else:
            kept = {row["tile_key"]: row for row in before}
        both = kept | tiles
        fixed = {"layer_id": name.layer_id, "attempt": attempt}
        rows += [both[key] | fixed for key in sorted(both, key=_by_cell)]
    return _in_chunks(rows, old, layers_per_job)


def _names(layer_ids: Iterable[str]) -> list[LayerName]:
    return [parse_layer(layer_id) for layer_id in layer_ids]


def _attempt(old: Mapping[str, Sequence[Row]], name: LayerName, todo: Due) -> str:
    before = max((int(row.get("attempt") or 0) for row in old.get(name.layer_id, [])), default=0)
    return str(before + (name.layer_id in todo or name.layer_id not in old))


def _file_row(file: DatFile) -> Row:
    name, found = file.name, file.found
    row = _row(name.tile_key, found.path, found.size)
    return row | {"modified_ns": str(found.modified_ns)}


def _row(key: str, dat: str, size: int) -> Row:
    _, row, column = key.split("-")
    named = {"tile_key": key, "row": row, "column": column}
    return named | {"dat": dat, "bytes": str(size), "modified_ns": ""}


def _kept(
    before: Sequence[Row], stored: Mapping[str, tuple[str, int]], converted: bool
) -> dict[str, Row]:
    """Return rows of tiles without a `.dat`: those in HDF5; all, when these cannot be read."""
    if not stored:
        return {row["tile_key"]: row for row in before} if converted else {}
    known = {row["tile_key"]: row for row in before}
    return {key: known.get(key) or _row(key, *tile) for key, tile in stored.items()}


def _by_cell(key: str) -> tuple[int, ...]:
    return tuple(int(part) for part in key.split("-"))


def _in_chunks(
    rows: Sequence[Row], old: Mapping[str, Sequence[Row]], layers_per_job: int
) -> list[Row]:
    """Keep layers in their chunks; new ones fill the last chunk, then begin others."""
    layer_ids = list(dict.fromkeys(row["layer_id"] for row in rows))
    chunk_of = {i: int(old[i][0]["chunk"]) for i in layer_ids if i in old}
    last = max(chunk_of.values(), default=0)
    used = list(chunk_of.values()).count(last)
    for layer_id in layer_ids:
        if layer_id in chunk_of:
            continue
        if used >= layers_per_job:
            last, used = last + 1, 0
        chunk_of[layer_id], used = last, used + 1
    return [{"chunk": f"{chunk_of[row['layer_id']]:04d}"} | row for row in rows]


def misfit_rows(misfits: Iterable[Misfit]) -> list[Row]:
    """Return one row per file that is no tile of the volume.

    Parameters
    ----------
    misfits
        The files.

    Returns
    -------
    list of dict
        Rows of `MISFIT_COLUMNS`; an empty reason marks a mere copy.
    """
    return [
        {
            "dat": each.found.path,
            "bytes": str(each.found.size),
            "modified_ns": str(each.found.modified_ns),
            "reason": each.reason,
        }
        for each in misfits
    ]
