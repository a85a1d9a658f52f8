"""The header cache: what align HDF5 files say, read once and kept by day of acquisition.

A file is read again only when its size, its time of change or the code that reads it differs. One
shard holds the layers of one day, so memory does not grow with the volume, a killed run goes on
with the next day, and a layer that arrives late rewrites one shard. The cache is no output of any
rule: it may be removed at any time.
"""

from __future__ import annotations

import functools
import hashlib
import io
import logging
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.ingest.align import TILE, read_layer, tile_keys
from scripts.lib import commands, made_by
from scripts.lib.arrays import Int64
from scripts.lib.files import write_bytes
from scripts.lib.job import UserError
from scripts.lib.names import parse_layer

log = logging.getLogger(__name__)

COLUMNS = ("layer_id", "align_h5", "tiles", "digest", "problem")
_LAYER_COLUMNS = ("layer_id", "path", "size", "mtime_ns", "count", "keys", "digest", "problem")
_LAYER_KINDS = ("S1", "S1", "i8", "i8", "i8", "S1", "S1", "S1")
Row = dict[str, str]
Key = tuple[Any, ...]  # layer_id, path, size, mtime_ns
Layer = tuple[tuple[Any, ...], NDArray[np.void]]  # row of the layer, its tiles


@dataclass(frozen=True)
class Shard:
    """Layers of one day in order of time, and their tiles in the same order."""

    layers: NDArray[np.void]  # columns _LAYER_COLUMNS; count = number of tiles
    tiles: NDArray[np.void]  # of dtype TILE

    def starts(self) -> Int64:
        """Return the index of the first tile of each layer, and the number of tiles.

        Returns
        -------
        Int64
            (layers + 1,).
        """
        return np.concatenate([[0], np.cumsum(self.layers["count"])])


def day_of(layer_id: str) -> str:
    """Return the day of a layer, the name of its shard.

    Parameters
    ----------
    layer_id
        As in the layer table.

    Returns
    -------
    str
        ``yy-mm-dd``.
    """
    return layer_id[-15:-7]


