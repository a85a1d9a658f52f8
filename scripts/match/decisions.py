"""Decisions about pairs, carried out on paper: ``match.decisions`` and ``match.by_hand``.

Entries act one after another, in the order in which they stand: each sees the pairs as the ones
before left them. Matches made by hand come last and stand in place of whatever the pair had. What
follows is a list of pairs that leave the collection and of records that come into it; nothing is
written here (`scripts.match.set_aside` does that).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from scripts.lib.job import UserError
from scripts.lib.service.match_client import Key
from scripts.lib.service.records import CanvasMatches, TileSpec

Entry = Mapping[str, Any]

COLUMNS = ("entry", "action", "p_group", "p_id", "q_group", "q_id", "dz", "became", "count",
           "weight", "source", "reason")  # fmt: skip
FARAWAY_WEIGHT = 0.1  # of matches copied to other layers: any real match counts for more
DROPPED, REPLACED, ADDED = "set aside", "set aside, replaced by hand", "added"
NO_PAIR, NO_TILE, OTHER_SIZE = "no such pair", "no tile there", "tiles of another size"
HAS_OWN = "has matches of its own"


class Pairs(Protocol):
    """The pairs of the collection as matching left them."""

    def keys(self) -> Iterable[Key]:
        """Return the keys of all pairs.

        Returns
        -------
        iterable of Key
            p group, p id, q group, q id.
        """

    def count(self, key: Key) -> int:
        """Return the number of points of a pair.

        Parameters
        ----------
        key
            Of the pair.

        Returns
        -------
        int
            0 when it is not there.
        """

    def record(self, key: Key) -> CanvasMatches:
        """Return a pair with its points.

        Parameters
        ----------
        key
            Of a pair that is there.

        Returns
        -------
        CanvasMatches
            As it is stored.
        """


@dataclass(frozen=True, eq=False)
class ByHand:
    """An entry of ``match.by_hand``: the record, and where it comes from."""

    matches: CanvasMatches
    source: str
    reason: str


@dataclass
class Carried:
    """What the entries come to.

    ``gone`` keys of pairs that leave the collection; ``added`` records that come into it;
    ``rows`` of `COLUMNS`: what every entry did.
    """

    gone: dict[Key, str] = field(default_factory=dict)
    added: dict[Key, CanvasMatches] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)


class Tiles:
    """Tiles by id, and by place.

    Parameters
    ----------
    tiles
        All tiles of the stack.
    """

    def __init__(self, tiles: Iterable[TileSpec]) -> None:
        self.by_id = {str(tile.tile_id): tile for tile in tiles}
        self.at = {(tile.z, tile.cell): tile for tile in self.by_id.values()}
        self.cells = {f"{tile.row},{tile.column}" for tile in self.by_id.values()}

    def get(self, tile_id: str, where: str) -> TileSpec:
        """Return a tile that an entry names.

        Parameters
        ----------
        tile_id
            Its id.
        where
            Key of the config, for the message.

        Returns
        -------
        TileSpec
            The tile.

        Raises
        ------
        UserError
            When the stack has none of this id.
        """
        if tile_id not in self.by_id:
            raise UserError(f"{where}: there is no tile {tile_id} in the stack")
        return self.by_id[tile_id]


def carry_out(
    pairs: Pairs, tiles: Tiles, entries: Sequence[Entry], by_hand: Sequence[ByHand] = ()
) -> Carried:
    """Say what the entries come to.

    Parameters
    ----------
    pairs
        Those of the collection.
    tiles
        Of the acquired stack.
    entries
        ``match.decisions``.
    by_hand
        ``match.by_hand``, read.

    Returns
    -------
    Carried
        Pairs that leave, records that come, and a row for each.

    Raises
    ------
    UserError
        When an entry names no region, or a tile or cell that does not exist.
    """
    out = Carried()
    for number, entry in enumerate(entries):
        check(f"match.decisions[{number}]", entry, tiles)
    known = list(pairs.keys()) if entries else []
    for number, entry in enumerate(entries):
        where = f"match.decisions[{number}]"
        now = sorted({*(key for key in known if key not in out.gone), *out.added})
        chosen = [key for key in now if selects(entry, key, tiles)]
        if not chosen:
            out.rows.append(_row(where, entry["action"], None, NO_PAIR, reason=entry["reason"]))
        for key in chosen:
            _act(out, pairs, tiles, where, entry, key)
    for number, one in enumerate(by_hand):
        _replace(out, pairs, f"match.by_hand[{number}]", one)
    return out


def check(where: str, entry: Entry, tiles: Tiles) -> None:
    """Check that an entry names a region, of tiles and cells that exist.

    Parameters
    ----------
    where
        Key of the config, for the message.
    entry
        Of ``match.decisions``.
    tiles
        Of the acquired stack.

    Raises
    ------
    UserError
        With what is missing or unknown.
    """
    if not any(name in entry for name in ("tiles", "cells", "z_first", "z_last")):
        raise UserError(f"{where}: expected tiles, cells, z_first or z_last, found none of them")
    for tile_id in entry.get("tiles", ()):
        tiles.get(tile_id, where)
    for cell in sorted(set(entry.get("cells", ())) - tiles.cells):
        known = ", ".join(sorted(tiles.cells))
        raise UserError(f"{where}: no tile lies in cell {cell}; cells are {known}")
    copies = entry["action"] != "drop"
    given = [name for name in ("by_layers", "to_z_first", "to_z_last") if name in entry]
    if copies != (given in (["by_layers"], ["to_z_first", "to_z_last"])):
        expected = "by_layers, or to_z_first and to_z_last," if copies else "no layers"
        raise UserError(
            f"{where}: expected {expected} with {entry['action']},"
            f" found {', '.join(given) or 'none'}"
        )


def selects(entry: Entry, key: Key, tiles: Tiles) -> bool:
    """Tell whether a pair is one of those that an entry speaks of.

    Parameters
    ----------
    entry
        Of ``match.decisions``.
    key
        Of the pair.
    tiles
        Of the acquired stack.

    Returns
    -------
    bool
        False for pairs of tiles that the stack does not have.
    """
    montage = key[0] == key[2]
    if entry.get("kind", "all") not in ("all", "montage" if montage else "cross"):
        return False
    ends = [tiles.by_id.get(tile_id) for tile_id in (key[1], key[3])]
    inside = [tile is not None and _names(entry, tile) for tile in ends]
    return None not in ends and (all(inside) if entry.get("ends") != "one" else any(inside))


def _names(entry: Entry, tile: TileSpec) -> bool:
    if tile.tile_id in entry.get("tiles", ()):
        return True
    if not any(name in entry for name in ("cells", "z_first", "z_last")):
        return False
    first, last = entry.get("z_first", -np.inf), entry.get("z_last", np.inf)
    cell = f"{tile.row},{tile.column}"
    return cell in entry.get("cells", (cell,)) and bool(first <= tile.z <= last)


def _act(out: Carried, pairs: Pairs, tiles: Tiles, where: str, entry: Entry, key: Key) -> None:
    """Let an entry act on one pair that it speaks of."""
    action, reason = entry["action"], entry["reason"]
    if action != "drop":
        for row in _copies(out, pairs, tiles, entry, key):
            out.rows.append(row | {"entry": where, "action": action, "reason": reason})
    if action != "copy":
        mine = out.added.pop(key, None)
        count = len(mine.w) if mine else pairs.count(key)
        if pairs.count(key):
            out.gone[key] = DROPPED
        out.rows.append(_row(where, action, key, DROPPED, count, reason=reason))


def _copies(
    out: Carried, pairs: Pairs, tiles: Tiles, entry: Entry, key: Key
) -> Iterator[dict[str, Any]]:
    """Copy a pair to the same cells of other layers; yield what became of each copy."""
    found = out.added.get(key) or pairs.record(key)
    ends = [tiles.by_id[key[1]], tiles.by_id[key[3]]]
    source = f"{key[1]} {key[3]}"
    for step in _steps(entry, min(tile.z for tile in ends)):
        there = [tiles.at.get((tile.z + step, tile.cell)) for tile in ends]
        p, q = there
        if p is None or q is None:
            at = f"z {min(tile.z for tile in ends) + step:g}"
            yield _row("", "", None, NO_TILE, source=f"{source} to {at}")
            continue
        weight = entry.get("weight", FARAWAY_WEIGHT if entry["action"] == "copy" else 1.0)
        copy = CanvasMatches(
            p.section_id, p.tile_id, q.section_id, q.tile_id, found.p, found.q, found.w * weight
        ).ordered()
        same = all(
            (a.width, a.height) == (b.width, b.height) for a, b in zip(ends, (p, q), strict=True)
        )
        became = ADDED if same else OTHER_SIZE
        if copy.key in out.added or (copy.key not in out.gone and pairs.count(copy.key)):
            became = HAS_OWN
        if became == ADDED:
            out.added[copy.key] = copy
        yield _of_record("", "", copy, became, source)


def _steps(entry: Entry, z: float) -> list[float]:
    """Return the distances in layers to which a pair whose lower tile lies in `z` is copied."""
    if "by_layers" in entry:
        return [entry["by_layers"]]
    wanted = np.arange(entry["to_z_first"], entry["to_z_last"] + 1)
    return [float(step) for step in wanted - z if step]


def _replace(out: Carried, pairs: Pairs, where: str, one: ByHand) -> None:
    """Put matches made by hand in place of what the pair has."""
    key = one.matches.key
    if pairs.count(key):
        if key not in out.gone:
            row = _row(where, "by hand", key, REPLACED, pairs.count(key), reason=one.reason)
            out.rows.append(row)
        out.gone.setdefault(key, REPLACED)
    out.added[key] = one.matches
    row = _of_record(where, "by hand", one.matches, ADDED, one.source)
    out.rows.append(row | {"reason": one.reason})


def _of_record(
    where: str, action: str, matches: CanvasMatches, became: str, source: str
) -> dict[str, Any]:
    row = _row(where, action, matches.key, became, len(matches.w), source=source)
    return row | {"weight": round(float(matches.w.sum()), 6)}


def _row(
    where: str,
    action: str,
    key: Key | None,
    became: str,
    count: int = 0,
    *,
    source: str = "",
    reason: str = "",
) -> dict[str, Any]:
    p_group, p_id, q_group, q_id = key or ("", "", "", "")
    dz = f"{abs(float(p_group) - float(q_group)):g}" if key else ""
    values = (where, action, p_group, p_id, q_group, q_id, dz, became, count, None, source, reason)
    return dict(zip(COLUMNS, values, strict=True))
