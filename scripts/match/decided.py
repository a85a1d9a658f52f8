"""Decided: what people say about pairs, read from the config and carried out in the service."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.lib.files import digest_of_file, read_json
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import REACH, StackReceipt
from scripts.lib.service.records import CanvasMatches, TileSet
from scripts.match import decisions, hand_made, set_aside
from scripts.match.decisions import NO_PAIR, ByHand, Carried, Tiles

log = logging.getLogger(__name__)

Entries = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class Plan:
    """Entries of ``match.decisions``, and those of ``match.by_hand`` with their matches."""

    entries: Entries = ()
    by_hand: Sequence[ByHand] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``match/decided.json``.

        Returns
        -------
        dict
            Entries, and records with their source and reason.
        """
        made = [
            {"source": one.source, "reason": one.reason, "matches": one.matches.to_json()}
            for one in self.by_hand
        ]
        return {"decisions": list(self.entries), "by_hand": made}

    @staticmethod
    def of_file(path: str | Path | None) -> Plan:
        """Read ``match/decided.json``.

        Parameters
        ----------
        path
            The file; None: the config decides nothing.

        Returns
        -------
        Plan
            Its content.
        """
        if path is None:
            return Plan()
        found = read_json(path)
        made = [
            ByHand(CanvasMatches.from_json(one["matches"]), one["source"], one["reason"])
            for one in found["by_hand"]
        ]
        return Plan(found["decisions"], made)


def read(tiles: TileSet, entries: Entries, by_hand: Entries, dz_exponent: float) -> Plan:
    """Read the landmarks, and check all entries against the tiles.

    Parameters
    ----------
    tiles
        Of the acquired stack.
    entries
        ``match.decisions``.
    by_hand
        ``match.by_hand``, paths absolute.
    dz_exponent
        ``solve.dz_exponent``, for the weights of matches made by hand.

    Returns
    -------
    Plan
        What is to be done.

    Raises
    ------
    UserError
        When an entry names what does not exist, or a file holds no landmarks.
    """
    known = Tiles(tiles.tiles)
    for number, entry in enumerate(entries):
        decisions.check(f"match.decisions[{number}]", entry, known)
    return Plan(entries, hand_made.read(by_hand, tiles, known, dz_exponent))


def carry_out(
    client: RenderClient, collection: str, acquire: str | Path | None, plan: Plan
) -> Carried:
    """Carry out the decisions in a collection that is as matching left it.

    Parameters
    ----------
    client
        The service.
    collection
        Name of the match collection.
    acquire
        Receipt of the acquired stack; needed where something is decided.
    plan
        What is to be done.

    Returns
    -------
    Carried
        What was done; nothing without entries.
    """
    if acquire is None:
        return Carried()
    receipt = StackReceipt.read(acquire)
    client.require(receipt)
    tiles = Tiles(client.tiles(receipt.stack).tiles)
    pairs = set_aside.Stored(client, collection)
    made = decisions.carry_out(pairs, tiles, plan.entries, plan.by_hand)
    set_aside.carry_out(client, collection, made.gone, made.added)
    for row in made.rows:
        if row["became"] == NO_PAIR:
            log.warning("%s: no pair is in its region; take the entry out", row["entry"])
    log.info("decisions: %s", dict(Counter(row["became"] for row in made.rows)))
    return made


def beside(summary: str | Path) -> Path:
    """Return the table of what became of every pair that was decided on.

    Parameters
    ----------
    summary
        ``match/summary.tsv``.

    Returns
    -------
    Path
        ``match/decisions.tsv``, whose rows are those of now: none where nothing is decided.
    """
    return Path(summary).with_name("decisions.tsv")


def params(plan: Plan, made: Carried) -> dict[str, Any]:
    """Return what the receipt says of the decisions.

    Parameters
    ----------
    plan
        What was to be done.
    made
        What was done.

    Returns
    -------
    dict
        The entries, which pairs were made by hand, and how many layers apart the farthest pair is
        that was put in; nothing without any.
    """
    hand = [
        {"p_id": one.matches.p_id, "q_id": one.matches.q_id, "landmarks": one.source}
        | {"reason": one.reason}
        for one in plan.by_hand
    ]
    far = max((abs(float(pg) - float(qg)) for pg, _, qg, _ in made.added), default=0.0)
    said = {"decisions": list(plan.entries), "by_hand": hand, REACH: far}
    return {key: some for key, some in said.items() if some}


def digests(path: str | Path | None) -> dict[str, str]:
    """Return the digest of what was decided.

    Parameters
    ----------
    path
        ``match/decided.json``; None: the config decides nothing.

    Returns
    -------
    dict
        By its path.
    """
    return {} if path is None else {str(path): digest_of_file(path)}
