"""Decided: what people say about pairs, read from the config and carried out in the service."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib.files import digest_of_file, write_table
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import REACH, StackReceipt
from scripts.match import decisions, hand_made, set_aside
from scripts.match.decisions import COLUMNS, NO_PAIR, Carried, Tiles

log = logging.getLogger(__name__)

Entries = Sequence[Mapping[str, Any]]


def carry_out(
    client: RenderClient,
    collection: str,
    acquire: str | Path | None,
    entries: Entries,
    by_hand: Entries,
    dz_exponent: float,
) -> Carried:
    """Carry out the decisions in a collection that is as matching left it.

    Parameters
    ----------
    client
        The service.
    collection
        Name of the match collection.
    acquire
        Receipt of the acquired stack; needed where there is an entry.
    entries
        ``match.decisions``.
    by_hand
        ``match.by_hand``, paths absolute.
    dz_exponent
        ``solve.dz_exponent``, for the weights of matches made by hand.

    Returns
    -------
    Carried
        What was done; nothing without entries.

    Raises
    ------
    UserError
        When an entry names what does not exist.
    """
    if acquire is None or not (entries or by_hand):
        return Carried()
    receipt = StackReceipt.read(acquire)
    client.require(receipt)
    tiles = client.tiles(receipt.stack)
    known = Tiles(tiles.tiles)
    made = decisions.carry_out(
        set_aside.Stored(client, collection),
        known,
        entries,
        hand_made.read(by_hand, tiles, known, dz_exponent),
    )
    set_aside.carry_out(client, collection, made.gone, made.added)
    for row in made.rows:
        if row["became"] == NO_PAIR:
            log.warning("%s: no pair is in its region; take the entry out", row["entry"])
    log.info("decisions: %s", dict(Counter(row["became"] for row in made.rows)))
    return made


def write(path: str | Path | None, place: Path, made: Carried) -> None:
    """Write what became of every pair that was decided on.

    Parameters
    ----------
    path
        The table, a declared output; None: the config decides nothing.
    place
        Where a table of earlier decisions may lie, which goes then.
    made
        What was done.
    """
    if path is None:
        place.unlink(missing_ok=True)
    else:
        write_table(path, COLUMNS, made.rows)


def params(entries: Entries, by_hand: Entries, made: Carried) -> dict[str, Any]:
    """Return what the receipt says of the decisions.

    Parameters
    ----------
    entries
        ``match.decisions``.
    by_hand
        ``match.by_hand``.
    made
        What was done.

    Returns
    -------
    dict
        The entries, files by their names, and how many layers apart the farthest pair is that was
        put in; nothing without any.
    """
    named = [{**one, "landmarks": Path(one["landmarks"]).name} for one in by_hand]
    far = max((abs(float(pg) - float(qg)) for pg, _, qg, _ in made.added), default=0.0)
    said = {"decisions": list(entries), "by_hand": named, REACH: far}
    return {key: some for key, some in said.items() if some}


def digests(by_hand: Entries) -> dict[str, str]:
    """Return the digest of each file of landmarks.

    Parameters
    ----------
    by_hand
        ``match.by_hand``, paths absolute.

    Returns
    -------
    dict
        By entry and name of the file.
    """
    return {
        f"match.by_hand[{number}]: {Path(one['landmarks']).name}": digest_of_file(one["landmarks"])
        for number, one in enumerate(by_hand)
    }
