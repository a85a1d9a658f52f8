"""The chain of corrections: known steps, the names of their stacks, the orders that make sense.

Read by the Snakefile at every start, so it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Sequence

# step -> what it appends to the name of the stack
SUFFIX = {
    "straighten": "_straight",
    "16bit": "_16bit",
    "destreak": "_destreak",
    "shading": "_sc",
    "intensity": "_ic",
    "background": "_bc",
}
# steps that write filters of grey values; those of 8 bit mean nothing on 16-bit pixels
GREY = ("destreak", "shading", "intensity", "background")


def check(steps: Sequence[str]) -> None:
    """Refuse a chain that cannot work.

    Raises
    ------
    ValueError
        For a step that is not known, is there twice, or stands behind one it must precede; the
        message names the steps.
    """
    for step in steps:
        if step not in SUFFIX:
            raise ValueError(f"correct.steps: no step {step!r} (known: {', '.join(SUFFIX)})")
        if steps.count(step) > 1:
            raise ValueError(f"correct.steps: {step} is there {steps.count(step)} times")
    if "16bit" in steps:
        early = [step for step in steps[: steps.index("16bit")] if step in GREY]
        if early:
            raise ValueError(
                f"correct.steps: {', '.join(early)} before 16bit: grey values measured in 8 bit do"
                " not hold for 16-bit pixels; put 16bit first"
            )


def stacks(align: str, steps: Sequence[str]) -> list[str]:
    """Return the stack that each step makes, in order."""
    names = [align]
    for step in steps:
        names.append(names[-1] + SUFFIX[step])
    return names[1:]
