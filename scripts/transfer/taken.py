"""Layers that another pipeline converted: their align HDF5 files, looked at and never written."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from scripts.lib.files import digest
from scripts.lib.job import UserError
from scripts.lib.names import LayerName, parse_dat, parse_layer
from scripts.transfer.hdf5 import DAT_NAME
from scripts.transfer.layers import Grid, Limits

KEY, RAW_KEY = "takeover.align_h5", "takeover.raw_h5"
SUFFIX = ".uint8.h5"
RAW_SUFFIXES = (".raw-archive.h5", ".raw.h5")
COLUMNS = ("layer_id", "scope", "stamp", "align_h5", "raw_h5", "bytes", "modified_ns", "tiles")
_SHOWN = 5  # files of one kind in a message
Row = dict[str, Any]


@dataclass(frozen=True)
class Faults:
    """What is wrong, by kind, each with the files it is wrong of."""

    unreadable: Sequence[str] = ()
    twice: Sequence[str] = ()
    without_raw: Sequence[str] = ()
    without_align: Sequence[str] = ()

    def lines(self) -> list[str]:
        """Say it in a line for each kind.

        Returns
        -------
        list of str
            Number, the first files, what to change.
        """
        kinds = (
            (KEY, self.unreadable, "cannot be used; mend or remove them there"),
            (KEY, self.twice, "lie there twice; name the folder that holds the right ones"),
            (RAW_KEY, self.without_raw, "have an align HDF5 and no raw one; name the folder"),
            (KEY, self.without_align, f"have a raw HDF5 in {RAW_KEY} and no align one; {_LIMITS}"),
        )
        return [f"{key}: {len(of)} {_of(of)} {words}" for key, of, words in kinds if of]


_LIMITS = "bring them, or end the volume before them (acquisition.first_dat, last_dat)"


def _of(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"layer(s): {'; '.join(names[:_SHOWN])}{more}"


def found(root: Path, suffixes: Sequence[str], limits: Limits) -> dict[LayerName, list[Path]]:
    """Return the files of layers of the volume, in and below a folder; no file is opened.

    Parameters
    ----------
    root
        The folder.
    suffixes
        How the names end behind the layer id.
    limits
        Layers of the volume.

    Returns
    -------
    dict
        Paths by layer, in order of time; names that are no layer id are passed over.
    """
    layers: dict[LayerName, list[Path]] = {}
    for folder, _, names in os.walk(root, followlinks=True):
        for name in names:
            layer = _layer(name, suffixes)
            if layer is not None and limits.hold(layer):
                layers.setdefault(layer, []).append(Path(folder, name))
    return {each: layers[each] for each in sorted(layers, key=lambda one: one.order)}


def _layer(name: str, suffixes: Sequence[str]) -> LayerName | None:
    suffix = next((each for each in suffixes if name.endswith(each)), None)
    if suffix is None or name.startswith("."):
        return None
    try:
        return parse_layer(name.removesuffix(suffix))
    except ValueError:
        return None


def fingerprint(root: Path, acquisition: Mapping[str, Any]) -> str:
    """Return the param of `take_layers`: it changes when files come, go, or are written.

    Parameters
    ----------
    root
        ``takeover.align_h5``, absolute.
    acquisition
        ``acquisition`` of the config.

    Returns
    -------
    str
        Digest of names, sizes and times.
    """
    try:
        files = found(root, (SUFFIX,), Limits.of(acquisition))
    except UserError as error:
        return str(error)  # the examination tells
    stamps = [[str(path), *_stamp(path)] for paths in files.values() for path in paths]
    return digest(sorted(stamps))[:16]


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def names(root: Path | None) -> frozenset[str]:
    """Return the ids of the layers that are taken over.

    Parameters
    ----------
    root
        ``takeover.align_h5``, absolute; None: nothing is taken over.

    Returns
    -------
    frozenset of str
        Of any volume.
    """
    layers = found(root, (SUFFIX,), Limits()) if root else {}
    return frozenset(each.layer_id for each in layers)


def tile_px(root: str) -> float:
    """Return the size of the first tile that is taken over.

    Parameters
    ----------
    root
        ``takeover.align_h5``, absolute.

    Returns
    -------
    float
        px; 0 where there is none that can be read.
    """
    first = next(iter(found(Path(root), (SUFFIX,), Limits()).values()), None)
    try:
        with h5py.File(first[0], "r") if first else nullcontext({}) as file:
            return float(next((group["mipmap.0"].size for group in file.values()), 0))
    except (OSError, KeyError):
        return 0.0


def rows(
    align: Path, raw: Path | None, acquisition: Mapping[str, Any], *, whole: bool = True
) -> list[Row]:
    """Look at every align HDF5 of the volume.

    Parameters
    ----------
    align
        Folder of the align HDF5.
    raw
        Folder of the raw HDF5, if any.
    acquisition
        ``acquisition`` of the config.
    whole
        Whether these are all layers of the volume: no ``.dat`` files bring others.

    Returns
    -------
    list of dict
        Rows of `COLUMNS`, in order of time; paths are absolute, tiles keys by comma.

    Raises
    ------
    UserError
        Names everything that is missing or cannot be used.
    """
    limits, grid = Limits.of(acquisition), Grid(acquisition["rows"], acquisition["columns"])
    files = found(align, (SUFFIX,), limits)
    if not files:
        raise UserError(
            f"{KEY}: expected <layer>{SUFFIX} of the volume in or below {align}, found none "
            f"(acquisition.first_dat {acquisition.get('first_dat')}, last_dat "
            f"{acquisition.get('last_dat')}, scope {acquisition.get('scope')})"
        )
    deep = found(raw, RAW_SUFFIXES, limits) if raw else {}
    taken, unreadable = [], []
    for layer, paths in files.items():
        try:
            taken.append(_row(layer, paths[0], deep.get(layer, [None])[0], grid))
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            unreadable.append(f"{paths[0]}: {error}")
    twice = [f"{paths[0]} and {paths[1]}" for paths in files.values() if len(paths) > 1]
    without_raw = [each.layer_id for each in files if raw and each not in deep]
    without_align = [each.layer_id for each in deep if each not in files]
    lines = Faults(unreadable, twice, without_raw, without_align).lines()
    if lines := [*lines, *(_ends(list(files), limits) if whole else ())]:
        raise UserError("\n".join(lines))
    return taken


def _ends(layers: Sequence[LayerName], limits: Limits) -> Iterator[str]:
    ends = (("first_dat", limits.first, layers[0]), ("last_dat", limits.last, layers[-1]))
    for key, wanted, there in ends:
        if wanted is not None and wanted != there:
            yield (
                f"{KEY}: {len(layers)} layer(s), of which {there.layer_id} is at the end where "
                f"acquisition.{key} names {wanted.layer_id}; bring its file, or mend that line"
            )


def _row(layer: LayerName, path: Path, raw: Path | None, grid: Grid) -> Row:
    with h5py.File(path, "r") as file:
        keys = sorted(file)
        if not keys:
            raise ValueError("it holds no tile")
        for key in keys:
            _check(file[key], key, layer, grid)
    size, modified = _stamp(path)
    return {
        "layer_id": layer.layer_id,
        "scope": layer.scope,
        "stamp": layer.stamp,
        "align_h5": str(path),
        "raw_h5": str(raw or ""),
        "bytes": size,
        "modified_ns": modified,
        "tiles": ",".join(keys),
    }


def _check(group: h5py.Group, key: str, layer: LayerName, grid: Grid) -> None:
    """Compare a tile with the name of its file, the grid, and its header."""
    name = parse_dat(str(group.attrs[DAT_NAME]))
    if (name.layer, name.tile_key) != (layer, key):
        raise ValueError(f"group {key} holds the tile {group.attrs[DAT_NAME]}")
    if name.row >= grid.rows or name.column >= grid.columns:
        raise ValueError(f"tile {key} lies outside of the grid of {grid.rows} x {grid.columns}")
    image = group["mipmap.0"]
    stated = (1, int(group.attrs["YResolution"]), int(group.attrs["XResolution"]))
    if image.shape != stated or image.dtype != np.uint8:
        raise ValueError(
            f"tile {key}: expected {stated[2]} x {stated[1]} px of uint8 as in its header, found "
            f"{' x '.join(map(str, image.shape[:0:-1]))} of {image.dtype}"
        )


def layer_rows(taken: Sequence[Mapping[str, str]], grid: Grid) -> list[Row]:
    """Return the rows of these layers in ``transfer/layers.tsv``.

    Parameters
    ----------
    taken
        Rows of `COLUMNS`.
    grid
        Tiles of a layer.

    Returns
    -------
    list of dict
        Rows of `summary.LAYER_COLUMNS`; a tile that the layer before and the one after have was
        acquired and lost, and counts as bad: no microscope changes its grid for one layer.
    """
    keys = [set(row["tiles"].split(",")) for row in taken]
    around = [a & b for a, b in zip([set(), *keys[:-1]], [*keys[1:], set()], strict=True)]
    return [_layer_row(*each, grid) for each in zip(taken, keys, around, strict=True)]


def _layer_row(row: Mapping[str, str], keys: set[str], around: set[str], grid: Grid) -> Row:
    absent = grid.missing(keys)
    return {
        **{name: row[name] for name in ("layer_id", "scope", "stamp", "raw_h5", "align_h5")},
        "tiles": len(keys),
        "expected": grid.count,
        "bad": len(around - keys),
        "status": "partial" if absent else "ok",
        **dict.fromkeys(("copied", "converted", "archived"), "-"),
        "verified": "1",
        "message": "; ".join(["taken over", *(f"{key}: not in the file" for key in absent)]),
    }


def receipt(taken: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures of what was taken over.

    Parameters
    ----------
    taken
        Rows of `COLUMNS`.

    Returns
    -------
    dict
        Numbers of files and tiles, bytes, first and last layer, digest of names, sizes and tiles.
    """
    seen = ("layer_id", "raw_h5", "bytes", "tiles")
    return {
        "files": len(taken),
        "tiles": sum(len(row["tiles"].split(",")) for row in taken),
        "bytes": sum(int(row["bytes"]) for row in taken),
        "raw_files": sum(bool(row["raw_h5"]) for row in taken),
        "first": taken[0]["layer_id"],
        "last": taken[-1]["layer_id"],
        "digest": digest([[str(row[name]) for name in seen] for row in taken]),
    }


def without(layers: Mapping[LayerName, Any], taken: Collection[str]) -> dict[LayerName, Any]:
    """Leave out the layers that are taken over.

    Parameters
    ----------
    layers
        By layer.
    taken
        Ids.

    Returns
    -------
    dict
        The others.
    """
    return {layer: each for layer, each in layers.items() if layer.layer_id not in taken}
