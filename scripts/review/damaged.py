"""Damaged: what the gate says of damaged tiles that nobody decided on, and what mends it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scripts.review.evidence import Entries, Evidence
from scripts.review.suspects import NO_SIGNAL

DAMAGED = "damaged"


def reasons(found: Evidence) -> dict[str, str]:
    """Return why tiles look damaged.

    Parameters
    ----------
    found
        Patches tell why a tile should be replaced.

    Returns
    -------
    dict
        By tile id, as far as it is known.
    """
    why = {row["replaces"]: row["reason"] for row in found.patches}
    return why | dict.fromkeys(found.figures.get("dead_tiles", ()), NO_SIGNAL)


def mend(ids: Sequence[str], found: Evidence) -> Entries:
    """Return the entries that decide about damaged tiles.

    Parameters
    ----------
    ids
        Their ids.
    found
        With the proposals of patches.

    Returns
    -------
    dict
        Patches as proposed; exclusions of those that no patch, and no exchange, replaces.
    """
    why = reasons(found)
    patched = {row["replaces"] for row in found.patches if row["state"] != "failed"}
    patched |= {name for one in found.exchanged for name in one["tiles"]}
    left: dict[str, list[str]] = {}
    for i in ids:
        if i not in patched:
            left.setdefault(NO_SIGNAL if why.get(i) == NO_SIGNAL else DAMAGED, []).append(i)
    out: Entries = {key: found.proposed[key] for key in ("patch",) if key in found.proposed}
    if left:
        out["exclude"] = [
            {"tiles": some, "reason": f"{what}, and no patch for it"} for what, some in left.items()
        ]
    return out


def choices(ids: Sequence[str], why: Mapping[str, str]) -> str:
    """Say what else may be decided of them.

    Parameters
    ----------
    ids
        Ids of damaged tiles.
    why
        Of `reasons`.

    Returns
    -------
    str
        One sentence.
    """
    if all(why.get(i) == NO_SIGNAL for i in ids):
        return (
            "Nothing is in their images: patch shows the next layer there, exclude leaves a hole;"
            " there is nothing to keep"
        )
    return "Those that are usable as they are belong under keep (tiles, reason)"
