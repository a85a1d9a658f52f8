"""YAML files as a person writes them: what would be lost or misread in silence is an error.

YAML itself keeps the last of two equal keys, and Snakemake reads a config so. Here a file is UTF-8,
its syntax is sound, and each key stands once; otherwise the error names the file and the lines.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from scripts.lib.job import UserError

# the parser in C reads the schema in a tenth of the time
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BOMS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


def read(path: str | Path) -> Any:  # noqa: ANN401 - any YAML value
    """Read a YAML (or JSON) file in which no key is given twice.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    Any
        Its content.

    Raises
    ------
    UserError
        When it is no UTF-8 or no YAML, or has a key twice: names file and lines.
    """
    return parse(text_of(path), str(path))


def text_of(path: str | Path) -> str:
    """Return the text of a file that must be UTF-8.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    str
        Without a byte order mark.

    Raises
    ------
    UserError
        When it cannot be read, or is in another encoding: names file and line.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    for mark, name in _BOMS.items():
        if data.startswith(mark):
            raise UserError(f"{path}: expected UTF-8, found {name}; save it again as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}, line {line}: expected UTF-8, found the byte 0x{data[error.start]:02x}, as"
            " editors write it in cp1252 or latin-1; save the file again as UTF-8"
        ) from None


def parse(text: str, where: str) -> Any:  # noqa: ANN401 - any YAML value
    """Read a YAML text in which no key is given twice.

    Parameters
    ----------
    text
        The text.
    where
        Its file, for messages.

    Returns
    -------
    Any
        Its content.

    Raises
    ------
    UserError
        When it is no YAML, or has a key twice: names file and lines.
    """
    try:
        root = yaml.compose(text, Loader=_Loader)
        twice = [] if root is None else list(_duplicates(root, "", set()))
    except yaml.YAMLError as error:
        raise UserError(_syntax(error, where)) from None
    if twice:
        lines = "\n".join(f"  {line}" for line in twice)
        raise UserError(
            f"{where}: keys that are given twice, of which YAML would keep the last alone; write"
            f" one of each (`python -m scripts.lib.paste CONFIG --write` puts the lines of a"
            f" message into sections that are there):\n{lines}"
        )
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader


def check(paths: Iterable[str | Path]) -> None:
    """Refuse config files that Snakemake reads, but not as they were meant.

    Parameters
    ----------
    paths
        The files.

    Raises
    ------
    UserError
        Of the first file that has a fault.
    """
    for path in dict.fromkeys(map(str, paths)):
        content = read(path)
        if not isinstance(content, dict):
            raise UserError(
                f"{path}: expected the keys of a volume at the top level, found"
                f" {'nothing' if content is None else type(content).__name__}"
            )


def _duplicates(node: yaml.Node, path: str, seen: set[int]) -> Iterator[str]:
    """Yield a line for each key that a mapping has twice; `seen` holds nodes of aliases."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, each in enumerate(node.value):
            yield from _duplicates(each, f"{path}[{index}]", seen)
    if not isinstance(node, yaml.MappingNode):
        return
    first: dict[tuple[str, str], int] = {}
    for key, value in node.value:
        here = f"{path}.{key.value}" if path else str(key.value)
        line = key.start_mark.line + 1
        named = (key.tag, str(key.value))
        if named in first:
            yield f"{here}: line {first[named]} and line {line}"
        first.setdefault(named, line)
        yield from _duplicates(value, here, seen)


def _syntax(error: yaml.YAMLError, where: str) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    at = where if mark is None else f"{where}, line {mark.line + 1}, column {mark.column + 1}"
    what = getattr(error, "problem", None) or str(error).splitlines()[0]
    context = getattr(error, "context", None)
    return f"{at}: this is no YAML: {what}{f' ({context})' if context else ''}"


if __name__ == "__main__":
    try:
        check(sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
