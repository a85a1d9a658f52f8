"""All header fields of all tiles as columns, read from the align HDF5 files, each file once.

Numbers are one float64 matrix (NaN where a header version has no such field), texts are codes into
a list. A table that the same code made is taken for every file whose size and time did not change:
reading costs about 3 ms per tile.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from scripts.ingest.header_fields import LISTED, NUMBERS, TEXTS
from scripts.lib.arrays import Array, Int64
from scripts.lib.files import write_bytes
from scripts.lib.made_by import HEADER_TABLE

log = logging.getLogger(__name__)

TEXT_FIELDS = tuple(sorted(TEXTS))
_VERSION = b"FileVersion"


@dataclass(frozen=True)
class HeaderTable:
    """Tiles in order of z, then tile key; `z` is known to the caller's layer table alone."""

    z: Int64  # (n,)
    cell: NDArray[np.str_]  # (n,) row-column
    numbers: Array  # (n, len(NUMBERS))
    texts: Int64  # (n, len(TEXT_FIELDS)), -1 = none
    words: list[str]
    unreadable: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.z)

    def number(self, name: str) -> Array:
        """Return a numeric field of all tiles.

        Parameters
        ----------
        name
            One of `NUMBERS`.

        Returns
        -------
        Array
            (n,), in the unit of `header_fields.UNITS`; NaN where a tile has no such field.
        """
        return self.numbers[:, NUMBERS.index(name)]

    def codes(self, name: str) -> Array:
        """Return a field as numbers that are equal where it is; NaN where there is none.

        Parameters
        ----------
        name
            One of `NUMBERS` or `TEXT_FIELDS`.

        Returns
        -------
        Array
            (n,), of a text its place in `words`.
        """
        if name not in TEXTS:
            return self.number(name)
        found = self.texts[:, TEXT_FIELDS.index(name)].astype(float)
        return np.where(found < 0, np.nan, found)

    def shown(self, name: str, code: float) -> str:
        """Return the text of one value of `codes`.

        Parameters
        ----------
        name
            The field.
        code
            One of its `codes`.

        Returns
        -------
        str
            Nine digits of a number; empty for NaN.
        """
        if np.isnan(code):
            return ""
        return self.words[int(code)] if name in TEXTS else f"{code:.9g}"


@dataclass
class _Reader:
    """What was seen so far: words, and which fields a header version has."""

    words: dict[str, int] = field(default_factory=dict)
    known: dict[int, tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]] = field(
        default_factory=dict
    )
    unlisted: set[str] = field(default_factory=set)

    def tile(self, group: h5py.Group) -> tuple[Array, Int64]:
        numbers, texts = self._fields(group)
        values = np.full(len(NUMBERS), np.nan)
        one = np.empty(())
        for index, name in numbers:
            h5py.h5a.open(group.id, name).read(one, h5py.h5t.NATIVE_DOUBLE)
            values[index] = one
        codes = np.full(len(TEXT_FIELDS), -1)
        for index, name in texts:
            codes[index] = self.code(_text(group.attrs[name.decode()]))
        return values, codes

    def code(self, word: str) -> int:
        return self.words.setdefault(word, len(self.words))

    def _fields(self, group: h5py.Group) -> tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]:
        version = int(group.attrs[_VERSION.decode()])
        if version not in self.known:
            there = set(group.attrs)
            self.unlisted |= there - LISTED
            self.known[version] = (
                [(i, name.encode()) for i, name in enumerate(NUMBERS) if name in there],
                [(i, name.encode()) for i, name in enumerate(TEXT_FIELDS) if name in there],
            )
        return self.known[version]


def _text(value: Any) -> str:  # noqa: ANN401 - text or array of an HDF5 attribute
    return value if isinstance(value, str) else str(np.asarray(value).tolist())


