"""Outcome: the tables of the review, put together from net, decisions and verdicts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from scripts.review.clusters import Net, degrees, described, labels
from scripts.review.decisions import Decided, proposals
from scripts.review.suspects import DAMAGED, NO_SIGNAL, RESIN, TISSUE, Verdict

COLUMNS = (
    "tile_id", "z", "row", "column", "cluster", "pairs_montage", "pairs_cross", "texture", "kind",
    "score", "state", "reason",
)  # fmt: skip
PATCH_COLUMNS = (
    "z", "row", "column", "replaces", "tile_id", "source_id", "from", "round", "score", "state",
    "reason",
)  # fmt: skip
WORDS = {RESIN: "resin", TISSUE: "tissue without matches", DAMAGED: "damaged"}


def proposed(
    net: Net,
    decided: Decided,
    verdicts: Mapping[str, Verdict],
    replaced: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Return entries for ``review.exclude`` for all that is outside the largest cluster.

    Parameters
    ----------
    net
        n tiles.
    decided
        What is decided about them.
    verdicts
        What tiles are, by id.
    replaced
        Ids that are left out: a patch is proposed for them.

    Returns
    -------
    list of dict
        Entries of ``review.exclude``.
    """
    kinds = {
        tile_id: NO_SIGNAL if verdict.is_dead else WORDS[verdict.kind]
        for tile_id, verdict in verdicts.items()
    }
    by_hand = decided.gone & ~decided.auto
    waiting = np.array([tile.tile_id in replaced for tile in net.tiles], bool)
    outside = (decided.label != 1) & ~by_hand & ~waiting
    return proposals(net.tiles, outside, (decided.label == 1) | waiting, kinds)


def per_tile(
    net: Net,
    decided: Decided,
    verdicts: Mapping[str, Verdict],
    patched: Mapping[str, str] | None = None,
) -> Iterator[dict[str, Any]]:
    """Return one row per tile; pairs are counted before the decisions.

    Parameters
    ----------
    net
        n tiles and their pairs.
    decided
        What is decided about them.
    verdicts
        What tiles are, by id.
    patched
        Ids of tiles that are patches -> why.

    Yields
    ------
    dict
        A row (`COLUMNS`).
    """
    montage, cross = degrees(net)
    patch = patched or {}
    for i, tile in enumerate(net.tiles):
        verdict = verdicts.get(tile.tile_id)
        state = _state(decided, i)
        if state == "ok" and tile.tile_id in patch:
            state = "patched"
        yield {
            "tile_id": tile.tile_id,
            "z": f"{tile.z:g}",
            "row": tile.row,
            "column": tile.column,
            "cluster": int(decided.label[i]),
            "pairs_montage": int(montage[i]),
            "pairs_cross": int(cross[i]),
            "texture": None if verdict is None else f"{verdict.texture:.3f}",
            "kind": "" if verdict is None else verdict.kind,
            "score": "" if verdict is None or verdict.kind == TISSUE else f"{verdict.score:g}",
            "state": state,
            "reason": decided.reason[i] or patch.get(tile.tile_id, ""),
        }


def _state(decided: Decided, i: int) -> str:
    if decided.reason[i]:
        return "excluded"
    return {0: "unconnected", 1: "ok"}.get(int(decided.label[i]), "small_cluster")


def figures(
    net: Net,
    decided: Decided,
    verdicts: Mapping[str, Verdict],
    *,
    attempted: int,
    saved: Mapping[str, Mapping[str, int]],
    patches: Sequence[Mapping[str, Any]] = (),
    derived: int = 0,
) -> dict[str, Any]:
    """Return the content of ``review/clusters.json``.

    Parameters
    ----------
    net
        n tiles and their pairs.
    decided
        What is decided about them.
    verdicts
        What tiles are, by id.
    attempted
        Pairs tried.
    saved
        Pairs by kind (`statistics.saved_counts`).
    patches
        Rows of `PATCH_COLUMNS`.
    derived
        Pairs of bridges.

    Returns
    -------
    dict
        Plain JSON values.
    """
    first = labels(net, np.zeros(len(net.tiles), bool))
    kinds = [v.kind for tile in net.tiles if (v := verdicts.get(tile.tile_id)) is not None]
    return {
        "tiles": len(net.tiles),
        "pairs_attempted": attempted,
        "pairs_saved": len(net.p),
        "before": {
            "clusters": described(net, first),
            "unconnected": int((first == 0).sum()),
        },
        "excluded": int(decided.gone.sum()),
        "excluded_auto": int(decided.auto.sum()),
        "after": {
            "clusters": described(net, decided.label),
            "unconnected": int(((decided.label == 0) & ~decided.gone).sum()),
        },
        "kinds": {kind: kinds.count(kind) for kind in (TISSUE, RESIN, DAMAGED)},
        "patches": len(patches),
        "patches_held": sum(row["state"] == "patched" for row in patches),
        "derived_pairs": derived,
        "saved": saved,
    }
