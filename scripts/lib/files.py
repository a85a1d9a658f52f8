"""Files: atomic writes, JSON and tables.

Nothing in the project opens a final path for writing in any other way: a reader sees the old
content or the new, never half of it.
"""

from __future__ import annotations

import csv
import ctypes
import glob
import gzip
import hashlib
import io
import json
import logging
import operator
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote_to_bytes

import orjson

from scripts.lib import packed

log = logging.getLogger(__name__)

_Row = TypeVar("_Row", bound=Mapping[str, str])
_IN_URL_PATH = "/:@!$&'()*+,;="  # besides letters, digits and -._~ (RFC 3986, pchar)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Provide a temporary path that replaces `path` on success and is removed on error.

    The temporary file is flushed to disk before the rename, so that a power cut cannot publish
    an empty file under the final name.

    Parameters
    ----------
    path
        The file; its folder is made where it is absent.

    Yields
    ------
    Path
        Where to write.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = final.with_name(f".{final.name}.{uuid.uuid4().hex}.partial")
    try:
        yield partial
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        partial.replace(final)
        _sync_folder(final.parent)
    finally:
        partial.unlink(missing_ok=True)


def remove_partials(path: str | Path) -> None:
    """Remove what a killed run left under temporary names of a file.

    For files with one writer alone: it may be another's that is being written.

    Parameters
    ----------
    path
        The file, as `atomic_path` takes it.
    """
    final = Path(path)
    for partial in final.parent.glob(f".{glob.escape(final.name)}.*.partial"):
        partial.unlink(missing_ok=True)
        log.info("removed %s of an earlier run", partial.name)


def _sync_folder(folder: Path) -> None:
    """Flush a rename to disk: without it a power cut may bring the old name back."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_bytes(path: str, *parts: bytes) -> None:
    """Write a file atomically, for many files that one `flush` makes durable together.

    A reader sees the old content or the new; after a power cut before the flush there may be either
    or none, so nothing may say before it that the file is there.

    Parameters
    ----------
    path
        The file; its folder is made where it is absent.
    *parts
        Its content, piece after piece.
    """
    folder, _, name = path.rpartition("/")
    partial = f"{folder}/.{name}.{uuid.uuid4().hex}.partial"
    try:
        _write_parts(partial, parts)
    except FileNotFoundError:
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - texts, as there are thousands of files
        _write_parts(partial, parts)
    try:
        os.replace(partial, path)  # noqa: PTH105
    except OSError:
        Path(partial).unlink(missing_ok=True)
        raise


def _write_parts(path: str, parts: Sequence[bytes]) -> None:
    try:
        with open(path, "wb", buffering=0) as file:  # noqa: PTH123 - thousands of them
            for part in parts:
                left = memoryview(part)
                while left:  # a raw write may take less than all
                    left = left[file.write(left) :]
    except FileNotFoundError:
        raise
    except OSError:
        Path(path).unlink(missing_ok=True)
        raise


def flush(folder: str | Path) -> None:
    """Bring all files of a file system to the disk: one call for thousands of files.

    Parameters
    ----------
    folder
        Any folder of the file system.

    Raises
    ------
    OSError
        When something could not be written (a full disk, a lost server).
    """
    sync = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if sync is None:  # no Linux
        os.sync()
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        if sync(handle):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(folder))
    finally:
        os.close(handle)


def file_url(path: str | Path) -> str:
    """Return ``file://`` and the path, relative or absolute, quoted as RFC 3986 wants it.

    What may stand in the path of a URL stays as it is, so that ordinary paths are unchanged.

    Parameters
    ----------
    path
        Any path, also one whose bytes are no UTF-8.

    Returns
    -------
    str
        ASCII without blanks, ``?`` and ``#``; `path_of_url` gives the path back.
    """
    return f"file://{quote(os.fsencode(path), safe=_IN_URL_PATH)}"


def path_of_url(url: str) -> str:
    """Return the path of a URL made by `file_url`, whatever query follows it.

    Parameters
    ----------
    url
        A URL, or the path of one without ``file://``.

    Returns
    -------
    str
        The path as the file system knows it.
    """
    place = url.removeprefix("file://").partition("?")[0]
    return os.fsdecode(unquote_to_bytes(place))


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write bytes to a file atomically.

    Parameters
    ----------
    path
        The file; its folder is made where it is absent.
    data
        Its content.
    """
    with atomic_path(path) as partial:
        partial.write_bytes(data)


def cut_to_whole_lines(path: str | Path) -> None:
    """Cut an append-only file after its last whole line, so that the next append begins a new one.

    A kill in the middle of an append leaves a line without its end; what is appended to it would
    be lost with it.

    Parameters
    ----------
    path
        File of lines; nothing happens where there is none.
    """
    file = Path(path)
    if not file.exists():
        return
    with file.open("r+b") as stream:
        data = stream.read()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            stream.truncate(whole)


def write_text(path: str | Path, text: str) -> None:
    """Write text to a file atomically, as UTF-8.

    Parameters
    ----------
    path
        The file; its folder is made where it is absent.
    text
        Its content.
    """
    write_bytes(path, text.encode())


