"""Print headers as a table: ``python -m scripts.transfer.headers FILE... [--all] [--field NAME]``.

FILE is a `.dat`, or a raw or align HDF5 (one line per tile). Tab-separated, one line per tile.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.transfer import dat, hdf5

USUAL = (
    *("FileVersion", "SWdate", "ChanNum", "EightBit", "XResolution", "YResolution"),
    *("FirstX", "FirstY", "PixelSize", "WD", "StageX", "StageY", "StageZ", "StageR"),
    *("Restart", "StageMove", "SampleID"),
)


def read_headers(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (name, header) of every tile in a `.dat` or HDF5 file.

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


def table(tiles: Sequence[tuple[str, Mapping[str, Any]]], fields: Sequence[str]) -> Iterator[str]:
    """Yield tab-separated lines: column names, then one line per tile; absent fields are empty."""
    yield "\t".join(("tile", *fields))
    for name, header in tiles:
        yield "\t".join([name, *(str(header.get(field, "")) for field in fields)])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; give its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.transfer.headers", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--all", action="store_true", help="every field, not the usual ones")
    parser.add_argument("--field", action="append", help="only this field (may be repeated)")
    args = parser.parse_args(argv)
    tiles, status = [], 0
    for path in args.files:
        try:
            tiles += list(read_headers(path))
        except (OSError, ValueError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            status = 1
    everything = list(dict.fromkeys(name for _, header in tiles for name in header))
    print("\n".join(table(tiles, args.field or (everything if args.all else USUAL))))
    return status


if __name__ == "__main__":
    sys.exit(main())
