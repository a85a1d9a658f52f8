"""What became of every layer and every bad tile, from the tables of all conversion jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from scripts.lib.names import parse_layer
from scripts.transfer.layers import Grid, align_path, raw_path

LAYER_COLUMNS = (
    "layer_id",
    "scope",
    "stamp",
    "tiles",
    "expected",
    "bad",
    "status",
    "raw_h5",
    "align_h5",
    "message",
)
QUARANTINE_COLUMNS = ("layer_id", "tile_key", "dat", "reason")


def layer_rows(converted: Iterable[Mapping[str, str]], grid: Grid) -> list[dict[str, Any]]:
    """Give one row per layer, in order of time, from one row per tile."""
    layers: dict[str, list[Mapping[str, str]]] = {}
    for row in converted:
        layers.setdefault(row["layer_id"], []).append(row)
    rows = [_layer_row(layer_id, tiles, grid) for layer_id, tiles in layers.items()]
    return sorted(rows, key=lambda row: (row["stamp"], row["scope"]))


def _layer_row(layer_id: str, tiles: list[Mapping[str, str]], grid: Grid) -> dict[str, Any]:
    name = parse_layer(layer_id)
    good = [tile for tile in tiles if tile["status"] == "ok"]
    absent = grid.missing(tile["tile_key"] for tile in tiles)
    notes = [f"{tile['tile_key']}: {tile['reason']}" for tile in tiles if tile["reason"]]
    notes += [f"{key}: no .dat file" for key in absent]
    return {
        "layer_id": layer_id,
        "scope": name.scope,
        "stamp": name.stamp,
        "tiles": len(good),
        "expected": grid.count,
        "bad": len(tiles) - len(good),
        "status": _status(len(good), grid.count),
        "raw_h5": raw_path(name) if good else "",
        "align_h5": align_path(name) if good else "",
        "message": "; ".join(notes),
    }


def _status(found: int, expected: int) -> str:
    if found == 0:
        return "empty"
    return "ok" if found == expected else "partial"


def quarantine_rows(converted: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """Give one row per tile that could not be read, in order of its layer and tile key."""
    bad = (row for row in converted if row["status"] == "bad")
    return sorted(
        ({name: row[name] for name in QUARANTINE_COLUMNS} for row in bad),
        key=lambda row: (parse_layer(row["layer_id"]).order, row["tile_key"]),
    )
