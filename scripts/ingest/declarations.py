"""Decisions of people about layers: the entries of ``ingest.layers`` in the config.

::

    - {drop: LAYER, reason: …}                    left out; its z stays, as a gap
    - {drop: LAYER, keep_z: false, reason: …}     never part of the volume: it has no z
    - {gap: 3, after: LAYER, reason: …}           three layers were milled and not imaged
    - {insert: LAYER, slot: 1, reason: …}         it arrived late: first z that the gap reserved
    - {insert: LAYER, renumber: true, reason: …}  it arrived late and gets a z of its own
    - {move: LAYER, after: LAYER, reason: …}      its name tells a wrong time: it follows that layer

``renumber: true`` on an entry says that z of later layers may change because of it: their tile ids
change too, and everything after ingest is done again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from scripts.lib.job import UserError
from scripts.lib.names import parse_layer

MOVED = "moved"  # begins what the layer table says of a layer that was moved
_KEYS = {
    "drop": {"drop", "reason", "keep_z", "renumber"},
    "gap": {"gap", "reason", "after", "renumber"},
    "insert": {"insert", "reason", "slot", "renumber"},
    "move": {"move", "reason", "after", "renumber"},
}
Key = tuple[Any, ...]  # by which layers sort


@dataclass(frozen=True)
class Entry:
    """One entry: what is declared about `layer_id` (of a gap: the layer before it)."""

    layer_id: str
    reason: str
    renumber: bool = False
    keep_z: bool = True  # of drop
    count: int = 0  # of gap: layers
    slot: int | None = None  # of insert: position in the gap it falls into, from 1
    after: str = ""  # of move: the layer that it follows
    rank: int = 0  # place among all entries


@dataclass(frozen=True)
class Declarations:
    """All entries by kind and layer id."""

    drops: Mapping[str, Entry]
    gaps: Mapping[str, Entry]
    inserts: Mapping[str, Entry]
    moves: Mapping[str, Entry] = field(default_factory=dict)

    def names(self) -> set[str]:
        """Return all layer ids that entries name.

        Returns
        -------
        set of str
            Those of drops, gaps, inserts and moves, and the layers that moved ones follow.
        """
        followed = {entry.after for entry in self.moves.values()}
        return {*self.drops, *self.gaps, *self.inserts, *self.moves} | followed

    def order(self, layer_id: str) -> Key:
        """Return the key by which layers sort: by time, but for those that are moved.

        Parameters
        ----------
        layer_id
            The layer.

        Returns
        -------
        tuple
            Of layers that follow the same one, those of earlier entries are less.
        """
        ranks: list[int] = []
        while layer_id in self.moves:
            ranks.append(self.moves[layer_id].rank)
            layer_id = self.moves[layer_id].after
        return (time_order(layer_id), *reversed(ranks))

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
        if layer_id in self.moves:
            return f"{MOVED}: {self.moves[layer_id].reason}"
        if layer_id in self.inserts:
            return f"inserted: {self.inserts[layer_id].reason}"
        return ""


def time_order(layer_id: str) -> tuple[str, str]:
    """Return `LayerName.order` of a layer id that was read before, in a tenth of the time.

    Parameters
    ----------
    layer_id
        The layer.

    Returns
    -------
    tuple of str
        Stamp, then scope.
    """
    return layer_id[-15:], layer_id[:-16]


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
    kinds: dict[str, dict[str, Entry]] = {kind: {} for kind in _KEYS}
    problems = []
    for index, value in enumerate(entries):
        try:
            kind, entry = _entry(value)
            if entry.layer_id in kinds[kind]:
                raise ValueError(f"{kind} names {entry.layer_id} a second time")  # noqa: TRY301
            kinds[kind][entry.layer_id] = replace(entry, rank=index)
        except ValueError as error:
            problems.append(f"ingest.layers[{index}]: {error}")
    out = {layer for layer, entry in kinds["drop"].items() if not entry.keep_z}
    both = sorted(out & kinds["insert"].keys())
    problems += [f"ingest.layers: {layer} is inserted, and dropped without a z" for layer in both]
    problems += _circles(kinds["move"])
    if problems:
        raise UserError("\n  ".join(["the config is not clear:", *problems]))
    return Declarations(kinds["drop"], kinds["gap"], kinds["insert"], kinds["move"])


def _circles(moves: Mapping[str, Entry]) -> list[str]:
    """Name layers that follow themselves, by way of others."""
    out = []
    for layer_id in moves:
        seen, at = set(), moves[layer_id].after
        while at in moves and at != layer_id and at not in seen:
            seen.add(at)
            at = moves[at].after
        if at == layer_id:
            out.append(f"ingest.layers: {layer_id} is moved after itself, by way of other entries")
    return out


def _entry(value: Mapping[str, Any]) -> tuple[str, Entry]:
    found = [kind for kind in _KEYS if kind in value]
    if len(found) != 1:
        raise ValueError(f"expected one of {', '.join(_KEYS)}, found {found or list(value)}")
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
    if kind == "move":
        if "after" not in value:
            raise ValueError("move needs after: the layer id that it follows")
        parse_layer(value["after"])
        return Entry(value["move"], reason, renumber, after=value["after"])
    if ("slot" in value) == renumber:
        raise ValueError("insert needs either slot (place in a declared gap) or renumber: true")
    return Entry(value["insert"], reason, renumber, slot=value.get("slot"))
