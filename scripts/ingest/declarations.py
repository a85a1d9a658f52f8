"""Decisions of people about layers: the entries of ``ingest.layers`` in the config.

::

    - {drop: LAYER, reason: …}                    left out; its z stays, as a gap
    - {drop: LAYER, keep_z: false, reason: …}     never part of the volume: it has no z
    - {gap: 3, after: LAYER, reason: …}           three layers were milled and not imaged
    - {insert: LAYER, slot: 1, reason: …}         it arrived late: first z that the gap reserved
    - {insert: LAYER, renumber: true, reason: …}  it arrived late and gets a z of its own

``renumber: true`` on an entry says that z of later layers may change because of it: their tile ids
change too, and everything after ingest is done again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scripts.lib.job import UserError
from scripts.lib.names import parse_layer

_KEYS = {
    "drop": {"drop", "reason", "keep_z", "renumber"},
    "gap": {"gap", "reason", "after", "renumber"},
    "insert": {"insert", "reason", "slot", "renumber"},
}


@dataclass(frozen=True)
class Entry:
    """One entry: what is declared about `layer_id` (of a gap: the layer before it)."""

    layer_id: str
    reason: str
    renumber: bool = False
    keep_z: bool = True  # of drop
    count: int = 0  # of gap: layers
    slot: int | None = None  # of insert: position in the gap it falls into, from 1


@dataclass(frozen=True)
class Declarations:
    """All entries by kind and layer id."""

    drops: Mapping[str, Entry]
    gaps: Mapping[str, Entry]
    inserts: Mapping[str, Entry]

    def names(self) -> set[str]:
        """Return all layer ids that entries name.

        Returns
        -------
        set of str
            Those of drops, gaps and inserts.
        """
        return {*self.drops, *self.gaps, *self.inserts}

    def note(self, layer_id: str) -> str:
        """Return what the layer table says of a layer that was declared.

        Parameters
        ----------
        layer_id
            The layer.

        Returns
        -------
        str
            Kind and reason; empty without an entry.
        """
        if layer_id in self.drops:
            return f"dropped: {self.drops[layer_id].reason}"
        if layer_id in self.inserts:
            return f"inserted: {self.inserts[layer_id].reason}"
        return ""


def parse(entries: Iterable[Mapping[str, Any]]) -> Declarations:
    """Read the entries of ``ingest.layers``.

    Parameters
    ----------
    entries
        ``ingest.layers`` of the config.

    Returns
    -------
    Declarations
        The entries by kind and layer id.

    Raises
    ------
    UserError
        With every entry that is not of one kind, lacks a key, or repeats a layer.
    """
    kinds: dict[str, dict[str, Entry]] = {"drop": {}, "gap": {}, "insert": {}}
    problems = []
    for index, value in enumerate(entries):
        try:
            kind, entry = _entry(value)
            if entry.layer_id in kinds[kind]:
                raise ValueError(f"{kind} names {entry.layer_id} a second time")  # noqa: TRY301
            kinds[kind][entry.layer_id] = entry
        except ValueError as error:
            problems.append(f"ingest.layers[{index}]: {error}")
    out = {layer for layer, entry in kinds["drop"].items() if not entry.keep_z}
    both = sorted(out & kinds["insert"].keys())
    problems += [f"ingest.layers: {layer} is inserted, and dropped without a z" for layer in both]
    if problems:
        raise UserError("\n  ".join(["the config is not clear:", *problems]))
    return Declarations(kinds["drop"], kinds["gap"], kinds["insert"])


def _entry(value: Mapping[str, Any]) -> tuple[str, Entry]:
    found = [kind for kind in _KEYS if kind in value]
    if len(found) != 1:
        raise ValueError(f"expected one of drop, gap, insert, found {found or list(value)}")
    (kind,) = found
    if unknown := sorted(value.keys() - _KEYS[kind]):
        known = ", ".join(sorted(_KEYS[kind] - {kind}))
        raise ValueError(f"{kind} takes {known}; found {', '.join(unknown)}")
    if not value.get("reason"):
        raise ValueError(f"{kind} needs a reason, which goes into the layer table")
    entry = _checked(kind, value)
    parse_layer(entry.layer_id)
    return kind, entry


def _checked(kind: str, value: Mapping[str, Any]) -> Entry:
    reason, renumber = str(value["reason"]), bool(value.get("renumber"))
    if kind == "drop":
        return Entry(value["drop"], reason, renumber, keep_z=bool(value.get("keep_z", True)))
    if kind == "gap":
        if "after" not in value:
            raise ValueError("gap needs after: the layer id before the missing layers")
        return Entry(value["after"], reason, renumber, count=int(value["gap"]))
    if ("slot" in value) == renumber:
        raise ValueError("insert needs either slot (place in a declared gap) or renumber: true")
    return Entry(value["insert"], reason, renumber, slot=value.get("slot"))
