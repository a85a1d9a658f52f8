"""z of every layer: given once, in acquisition order, and never changed without a decision.

z is part of every tile id and match group. The table of layers follows from two things alone: the
layers that were transferred, and what is declared in ``ingest.layers`` (see `declarations`). Then
it is compared with the table that is there already: whatever would give a numbered layer another z,
or put one between others, stops with the lines to add to the config, unless they are there.
"""

from __future__ import annotations

import bisect
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scripts.ingest import refusals
from scripts.ingest.declarations import Declarations, Entry, Key, time_order
from scripts.lib.job import UserError
from scripts.lib.names import LayerName, parse_layer

log = logging.getLogger(__name__)

COLUMNS = (
    *("z", "layer_id", "tiles", "missing", "status", "gap_before_s", "align_h5"),
    *("acquired", "declared"),
)
RESERVED = ""  # layer id of a z that a gap reserves
Row = Mapping[str, str]


def within(
    rows: Iterable[Row],
    *,
    first_dat: str | None = None,
    last_dat: str | None = None,
    scope: str | None = None,
) -> list[Row]:
    """Keep the rows whose layer_id lies between the layers of two names, inclusive.

    Parameters
    ----------
    rows
        Rows with layer_id.
    first_dat, last_dat
        Names of layers or of .dat files, both included; None: no limit.
    scope
        Name of a microscope; None: any.

    Returns
    -------
    list of dict
        In the order given.

    Raises
    ------
    UserError
        When a bound is no name.
    """
    low, high = _bound("first_dat", first_dat), _bound("last_dat", last_dat)
    kept = []
    for row in rows:
        order = time_order(row["layer_id"])
        inside = (low is None or order >= low) and (high is None or order <= high)
        if inside and scope in (None, order[1]):
            kept.append(row)
    return kept


def _bound(key: str, value: str | None) -> tuple[str, str] | None:
    try:
        return None if value is None else parse_layer(value).order
    except ValueError as error:
        raise UserError(f"acquisition.{key}: {error}") from error


# ---------------------------------------------------------------------------------------------
# who gets which z
# ---------------------------------------------------------------------------------------------


def place(layer_ids: Iterable[str], declared: Declarations) -> list[str]:
    """Return the layer id of z = 1, 2, 3 …, `RESERVED` where a gap is declared.

    Parameters
    ----------
    layer_ids
        Layers that are there, in any order.
    declared
        Entries of ``ingest.layers``.

    Returns
    -------
    list of str
        z is the place in the list plus 1.

    Raises
    ------
    UserError
        When a declaration names a layer that has no z, or a slot that no gap reserves.
    """
    out = {i for i, entry in declared.drops.items() if not entry.keep_z}
    there, order = set(layer_ids) - out, declared.order
    moved = [i for i, e in declared.moves.items() if i in there and e.after not in there]
    if moved:
        raise refusals.move_after_nothing(sorted(moved))
    late = {i: e.slot for i, e in declared.inserts.items() if e.slot is not None and i in there}
    slots: list[str] = []
    for layer_id in sorted(there - late.keys(), key=order):
        slots.append(layer_id)
        gap = declared.gaps.get(layer_id)
        slots += [RESERVED] * (gap.count if gap else 0)
    if unused := sorted(declared.gaps.keys() - (there - late.keys())):
        raise refusals.gap_after_nothing(unused)
    # order and z of layers with a z of their own
    places = [(order(i), z) for z, i in enumerate(slots, start=1) if i] if late else []
    for layer_id, slot in late.items():
        before = bisect.bisect(places, (order(layer_id), 0)) - 1
        start = places[before][1] if before >= 0 else 0
        if slots[start + slot - 1 : start + slot] == [RESERVED]:
            slots[start + slot - 1] = layer_id
        else:
            raise refusals.wrong_slot(layer_id, slot)
    if late and (wrong := _disorder([i for i in slots if i != RESERVED], order) & late.keys()):
        raise refusals.wrong_slot(min(wrong), late[min(wrong)])
    return slots


