"""L4 · Findings: the tables of the review, put together from net, decisions and pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from scripts.lib.pixels import read_image, read_mask
from scripts.lib.records import TileSpec
from scripts.review import texture
from scripts.review.clusters import Net, degrees, described, labels
from scripts.review.decisions import Decided, proposals
from scripts.review.gate import shares

COLUMNS = (
    "tile_id", "z", "row", "column", "cluster", "pairs_montage", "pairs_cross", "texture",
    "state", "reason",
)  # fmt: skip


def textures(net: Net, *, samples: int) -> dict[str, float]:
    """Give the texture of all tiles outside the largest cluster and of a sample of the others.

    The sample is spread evenly over the volume: it says what tissue looks like.
    """
    label = labels(net, np.zeros(len(net.tiles), bool))
    joined = np.flatnonzero(label == 1)
    step = max(1, len(joined) // samples)
    read = [*np.flatnonzero(label != 1), *joined[::step][:samples]]
    return {net.tiles[i].tile_id: texture_of(net.tiles[i]) for i in read}


def texture_of(tile: TileSpec) -> float:
    """Read a small level of `tile` and give its texture, grey levels."""
    level = texture.level_of(tile.width, tile.height)
    image = read_image(tile.image_url, level)
    mask = read_mask(tile.mask_url, (tile.height, tile.width), level)
    valid = np.ones(image.shape, bool) if mask is None else np.asarray(mask > 254)
    return texture.score(image, valid)


def proposed(
    net: Net, decided: Decided, pictures: Mapping[str, float], resin_share: float
) -> list[dict[str, Any]]:
    """Give entries for ``review.exclude`` for all that is outside the largest cluster."""
    label = labels(net, np.zeros(len(net.tiles), bool))
    joined = [t.tile_id for t, k in zip(net.tiles, label, strict=True) if k == 1]
    known = [pictures[tile_id] for tile_id in joined if tile_id in pictures]
    tissue = float(np.median(known)) if known else None
    kinds = {i: texture.kind(value, tissue, resin_share) for i, value in pictures.items()}
    by_hand = decided.gone & ~decided.auto
    outside = (decided.label != 1) & ~by_hand
    return proposals(net.tiles, outside, decided.label == 1, kinds)


def per_tile(net: Net, decided: Decided, pictures: Mapping[str, float]) -> Iterator[dict[str, Any]]:
    """Give one row per tile (`COLUMNS`); pairs are counted before the decisions."""
    montage, cross = degrees(net)
    for i, tile in enumerate(net.tiles):
        value = pictures.get(tile.tile_id)
        yield {
            "tile_id": tile.tile_id,
            "z": f"{tile.z:g}",
            "row": tile.row,
            "column": tile.column,
            "cluster": int(decided.label[i]),
            "pairs_montage": int(montage[i]),
            "pairs_cross": int(cross[i]),
            "texture": None if value is None else f"{value:.3f}",
            "state": _state(decided, i),
            "reason": decided.reason[i],
        }


def _state(decided: Decided, i: int) -> str:
    if decided.reason[i]:
        return "excluded"
    return {0: "unconnected", 1: "ok"}.get(int(decided.label[i]), "small_cluster")


def figures(net: Net, decided: Decided, rows: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Give the content of ``review/clusters.json``."""
    nobody = np.zeros(len(net.tiles), bool)
    first = labels(net, nobody)
    gone = {t.tile_id for t, out in zip(net.tiles, decided.gone, strict=True) if out}
    return {
        "tiles": len(net.tiles),
        "pairs_attempted": len(rows),
        "pairs_saved": sum(row["saved"] == "1" for row in rows),
        "before": {
            "clusters": described(net, first),
            "unconnected": int((first == 0).sum()),
        },
        "excluded": len(gone),
        "excluded_auto": int(decided.auto.sum()),
        "after": {
            "clusters": described(net, decided.label),
            "unconnected": int(((decided.label == 0) & ~decided.gone).sum()),
        },
        "saved": shares(rows, gone),
    }
