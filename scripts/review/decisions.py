"""Decisions: which tiles leave the solve, by the config or automatically, and proposals.

A person decides in the config (``review.exclude``, ``keep``, ``patch``, ``bridge``) and
``review.auto`` applies the safe kinds. A tile of the largest cluster leaves only when it is damaged
and no patch can take its place.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.lib.arrays import Array, Bool, Int64
from scripts.lib.files import read_table
from scripts.lib.job import UserError
from scripts.lib.service.records import TileSpec
from scripts.review.clusters import Net, labels
from scripts.review.edges import runs
from scripts.review.suspects import DAMAGED, RESIN, Verdict

Entries = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Decided:
    """What is decided about n tiles.

    ``reason`` (n,) why a tile is excluded, "" when it stays; ``auto`` (n,) excluded without being
    asked; ``label`` (n,) cluster of the tiles that stay, 0 unconnected or excluded.
    """

    reason: list[str]
    auto: Bool
    label: Int64

    @property
    def gone(self) -> Bool:
        """Return the tiles that are excluded.

        Returns
        -------
        ndarray
            (n,) bool.
        """
        return _gone(self.reason)


def decide(
    net: Net,
    exclude: Entries,
    *,
    auto: bool,
    verdicts: Mapping[str, Verdict] | None = None,
    keep: Entries = (),
) -> Decided:
    """Apply ``review.exclude``, then, with `auto`, take out what is damaged or not joined.

    Parameters
    ----------
    net
        n tiles and their pairs.
    exclude
        Entries of ``review.exclude``.
    auto
        Setting ``review.auto``.
    verdicts
        What tiles are, by id.
    keep
        Entries of ``review.keep``: these tiles stay, whatever `auto` says of them; but for those
        without any signal, in which there is nothing to keep.

    Returns
    -------
    Decided
        In the order of the net's tiles.

    Raises
    ------
    UserError
        When an entry names a tile or cell that does not exist.
    """
    known = verdicts or {}
    reason = by_config(net.tiles, exclude)
    dead = {tile_id for tile_id, verdict in known.items() if verdict.is_dead}
    asked = by_config(net.tiles, keep, key="keep")
    kept = {i for i, text in enumerate(asked) if text and net.tiles[i].tile_id not in dead}
    taken = np.zeros(len(net.tiles), bool)
    label = labels(net, _gone(reason))
    if auto and (label == 1).any():
        for i, tile in enumerate(net.tiles):
            verdict = known.get(tile.tile_id)
            if verdict and verdict.kind == DAMAGED and i not in kept and not reason[i]:
                taken[i], reason[i] = True, f"auto: damaged, no patch for it: {verdict.words}"
        label = labels(net, _gone(reason))
        size = np.bincount(label)
        # what is left is the largest cluster alone, so that no further round can find anything
        for k in np.flatnonzero((label != 1) & ~_gone(reason)).tolist():
            if k not in kept:
                verdict = known.get(net.tiles[k].tile_id)
                taken[k] = True
                reason[k] = _auto_reason(int(label[k]), int(size[label[k]]), verdict)
        label = labels(net, _gone(reason))
    return Decided(reason, taken, label)


def _gone(reason: Sequence[str]) -> Bool:
    return np.array([bool(text) for text in reason], bool)


def _auto_reason(label: int, size: int, verdict: Verdict | None) -> str:
    where = f"cluster {label} of {size} tiles" if label else "no match to any tile"
    if verdict is None:
        return f"auto: {where}"
    if verdict.kind == RESIN:
        return f"auto: resin ({where})"
    return f"auto: tissue without matches ({where})"


def by_config(tiles: Sequence[TileSpec], entries: Entries, *, key: str = "exclude") -> list[str]:
    """Return why the config names each tile.

    Parameters
    ----------
    tiles
        n tiles.
    entries
        Entries with cells (``row,column``) in an inclusive range of z, or tiles (ids), a reason.
    key
        Name of the setting, for messages.

    Returns
    -------
    list of str
        (n,) reason of the first entry that names the tile, "" for none.

    Raises
    ------
    UserError
        When an entry names neither cells nor tiles, or one that does not exist.
    """
    reason = [""] * len(tiles)
    for number, entry in enumerate(entries):
        cells, ids = set(entry.get("cells", ())), set(entry.get("tiles", ()))
        _check_entry(f"review.{key}[{number}]", entry, tiles)
        first, last = entry.get("z_first", -np.inf), entry.get("z_last", np.inf)
        for i, tile in enumerate(tiles):
            named = tile.tile_id in ids
            named |= f"{tile.row},{tile.column}" in cells and first <= tile.z <= last
            if named and not reason[i]:
                reason[i] = str(entry["reason"])
    return reason


def _check_entry(where: str, entry: Mapping[str, Any], tiles: Sequence[TileSpec]) -> None:
    if not entry.get("cells") and not entry.get("tiles"):
        raise UserError(
            f'{where}: expected cells: ["row,column", ...] or tiles: [ids], found neither'
        )
    known = {f"{tile.row},{tile.column}" for tile in tiles}
    for cell in sorted(set(entry.get("cells", ())) - known):
        raise UserError(
            f"{where}: no tile lies in cell {cell}; cells are {', '.join(sorted(known))}"
        )
    for tile_id in sorted(set(entry.get("tiles", ())) - {tile.tile_id for tile in tiles}):
        raise UserError(f"{where}: there is no tile {tile_id} in the stack")


def not_taken(table: str | None) -> list[dict[str, Any]]:
    """Return the exclusions that follow from a stack that is taken over.

    Parameters
    ----------
    table
        ``takeover/tiles.tsv``: tile_id, state, stack; None: no stack is taken over.

    Returns
    -------
    list of dict
        An entry of ``review.exclude``; its reason counts as automatic for the gate: nobody here
        decided it.
    """
    rows = [row for row in read_table(table) if row["state"] == "absent"] if table else []
    if not rows:
        return []
    reason = f"auto: not in the stack {rows[0]['stack']}, which is taken over"
    return [{"tiles": [row["tile_id"] for row in rows], "reason": reason}]


def proposals(
    tiles: Sequence[TileSpec], wanted: Bool, stay: Bool, kinds: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return entries for ``review.exclude`` that take out some tiles and no other.

    Runs of z of one cell become one entry where no tile that should stay lies in between.

    Parameters
    ----------
    tiles
        n tiles.
    wanted
        (n,) bool, tiles to take out.
    stay
        (n,) bool, tiles that no entry may name.
    kinds
        Tile id -> resin, tissue without matches ...: part of the reason.

    Returns
    -------
    list of dict
        Entries: cells, z_first, z_last, reason.
    """
    cells: dict[str, dict[float, TileSpec]] = defaultdict(dict)
    kept: dict[str, list[float]] = defaultdict(list)
    for tile, out, keep in zip(tiles, wanted, stay, strict=True):
        cell = f"{tile.row},{tile.column}"
        if out:
            cells[cell][tile.z] = tile
        elif keep:
            kept[cell].append(tile.z)
    return [
        _entry(cell, [by_z[z] for z in span], kinds)
        for cell, by_z in sorted(cells.items())
        for span in _spans(sorted(by_z), np.array(sorted(kept[cell])))
    ]