def _disorder(layer_ids: Sequence[str], order: Callable[[str], Key]) -> set[str]:
    """Return the layers that are not in order with their neighbours."""
    pairs = zip(layer_ids, layer_ids[1:], strict=False)
    return {i for pair in pairs if order(pair[0]) > order(pair[1]) for i in pair}


# ---------------------------------------------------------------------------------------------
# the table that is there already
# ---------------------------------------------------------------------------------------------


def number(
    known: Sequence[Row],
    transferred: Sequence[Row],
    keys: Mapping[str, str],
    *,
    cells: Sequence[tuple[int, int]],
    declared: Declarations,
    last_dat: str | None = None,
) -> list[dict[str, Any]]:
    """Return the table of layers.

    Parameters
    ----------
    known
        Rows of the table so far, [] at first.
    transferred
        Rows of `transfer/layers.tsv` that belong to the volume.
    keys
        Layer id -> keys of the tiles in its align HDF5, by comma.
    cells
        Row and column of every tile that a layer should have.
    declared
        Entries of ``ingest.layers``.
    last_dat
        End of the volume: known layers after it leave the table.

    Returns
    -------
    list of dict
        Rows of `COLUMNS`, z ascending without gaps.

    Raises
    ------
    UserError
        When a layer is new between known ones, gone, or would get another z, and that is not
        declared. The message holds the lines to add to the config.
    """
    now = {row["layer_id"]: row for row in transferred}
    frozen = _Frozen.of(_cut([row["layer_id"] for row in known], last_dat), declared)
    if strange := sorted(declared.names() - now.keys() - frozen.z.keys()):
        raise refusals.strange_layer(strange)
    ids = now.keys() | {i for i, e in declared.drops.items() if e.keep_z}
    slots = _checked(frozen, ids, declared) if frozen.z else place(ids, declared)
    log.info(
        "%d z were given before, %d are new", len(frozen.slots), len(slots) - len(frozen.slots)
    )
    missing = _Missing(cells)
    rows = [
        _row(z, i, now.get(i), missing.of(keys.get(i, "")), declared)
        for z, i in enumerate(slots, start=1)
    ]
    return _with_gaps(rows)


def _cut(frozen: list[str], last_dat: str | None) -> list[str]:
    """Leave out what lies after the end of the volume; a shorter volume moves no z."""
    if last_dat is None:
        return frozen
    last = parse_layer(last_dat).order
    ends = [z for z, i in enumerate(frozen, start=1) if i != RESERVED and time_order(i) <= last]
    return frozen[: max(ends, default=0)]


@dataclass(frozen=True)
class _Frozen:
    """The z that were given before."""

    slots: Sequence[str]  # layer id of z = 1, 2, 3 …
    z: Mapping[str, int]
    reserved: Mapping[str, int]  # layer id -> z that a gap after it reserved, filled since or not

    @staticmethod
    def of(slots: Sequence[str], declared: Declarations) -> _Frozen:
        z = {layer_id: k for k, layer_id in enumerate(slots, start=1) if layer_id != RESERVED}
        settled = {RESERVED} | {i for i, e in declared.inserts.items() if e.slot is not None}
        reserved: dict[str, int] = {}
        last = RESERVED
        for layer_id in slots:
            if layer_id in settled:
                reserved[last] = reserved.get(last, 0) + 1
            else:
                last = layer_id
                reserved[last] = 0
        return _Frozen(slots, z, reserved)


def _checked(frozen: _Frozen, ids: Iterable[str], declared: Declarations) -> list[str]:
    """Compare the frozen z with those that follow without the entries that renumber now.

    Gives the layer id of each z.
    """
    decided = [*declared.inserts.items(), *declared.moves.items()]
    pending = {i for i, e in decided if e.renumber and i not in frozen.z}
    quiet = _without_renumbering(frozen, pending, declared)
    refusals.refuse_unnumbered(
        [i for i, e in quiet.drops.items() if not e.keep_z and i in frozen.z]
    )
    left_out = {i for i, e in quiet.drops.items() if not e.keep_z}
    kept = (set(ids) | (quiet.drops.keys() & frozen.z.keys())) - pending - left_out
    order = quiet.order
    refusals.refuse_vanished(sorted(frozen.z.keys() - kept, key=order))
    newest = max(frozen.z, key=order)
    new = sorted(kept - frozen.z.keys(), key=order)
    late = [i for i in new if order(i) < order(newest) and i not in quiet.inserts]
    refusals.refuse_late(late, frozen.slots, frozen.reserved, order)
    for layer_id, found in frozen.reserved.items():
        gap = quiet.gaps.get(layer_id)
        count = gap.count if gap else 0
        if found != count and layer_id != newest:
            raise refusals.lost_reserve(layer_id, found, count)
    slots = place(kept, quiet)
    now = {i: z for z, i in enumerate(slots, start=1)}
    refusals.refuse_moved([i for i, z in frozen.z.items() if now.get(i) != z], frozen.z, now)
    return slots if quiet == declared and not pending else place(ids, declared)


