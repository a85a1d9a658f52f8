"""Why a layer table is not written: what was found, and the lines of the config that decide it."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from scripts.lib.job import UserError

_MOST = 20  # lines of one kind in one message
_ANEW = (
    "Or remove ingest/layers.tsv, so that all layers are numbered anew (tile ids change, and "
    "everything after ingest is done again)."
)
Order = Callable[[str], tuple[Any, ...]]


def refuse_late(
    late: Sequence[str], frozen: Sequence[str], own: Iterable[str], order: Order
) -> None:
    """Stop when layers lie between numbered ones; give the entries among which to choose.

    Parameters
    ----------
    late
        Layer ids that have no z, before the last one that has.
    frozen
        Layer id of z = 1, 2, 3 …, empty where a gap is reserved.
    own
        Layers of `frozen` that do not fill a gap.
    order
        Key by which layer ids sort in time.

    Raises
    ------
    UserError
        When there are late layers.
    """
    if not late:
        return
    known = [layer_id for layer_id in frozen if layer_id]
    newest = max(known, key=order)
    free = _free(late, frozen, set(own), order)
    placed = [f"{_line(f'insert: {i}, slot: {k}')}  # z {z}" for i, (k, z) in free.items()]
    first = min(late, key=order)
    moved = sum(order(i) > order(first) for i in known)
    own = [_line(f"insert: {i}, renumber: true") for i in late if i not in free]
    left_out = [_line(f"drop: {i}, keep_z: false") for i in late]
    text = [
        f"{len(late)} layer(s) arrived late: they lie before {newest}, the last one that has a z, "
        f"and z is frozen. Decide in the config, under ingest: layers:"
    ]
    text += _choice("on a z that a gap reserves for it (nothing else changes):", placed)
    text += _choice(
        f"with a z of its own ({moved} later layers get a higher z, their tile ids change, and "
        f"everything after ingest is done again):",
        own,
    )
    text += _choice("or go on without it (nothing changes):", left_out)
    raise UserError("\n".join([*text, _ANEW] if len(late) > _MOST else text))


def _line(words: str) -> str:
    return f"    - {{{words}, reason: arrived late}}"


def _choice(words: str, lines: Sequence[str]) -> list[str]:
    rest = len(lines) - _MOST
    more = [f"    # and {rest} more"] if rest > 0 else []
    return [f"  {words}", *lines[:_MOST], *more] if lines else []


def _free(
    late: Sequence[str], frozen: Sequence[str], own: set[str], order: Order
) -> dict[str, tuple[int, int]]:
    """Return late layer -> (slot, z) reserved between its neighbours, as far as there are any."""
    found: dict[str, tuple[int, int]] = {}
    places = [(order(i), z) for z, i in enumerate(frozen, start=1) if i]
    gaps = [place for place in places if frozen[place[1] - 1] in own]
    for layer_id in late:
        key = (order(layer_id), 0)
        before, gap = (bisect.bisect(each, key) - 1 for each in (places, gaps))
        z = max([0, *(z for _, z in found.values()), places[before][1] if before >= 0 else 0]) + 1
        if z <= len(frozen) and frozen[z - 1] == "" and gap >= 0:
            found[layer_id] = (z - gaps[gap][1], z)
    return found


def refuse_unnumbered(layer_ids: Sequence[str]) -> None:
    """Stop when numbered layers are declared to have no z.

    Parameters
    ----------
    layer_ids
        Numbered layers whose declaration takes their z away.

    Raises
    ------
    UserError
        When there are any.
    """
    if layer_ids:
        lines = [
            f"    - {{drop: {i}, keep_z: false, renumber: true, reason: …}}" for i in layer_ids
        ]
        text = [f"{len(layer_ids)} dropped layer(s) have a z already, e.g. {layer_ids[0]}."]
        text += ["  Remove keep_z: false, so that it stays as a gap (nothing else changes),"]
        text += _choice(
            "or take it away (every later z, and everything after ingest, changes):", lines
        )
        raise UserError("\n".join(text))


def move_after_nothing(layer_ids: Sequence[str]) -> UserError:
    """Say that layers are moved after some that have no z.

    Parameters
    ----------
    layer_ids
        The layers that are moved.

    Returns
    -------
    UserError
        To raise.
    """
    return UserError(
        f"ingest.layers: {', '.join(layer_ids[:_MOST])} is moved after a layer that has no z: name"
        " one that is in transfer/layers.tsv and is not dropped with keep_z: false"
    )


def refuse_vanished(layer_ids: Sequence[str]) -> None:
    """Stop when numbered layers are not there any more.

    Parameters
    ----------
    layer_ids
        Numbered layers that were not transferred and are not declared.

    Raises
    ------
    UserError
        When there are any.
    """
    if not layer_ids:
        return
    lines = [f"    - {{drop: {i}, reason: lost}}" for i in layer_ids]
    text = [
        f"{len(layer_ids)} layer(s) have a z in ingest/layers.tsv but are not in "
        f"transfer/layers.tsv any more, e.g. {layer_ids[0]}. Put their files or the limits "
        f"acquisition.first_dat and scope back,",
        *_choice("or declare in the config, under ingest: layers:, that they become gaps:", lines),
        _ANEW,
    ]
    raise UserError("\n".join(text))


def refuse_moved(moved: Sequence[str], known: Mapping[str, int], now: Mapping[str, int]) -> None:
    """Stop when numbered layers would get another z.

    Parameters
    ----------
    moved
        Layer ids.
    known
        z in the table, by layer id.
    now
        z that follows from the declarations, by layer id; absent: none.

    Raises
    ------
    UserError
        When there are any.
    """
    if moved:
        names = [f"{i}: z {known[i]}, now {now.get(i, 'none')}" for i in moved[:_MOST]]
        raise UserError(
            f"{len(moved)} layer(s) would get another z than in ingest/layers.tsv, since entries "
            f"of ingest.layers were added, removed or changed:\n  "
            + "\n  ".join(names)
            + f"\nPut the entries back as they were. {_ANEW}"
        )


def lost_reserve(layer_id: str, found: int, declared: int) -> UserError:
    """Say that the z reserved after a layer are not those that are declared.

    Parameters
    ----------
    layer_id
        The layer before the gap.
    found
        Number of z that the table reserves.
    declared
        Number of z that the config declares.

    Returns
    -------
    UserError
        To be raised.
    """
    back = f"put back {{gap: {found}, after: {layer_id}}}" if found else "remove the entry"
    return UserError(
        f"ingest/layers.tsv reserves {found} z after {layer_id}, the config declares {declared}: "
        f"every later layer would get another z. To keep them {back}; to move them (tile ids "
        f"change, and everything after ingest is done again) declare under ingest: layers:\n"
        f"    - {{gap: {declared}, after: {layer_id}, renumber: true, reason: …}}"
    )


def strange_layer(layer_ids: Sequence[str]) -> UserError:
    """Say that a declaration is about layers that do not exist.

    Parameters
    ----------
    layer_ids
        What the declarations name.

    Returns
    -------
    UserError
        To be raised.
    """
    return UserError(
        f"ingest.layers names {', '.join(layer_ids[:_MOST])}, which are in neither "
        f"transfer/layers.tsv nor ingest/layers.tsv: mend the layer ids; a layer that was never "
        f"transferred is declared with gap: 1, after: the layer before it"
    )


def gap_after_nothing(layer_ids: Sequence[str]) -> UserError:
    """Say that gaps are declared after layers without a z of their own.

    Parameters
    ----------
    layer_ids
        What the gaps name.

    Returns
    -------
    UserError
        To be raised.
    """
    return UserError(
        f"ingest.layers declares a gap after {', '.join(layer_ids[:_MOST])}: name the last layer "
        f"before the gap that is neither inserted on a reserved z nor dropped with keep_z: false"
    )


def wrong_slot(layer_id: str, slot: int) -> UserError:
    """Say that a late layer cannot get the slot that is asked for.

    Parameters
    ----------
    layer_id
        The late layer.
    slot
        Place in the gap, from 1.

    Returns
    -------
    UserError
        To be raised.
    """
    return UserError(
        f"ingest.layers: insert {layer_id} asks for slot {slot} of the gap it falls into, but no "
        f"such z is reserved and free there, or the layers of that gap would not be in order of "
        f"time. Without a gap it needs renumber: true instead of slot"
    )
