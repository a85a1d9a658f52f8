"""The registry of corrections, the names of their stacks, and the orders that make sense.

A correction is a module of this folder with two functions. `estimate` measures parameters on the
stack before it (they go to a file and to the report); `apply` makes the tiles of the next stack
with them. It never touches pixels: transforms, image URLs and filters of the tile specs change, and
whatever draws a tile applies them. How to add one: docs/extending.md.

The Snakefile reads this module at every start, so it imports nothing heavy.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from scripts.correct.evidence import Evidence, Found
    from scripts.lib.service.records import TileSet


COMPARED_LAYERS = 2  # of step intensity: layers are compared with so many that follow


class Correction(Protocol):
    """The functions of a correction's module."""

    def estimate(self, tiles: TileSet, settings: Mapping[str, Any], evidence: Evidence) -> Found:
        """Measure the parameters on the stack before.

        Parameters
        ----------
        tiles
            Of the stack before the step.
        settings
            Section of the config.
        evidence
            What else may be looked at.

        Returns
        -------
        Found
            Figures and tables.
        """
        ...

    def apply(self, tiles: TileSet, found: Found) -> TileSet:
        """Make the tiles of the next stack.

        Parameters
        ----------
        tiles
            Of the stack before the step, whole layers of it.
        found
            Of `estimate`.

        Returns
        -------
        TileSet
            The tiles.
        """
        ...


@dataclass(frozen=True)
class Step:
    """One correction, as the config names it in ``correct.steps``."""

    module: str  # of this folder
    suffix: str  # what it appends to the name of the stack
    changes: str  # what it changes on tile specs, in words
    grey: bool = True  # it writes filters of grey values: those of 8 bit mean nothing in 16 bit

    def load(self) -> Correction:
        """Import the module.

        Returns
        -------
        Correction
            The module.
        """
        return cast(Correction, importlib.import_module(f"scripts.correct.{self.module}"))


STEPS = {
    "straighten": Step(
        "straighten",
        "_straight",
        "the last transform of every tile: one shift for each layer",
        grey=False,
    ),
    "16bit": Step(
        "sixteen_bit",
        "_16bit",
        "image URLs: the raw 16-bit data in place of the 8-bit images; transforms stay",
        grey=False,
    ),
    "destreak": Step(
        "destreak",
        "_destreak",
        "a filter that takes a narrow band out of the spectrum of every tile; its mean stays",
    ),
    "shading": Step(
        "shading",
        "_sc",
        "a polynomial that is subtracted from every tile; its mean over the stack is zero",
    ),
    "intensity": Step(
        "intensity",
        "_ic",
        "a map of gain and offset for every tile; on average over all it changes nothing",
    ),
    "background": Step(
        "background",
        "_bc",
        "a filter that subtracts the smoothed picture of every tile less its mean",
    ),
}


def check(steps: Sequence[str]) -> None:
    """Refuse a chain that cannot work.

    Parameters
    ----------
    steps
        Names of the steps, in order.

    Raises
    ------
    ValueError
        For a step that is not known, is there twice, or stands behind one it must precede; the
        message names the steps.
    """
    for step in steps:
        if step not in STEPS:
            raise ValueError(f"correct.steps: no step {step!r} (known: {', '.join(STEPS)})")
        if steps.count(step) > 1:
            raise ValueError(f"correct.steps: {step} is there {steps.count(step)} times")
    if "16bit" in steps:
        early = [step for step in steps[: steps.index("16bit")] if STEPS[step].grey]
        if early:
            raise ValueError(
                f"correct.steps: {', '.join(early)} before 16bit: grey values measured in 8 bit do"
                " not hold for 16-bit pixels; put 16bit first"
            )


def stacks(align: str, steps: Sequence[str]) -> list[str]:
    """Name the stack that each step makes.

    Parameters
    ----------
    align
        Name of the aligned stack.
    steps
        Names of the steps, in order.

    Returns
    -------
    list
        One name per step.
    """
    names = [align]
    for step in steps:
        names.append(names[-1] + STEPS[step].suffix)
    return names[1:]


def evidence(
    step: str, steps: Sequence[str], settings: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Return what a step looks at besides the stack before it.

    Parameters
    ----------
    step
        The step.
    steps
        All steps of the volume.
    settings
        Section ``correct`` of the config: step -> its settings.

    Returns
    -------
    list of str
        Paths; those that hold ``{chunk}`` stand for a file of every chunk.
    """
    own = settings[step]
    if step == "16bit":
        return ["correct/16bit_plan.tsv", *["correct/restored/{chunk}.tsv"] * bool(own["restore"])]
    if step != "intensity":
        return []
    wanted = {
        "correct/levels.npz": own["layers"] != "none" or own["tiles"],
        "correct/maps/{chunk}.npz": own["tiles"],
        "correct/16bit.npz": "16bit" in steps,
    }
    return [path for path, used in wanted.items() if used]
