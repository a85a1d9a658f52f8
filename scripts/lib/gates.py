"""Gates: rules that end a run until a person has decided or looked, in words."""

from __future__ import annotations

from collections.abc import Collection

# rule -> what people call it
GATES = {
    "check_transfer": "the gate of the transfer",
    "check_contrast": "the gate of the contrast",
    "check_gate": "the gate of the review",
    "check_alignment": "the gate of the alignment",
    "check_thickness": "the gate of the thickness",
}

# rule -> what to look at before one decides, in the working directory
PAGES = {
    "check_transfer": "transfer/quarantine.tsv",
    "check_gate": "review/index.html",
    "check_alignment": "solve/solve.html",
    "check_thickness": "zcorr/thickness.html",
}


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
