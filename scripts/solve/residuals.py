"""L4 · Residuals: what a person needs to judge a solve, per tile, per pair and in a few figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from scripts.lib.geometry import Array
from scripts.solve.graph import Graph, Tiles
from scripts.solve.robust import WRONG
from scripts.solve.solver import Options, Solved

TILE_COLUMNS = (
    "tile_id", "z", "row", "column", "pairs", "rms_px", "scale_x", "scale_y",
    "rotation_mrad", "shear", "dx_px", "dy_px",
)  # fmt: skip
PAIR_COLUMNS = ("p_id", "q_id", "dz", "count", "rms_px", "weight")
Row = dict[str, Any]


def shapes(linear: Array) -> dict[str, Array]:
    """Scale, rotation and shear of (n, 2, 2) matrices.

    ``scale_x``, ``scale_y`` lengths of the images of the unit vectors; ``rotation_mrad`` of the
    nearest rotation; ``shear`` cosine of the angle between the images of the axes.
    """
    x, y = linear[:, :, 0], linear[:, :, 1]
    scale_x, scale_y = np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1)
    turn = np.arctan2(linear[:, 1, 0] - linear[:, 0, 1], linear[:, 0, 0] + linear[:, 1, 1])
    return {
        "scale_x": scale_x,
        "scale_y": scale_y,
        "rotation_mrad": 1e3 * turn,
        "shear": (x * y).sum(axis=1) / np.maximum(scale_x * scale_y, 1e-300),
    }


def per_tile(tiles: Tiles, graph: Graph, solved: Solved) -> Iterator[Row]:
    """Give one row per tile (`TILE_COLUMNS`); rms over the tile's pairs as they weigh."""
    n = len(tiles)
    weight = graph.weight * solved.factor
    total, square, pairs = np.zeros(n), np.zeros(n), np.zeros(n, np.int64)
    for side in (graph.p, graph.q):
        total += np.bincount(side, weight, minlength=n)
        square += np.bincount(side, weight * solved.residual**2, minlength=n)
        pairs += np.bincount(side, minlength=n)
    columns: dict[str, Array] = {
        "rms_px": np.sqrt(square / np.maximum(total, 1e-300)),
        **shapes(solved.placement[:, :, :2] / tiles.scale),
        "dx_px": solved.placement[:, 0, 2] - tiles.stage[:, 0, 2],
        "dy_px": solved.placement[:, 1, 2] - tiles.stage[:, 1, 2],
    }
    for i in range(n):
        place = {"tile_id": tiles.ids[i], "z": _number(tiles.z[i]), "row": tiles.row[i]}
        place |= {"column": tiles.column[i], "pairs": pairs[i]}
        yield place | {name: f"{values[i]:.6g}" for name, values in columns.items()}


def per_pair(tiles: Tiles, graph: Graph, solved: Solved) -> Iterator[Row]:
    """Give one row per pair (`PAIR_COLUMNS`); ``weight`` is the robust factor, 0 when wrong."""
    for k in range(len(graph)):
        yield {
            "p_id": tiles.ids[graph.p[k]],
            "q_id": tiles.ids[graph.q[k]],
            "dz": _number(graph.dz[k]),
            "count": graph.count[k],
            "rms_px": f"{solved.residual[k]:.6g}",
            "weight": f"{solved.factor[k]:.4g}",
        }


def figures(tiles: Tiles, graph: Graph, solved: Solved, options: Options, ignored: int) -> Row:
    """Give the figures of ``solve/solve.json``; `ignored` pairs had a tile outside the stack."""
    good = solved.factor >= WRONG
    moved = solved.placement[:, :, 2] - tiles.stage[:, :, 2]
    return {
        "model": options.model,
        "tiles": len(tiles),
        "layers": len(np.unique(tiles.z)),
        "pairs": len(graph),
        "pairs_ignored": ignored,
        "pairs_wrong": int((~good).sum()),
        "residual_px": _quantiles(solved.residual[good]),
        "residual_px_by_dz": {
            f"{value:g}": _quantiles(solved.residual[good & (graph.dz == value)])
            for value in np.unique(graph.dz[good])
        },
        "deviation_from_stage_px": _quantiles(np.linalg.norm(moved, axis=1)),
        "shape": {
            name: {"mean": float(v.mean()), "sd": float(v.std())}
            for name, v in shapes(solved.placement[:, :, :2] / tiles.scale).items()
        },
        "precision": solved.precision,
        "iterations": solved.iterations,
        "worst_tiles": _worst(tiles, graph, solved),
    }


def _worst(tiles: Tiles, graph: Graph, solved: Solved, most: int = 20) -> list[Row]:
    """Tiles whose matches contradict one another: least share of their weight left."""
    n = len(tiles)
    before, after = np.zeros(n), np.zeros(n)
    for side in (graph.p, graph.q):
        before += np.bincount(side, graph.weight, minlength=n)
        after += np.bincount(side, graph.weight * solved.factor, minlength=n)
    share = after / np.maximum(before, 1e-300)
    order = [int(i) for i in np.argsort(share, kind="stable")[:most] if share[i] < 0.5]
    return [
        {"tile_id": str(tiles.ids[i]), "share_of_weight_left": round(float(share[i]), 4)}
        for i in order
    ]


def _quantiles(values: Array) -> dict[str, float | None]:
    names = {"median": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    if not len(values):
        return dict.fromkeys(names)
    return {name: round(float(np.quantile(values, at)), 6) for name, at in names.items()}


def _number(value: float) -> int | float:
    return int(value) if float(value).is_integer() else float(value)