def without_idle_bridges(bridge: Entries, exclude: Entries) -> list[Mapping[str, Any]]:
    """Return the bridges that join something when some tiles are left out.

    Parameters
    ----------
    bridge, exclude
        Entries of the config, or proposals.

    Returns
    -------
    list of dict
        Those of which no entry leaves one of the two cells out in all layers.
    """

    def _idle(one: Mapping[str, Any]) -> bool:
        return any(
            set(one["cells"]) & set(out.get("cells", ()))
            and out.get("z_first", -np.inf) <= one["z_first"]
            and one["z_last"] <= out.get("z_last", np.inf)
            for out in exclude
        )

    return [one for one in bridge if not _idle(one)]


def _spans(z_values: Sequence[float], kept: Array) -> list[list[float]]:
    """Split z values into runs between which a kept tile lies; gaps without one do not split."""
    parts: dict[int, list[float]] = defaultdict(list)
    for z, between in zip(z_values, np.searchsorted(kept, z_values).tolist(), strict=True):
        parts[between].append(z)
    return [span for part in parts.values() for span in runs(part, step=np.inf)]


def _entry(cell: str, tiles: Sequence[TileSpec], kinds: Mapping[str, str]) -> dict[str, Any]:
    found = sorted({kinds.get(tile.tile_id, "not joined") for tile in tiles})
    return {
        "cells": [cell],
        "z_first": tiles[0].z,
        "z_last": tiles[-1].z,
        "reason": f"{' / '.join(found)}: {len(tiles)} tiles outside the largest cluster",
    }


def as_yaml(entries: Entries, patches: Entries = (), bridges: Entries = ()) -> str:
    """Return lines to paste under ``review:``.

    Parameters
    ----------
    entries, patches, bridges
        Entries of ``exclude``, ``patch`` and ``bridge``.

    Returns
    -------
    str
        YAML; ``exclude: []`` when there is none.
    """
    lines = []
    for key, some in (("exclude", entries), ("patch", patches), ("bridge", bridges)):
        if some:
            lines.append(f"{key}:")
            lines += [line for entry in some for line in _lines(entry)]
        elif key == "exclude":
            lines.append("exclude: []")
    return "\n".join(lines) + "\n"


def _lines(entry: Mapping[str, Any]) -> list[str]:
    out = []
    for key, value in entry.items():
        if isinstance(value, (list, tuple)):
            text = json.dumps(list(value), ensure_ascii=False)
        elif isinstance(value, str):
            text = json.dumps(value, ensure_ascii=False)
        else:
            text = str(int(value)) if float(value).is_integer() else repr(float(value))
        out.append(f"    {key}: {text}")
    return ["  - " + out[0].strip(), *out[1:]]
