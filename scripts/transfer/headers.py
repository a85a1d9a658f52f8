"""Print headers as a table: ``python -m scripts.transfer.headers FILE... [--all] [--field NAME]``.

FILE is a `.dat`, a raw or align HDF5 (one line per tile), or a folder of such files. Lines come as
files are read, so that thousands of files need no memory.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.transfer import dat, hdf5

Tile = tuple[str, Mapping[str, Any]]

USUAL = (
    *("FileVersion", "SWdate", "ChanNum", "EightBit", "XResolution", "YResolution"),
    *("FirstX", "FirstY", "PixelSize", "WD", "StageX", "StageY", "StageZ", "StageR"),
    *("Restart", "StageMove", "SampleID"),
)
KNOWN = tuple(
    dict.fromkeys(
        place.name
        for version in range(dat.NEWEST_VERSION, 0, -1)
        for place in dat.placements(version)
    )
)
_BATCH = 100  # tiles whose columns are lined up together


def files_below(paths: Iterable[Path]) -> Iterator[Path]:
    """List the files themselves, and of a folder every ``.dat`` and HDF5 below it, sorted.

    Parameters
    ----------
    paths
        Files and folders.

    Yields
    ------
    Path
        Hidden files are left out of folders.
    """
    for path in paths:
        if path.is_dir():
            found = (each for each in path.rglob("*") if each.suffix in (".dat", ".h5"))
            yield from sorted(each for each in found if not each.name.startswith("."))
        else:
            yield path


def read_headers(path: Path) -> Iterator[Tile]:
    """Read the header of every tile in a file.

    Parameters
    ----------
    path
        A ``.dat`` or HDF5 file.

    Yields
    ------
    Tile
        Name of the ``.dat``, and value by name of the field.

    Raises
    ------
    DatError, OSError
        When the file is neither.
    """
    if path.suffix == ".h5":
        for key, attributes in hdf5.headers(path).items():
            yield str(attributes.get(hdf5.DAT_NAME, key)), attributes
        return
    with path.open("rb") as stream:
        yield path.name, dat.parse_header(stream.read(dat.HEADER_BYTES), path.name)


def rows(tiles: Iterable[Tile], fields: Sequence[str]) -> Iterator[list[str]]:
    """Lay headers out as the cells of a table.

    Parameters
    ----------
    tiles
        Names and headers.
    fields
        Names of the columns.

    Yields
    ------
    list of str
        Column names, then one line per tile; absent = empty.
    """
    yield ["tile", *fields]
    for name, header in tiles:
        yield [cell(name), *(cell(header.get(field, "")) for field in fields)]


def cell(value: Any) -> str:  # noqa: ANN401 - a header value
    """Return the text of a value, without anything that would break a line of the table.

    Parameters
    ----------
    value
        Value of a header field.

    Returns
    -------
    str
        Printable letters alone.
    """
    text = str(value.tolist()) if hasattr(value, "tolist") else str(value)
    return "".join(letter if letter.isprintable() else " " for letter in text)


def tabbed(lines: Iterable[Sequence[str]]) -> Iterator[str]:
    """Join the cells of each line by tabs.

    Parameters
    ----------
    lines
        Cells of each line.

    Returns
    -------
    Iterator of str
        A line without its end.
    """
    return ("\t".join(line) for line in lines)


def aligned(lines: Iterable[Sequence[str]]) -> Iterator[str]:
    """Line the cells up in columns, a batch of lines at a time.

    Parameters
    ----------
    lines
        Cells of each line, the first those of the column names.

    Yields
    ------
    str
        A line without its end; every batch begins with the names of the columns.
    """
    batch: list[Sequence[str]] = []
    for line in lines:
        batch.append(line)
        if len(batch) == _BATCH:
            yield from _lined_up(batch)
            batch = batch[:1]  # the names of the columns once more
    if len(batch) > 1 or batch[0][0] == "tile":
        yield from _lined_up(batch)


def _lined_up(batch: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*batch, strict=True)]
    for line in batch:
        padded = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        yield "  ".join(padded).rstrip()


def unknown(fields: Iterable[str]) -> list[str]:
    """Name the fields that no header version has, with the nearest that one has.

    Parameters
    ----------
    fields
        Names of fields.

    Returns
    -------
    list of str
        A line for each.
    """
    return [
        f"unknown field {name!r}; the nearest is {difflib.get_close_matches(name, KNOWN, 1, 0)[0]}"
        for name in fields
        if name not in KNOWN
    ]


def _tiles(paths: Iterable[Path], complain: Callable[[str], None]) -> Iterator[Tile]:
    for path in files_below(paths):
        try:
            yield from read_headers(path)
        except (OSError, ValueError, RuntimeError) as error:  # HDF5 raises RuntimeError too
            complain(f"{path}: {error}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; give its exit status: 1 when a file could not be read."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.transfer.headers", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--all", action="store_true", help="every field, not the usual ones")
    parser.add_argument("--field", action="append", help="only this field (may be repeated)")
    parser.add_argument("--aligned", action="store_true", help="columns lined up, not by tabs")
    args = parser.parse_args(argv)
    problems = unknown(args.field or [])
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        return 1
    fields = args.field or (KNOWN if args.all else USUAL)
    lines = rows(_tiles(args.files, problems.append), fields)
    for line in (aligned if args.aligned else tabbed)(lines):
        print(line)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