def _without_renumbering(
    frozen: _Frozen, pending: set[str], declared: Declarations
) -> Declarations:
    """Return the declarations as if the entries that renumber had done so before, or never."""
    gaps = {
        i: replace(entry, count=frozen.reserved[i])
        if entry.renumber and i in frozen.reserved
        else entry
        for i, entry in declared.gaps.items()
        if i in frozen.reserved or i not in pending
    }
    drops = {
        i: replace(entry, keep_z=True) if entry.renumber and i in frozen.z else entry
        for i, entry in declared.drops.items()
    }
    moves = {
        i: entry
        for i, entry in declared.moves.items()
        if not entry.renumber or _settled(entry, frozen, declared)
    }
    return Declarations(drops, gaps, declared.inserts, moves)


def _settled(entry: Entry, frozen: _Frozen, declared: Declarations) -> bool:
    """Whether a moved layer follows its layer already, but for others that are moved there."""
    low, high = frozen.z.get(entry.after), frozen.z.get(entry.layer_id)
    if low is None or high is None or low > high:
        return False
    return set(frozen.slots[low : high - 1]) <= declared.moves.keys() | {RESERVED}


# ---------------------------------------------------------------------------------------------
# rows
# ---------------------------------------------------------------------------------------------


class _Missing:
    """Which cells lack a tile; most layers have the same tiles."""

    def __init__(self, cells: Sequence[tuple[int, int]]) -> None:
        self._cells = [f"{row}-{column}" for row, column in cells]
        self._known: dict[str, str] = {}

    def of(self, keys: str) -> str:
        """Return the missing keys, by comma, of a file that holds `keys`."""
        if keys not in self._known:
            there = {key.partition("-")[2] for key in keys.split(",")}
            absent = [f"0-{cell}" for cell in self._cells if cell not in there]
            self._known[keys] = ",".join(absent)
        return self._known[keys]


def _row(
    z: int, layer_id: str, found: Row | None, missing: str, declared: Declarations
) -> dict[str, Any]:
    there = found is not None and layer_id not in declared.drops
    tiles, bad = (int(found["tiles"]), int(found["bad"])) if found and there else (0, 0)
    return {
        "z": z,
        "layer_id": layer_id,
        "tiles": tiles,
        "missing": missing,
        "status": "gap" if tiles == 0 else "partial" if missing else "ok",
        "align_h5": found["align_h5"] if found and tiles else "",
        "acquired": tiles + bad,
        "declared": "reserved by a gap" if layer_id == RESERVED else declared.note(layer_id),
    }


def _with_gaps(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add the whole seconds between each layer and the one before ("" where there is none)."""
    before = None
    for row in rows:
        row["gap_before_s"] = ""
        if row["layer_id"] == RESERVED:
            continue
        time = LayerName("", row["layer_id"][-15:]).time
        row["gap_before_s"] = 0 if before is None else int((time - before).total_seconds())
        before = time
    return rows


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Count the rows of the table by status and by declaration.

    Parameters
    ----------
    rows
        Rows of `COLUMNS`.

    Returns
    -------
    dict
        Numbers of layers; ``z_last`` is the number of rows.
    """
    return {
        "z_last": len(rows),
        "layers": sum(row["status"] != "gap" for row in rows),
        "partial": sum(row["status"] == "partial" for row in rows),
        "gaps": sum(row["status"] == "gap" for row in rows),
        "declared": sum(row["declared"] != "" for row in rows),
    }
