"""Write the YAML of a volume from the headers of its files.

``python -m scripts.new DAT_ROOT`` reads names and headers below DAT_ROOT (``.dat`` files, or TIFF,
MRC, OME-Zarr and N5; also one such file) and writes config/volumes/<name>.yaml: the grid, pixel
size, first and last file, and what is known of the microscope. Each line has a comment that says
where its value is from. Nothing is replaced.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from scripts.lib import files
from scripts.lib.job import UserError
from scripts.transfer import acquired, microscopes, new_foreign, new_volume_text, scan
from scripts.transfer.new_volume_text import Choices

_ROOT = Path(__file__).resolve().parents[2]
# folders that are named after what is in them, not after the volume
_COMMON = {"dat", "dats", "raw", "raw_dat", "data", "acquisition", "images"}


def main(argv: Sequence[str] | None = None, *, now: datetime | None = None) -> int:
    """Run the command; give its exit status: 1 when nothing was written."""
    try:
        print(_write(_arguments(argv), now or datetime.now()))
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _write(args: argparse.Namespace, now: datetime) -> str:
    """Write the file; return what is to be said."""
    root = args.dat_root.expanduser().resolve()
    single = root.is_file() or root.suffix in (".zarr", ".n5")
    name = args.name or volume_name(root.with_suffix("") if single else root)
    target = args.out / f"{_sound(name)}.yaml"
    if target.exists():
        raise UserError(f"{target} is there and is not replaced; give another --name, or move it")
    other = _foreign(root)
    if other is not None:
        choices = Choices(name, _typed(other.root), args.work_dir or f"work/{name}", args.owner)
        files.write_text(target, new_foreign.text(other, choices))
        return new_foreign.summary(other, target)
    found = acquired.look(root, args.scope)
    chosen = microscopes.choose(found, args.microscope)
    choices = Choices(name, _typed(root), args.work_dir or f"work/{name}", args.owner)
    files.write_text(target, new_volume_text.text(found, chosen, choices, now))
    return new_volume_text.summary(found, chosen, target)


def _foreign(root: Path) -> new_foreign.ForeignVolume | None:
    """Look for TIFF, MRC, Zarr and N5 where there is no ``.dat`` file."""
    if root.is_dir() and any(scan.dat_files(root)):
        return None
    return new_foreign.look(root)


def volume_name(root: Path) -> str:
    """Name a volume after the folder of its files.

    Parameters
    ----------
    root
        Absolute.

    Returns
    -------
    str
        Of letters, digits, ``_``, ``-`` and ``.``.
    """
    folder = next((one for one in (root, *root.parents) if one.name.lower() not in _COMMON), root)
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", folder.name).strip("_.-") or "volume"


def _sound(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise UserError(f"--name {name!r}: expected letters, digits, '_', '-' and '.'")
    return name


def _typed(root: Path) -> str:
    """Return a path as a config has it: relative to the folder of the Snakefile if it is below."""
    return str(root.relative_to(_ROOT) if root.is_relative_to(_ROOT) else root)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.new", description=(__doc__ or "").split("\n")[0]
    )
    add = parser.add_argument
    of = "folder of the .dat files, or of TIFF, MRC, OME-Zarr or N5; also one of these"
    add("dat_root", type=Path, metavar="DAT_ROOT", help=of)
    add("--name", help="of the volume (default: of the folder)")
    add("--work-dir", help="working directory, on a large disk (default: work/<name>)")
    add("--owner", default=_user(), help="owner of the stacks (default: who types this)")
    add("--scope", help="serial of the microscope, where the folder has files of several")
    add("--microscope", help="entry of config/microscopes.yaml (default: by the headers)")
    add("--out", type=Path, default=Path("config/volumes"), help="folder of the YAML file")
    return parser.parse_args(argv)


def _user() -> str:
    return new_volume_text.identifier(os.environ.get("USER", "")) or "local"


if __name__ == "__main__":
    sys.exit(main())
