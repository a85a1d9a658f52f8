"""Message: what a job says, on a page: sentences that wrap, and lines to copy that stand alone."""

from __future__ import annotations

import itertools
import re

from scripts.lib.pages.page import Code, Items, Plain, Text

_KEY = re.compile(r"\w+:")  # of the config, at the beginning of its lines
_ITEM = "- "


def parts(message: str, kind: str = "") -> list[Plain]:
    """Return a message as parts of a page.

    Parameters
    ----------
    message
        Sentences, a line each; items begin with ``- ``; lines for the config begin with a key
        alone and are indented below it.
    kind
        Of sentences and items, as of `Text`.

    Returns
    -------
    list
        `Text` for each sentence, `Items` and `Code` for the lines that follow each other; nothing
        of the message is left out.
    """
    lines = [line for line in message.splitlines() if line.strip()]
    out: list[Plain] = []
    for sort, group in itertools.groupby(lines, key=_sort):
        if sort is Code:
            out.append(Code("\n".join(group)))
        elif sort is Items:
            out.append(Items([line.removeprefix(_ITEM) for line in group], kind))
        else:
            out += [Text(line, kind) for line in group]
    return out


def _sort(line: str) -> type[Plain]:
    if line.startswith("  ") or _KEY.fullmatch(line.rstrip()):
        return Code
    return Items if line.startswith(_ITEM) else Text