def read(rows: Iterable[Mapping[str, str]], cache: Path) -> HeaderTable:
    """Read the headers of the layers `rows` (z, align_h5), those of `cache` again where it can be.

    The cache is written anew. A file that cannot be read is listed and left out.

    Parameters
    ----------
    rows
        Rows of ``ingest/layers.tsv``, in order of z; z and align_h5 are used.
    cache
        NPZ file of an earlier run; it may be absent, damaged, or of other fields.

    Returns
    -------
    HeaderTable
        Tiles in order of z, then tile key.
    """
    reader, old = _Reader(), _load(cache)
    for word in old["words"].tolist() if old else []:
        reader.code(word)
    known = _spans(old) if old else {}
    stamps, parts, z, unreadable, fresh = [], [], [], [], 0
    for row in rows:
        if not row["align_h5"]:
            continue
        try:
            stamp = _stamp(row["align_h5"])
            part = _cached(old, known.get(stamp)) or _read(Path(row["align_h5"]), reader)
        except (OSError, KeyError, ValueError) as error:
            unreadable.append(f"z {row['z']}: {row['align_h5']}: {error}")
            continue
        fresh += stamp not in known
        stamps.append(stamp)
        parts.append(part)
        z += [int(row["z"])] * len(part[0])
    log.info("%d tiles of %d layers, %d layers read now", len(z), len(parts), fresh)
    cells, numbers, texts = _joined(parts)
    words = list(reader.words)
    _save(cache, stamps, [len(part[0]) for part in parts], (cells, numbers, texts), words)
    return HeaderTable(
        np.array(z, np.int64), cells, numbers, texts, words, unreadable, sorted(reader.unlisted)
    )


Part = tuple[NDArray[np.str_], Array, Int64]


def _read(path: Path, reader: _Reader) -> Part:
    with h5py.File(path, "r") as file:
        keys = sorted(file)
        values = [reader.tile(file[key]) for key in keys]
    return _part([key.partition("-")[2] for key in keys], values)


def _part(cells: Sequence[str], values: Sequence[tuple[Array, Int64]]) -> Part:
    numbers = np.array([v for v, _ in values]).reshape(-1, len(NUMBERS))
    texts = np.array([c for _, c in values], np.int64).reshape(-1, len(TEXT_FIELDS))
    return np.array(cells, dtype="U15"), numbers, texts


def _joined(parts: Sequence[Part]) -> Part:
    if not parts:
        return _part([], [])
    cells, numbers, texts = (np.concatenate(column) for column in zip(*parts, strict=True))
    return cells, numbers, texts


# ---------------------------------------------------------------------------------------------
# the table of an earlier run
# ---------------------------------------------------------------------------------------------


def _stamp(path: str) -> str:
    """Path, size and time of a file, as one text."""
    status = Path(path).stat()
    return f"{path}\t{status.st_size}\t{status.st_mtime_ns}"


def _save(
    path: Path, stamps: Sequence[str], counts: Sequence[int], part: Part, words: Sequence[str]
) -> None:
    out = io.BytesIO()
    np.savez_compressed(
        out,
        fields=np.array([*NUMBERS, *TEXT_FIELDS]),
        stamps=np.array(stamps, dtype=str),
        counts=np.array(counts, np.int64),
        cells=part[0],
        numbers=part[1],
        texts=part[2],
        words=np.array(words, dtype=str),
        code=np.array(HEADER_TABLE.digest()),
    )
    write_bytes(path, out.getvalue())
    HEADER_TABLE.record()


def _load(path: Path) -> dict[str, NDArray[Any]] | None:
    try:
        with np.load(path) as arrays:
            found = dict(arrays)
    except (OSError, ValueError, EOFError):
        return None
    code = str(found.get("code", ""))
    if code != HEADER_TABLE.digest():
        log.info("%s is made again: %s", path, HEADER_TABLE.other(code))
        return None
    same = found.get("fields", np.array([])).tolist() == [*NUMBERS, *TEXT_FIELDS]
    return found if same else None


def _spans(old: Mapping[str, NDArray[Any]]) -> dict[str, slice]:
    ends = np.cumsum(old["counts"]).tolist()
    starts = [0, *ends[:-1]]
    spans = (slice(a, b) for a, b in zip(starts, ends, strict=True))
    return dict(zip(old["stamps"].tolist(), spans, strict=True))


def _cached(old: Mapping[str, NDArray[Any]] | None, span: slice | None) -> Part | None:
    if old is None or span is None:
        return None
    return old["cells"][span], old["numbers"][span], old["texts"][span]
