"""Sections: write entries and settings into the YAML of a volume, where all else stays as it is.

Only lines are put in, comments and order stay; the result is read again, and it must say what the
old text said with the decisions added. Where that cannot be had the text is refused, not guessed.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import yaml

from scripts.lib import yaml_files
from scripts.lib.job import UserError

# lists whose entries cannot be put behind those that are there
BY_HAND = {
    ("transfer", "keep_contrast"): "a message shows it as it should stand, in place of the old one",
    ("ingest", "exchange"): "what a message shows goes before the entries that are there",
}


class _UnsureError(Exception):
    """The text is written in a way in which lines cannot be put in for sure."""


def with_sections(text: str, pasted: Mapping[str, Any], where: str) -> str:
    """Return the text of a config with all of the lines that a message printed.

    Parameters
    ----------
    text
        The config as it is.
    pasted
        Sections, each with lists of entries to append and settings to add or change; entries that
        are there already stay once.
    where
        Its file, for messages.

    Returns
    -------
    str
        The new text.

    Raises
    ------
    UserError
        When lines stand in no section, or cannot be put in for sure.
    """
    for section, added in pasted.items():
        if not isinstance(added, Mapping):
            raise UserError(
                f"{where}: expected sections with keys below them, found {section}: {flow(added)};"
                " change that line by hand"
            )
        old = yaml_files.parse(text, where).get(section) or {}
        new = {key: _new(old, key, value) for key, value in added.items()}
        new = {key: value for key, value in new.items() if value != []}
        for key in new:
            if (why := BY_HAND.get((section, key))) and isinstance(old, Mapping) and old.get(key):
                raise _unsure(where, why, section, {key: added[key]})
        text = with_added(text, section, new, where)
    return text


def _new(old: Any, key: str, value: Any) -> Any:  # noqa: ANN401 - a setting or entries
    """Leave out the entries that a list has already."""
    there = old.get(key) if isinstance(old, Mapping) else None
    if isinstance(value, list) and isinstance(there, list):
        return [each for each in value if each not in there]
    return value


def with_added(text: str, section: str, added: Mapping[str, Any], where: str) -> str:
    """Return the text of a config with entries, or settings, added to one section.

    Parameters
    ----------
    text
        The config as it is.
    section
        Its key, as ``review``.
    added
        Lists of entries to append, and settings to add.
    where
        Its file, for messages.

    Returns
    -------
    str
        The new text.

    Raises
    ------
    UserError
        When the text is written in a way in which lines cannot be put in for sure.
    """
    content = yaml_files.parse(text, where)
    try:
        wanted = _expected(content, section, added)
        for key, value in added.items():
            text = _with(text, section, key, value)
        found = yaml_files.parse(text, where)
    except (_UnsureError, UserError) as error:
        raise _unsure(where, str(error), section, added) from None
    if added and found != wanted:
        raise _unsure(where, "the lines would change other settings", section, added)
    return text


def _unsure(where: str, why: str, section: str, added: Mapping[str, Any]) -> UserError:
    return UserError(
        f"{where}: cannot be changed for sure ({why}); add to its section {section} by hand:\n"
        f"{as_lines(added)}"
    )


def _expected(content: Mapping[str, Any], section: str, added: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = copy.deepcopy(dict(content))
    if not isinstance(out.get(section) or {}, Mapping):
        raise _UnsureError(f"section {section} holds no keys")
    # a copy of its own: the section may be an alias of another
    keys = dict(out.get(section) or {})
    for key, value in added.items():
        old = keys.get(key) or []
        if isinstance(value, list) and not isinstance(old, list):
            raise _UnsureError(f"{section}.{key} is no list")
        if isinstance(old, Mapping):
            raise _UnsureError(f"{section}.{key} holds keys of its own")
        keys[key] = [*old, *value] if isinstance(value, list) else value
    return out | {section: keys}


def _with(text: str, name: str, key: str, value: Any) -> str:  # noqa: ANN401 - a setting or entries
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        raise _UnsureError("its top level is no block of keys")
    section = _value(root, name)
    if section is None:
        apart = "\n" if _sections_apart(text, root) else ""
        return _after(text, root, f"{apart}{name}:\n{as_lines({key: value})}")
    if _empty(section):
        return _after_key(text, root, name, as_lines({key: value}))
    if not isinstance(section, yaml.MappingNode):
        raise _UnsureError(f"section {name} holds no keys")
    old = _value(section, key)
    if section.flow_style and old is None:
        return _inside(text, section, f"{key}: {flow(value)}")
    if old is None:
        indent = section.start_mark.column
        return _after(text, section, _indented(as_lines({key: value}), indent))
    if not isinstance(value, list):
        return text[: old.start_mark.index] + flow(value) + text[old.end_mark.index :]
    return _with_entries(text, section, key, old, value)


def _sections_apart(text: str, root: yaml.MappingNode) -> bool:
    """Tell whether the last section of a config has an empty line before it."""
    rows, at = text.splitlines(), int(root.value[-1][0].start_mark.line)
    while at and rows[at - 1].lstrip().startswith("#"):
        at -= 1  # its comment
    return at > 0 and not rows[at - 1].strip()


def _with_entries(
    text: str, section: yaml.MappingNode, key: str, old: yaml.Node, entries: list[Any]
) -> str:
    """Append entries to a list of the section, in the form that the list has."""
    if isinstance(old, yaml.SequenceNode) and old.flow_style and old.value:
        return _inside(text, old, ", ".join(map(flow, entries)))
    if isinstance(old, yaml.SequenceNode) and not old.flow_style:
        items = "".join(f"{' ' * old.start_mark.column}- {flow(each)}\n" for each in entries)
        return _after(text, old, items)
    if section.flow_style:
        return text[: old.start_mark.index] + flow(entries) + text[old.end_mark.index :]
    items = "".join(f"{' ' * section.start_mark.column}- {flow(each)}\n" for each in entries)
    bare = text[: old.start_mark.index].rstrip(" ") + text[old.end_mark.index :]
    return _after_key(bare, section, key, items)


def _value(node: yaml.MappingNode, key: str) -> yaml.Node | None:
    return next((value for name, value in node.value if name.value == key), None)


def _empty(node: yaml.Node) -> bool:
    """Tell whether a node is null, or a list or section with nothing in it."""
    return not node.value or (isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null"))


def _after_key(text: str, node: yaml.MappingNode, key: str, new: str) -> str:
    """Put lines behind the line of a key that has no value of its own."""
    name = next(name for name, _ in node.value if name.value == key)
    return _behind_line(text, name.end_mark.line, new)


def _after(text: str, node: yaml.Node, new: str) -> str:
    """Put lines behind the last line of a block."""
    return _behind_line(text, _last_line(node), new)


def _behind_line(text: str, number: int, new: str) -> str:
    rows = text.splitlines(keepends=True)
    end = "\r\n" if rows and rows[0].endswith("\r\n") else "\n"
    if not rows[number].endswith("\n"):
        rows[number] += end
    return "".join([*rows[: number + 1], new.replace("\n", end), *rows[number + 1 :]])


def _inside(text: str, node: yaml.Node, new: str) -> str:
    """Put a value before the bracket that closes a node in flow style."""
    at = node.end_mark.index - 1
    comma = ", " if node.value else ""
    return f"{text[:at].rstrip()}{comma}{new}{text[at:]}"


def _last_line(node: yaml.Node) -> int:
    """Return the line on which the content of a node ends; its own mark is behind comments."""
    if isinstance(node, yaml.ScalarNode):
        # a block of text ends where the next line starts
        return int(node.end_mark.line) - (node.style in ("|", ">"))
    if not isinstance(node, yaml.CollectionNode) or node.flow_style or not node.value:
        return int(node.end_mark.line)
    last = node.value[-1]
    nodes = last if isinstance(last, tuple) else (last,)
    return max(_last_line(each) for each in nodes)


def _indented(lines: str, indent: int) -> str:
    """Shift lines of `as_lines`, which are indented by two."""
    return "".join(f"{' ' * indent}{line[2:]}\n" for line in lines.splitlines())


def as_lines(section: Mapping[str, Any]) -> str:
    """Return settings and entries as YAML, as they stand under the key of their section.

    Parameters
    ----------
    section
        Settings, and lists of entries.

    Returns
    -------
    str
        Lines indented by two.
    """
    lines = []
    for key, value in section.items():
        if not isinstance(value, list):
            lines.append(f"  {key}: {flow(value)}")
            continue
        lines.append(f"  {key}:" if value else f"  {key}: []")
        lines += [f"  - {flow(entry)}" for entry in value]
    return "".join(f"{line}\n" for line in lines)


def flow(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return a value on one line of YAML.

    Parameters
    ----------
    value
        A setting or an entry.

    Returns
    -------
    str
        Keys of an entry bare, texts as in JSON.
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(flow(each) for each in value) + "]"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=False, default=str)
