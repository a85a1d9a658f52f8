"""The doctor's look at entries of the config that name tiles, cells or layers.

A tile id says when its layer was imaged, which cell it is, and z: ``24-03-07_100002_0-0-1.3.0``.
The first two are known as soon as there are files; z is that of ``ingest/layers.tsv``, and before
there is one the rank of the layer, where nothing of ``ingest.layers`` changes it.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from scripts.lib.files import read_table
from scripts.transfer.finding import ERROR, NOTE, Case, Finding
from scripts.transfer.layers import Grid

LAYERS, TRANSFERRED = "ingest/layers.tsv", "transfer/layers.tsv"
TILE_ID = re.compile(r"(?P<stamp>.+)_(?P<key>\d+-\d+-\d+)\.(?P<z>\d+)\.0")
# lists of entries with cells, tiles or z: what finds nothing there is done to nothing
ENTRIES = (
    *("review.exclude", "review.keep", "review.patch", "review.bridge", "match.decisions"),
    *("ingest.mask", "ingest.scan_correction", "ingest.stage_offsets"),
    *("solve.misalignment.accept", "zcorr.scale_z"),
)
ACCEPTED = "zcorr.accept_layers"
NAMED = (*ENTRIES, ACCEPTED)
# entries that are nothing without a tile
OF_TILES = ("review.exclude", "review.keep")
_NOTHING = "It is about no layer"
RANGES = (("z_first", "z_last"), ("to_z_first", "to_z_last"))

Entry = Mapping[str, Any]


def entries(config: Mapping[str, Any]) -> Iterator[tuple[str, Entry]]:
    """Return the entries that name tiles, cells or layers, each with its key.

    Parameters
    ----------
    config
        Config of the volume, with defaults; sections may be absent.

    Yields
    ------
    tuple
        ``review.exclude[0]``, and the entry.
    """
    for name in ENTRIES:
        value: Any = config
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        for number, entry in enumerate(value if isinstance(value, list) else ()):
            yield f"{name}[{number}]", entry


def tiles(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Return the tile ids that the config names, each with its key.

    Parameters
    ----------
    config
        As above.

    Yields
    ------
    tuple
        ``review.exclude[0]``, and the id.
    """
    for key, entry in entries(config):
        yield from ((key, tile) for tile in entry.get("tiles", ()))
    for number, entry in enumerate(config.get("match", {}).get("by_hand", ())):
        yield from ((f"match.by_hand[{number}]", entry[one]) for one in ("moving", "fixed"))


# ---------------------------------------------------------------------------------------------
# what the config alone tells
# ---------------------------------------------------------------------------------------------


