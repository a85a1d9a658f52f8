"""Rebuild the `.dat` files of a layer: ``python -m scripts.transfer.restore LAYER.raw.h5 OUT_DIR``.

Every file is byte for byte the acquired one. A file that is there already is never replaced: it is
compared, and a difference ends the command with status 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.lib.files import write_bytes
from scripts.transfer.hdf5 import restore


def restore_layer(h5: Path, out: Path, tiles: Sequence[str] | None = None) -> list[str]:
    """Write the `.dat` files of `h5` into folder `out`; give one line per file that differs."""
    problems = []
    for name, data in restore(h5, tiles):
        path = out / Path(name).name
        if not path.exists():
            write_bytes(path, data)
        elif path.read_bytes() != data:
            problems.append(f"{path}: exists and differs from the tile in {h5.name}; not replaced")
    return problems


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; give its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.transfer.restore", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("h5", type=Path, help="raw HDF5 of a layer")
    parser.add_argument("out", type=Path, help="folder for the .dat files")
    parser.add_argument("--tile", action="append", help="tile key, e.g. 0-0-1 (default: all)")
    args = parser.parse_args(argv)
    try:
        problems = restore_layer(args.h5, args.out, args.tile)
    except (OSError, ValueError, KeyError) as error:
        problems = [f"{args.h5}: {error}"]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
