"""Rebuild `.dat` files: ``python -m scripts.transfer.restore LAYER.raw.h5... OUT_DIR [--check]``.

Every file is byte for byte the acquired one. A file that is there already is never replaced: it is
compared, and a difference ends the command with status 1. ``--check`` writes nothing: each `.dat`
has to be there and to be equal.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from scripts.lib.files import write_bytes
from scripts.transfer.hdf5 import restore


def restore_layer(
    h5: Path, out: Path, tiles: Sequence[str] | None = None, *, check: bool = False
) -> Iterator[str]:
    """Write the ``.dat`` files of a raw HDF5 into a folder.

    Parameters
    ----------
    h5
        A raw HDF5.
    out
        The folder.
    tiles
        Tile keys; None: all.
    check
        Write nothing; an absent file is not right either.

    Yields
    ------
    str
        A line for each file that is not right.
    """
    for name, data in restore(h5, tiles):
        path = out / Path(name).name
        if not path.exists():
            if check:
                yield f"{path}: absent; {h5.name} holds it"
            else:
                write_bytes(path, data)
        elif path.read_bytes() != data:
            yield f"{path}: exists and differs from the tile in {h5.name}; not replaced"


def _problems(args: argparse.Namespace) -> Iterator[str]:
    for h5 in args.h5:
        try:
            yield from restore_layer(h5, args.out, args.tile, check=args.check)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            yield f"{h5}: {error}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; give its exit status: 1 when a file is not right."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.transfer.restore", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("h5", type=Path, nargs="+", help="raw HDF5 of a layer")
    parser.add_argument("out", type=Path, help="folder for the .dat files")
    parser.add_argument("--tile", action="append", help="tile key, e.g. 0-0-1 (default: all)")
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    args = parser.parse_args(argv)
    status = 0
    for problem in _problems(args):
        print(problem, file=sys.stderr)
        status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