def by_day(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Group rows of a table by the day of their layer_id, days in order of time.

    Parameters
    ----------
    rows
        Rows with layer_id.

    Returns
    -------
    dict
        Rows by ``yy-mm-dd``, those of a day in the order given.
    """
    days: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        days.setdefault(day_of(row["layer_id"]), []).append(row)
    return {day: days[day] for day in sorted(days)}


def load(folder: Path, day: str) -> Shard | None:
    """Read the shard of a day; None when there is none, or other code read it.

    Parameters
    ----------
    folder
        The cache.
    day
        ``yy-mm-dd``.

    Returns
    -------
    Shard or None
        Layers and tiles of the day.
    """
    try:
        # from memory: numpy leaves a damaged file open
        with np.load(io.BytesIO((folder / f"{day}.npz").read_bytes())) as arrays:
            shard, code = Shard(arrays["layers"], arrays["tiles"]), str(arrays["code"])
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    if code != made_by.HEADERS.digest():
        log.info("%s of %s: %s", day, folder, made_by.HEADERS.other(code))
        return None
    same = shard.tiles.dtype == TILE and shard.layers.dtype.names == _LAYER_COLUMNS
    return shard if same else None


def save(folder: Path, day: str, shard: Shard) -> None:
    """Write the shard of a day, atomically.

    Parameters
    ----------
    folder
        The cache.
    day
        ``yy-mm-dd``.
    shard
        Layers and tiles of the day.
    """
    out = io.BytesIO()
    code = np.array(made_by.HEADERS.digest())
    np.savez(out, layers=shard.layers, tiles=shard.tiles, code=code)
    write_bytes(folder / f"{day}.npz", out.getvalue())
    made_by.HEADERS.record()


def read_part(rows: Sequence[Mapping[str, str]]) -> Shard:
    """Read the headers of some layers, whatever is cached.

    Parameters
    ----------
    rows
        Rows with layer_id and align_h5, whose file need not be there.

    Returns
    -------
    Shard
        Layers in the order of `rows`; to be saved, and given to `refresh`.
    """
    return _assembled(_wanted(rows), {})


def refresh(
    rows: Sequence[Mapping[str, str]], folder: Path, parts: Sequence[str | Path] = ()
) -> Iterator[Row]:
    """Bring the cache up to date with the align files of `rows` (layer_id, align_h5, …).

    Days that have no row leave the cache.

    Parameters
    ----------
    rows
        Rows of a layer table; layer_id and align_h5 are used, layers without a file passed over.
    folder
        The cache.
    parts
        Shards of some layers each (`read_part`): what they hold, of files as they are now, is not
        read again.

    Yields
    ------
    dict
        One row of `COLUMNS` per layer, in order of time: tiles (keys by comma), digest of the
        headers, problem (why the file could not be read, empty when it could).
    """
    days = by_day([row for row in rows if row["align_h5"]])
    read_before = functools.cache(lambda: _held_by(parts))
    for day, layers in days.items():
        ordered = sorted(layers, key=lambda row: (row["layer_id"][-15:], row["layer_id"]))
        yield from _rows(_fresh(folder, day, ordered, load(folder, day), read_before))
    for path in folder.glob("*.npz"):
        if path.stem not in days:
            path.unlink(missing_ok=True)


def _rows(shard: Shard) -> Iterator[Row]:
    for values in shard.layers[["layer_id", "path", "keys", "digest", "problem"]].tolist():
        yield dict(zip(COLUMNS, map(bytes.decode, values), strict=True))


def _wanted(rows: Sequence[Mapping[str, str]]) -> list[Key]:
    return [(row["layer_id"].encode(), *_stamp(row["align_h5"])) for row in rows]


def _fresh(
    folder: Path,
    day: str,
    rows: Sequence[Mapping[str, str]],
    old: Shard | None,
    read_before: Callable[[], Mapping[Key, Layer]] = dict,
) -> Shard:
    """Return a day as its files are now, and save it where `old`, its shard, is not that."""
    wanted = _wanted(rows)
    known: dict[Key, Layer] = {}
    if old is not None:
        known = _held(old)
        if list(known) == wanted:
            return old
    if not set(wanted) <= known.keys():
        known |= read_before()
    shard = _assembled(wanted, known)
    save(folder, day, shard)
    log.info("%s: %d layers, %d of them read", day, len(wanted), len(set(wanted) - set(known)))
    return shard


def _held(shard: Shard) -> dict[Key, Layer]:
    starts, keys = shard.starts().tolist(), shard.layers[list(_LAYER_COLUMNS[:4])].tolist()
    return {
        key: (tuple(row), shard.tiles[first:end])
        for key, row, first, end in zip(
            keys, shard.layers.tolist(), starts[:-1], starts[1:], strict=True
        )
    }


def _held_by(parts: Sequence[str | Path]) -> dict[Key, Layer]:
    found: dict[Key, Layer] = {}
    for path in map(Path, parts):
        shard = load(path.parent, path.stem)
        found |= {} if shard is None else _held(shard)
    return found


def digest_of_stamps(rows: Sequence[Mapping[str, str]]) -> str:
    """Return the digest of path, size and time of change of all align files of `rows`.

    Parameters
    ----------
    rows
        Rows with align_h5.

    Returns
    -------
    str
        SHA-256, hexadecimal.
    """
    stamps = [_stamp(row["align_h5"]) for row in rows if row["align_h5"]]
    return hashlib.sha256(repr(stamps).encode()).hexdigest()


def shards(folder: Path) -> list[tuple[str, int, int]]:
    """Return name, size (bytes) and time of change (ns) of the shards of a cache.

    Parameters
    ----------
    folder
        The cache.

    Returns
    -------
    list of tuple
        In order of names.
    """
    found = [(path.name, path.stat()) for path in sorted(folder.glob("*.npz"))]
    return [(name, status.st_size, status.st_mtime_ns) for name, status in found]


def _stamp(path: str) -> tuple[bytes, int, int]:
    """Path, size (bytes) and time of change (ns) of a file; size -1 when it is not there."""
    try:
        status = os.stat(path)  # noqa: PTH116 - half the time of Path.stat, for 25,000 files
    except OSError:
        return path.encode(), -1, 0
    return path.encode(), status.st_size, status.st_mtime_ns


def _assembled(wanted: Sequence[Key], known: Mapping[Key, Layer]) -> Shard:
    found = [known[key] if key in known else _read(key) for key in wanted]
    columns = [np.array(column) for column in zip(*(row for row, _ in found), strict=True)]
    columns = columns or [np.empty(0, kind) for kind in _LAYER_KINDS]
    kinds = [(name, c.dtype) for name, c in zip(_LAYER_COLUMNS, columns, strict=True)]
    tiles = np.concatenate([np.empty(0, TILE), *(one for _, one in found)])
    return Shard(np.array([row for row, _ in found], np.dtype(kinds)), tiles)


def _read(key: Key) -> Layer:
    layer_id, path = key[0].decode(), key[1].decode()
    tiles, problem = np.empty(0, TILE), ""
    try:
        if key[2] < 0:
            raise ValueError(f"{path}: there is no such file")  # noqa: TRY301
        tiles = read_layer(Path(path), parse_layer(layer_id))
    except ValueError as error:
        problem = str(error)
    keys = ",".join(tile_keys(tiles))
    digest = hashlib.sha256(tiles.tobytes() + problem.encode()).hexdigest()[:16]
    texts = (keys.encode(), digest.encode(), problem.encode())
    return (*key, len(tiles), *texts), tiles


# ---------------------------------------------------------------------------------------------
# reading
# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """The tiles of one day of the volume, by z, then tile key.

    ``z`` (n,) is the layer of each tile, ``layer`` (n,) the index of that layer in ``stamps`` and
    ``paths``, its time stamp and align HDF5.
    """

    z: Int64
    layer: Int64
    tiles: NDArray[np.void]
    stamps: Sequence[str]
    paths: Sequence[str]

    def __len__(self) -> int:
        return len(self.z)


def parts(rows: Sequence[Mapping[str, str]], folder: Path) -> Iterator[Part]:
    """Read the tiles of the layers of ``ingest/layers.tsv``, one day at a time, z ascending.

    A day whose cached headers are gone, or were read by other code, is read anew.

    Parameters
    ----------
    rows
        Rows of ``ingest/layers.tsv``.
    folder
        The cache.

    Yields
    ------
    Part
        The tiles of a day.

    Raises
    ------
    UserError
        When a layer that is read anew is no longer what the table says.
    """
    for day, layers in by_day([row for row in rows if row["align_h5"]]).items():
        z = {row["layer_id"].encode(): int(row["z"]) for row in layers}
        shard = load(folder, day)
        if shard is None or not z.keys() <= set(shard.layers["layer_id"].tolist()):
            shard = _fresh(folder, day, layers, shard)
            _require_same(shard, layers)
        yield _part(shard, z)


def _require_same(shard: Shard, rows: Sequence[Mapping[str, str]]) -> None:
    """Stop where layers do not have as many tiles as the table says that was made of them."""
    held = {row["layer_id"]: row for row in _rows(shard)}
    for row in rows:
        found = held[row["layer_id"]]
        count = len(list(filter(None, found["tiles"].split(","))))
        if count != int(row["tiles"]):
            raise UserError(
                f"{found['align_h5']}: expected {row['tiles']} tiles, as in ingest/layers.tsv, "
                f"found {found['problem'] or count}. The table is made again by: "
                f"{commands.again('cache_headers', 'ingest')}"
            )


def _part(shard: Shard, z: Mapping[bytes, int]) -> Part:
    names = shard.layers[["layer_id", "path"]].tolist()
    of_layer = np.array([z.get(layer_id, 0) for layer_id, _ in names])
    layer = np.repeat(np.arange(len(of_layer)), shard.layers["count"])
    order = np.argsort(of_layer[layer], kind="stable")
    order = order[of_layer[layer][order] > 0]  # layers that are left out have no z
    stamps = [layer_id[-15:].decode() for layer_id, _ in names]
    paths = [path.decode() for _, path in names]
    return Part(of_layer[layer[order]], layer[order], shard.tiles[order], stamps, paths)


@dataclass(frozen=True)
class Prior:
    """The tile of the same cell in the last layer before that has it; z 0 where there is none."""

    z: Int64
    tiles: NDArray[np.void]


def with_prior(volume: Iterator[Part]) -> Iterator[tuple[Part, Prior]]:
    """Add to each part the prior tile of every tile.

    Parameters
    ----------
    volume
        Parts in order of z.

    Yields
    ------
    tuple
        The part, and for each of its tiles the one of the same cell before.
    """
    last_z, last = np.empty(0, np.int64), np.empty(0, TILE)
    for part in volume:
        z, tiles = np.concatenate([last_z, part.z]), np.concatenate([last, part.tiles])
        cell = tiles["row"].astype(np.int64) << 32 | tiles["column"]
        order = np.lexsort((np.arange(len(z)), cell))  # by cell, then in order of z
        same = np.zeros(len(z), bool)
        same[1:] = cell[order][1:] == cell[order][:-1]
        before = np.full(len(z), -1)
        before[order[1:]] = np.where(same[1:], order[:-1], -1)
        mine = before[len(last_z) :]
        yield part, Prior(np.where(mine >= 0, z[mine], 0), tiles[mine])
        ends = order[~np.append(same[1:], False)]  # the last tile of each cell
        last_z, last = z[ends], tiles[ends]
