"""Board: which steps of a volume are done, and its column on the tracking board.

Labels and columns are those of the tracking issues of the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scripts.lib.verdicts import ABSENT, NOT_GOOD

IMAGING, ASSEMBLY, ADVANCED = "Imaging", "Assembly", "Advanced Processing"
REVIEW, DONE, CLEANED = "Review", "Done", "Cleaned Up"
PROMOTED, REMOVED = Path("export/promoted.json"), Path("cleanup/removed.tsv")
Figures = Mapping[str, Any]


def _reached(figures: Figures, stage: str) -> bool:
    return figures[stage]["status"] not in (ABSENT, NOT_GOOD)


def _step(name: str) -> Callable[[Figures, Path], bool]:
    return lambda figures, _: name in figures["correct"]["steps"]


def _stage(name: str) -> Callable[[Figures, Path], bool]:
    return lambda figures, _: _reached(figures, name)


# label -> whether it is done; a person reviews before the volume goes to its place
LABELS: dict[str, Callable[[Figures, Path], bool]] = {
    "01 prep done": _stage("ingest"),
    "02 alignment done": _stage("solve"),
    "03 alignment review done": lambda _, work: (work / PROMOTED).exists(),
    "04 z correction done": _stage("zcorr"),
    "05 streak correction done": _step("destreak"),
    "06 intensity correction done": _step("intensity"),
    "07 straightening done": _step("straighten"),
    "09 clean-up done": lambda _, work: (work / REMOVED).exists(),
}
IN_PROGRESS = "00 imaging in progress"


def labels(figures: Figures, work: Path, *, imaging: bool) -> list[tuple[str, bool]]:
    """Return the labels of the tracking issue and whether each holds.

    Parameters
    ----------
    figures
        What `summary.judge` returns.
    work
        Working directory of the volume.
    imaging
        Whether the microscope is still at work on it.

    Returns
    -------
    list of tuple
        In their order.
    """
    held = [(label, done(figures, work)) for label, done in LABELS.items()]
    return [(IN_PROGRESS, imaging), *held]


def column(figures: Figures, work: Path, *, imaging: bool) -> str:
    """Return the column of the board.

    Parameters
    ----------
    figures
        What `summary.judge` returns.
    work
        Working directory of the volume.
    imaging
        Whether the microscope is still at work on it.

    Returns
    -------
    str
        The last that has been reached.
    """
    if (work / REMOVED).exists():
        return CLEANED
    if (work / PROMOTED).exists():
        return DONE
    if imaging and not _reached(figures, "export"):
        return IMAGING
    if not _reached(figures, "solve"):
        return ASSEMBLY
    return REVIEW if _reached(figures, "export") else ADVANCED