def canonical_json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Serialise with sorted keys and no spaces: equal values give equal text.

    Parameters
    ----------
    value
        Any JSON value without NaN or infinity.

    Returns
    -------
    str
        JSON in one line.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Compute the SHA-256 of the canonical JSON of a value.

    Parameters
    ----------
    value
        Any JSON value without NaN or infinity.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def digest_of_rows(rows: Sequence[Mapping[str, str]]) -> str:
    """Return `digest` of rows of a table; several times as fast, for tables of a million rows.

    Parameters
    ----------
    rows
        As of `read_table`: texts alone.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    text = orjson.dumps(rows, option=orjson.OPT_SORT_KEYS)
    # the other writes what is not ASCII, and the character 127, as escapes
    plain = text.isascii() and b"\x7f" not in text
    return hashlib.sha256(text).hexdigest() if plain else digest(rows)


def digest_of_file(path: str | Path) -> str:
    """Compute the SHA-256 of a file: of ``.json`` its canonical content, of ``.gz`` unpacked.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    if ".json" in Path(path).suffixes:
        return digest(read_json(path))
    return hashlib.sha256(_unpack(path)).hexdigest()


def write_json(path: str | Path, value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Write a value as JSON, atomically; equal values give equal bytes.

    Parameters
    ----------
    path
        The file; compressed when the name ends in ``.gz``.
    value
        Any JSON value without NaN or infinity.
    """
    text = json.dumps(value, indent=1, allow_nan=False) + "\n"
    write_bytes(path, _pack(path, text.encode()))


def read_json(path: str | Path) -> Any:  # noqa: ANN401 - any JSON value
    """Read JSON.

    Parameters
    ----------
    path
        The file; unpacked when the name ends in ``.gz``.

    Returns
    -------
    Any
        Its value.

    Raises
    ------
    ValueError
        When the file does not hold JSON; the message names the file.
    """
    try:
        return json.loads(_unpack(path))
    except ValueError as error:
        raise ValueError(f"{path}: not readable as JSON: {error}") from error


def write_table(path: str | Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> int:
    """Write rows as tab-separated text with a header line, atomically.

    None is written as the empty text, a bool as 1 or 0, a float with `repr` (exact).

    Parameters
    ----------
    path
        The file; compressed when the name ends in ``.gz``.
    columns
        Names, in order.
    rows
        One mapping per line; what is not in `columns` is left out.

    Returns
    -------
    int
        Lines written, the header apart.
    """
    out = packed.Packed(gz=str(path).endswith(".gz"))
    out.row(columns)
    for row in rows:
        cells = [row[name] for name in columns]
        # csv writes None as nothing and a float with repr
        out.row(cells if bool not in map(type, cells) else map(_cell, cells))
    write_bytes(path, out.end())
    return out.rows - 1


def read_table(path: str | Path) -> list[dict[str, str]]:
    """Read a table of `write_table`.

    Parameters
    ----------
    path
        The file; unpacked when the name ends in ``.gz``.

    Returns
    -------
    list of dict
        One dict of texts per line; a short line lacks its last columns.
    """
    lines = csv.reader(io.StringIO(_unpack(path).decode()), delimiter="\t")
    columns = next(lines, [])
    # half the time of DictReader; a short line lacks its last columns
    return [dict(zip(columns, line, strict=False)) for line in lines if line]


def read_rows_of(path: str | Path, first: str) -> list[dict[str, str]]:
    """Read the rows of a table whose first cell has a value; the others are not even parsed.

    Parameters
    ----------
    path
        The file; unpacked when the name ends in ``.gz``.
    first
        The value.

    Returns
    -------
    list of dict
        As of `read_table`.
    """
    data = _unpack(path)
    if b'"' in data:  # a quoted cell may hold the end of a line
        rows = read_table(path)
        return [row for row in rows if next(iter(row.values())) == first]
    mark = first.encode() + b"\t"
    header, *lines = data.splitlines() or [b""]
    text = b"\n".join([header, *(line for line in lines if line.startswith(mark))]).decode()
    return [dict(row) for row in csv.DictReader(io.StringIO(text), delimiter="\t")]


def read_cells(path: str | Path, names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Read some columns of a table of `write_table`, row by row: no dict is made for each.

    Parameters
    ----------
    path
        The file; unpacked when the name ends in ``.gz``.
    names
        Of two columns at least.

    Yields
    ------
    tuple of str
        The cells of a row, in the order of `names`.

    Raises
    ------
    ValueError
        When the table lacks a column; the message names the file.
    """
    with open_table(path) as stream:
        lines = csv.reader(stream, delimiter="\t")
        header = next(lines, [])
        if missing := [name for name in names if name not in header]:
            raise ValueError(f"{path}: no column {', '.join(missing)}; found {', '.join(header)}")
        yield from map(operator.itemgetter(*map(header.index, names)), filter(None, lines))


def open_table(path: str | Path) -> io.TextIOBase:
    """Open a table of `write_table` as a stream of text, for tables too large for `read_table`.

    Parameters
    ----------
    path
        The file; unpacked when the name ends in ``.gz``.

    Returns
    -------
    TextIOBase
        As `csv.reader` takes it; the caller closes it.
    """
    if str(path).endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return Path(path).open(encoding="utf-8", newline="")


def grouped(rows: Iterable[_Row], column: str) -> dict[str, list[_Row]]:
    """Return the rows of a table by the text of a column.

    Parameters
    ----------
    rows
        Rows of `read_table`, or mappings like them.
    column
        Its name.

    Returns
    -------
    dict
        Rows by text, both in the order given.
    """
    found: dict[str, list[_Row]] = {}
    for row in rows:
        found.setdefault(row[column], []).append(row)
    return found


def _cell(value: Any) -> str:  # noqa: ANN401 - any scalar
    return str(int(value)) if isinstance(value, bool) else "" if value is None else str(value)


def _pack(path: str | Path, data: bytes) -> bytes:
    # mtime 0: the same content gives the same bytes
    return gzip.compress(data, 6, mtime=0) if str(path).endswith(".gz") else data


def _unpack(path: str | Path) -> bytes:
    data = Path(path).read_bytes()
    return gzip.decompress(data) if str(path).endswith(".gz") else data
