"""Paste the lines that a message shows into the config of a volume, whatever its sections hold.

Reads the lines from its standard input (end them with Ctrl-D) and shows the change; with
``--write`` the file is changed: entries join the lists that are there, settings take the place of
older ones, comments and all other lines stay.

usage: python -m scripts.lib.paste CONFIG [--write] < LINES
"""

from __future__ import annotations

import argparse
import difflib
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from scripts.lib import yaml_files
from scripts.lib.files import write_text
from scripts.lib.job import UserError
from scripts.lib.sections import with_sections


def paste(path: Path, lines: str, *, write: bool) -> str:
    """Return the change that lines make to a config, and make it.

    Parameters
    ----------
    path
        The config of the volume.
    lines
        YAML of one section or more, as a message shows it; it may be indented.
    write
        Whether the file is changed.

    Returns
    -------
    str
        The change as a diff.

    Raises
    ------
    UserError
        When the lines are no sections, or cannot be put into the text for sure.
    """
    pasted = yaml_files.parse(textwrap.dedent(lines.lstrip("\n")), "the lines")
    if not isinstance(pasted, dict):
        raise UserError("the lines: expected a section, as `ingest:`, with keys below it")
    text = yaml_files.text_of(path)
    new = with_sections(text, pasted, str(path))
    if new == text:
        return "the config says that already\n"
    if write:
        write_text(path, new)
    rows = text.splitlines(keepends=True), new.splitlines(keepends=True)
    diff = "".join(difflib.unified_diff(*rows, str(path), "with the lines"))
    return f"{diff}\n{'written' if write else 'nothing is written without --write'}\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Show, or write, the lines; 1 when they cannot be put in."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="YAML of the volume")
    parser.add_argument("--write", action="store_true", help="change the file")
    asked = parser.parse_args(argv)
    try:
        sys.stdout.write(paste(asked.config, sys.stdin.read(), write=asked.write))
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
