"""The registry of correction steps: what each is called, how its stack is named, what it does.

A step first measures its parameters on the stack before it (they go to a file and to the report),
then makes the tiles of the next stack with them. It never touches pixels: transforms, image URLs
and filters of the tile specs change, and whatever draws a tile applies them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from scripts.correct import background, chain, destreak, intensity, shading, sixteen_bit, straighten
from scripts.correct.evidence import Evidence, Found
from scripts.lib.service.records import TileSet

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Step:
    """One correction."""

    name: str
    changes: str  # what it changes on tile specs, in words
    estimate: Callable[[TileSet, Settings, Evidence], Found]
    apply: Callable[[TileSet, Found], TileSet]

    @property
    def suffix(self) -> str:
        """Text appended to the stack's name."""
        return chain.SUFFIX[self.name]


STEPS = {
    step.name: step
    for step in (
        Step(
            "straighten",
            "the last transform of every tile: one shift for each layer",
            straighten.estimate,
            straighten.apply,
        ),
        Step(
            "16bit",
            "image URLs: the raw 16-bit data in place of the 8-bit images; transforms stay",
            sixteen_bit.estimate,
            sixteen_bit.apply,
        ),
        Step(
            "destreak",
            "a filter that takes a narrow band out of the spectrum of every tile; its mean stays",
            destreak.estimate,
            destreak.apply,
        ),
        Step(
            "shading",
            "a polynomial that is subtracted from every tile; its mean over the stack is zero",
            shading.estimate,
            shading.apply,
        ),
        Step(
            "intensity",
            "a map of gain and offset for every tile; on average over all it changes nothing",
            intensity.estimate,
            intensity.apply,
        ),
        Step(
            "background",
            "a filter that subtracts the smoothed picture of every tile less its mean",
            background.estimate,
            background.apply,
        ),
    )
}


def find(name: str) -> Step:
    """Return a step by name.

    Raises
    ------
    ValueError
        For a step that is not registered; the message lists those that are.
    """
    if name not in STEPS:
        raise ValueError(f"no correction step {name!r} (known: {', '.join(STEPS)})")
    return STEPS[name]
