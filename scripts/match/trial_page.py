"""The page of a match trial: what was tried, pictures of the chosen variants, and the preset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scripts.lib.pages import page as pages
from scripts.lib.pages.page import Code, Pictures, Section, Table, Text
from scripts.lib.pages.pictures import Shown
from scripts.match.trial import COLUMNS

_LEAD = (
    "Variants of the first stage of each run, on pairs chosen evenly over z, cells and distances."
    " false: more than 10 px from the median model of all variants; apart: median distance from it."
    " Marked: what the trial would choose."
)
_PAIRS = (
    "p red, q cyan where the matches lay it; grey where they agree. Dots are matches. Pairs that"
    " failed stand side by side."
)


def page(rows: Sequence[Mapping[str, Any]], pictures: Sequence[Shown], lines: str) -> str:
    """Return the page: table, pictures of the chosen variants, and the preset.

    Parameters
    ----------
    rows
        The variants, with `trial.COLUMNS`.
    pictures
        Pairs of the chosen variants.
    lines
        The preset, YAML.

    Returns
    -------
    str
        HTML.
    """
    table = Table(
        "",
        [name.replace("_", " ") for name in COLUMNS],
        [[row[name] for name in COLUMNS] for row in rows],
        marked=[i for i, row in enumerate(rows) if row["chosen"]],
    )
    paste = Text("Save these lines as a file and name it in match.preset.")
    return pages.render(
        "Match trial",
        [
            Section("Variants", [table]),
            Section("Pairs of the chosen variants", [Pictures(pictures)], _PAIRS),
            Section("Preset", [paste, Code(lines)]),
        ],
        here="match/trial/index.html",
        lead=[Text(_LEAD, "note")],
    )
