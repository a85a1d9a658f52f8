"""z of every layer: given once, in acquisition order, and never changed afterwards.

z is part of every tile id and match group, so a layer that is numbered keeps its z even when its
tiles are lost; it is a declared gap then. New layers go to the end. A layer that turns up between
others would shift all later ones: that is for a person to decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scripts.lib.job import UserError
from scripts.lib.names import parse_layer

COLUMNS = ("z", "layer_id", "tiles", "missing", "status", "gap_before_s", "align_h5")
_RENUMBER = (
    "or remove ingest/layers.tsv, so that all layers are numbered anew (later tile ids change and "
    "everything after ingest is done again)"
)


def number(
    known: Sequence[Mapping[str, str]],
    transferred: Sequence[Mapping[str, str]],
    missing: Mapping[str, Sequence[str]],
    drop: Iterable[str] = (),
) -> list[dict[str, Any]]:
    """Give the table of layers.

    Parameters
    ----------
    known
        Rows of the table so far, [] at first.
    transferred
        Rows of `transfer/layers.tsv`, in order of time.
    missing
        Layer id -> keys of the cells without a tile.
    drop
        Layer ids to leave out; one that has a z keeps it as a gap.

    Raises
    ------
    UserError
        When a new layer is not later than all known ones, or a known one is not there any more.
    """
    left_out = set(drop)
    now = {row["layer_id"]: row for row in transferred if row["layer_id"] not in left_out}
    before = {row["layer_id"]: int(row["z"]) for row in known}
    _refuse_vanished([i for i in before if i not in now and i not in left_out])
    new = sorted((i for i in now if i not in before), key=lambda i: parse_layer(i).order)
    _refuse_late(new, list(before))
    last = max(before.values(), default=0)
    numbered = before | {layer_id: last + k for k, layer_id in enumerate(new, start=1)}
    rows = [_row(z, i, now.get(i), missing.get(i, ())) for i, z in numbered.items()]
    return _with_gaps(sorted(rows, key=lambda row: int(row["z"])))


def _row(
    z: int, layer_id: str, found: Mapping[str, str] | None, missing: Sequence[str]
) -> dict[str, Any]:
    tiles = int(found["tiles"]) if found else 0
    status = "gap" if tiles == 0 else "partial" if missing else "ok"
    return {
        "z": z,
        "layer_id": layer_id,
        "tiles": tiles,
        "missing": ",".join(missing),
        "status": status,
        "align_h5": found["align_h5"] if found else "",
    }


def _with_gaps(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add the whole seconds between each layer and the one before (0 for the first)."""
    times = [parse_layer(row["layer_id"]).time for row in rows]
    gaps = [int((b - a).total_seconds()) for a, b in zip(times, times[1:], strict=False)]
    return [row | {"gap_before_s": gap} for row, gap in zip(rows, [0, *gaps], strict=True)]


def _refuse_vanished(layer_ids: Sequence[str]) -> None:
    if layer_ids:
        raise UserError(
            f"{len(layer_ids)} layer(s) have a z in ingest/layers.tsv but are not in "
            f"transfer/layers.tsv any more: {_some(layer_ids)}. Put their files or the limits "
            f"acquisition.first_dat and last_dat back, add them to ingest.drop_layers (they become "
            f"gaps), {_RENUMBER}"
        )


def _refuse_late(new: Sequence[str], known: Sequence[str]) -> None:
    if not known:
        return
    last = max(known, key=lambda i: parse_layer(i).order)
    late = [i for i in new if parse_layer(i).order < parse_layer(last).order]
    if late:
        raise UserError(
            f"{len(late)} layer(s) arrived late and lie before {last}, the last one that has a z: "
            f"{_some(late)}. z is frozen: add them to ingest.drop_layers to go on without them, "
            f"{_RENUMBER}"
        )


def _some(layer_ids: Sequence[str], most: int = 10) -> str:
    rest = f" and {len(layer_ids) - most} more" if len(layer_ids) > most else ""
    return ", ".join(layer_ids[:most]) + rest
