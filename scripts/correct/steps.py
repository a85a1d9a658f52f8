"""The registry of correction steps: what each is called, how its stack is named, what it does.

A step first measures its parameters on the stack before it (they go to a file and to the report),
then makes the tiles of the next stack with them. It never touches pixels: export composes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from scripts.correct import straighten
from scripts.lib.records import TileSet


@dataclass(frozen=True)
class Step:
    """One correction."""

    name: str
    suffix: str  # appended to the stack's name
    estimate: Callable[[TileSet], dict[str, Any]]
    apply: Callable[[TileSet, Mapping[str, Any]], TileSet]


STEPS = {
    step.name: step
    for step in (Step("straighten", "_straight", straighten.estimate, straighten.apply),)
}


def find(name: str) -> Step:
    """Give a step by name.

    Raises
    ------
    ValueError
        For a step that is not registered; the message lists those that are.
    """
    if name not in STEPS:
        raise ValueError(f"no correction step {name!r} (known: {', '.join(STEPS)})")
    return STEPS[name]
