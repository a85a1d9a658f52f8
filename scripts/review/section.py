"""Section: write decisions into the YAML of a volume, where everything else stays as it is.

Only lines are put in, comments and order stay; the result is read again, and it must say what the
old text said with the decisions added. Where that cannot be had the text is refused, not guessed.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import yaml

from scripts.lib import yaml_files
from scripts.lib.job import UserError
from scripts.review.remedies import as_lines, flow

KEY = "review"


class _UnsureError(Exception):
    """The text is written in a way in which lines cannot be put in for sure."""


def with_decisions(text: str, added: Mapping[str, Any], where: str) -> str:
    """Return the text of a config with entries, or settings, added to section ``review``.

    Parameters
    ----------
    text
        The config as it is.
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
        wanted = _expected(content, added)
        for key, value in added.items():
            text = _with(text, key, value)
        found = yaml_files.parse(text, where)
    except (_UnsureError, UserError) as error:
        raise _unsure(where, str(error), added) from None
    if found != wanted:
        raise _unsure(where, "the lines would change other settings", added)
    return text


def _unsure(where: str, why: str, added: Mapping[str, Any]) -> UserError:
    return UserError(
        f"{where}: cannot be changed for sure ({why}); add to its section review by hand:\n"
        f"{as_lines(added)}"
    )


def _expected(content: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = copy.deepcopy(dict(content))
    if not isinstance(out.get(KEY) or {}, Mapping):
        raise _UnsureError(f"section {KEY} holds no keys")
    # a copy of its own: the section may be an alias of another
    section = dict(out.get(KEY) or {})
    for key, value in added.items():
        old = section.get(key) or []
        if isinstance(value, list) and not isinstance(old, list):
            raise _UnsureError(f"{KEY}.{key} is no list")
        section[key] = [*old, *value] if isinstance(value, list) else value
    return out | {KEY: section}


def _with(text: str, key: str, value: Any) -> str:  # noqa: ANN401 - a setting or entries
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        raise _UnsureError("its top level is no block of keys")
    section = _value(root, KEY)
    if section is None:
        apart = "\n" if _sections_apart(text, root) else ""
        return _after(text, root, f"{apart}{KEY}:\n{as_lines({key: value})}")
    if _empty(section):
        return _after_key(text, root, KEY, as_lines({key: value}))
    if not isinstance(section, yaml.MappingNode):
        raise _UnsureError("section review holds no keys")
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
