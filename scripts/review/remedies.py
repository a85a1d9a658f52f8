"""Remedies: what the config may say so that the gate opens, as one block and as last resorts.

The block is section ``review`` as it should stand, with what the file has already: pasted in place
of the old section it loses nothing. What gives up much of the volume, or only lifts a limit, comes
after it with its price.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.lib import commands
from scripts.lib.sections import as_lines
from scripts.review import across, exchanged, order, resin
from scripts.review.causes import causes
from scripts.review.decisions import without_idle_bridges
from scripts.review.evidence import Check, Entries, Evidence, Limits, Row

LISTS = ("exclude", "keep", "patch", "bridge")
Given = Mapping[str, Any]


@dataclass(frozen=True)
class Remedy:
    """What may be added to section ``review``: entries, and what has a price (lines, price).

    ``automatic``: ``review.auto`` would do the same.
    """

    mend: Entries
    costly: Sequence[tuple[Mapping[str, Any], str]]
    automatic: bool


def remedy(checks: Sequence[Check], found: Evidence, limits: Limits, given: Given) -> Remedy:
    """Put together what the failing checks ask for.

    Parameters
    ----------
    checks
        All checks.
    found
        What they looked at.
    limits
        Thresholds; exclusions of more than ``max_auto_share`` of the tiles have a price, resin
        around the specimen aside.
    given
        What section ``review`` of the config says now.

    Returns
    -------
    Remedy
        Each entry once, none that is there already.
    """
    failed = [check for check in checks if check.status == "failed"]
    mend: Entries = {}
    for key in LISTS:
        wanted = [each for check in failed for each in check.mend.get(key, [])]
        new = [each for each in _once(key, wanted) if each not in given.get(key, [])]
        mend |= {key: new} if new else {}
    if "bridge" in mend:  # none for cells that leave
        some = without_idle_bridges(mend.pop("bridge"), mend.get("exclude", []))
        mend |= {"bridge": some} if some else {}
    costly: list[tuple[Mapping[str, Any], str]] = []
    lost = _named(mend.get("exclude", []), found.tiles)
    surround = resin.around(found.tiles)
    if len(set(lost) - surround) > max(limits.max_auto_share * len(found.tiles), limits.few_tiles):
        out = mend.pop("exclude")
        if len(lost) < _staying(found.tiles):
            costly.append(({"exclude": out}, f"{len(lost)} of {len(found.tiles)} tiles leave"))
    costly += [
        ({key: value}, check.loss)
        for check in failed
        for key, value in check.accept.items()
        if given.get(key) != value
    ]
    proposed = found.proposed
    same = all(each in proposed.get(key, []) for key, new in mend.items() for each in new)
    return Remedy(mend, costly, automatic=same and not given.get("auto"))


def _once(key: str, entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Drop entries for the same place: two checks may ask for it with other reasons."""
    names = ("cells", "tiles", "cell", "z", "z_first", "z_last")
    return list({json.dumps([key, *(e.get(n) for n in names)]): e for e in reversed(entries)}
                .values())[::-1]  # fmt: skip


def _named(entries: Sequence[Mapping[str, Any]], tiles: Sequence[Row]) -> list[str]:
    """Return the ids of the tiles that entries of ``exclude`` would take out."""
    out = []
    for tile in tiles:
        cell, z = f"{tile['row']},{tile['column']}", float(tile["z"])
        if tile["state"] != "excluded" and any(_names(each, tile, cell, z) for each in entries):
            out.append(tile["tile_id"])
    return out


def _names(entry: Mapping[str, Any], tile: Row, cell: str, z: float) -> bool:
    if tile["tile_id"] in entry.get("tiles", ()):
        return True
    first, last = entry.get("z_first", -1e99), entry.get("z_last", 1e99)
    return cell in entry.get("cells", ()) and bool(first <= z <= last)


def _staying(tiles: Sequence[Row]) -> int:
    return sum(tile["state"] != "excluded" for tile in tiles)


def merged(given: Given, mend: Mapping[str, Any]) -> dict[str, Any]:
    """Return section ``review`` as it should stand.

    Parameters
    ----------
    given
        What it says now.
    mend
        Entries to add, or settings.

    Returns
    -------
    dict
        Settings first; the entries that are there come before those that are added.
    """
    out = {key: value for key, value in given.items() if key not in LISTS}
    out |= {key: value for key, value in mend.items() if key not in LISTS}
    lists = {key: [*given.get(key, []), *mend.get(key, [])] for key in LISTS}
    return out | {key: entries for key, entries in lists.items() if entries}


def failure(
    checks: Sequence[Check], found: Evidence, limits: Limits, given: Given
) -> tuple[str, str] | None:
    """Return what a failing gate says, and the lines that go with it.

    Parameters
    ----------
    checks
        All checks.
    found
        What they looked at.
    limits
        Thresholds.
    given
        What section ``review`` of the config says now, defaults left out.

    Returns
    -------
    tuple of str or None
        The message with the cause first, and the lines to add; None when the gate passes.
    """
    failed = [check for check in checks if check.status == "failed"]
    if not failed:
        return None
    why = "".join(f"{each[0].upper()}{each[1:]}.\n" for each in causes(found))
    told = "".join(f"- {check.name}: {check.message.rstrip()}\n" for check in failed)
    names = ", ".join(check.name for check in failed)
    message = (
        f"{why}The gate before the solve does not open ({len(failed)} of {len(checks)} checks):"
        f" {names}; pictures are in review/index.html\n{told}"
    )
    misplaced = next((check for check in failed if check.name == "misplaced_layers"), None)
    if misplaced:
        moves = order.lines(found.figures["order"]["moves"], found.layer_ids)
        return message, (
            "Put the layers in order (z and everything after ingest is made anew); these lines go"
            f" before others of ingest.layers:\n\n{moves}\nOnly at a price, as a last resort, a"
            f" line of section review:\n\n  # {misplaced.loss}:\n{as_lines(misplaced.accept)}"
        )
    return message, _of_exchanged(found) + _of_review(checks, found, limits, given)


def _of_exchanged(found: Evidence) -> str:
    if not found.exchanged:
        return ""
    return (
        "Give each its own image (z and tile ids stay; the layer and what follows is made anew);"
        f" these lines go before others of ingest.exchange:\n\n{exchanged.lines(found.exchanged)}\n"
    )


def _of_review(checks: Sequence[Check], found: Evidence, limits: Limits, given: Given) -> str:
    """Return the lines of section review, as far as what was exchanged does not say all."""
    entries = remedy(checks, found, limits, given)
    if found.exchanged and not entries.mend:
        return ""
    return lines(entries, given) + across.by_hand(found)


def lines(found: Remedy, given: Given) -> str:
    """Return the lines to add: one section as it should stand, then what has a price.

    Parameters
    ----------
    found
        What may be added.
    given
        What section ``review`` of the config says now, defaults left out.

    Returns
    -------
    str
        Several lines.
    """
    out = ""
    if found.mend:
        also = " (auto: true would do so without asking)" if found.automatic else ""
        out += (
            f"Section review of the config as it should stand, which replaces the old one{also};\n"
            f"{commands.module('scripts.review.decide', '--write')} puts it there and keeps"
            " comments:\n\n"
            f"review:\n{as_lines(merged(given, found.mend))}\n"
        )
    if found.costly:
        out += "Only at a price, as last resorts, further lines of section review:\n\n"
        out += "".join(f"  # {price}:\n{as_lines(each)}" for each, price in found.costly)
    return out or "No line of the config mends this: mend the matching (match.preset).\n"
