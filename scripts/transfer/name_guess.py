"""Guesses the pattern of names from the names: which number is the slice, the row, the column."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_PART = re.compile(r"\d+|[^\d]+", re.ASCII)
# the letters before a number that say what it counts, in lower case
_WORDS = {
    **dict.fromkeys(("z", "s", "sl", "slice", "section", "layer", "frame", "img", "image"), "z"),
    **dict.fromkeys(("r", "row", "y"), "row"),
    **dict.fromkeys(("c", "col", "column", "x"), "column"),
    **dict.fromkeys(("ch", "channel", "det", "detector"), "channel"),
}
_SPECIAL = re.compile(r"[{}*]")


@dataclass(frozen=True)
class Guess:
    """A pattern, how many names it fits, and the names of other forms."""

    pattern: str
    z_step: int
    others: Sequence[str]


def guess(paths: Sequence[str], planes: int) -> Guess | None:
    """Guess the pattern of files.

    Parameters
    ----------
    paths
        Relative to the root, parts joined by ``/``, at least one.
    planes
        Slices in the first of the files: with more than one they are stacks.

    Returns
    -------
    Guess or None
        For the form that most names have; None where their numbers do not tell.
    """
    paths = _short(paths)
    forms = Counter(_form(path) for path in paths)
    form, _ = forms.most_common(1)[0]
    mine = [path for path in paths if _form(path) == form]
    others = [path for path in paths if _form(path) != form]
    parts = [_PART.findall(path) for path in mine]
    if any(_SPECIAL.search(part) for part in parts[0]):
        return None
    columns = dict(enumerate(zip(*parts, strict=True)))
    roles = _roles({i: c for i, c in columns.items() if c[0].isdigit()}, parts[0], planes)
    if roles is None:
        return None
    text = "".join(_written(i, parts[0][i], columns[i], roles) for i in columns)
    step = _step([int(n) for i, r in roles.items() if r == "z" for n in columns[i]])
    # the whole part of a decimal number may change with slices to come
    return Guess(re.sub(r"(?:\d+\.)?\*(?:[._-]?\*)*", "*", text, flags=re.ASCII), step, others)


def _short(paths: Sequence[str]) -> list[str]:
    """Leave folders away where they tell nothing."""
    names = [path.rpartition("/")[2] for path in paths]
    return names if len(set(names)) == len(names) else list(paths)


def _form(path: str) -> str:
    return re.sub(r"\d+", "0", path, flags=re.ASCII)


def _roles(
    numbers: Mapping[int, Sequence[str]], first: Sequence[str], planes: int
) -> dict[int, str] | None:
    """Return what each number that varies counts; `*` for one that says nothing new."""
    varying = {i: column for i, column in numbers.items() if len(set(map(int, column))) > 1}
    named = {i: _word(first[i - 1] if i else "") for i in varying}
    roles: dict[int, str] = {}
    for i in varying:
        word = named[i]
        if word and word not in roles.values() and not (word == "z" and planes > 1):
            roles[i] = word
    left = [i for i in varying if i not in roles]
    if planes == 1 and "z" not in roles.values() and left:
        # tiles share the slice's number, so that of the slice has the most values
        z = max(left, key=lambda i: (len(set(varying[i])), _without_holes(varying[i]), -i))
        roles[z] = "z"
        left.remove(z)
    kept = list(roles)
    for i in list(left):
        if _follows(varying[i], [varying[k] for k in kept]):
            roles[i] = "*"
            left.remove(i)
    return _rest(roles, left, varying, planes)


def _rest(
    roles: dict[int, str], left: Sequence[int], varying: Mapping[int, Sequence[str]], planes: int
) -> dict[int, str] | None:
    """Name the numbers that no word and no dependence explains."""
    free = [role for role in ("row", "column") if role not in roles.values()]
    if planes > 1 and len(left) == 1 and _counts_on(varying[left[0]], planes):
        return roles | {left[0]: "first_z"}
    if len(left) == 1:
        return roles | {left[0]: free[-1]} if free else None
    if len(left) == 2 and len(free) == 2:
        return roles | dict(zip(left, free, strict=True))
    return roles if not left else None


def _word(before: str) -> str:
    letters = re.search(r"([a-z]+)[^a-z]*$", before.lower())
    return _WORDS.get(letters[1], "") if letters else ""


def _follows(column: Sequence[str], known: Sequence[Sequence[str]]) -> bool:
    """Tell whether a number is fixed by those that are known, as z in micrometres is."""
    rows = list(zip(*known, strict=True)) if known else [()] * len(column)
    return len(set(zip(rows, column, strict=True))) == len(set(rows))


def _without_holes(column: Sequence[str]) -> bool:
    values = set(map(int, column))
    return max(values) - min(values) + 1 == len(values)


def _counts_on(column: Sequence[str], planes: int) -> bool:
    values = sorted(map(int, set(column)))
    return all(b - a == planes for a, b in zip(values, values[1:], strict=False))


def _written(at: int, part: str, column: Sequence[str], roles: Mapping[int, str]) -> str:
    role = roles.get(at)
    if role is None:
        return part
    least = min(map(int, column))
    counted = role in ("row", "column", "channel") and least > 0
    return "*" if role == "*" else f"{{{role}:{least}}}" if counted else f"{{{role}}}"


def _step(values: Sequence[int]) -> int:
    """Return what the numbers of slices rise by, where it divides all of them."""
    known = sorted(set(values))
    steps = [b - a for a, b in zip(known, known[1:], strict=False)]
    step = math.gcd(*steps) if len(steps) > 1 else 1
    return step if step and all(n % step == 0 for n in known) else 1
