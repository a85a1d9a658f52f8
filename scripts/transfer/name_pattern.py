"""Name patterns: which slice, row, column and channel a file of images holds, by its name.

``slice_{z}.tif``, ``{row}-{column}/s{z}.tif``, ``tile_{row:1}_{column:1}.tif``: a *field* stands
for a number, ``*`` for anything within a name, all else for itself. A pattern without ``/`` is
compared with names in any folder, one with ``/`` with the path below the root.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from scripts.lib.job import UserError

KEY = "transfer.source.pattern"
FIELDS = ("z", "first_z", "row", "column", "channel")
_TOKEN = re.compile(r"\{(?P<name>[^{}:]*)(?::(?P<form>[^{}]*))?\}|\*|[^{}*]+|[{}]")
_FORM = re.compile(r"d?|\d+", re.ASCII)  # {z}, {z:d}, or {row:1}: numbers begin at 1


class Place(NamedTuple):
    """What a name says: number of the slice, row, column, channel; None where it says nothing."""

    z: int | None
    first_z: int | None
    row: int
    column: int
    channel: int | None


@dataclass(frozen=True)
class NamePattern:
    """A pattern of the config, read."""

    text: str
    expression: re.Pattern[str]
    firsts: Mapping[str, int]  # the number that counts as 0, by field

    @staticmethod
    def of(text: str) -> NamePattern:
        """Read a pattern.

        Parameters
        ----------
        text
            As the config has it.

        Returns
        -------
        NamePattern
            To compare paths with.

        Raises
        ------
        UserError
            Names the part that is no pattern.
        """
        pieces: list[str] = []
        firsts: dict[str, int] = {}
        for token in _TOKEN.finditer(text):
            name = token["name"]
            # a number after `*` is a whole one: "*{z}" of s0012 is 12, not 2
            whole = r"(?<!\d)" if pieces[-1:] == [_ANY] else ""
            if name is None:
                pieces.append(_literal(token[0], text))
            else:
                firsts[_field(name, token["form"] or "", firsts, text)] = _first(token["form"])
                pieces.append(rf"{whole}(?P<{name}>\d+)")
        if {"z", "first_z"} <= firsts.keys():
            raise _fault(text, "{z} and {first_z}", "one of them: a slice, or a stack's first one")
        return NamePattern(text, re.compile("".join(pieces), re.ASCII), firsts)

    @property
    def stacks(self) -> bool:
        """Tell whether a file holds many slices.

        Returns
        -------
        bool
            True unless ``{z}`` is in the pattern.
        """
        return "z" not in self.firsts

    def place(self, path: str) -> Place | None:
        """Compare a path with the pattern.

        Parameters
        ----------
        path
            Relative to the root, parts joined by ``/``.

        Returns
        -------
        Place or None
            None where it does not fit.
        """
        name = path if "/" in self.text else path.rpartition("/")[2]
        match = self.expression.fullmatch(name)
        if match is None:
            return None
        found = {field: int(match[field]) - first for field, first in self.firsts.items()}
        if min(found.values(), default=0) < 0:
            return None
        z, first_z, row, column, channel = (found.get(field) for field in FIELDS)
        return Place(z, first_z, row or 0, column or 0, channel)


_ANY = "[^/]*?"


def _literal(token: str, text: str) -> str:
    if token in "{}":
        raise _fault(text, f"a single {token}", "fields like {z}")
    return _ANY if token == "*" else re.escape(token)


def _field(name: str, form: str, known: Mapping[str, int], text: str) -> str:
    if name not in FIELDS or not _FORM.fullmatch(form):
        shown = f"{{{name}:{form}}}" if form else f"{{{name}}}"
        listed = ", ".join(f"{{{each}}}" for each in FIELDS)
        raise _fault(text, shown, f"{listed}, or with the first number, as in {{row:1}}")
    if name in known:
        raise _fault(text, f"{{{name}}} twice", "each field once; * stands for anything")
    return name


def _first(form: str | None) -> int:
    return int(form) if form and form.isdigit() else 0


def _fault(text: str, found: str, expected: str) -> UserError:
    return UserError(f"{KEY}: {text!r}: expected {expected}, found {found}")