def examine(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Tell of entries that no tile of the grid can answer to.

    Parameters
    ----------
    config
        Config of the volume, with defaults.

    Yields
    ------
    Finding
        Of cells and ids outside of the grid, ranges that end before they begin, and entries that
        name no tile.
    """
    rows, columns = (config["acquisition"][key] for key in ("rows", "columns"))
    known = _grid(config)
    expected = f"cells of a grid of {rows} x {columns}"
    for key, entry in entries(config):
        for cell in sorted(_cells(entry, (rows, columns)) - known):
            yield Finding(ERROR, key, f"cell {cell}", expected, "Mend the cell")
        for low, high in RANGES:
            if (entry.get(low) or 0) > (math.inf if entry.get(high) is None else entry[high]):
                found = f"z {entry[low]:g} to {entry[high]:g}"
                yield Finding(ERROR, key, found, f"{low} up to {high}", "Swap them")
        if key.partition("[")[0] in OF_TILES and not (entry.get("cells") or entry.get("tiles")):
            one = "cells or tiles, which the entry is about"
            yield Finding(ERROR, key, "neither", one, 'Add cells: ["row,column"] or tiles: [ids]')
    for key, tile in tiles(config):
        if _cell_of(tile) not in known:
            yield Finding(ERROR, key, f"tile {tile}", expected, "Mend the id")
    for number, entry in enumerate(config["transfer"].get("fill", ())):
        for tile in entry["tiles"]:
            if ",".join(tile.split("-")[1:]) not in known:
                key = f"transfer.fill[{number}]"
                yield Finding(ERROR, key, f"tile {tile}", expected, "Mend the tile key")


def _grid(config: Mapping[str, Any]) -> set[str]:
    rows, columns = (config["acquisition"][key] for key in ("rows", "columns"))
    return {f"{row},{column}" for row in range(rows) for column in range(columns)}


def _cells(entry: Entry, grid: tuple[int, int]) -> set[str]:
    """Return the cells that an entry names; of a row or column alone the first."""
    out = {*entry.get("cells", ()), *entry.get("like", ())}
    out |= {entry["cell"]} if "cell" in entry else set()
    if entry.get("row") is not None or entry.get("column") is not None:
        out.add(f"{entry.get('row') or 0},{entry.get('column') or 0}")
    return out


def _cell_of(tile_id: str) -> str:
    """Return ``row,column`` of ``<yy-mm-dd_HHMMSS>_<section>-<row>-<column>.<z>.0``."""
    parts = tile_id.rpartition("_")[2].partition(".")[0].split("-")
    return ",".join(parts[1:]) if len(parts) == 3 else ""


# ---------------------------------------------------------------------------------------------
# what the layers tell
# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Known:
    """The layers of a volume, as far as they are known before they are numbered.

    ``keys``: tile keys by layer id. ``z``: by layer id, of those that have one. ``complete``:
    whether there are no other layers, and each has its z.
    """

    keys: Mapping[str, frozenset[str]]
    z: Mapping[str, int]
    complete: bool

    @staticmethod
    def of(case: Case) -> Known:
        """Take the table of layers where there is one, and the files.

        Parameters
        ----------
        case
            The volume, with its layers.

        Returns
        -------
        Known
            Nothing, where neither is there.
        """
        files = {
            name.layer_id: frozenset(each.name.tile_key for each in found)
            for name, found in case.layers.items()
        }
        ended = case.config["acquisition"].get("last_dat") is not None
        table = case.work_dir / LAYERS
        if table.exists():
            rows = [row for row in read_table(table) if row["layer_id"]]
            z = {row["layer_id"]: int(row["z"]) for row in rows}
            return Known(_of_rows(rows, case) | files, z, ended and files.keys() <= z.keys())
        declared = case.config["ingest"]["layers"] or case.filled_later
        z = {} if declared else {layer_id: k for k, layer_id in enumerate(files, start=1)}
        return Known(files, z, ended and bool(z))

    @property
    def last(self) -> int:
        """Return the last z.

        Returns
        -------
        int
            0 of no layer.
        """
        return max(self.z.values(), default=0)

    @cached_property
    def by_stamp(self) -> dict[str, list[str]]:
        """Return the layer ids of each time stamp.

        Returns
        -------
        dict
            Of several microscopes there may be more than one.
        """
        out: dict[str, list[str]] = {}
        for layer_id in self.keys:
            out.setdefault(layer_id[-15:], []).append(layer_id)
        return out

    def holds(self, tile_id: str) -> bool:
        """Tell whether there may be a tile.

        Parameters
        ----------
        tile_id
            Its id.

        Returns
        -------
        bool
            False where no file and no layer is its.
        """
        found = TILE_ID.fullmatch(tile_id)
        if found is None:
            return False
        return any(
            found["key"] in self.keys[each] and self.z.get(each, int(found["z"])) == int(found["z"])
            for each in self.by_stamp.get(found["stamp"], ())
        )

    def nearest(self, tile_id: str) -> str:
        """Return the id of the tile that is likely meant.

        Parameters
        ----------
        tile_id
            An id that is none.

        Returns
        -------
        str
            That of the same time, else of the same z, in the same cell if there is one; else the
            most alike by its letters.
        """
        stamp, _, rest = tile_id.rpartition("_")
        key, _, z = rest.removesuffix(".0").partition(".")
        layers = self.by_stamp.get(stamp) or [
            each for each, at in self.z.items() if str(at) == z and each in self.keys
        ]
        layers = layers or self.by_stamp[_alike(stamp, list(self.by_stamp))]
        ids = [
            f"{each[-15:]}_{one}.{self.z.get(each, z)}.0"
            for each in layers
            for one in sorted(self.keys[each])
        ]
        return next((one for one in ids if f"_{key}." in one), _alike(tile_id, ids))


def _alike(text: str, others: Sequence[str]) -> str:
    """Return the most alike by its letters; empty where there is none."""
    return next(iter(difflib.get_close_matches(text, others, n=1, cutoff=0)), "")


def _of_rows(rows: Sequence[Mapping[str, str]], case: Case) -> dict[str, frozenset[str]]:
    """Return the tile keys of the layers of the table."""
    acquisition = case.config["acquisition"]
    whole = frozenset(Grid(acquisition["rows"], acquisition["columns"]).missing(()))
    return {
        row["layer_id"]: frozenset()
        if row["status"] == "gap"
        else whole - frozenset(row["missing"].split(","))
        for row in rows
    }


def of_layers(case: Case) -> Iterator[Finding]:
    """Tell of tile ids, layer ids and ranges of z that no layer answers to.

    Parameters
    ----------
    case
        The volume, with its layers.

    Yields
    ------
    Finding
        Errors of ids, notes of ranges; nothing while files are still to come that may answer.
    """
    known = Known.of(case)
    if not known.keys or (case.filled_later and not known.z):
        return
    grid = _grid(case.config)
    for key, tile in tiles(case.config):
        if _cell_of(tile) in grid and not known.holds(tile):
            near = known.nearest(tile)
            yield Finding(ERROR, key, f"tile {tile}", "the id of a tile", f"Is {near} meant?")
    yield from _declared(case, known)
    if known.complete:
        yield from _beyond(case, known)


def _declared(case: Case, known: Known) -> Iterator[Finding]:
    """Tell of layer ids in ``ingest.layers`` that are none."""
    table = case.work_dir / TRANSFERRED
    rows = read_table(table) if table.exists() else []
    there = set(known.keys) | {row["layer_id"] for row in rows}
    for number, entry in enumerate(case.config["ingest"]["layers"]):
        for name in ("drop", "after", "move", "insert"):
            layer_id = entry.get(name)
            if layer_id is None or layer_id in there:
                continue
            key, near = f"ingest.layers[{number}].{name}", _alike(layer_id, sorted(there))
            yield Finding(ERROR, key, layer_id, "the id of a layer", f"Is {near} meant?")


def _beyond(case: Case, known: Known) -> Iterator[Finding]:
    """Tell of entries whose layers lie before the first or behind the last."""
    expected = f"layers of z 1 to {known.last}"
    for key, entry in entries(case.config):
        for low, high in _spans(entry):
            if low > known.last or high < 1:
                found = f"z {low:g}" if low == high else f"z {low:g} to {high:g}"
                yield Finding(NOTE, key, found, expected, _NOTHING)
    for z in case.config.get("zcorr", {}).get("accept_layers", ()):
        if not 1 <= z <= known.last:
            yield Finding(NOTE, ACCEPTED, f"z {z}", expected, _NOTHING)


def _spans(entry: Entry) -> Iterator[tuple[float, float]]:
    """Return the ranges of z of an entry; an open end is the first z, or infinite."""
    if (at := entry.get("z")) is not None:
        yield (at[0], at[1]) if isinstance(at, Sequence) else (at, at)
    for low, high in RANGES:
        if entry.get(low) is not None or entry.get(high) is not None:
            yield (
                1 if entry.get(low) is None else entry[low],
                math.inf if entry.get(high) is None else entry[high],
            )
