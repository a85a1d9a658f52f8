"""Gates: rules that end a run until a person has decided or looked, in words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from scripts.lib import files

# rule -> what people call it
GATES = {
    "check_transfer": "the gate of the transfer",
    "check_contrast": "the gate of the contrast",
    "check_gate": "the gate of the review",
    "check_alignment": "the gate of the alignment",
    "check_thickness": "the gate of the thickness",
}

# rule -> page to look at before one decides, in the working directory
PAGES = {
    "check_gate": "review/index.html",
    "check_alignment": "solve/solve.html",
    "check_thickness": "zcorr/thickness.html",
}

# rule -> tables, and which of their rows it can be about; those that have any are named
TABLES: dict[str, Mapping[str, Callable[[Mapping[str, str]], bool]]] = {
    "check_transfer": {
        "transfer/misfits.tsv": lambda row: bool(row.get("reason")),  # none of an exact copy
        "transfer/quarantine.tsv": lambda _: True,
        "transfer/layers.tsv": lambda row: row.get("status") == "failed",
    },
}


def to_look_at(rule: str, folder: Path) -> list[Path]:
    """Return what to look at before one decides, of what there is.

    Parameters
    ----------
    rule
        Its name.
    folder
        Working directory of the volume.

    Returns
    -------
    list of Path
        The page of the gate, or those of its tables that have rows about it.
    """
    if page := PAGES.get(rule):
        return [folder / page] if (folder / page).is_file() else []
    tables = TABLES.get(rule, {}).items()
    return [folder / path for path, tells in tables if _has_rows(folder / path, tells)]


def _has_rows(table: Path, tells: Callable[[Mapping[str, str]], bool]) -> bool:
    try:
        return any(map(tells, files.read_table(table)))
    except (OSError, ValueError):
        return False  # not there, or half of it


def named(rule: str) -> str:
    """Return what a person calls a rule.

    Parameters
    ----------
    rule
        Its name.

    Returns
    -------
    str
        Of a gate its words with the name, else the name alone.
    """
    return f"{GATES[rule]} ({rule})" if rule in GATES else rule


def are_all(rules: Collection[str]) -> bool:
    """Tell whether rules are gates, all of them.

    Parameters
    ----------
    rules
        Names.

    Returns
    -------
    bool
        False of none.
    """
    return bool(rules) and set(rules) <= GATES.keys()
