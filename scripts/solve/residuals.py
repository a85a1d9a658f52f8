"""What a person needs to judge a solve, per tile, per pair and in a few figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from scripts.lib.arrays import Array, Bool
from scripts.lib.documents import (
    Residuals,
    RestartStep,
    Solve,
    StrainedPair,
    WorstLayer,
    WorstTile,
)
from scripts.solve import misplaced, robust
from scripts.solve.graph import Graph, Tiles
from scripts.solve.solver import Options, Solved

TILE_COLUMNS = (
    "tile_id", "z", "row", "column", "pairs", "rms_px", "scale_x", "scale_y",
    "rotation_mrad", "shear", "dx_px", "dy_px",
)  # fmt: skip
PAIR_COLUMNS = ("p_id", "q_id", "dz", "count", "rms_px", "weight")
LAYER_COLUMNS = (
    "z", "tiles", "restart_group", "rms_px", "scale_x", "scale_y", "rotation_mrad", "shear",
    "dx_px", "dy_px",
)  # fmt: skip
WORST_COLUMNS = (
    "p_id", "q_id", "p_z", "q_z", "dz", "count", "rms_px", "typical_px", "weight",
    "share_of_error", "wrong",
)  # fmt: skip
MOST = 20  # tiles and layers named as worst; pairs that are not wrong
Row = dict[str, Any]


def shapes(linear: Array) -> dict[str, Array]:
    """Compute scale, rotation and shear of matrices.

    Parameters
    ----------
    linear
        (n, 2, 2) linear parts, px per px.

    Returns
    -------
    dict
        ``scale_x``, ``scale_y`` (n,) lengths of the images of the unit vectors, ``rotation_mrad``
        (n,) of the nearest rotation, ``shear`` (n,) cosine of the angle between these images.
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


def _tile_columns(tiles: Tiles, graph: Graph, solved: Solved) -> dict[str, Array]:
    """Return (n,) figures of the tiles; rms over a tile's pairs as they weigh."""
    n = len(tiles)
    weight = graph.weight * solved.factor
    total, square = np.zeros(n), np.zeros(n)
    for side in (graph.p, graph.q):
        total += np.bincount(side, weight, minlength=n)
        square += np.bincount(side, weight * solved.residual**2, minlength=n)
    return {
        "rms_px": np.sqrt(square / np.maximum(total, 1e-300)),
        **_deviations(solved),
        "dx_px": solved.placement[:, 0, 2] - tiles.stage[:, 0, 2],
        "dy_px": solved.placement[:, 1, 2] - tiles.stage[:, 1, 2],
    }


def _deviations(solved: Solved) -> dict[str, Array]:
    """Return the shapes of the tiles beyond what the stage and the steps at restarts give them."""
    expected = solved.reference.placement[:, :, :2]
    return shapes(solved.placement[:, :, :2] @ np.linalg.inv(expected))


def per_tile(tiles: Tiles, graph: Graph, solved: Solved) -> Iterator[Row]:
    """Compute one row per tile.

    Parameters
    ----------
    tiles, graph, solved
        The solve and what it was made of.

    Yields
    ------
    dict
        `TILE_COLUMNS`; rms over the tile's pairs as they weigh.
    """
    n = len(tiles)
    pairs = np.bincount(graph.p, minlength=n) + np.bincount(graph.q, minlength=n)
    columns = _tile_columns(tiles, graph, solved)
    for i in range(n):
        place = {"tile_id": tiles.ids[i], "z": _number(tiles.z[i]), "row": tiles.row[i]}
        place |= {"column": tiles.column[i], "pairs": pairs[i]}
        yield place | {name: f"{values[i]:.6g}" for name, values in columns.items()}


def per_layer(tiles: Tiles, graph: Graph, solved: Solved) -> list[Row]:
    """Compute one row per layer: means of its tiles, root of the mean square for the rms.

    Parameters
    ----------
    tiles, graph, solved
        The solve and what it was made of.

    Returns
    -------
    list
        Rows of `LAYER_COLUMNS`, in order of z.
    """
    z, layer = np.unique(tiles.z, return_inverse=True)
    count = np.bincount(layer)
    columns = _tile_columns(tiles, graph, solved)
    columns["rms_px"] = columns["rms_px"] ** 2
    means = {name: np.bincount(layer, values) / count for name, values in columns.items()}
    means["rms_px"] = np.sqrt(means["rms_px"])
    first = np.searchsorted(tiles.z, z)  # tiles are sorted by z
    return [
        {
            "z": _number(z[i]),
            "tiles": int(count[i]),
            "restart_group": int(solved.reference.groups[first[i]]),
        }
        | {name: f"{values[i]:.6g}" for name, values in means.items()}
        for i in range(len(z))
    ]


def worst_pairs(tiles: Tiles, graph: Graph, solved: Solved) -> list[Row]:
    """List the wrong pairs and some more of the largest error.

    ``typical_px`` is the median residual at that distance in z, ``share_of_error`` the pair's
    part of the sum of weight x residual^2 as it would be without re-weighting.

    Parameters
    ----------
    tiles, graph, solved
        The solve and what it was made of.

    Returns
    -------
    list
        Rows of `WORST_COLUMNS`, worst first.
    """
    typical = robust.scales(solved.residual, graph.apart)
    error = graph.weight * solved.residual**2
    share = error / max(float(error.sum()), 1e-300)
    order = np.argsort(-share, kind="stable")
    wrong = solved.factor[order] == 0
    chosen = order[wrong | (np.cumsum(~wrong) <= MOST) & ~wrong]
    return [
        {
            "p_id": str(tiles.ids[graph.p[k]]),
            "q_id": str(tiles.ids[graph.q[k]]),
            "p_z": _number(tiles.z[graph.p[k]]),
            "q_z": _number(tiles.z[graph.q[k]]),
            "dz": _number(graph.dz[k]),
            "count": graph.count[k],
            "rms_px": f"{solved.residual[k]:.6g}",
            "typical_px": f"{typical[k]:.6g}",
            "weight": f"{solved.factor[k]:.4g}",
            "share_of_error": f"{share[k]:.4g}",
            "wrong": bool(solved.factor[k] == 0),
        }
        for k in chosen
    ]


def strained(tiles: Tiles, graph: Graph, solved: Solved, cutoff: float) -> list[StrainedPair]:
    """List the pairs that are wrong by their residual and stay, for they alone join two parts.

    Nothing contradicts such a pair, and nothing confirms it: where its tiles lie to each other is
    not known.

    Parameters
    ----------
    tiles, graph, solved
        The solve and what it was made of.
    cutoff
        As of `robust.wrong`.

    Returns
    -------
    list
        In order of z.
    """
    stays = solved.factor > 0
    wrong = robust.wrong(solved.residual, graph.apart, cutoff=cutoff)
    alone = robust.bridges(stays & ~wrong, len(tiles), graph.p, graph.q)
    typical = robust.scales(solved.residual, graph.apart)
    rows: list[StrainedPair] = [
        {
            "p_id": str(tiles.ids[graph.p[k]]),
            "q_id": str(tiles.ids[graph.q[k]]),
            "p_z": _number(tiles.z[graph.p[k]]),
            "q_z": _number(tiles.z[graph.q[k]]),
            "count": int(graph.count[k]),
            "rms_px": round(float(solved.residual[k]), 3),
            "typical_px": round(float(typical[k]), 3),
        }
        for k in np.flatnonzero(stays & wrong & alone)
    ]
    return sorted(rows, key=lambda row: (min(row["p_z"], row["q_z"]), row["p_id"]))


def _per_pair(tiles: Tiles, graph: Graph, solved: Solved) -> Iterator[Row]:
    """Return one row per pair (`PAIR_COLUMNS`); ``weight`` is the robust factor, 0 when wrong."""
    for k in range(len(graph)):
        yield {
            "p_id": tiles.ids[graph.p[k]],
            "q_id": tiles.ids[graph.q[k]],
            "dz": _number(graph.dz[k]),
            "count": graph.count[k],
            "rms_px": f"{solved.residual[k]:.6g}",
            "weight": f"{solved.factor[k]:.4g}",
        }


def tables(
    tiles: Tiles, graph: Graph, solved: Solved
) -> dict[str, tuple[tuple[str, ...], Iterable[Row]]]:
    """Lay out all tables of a solve.

    Parameters
    ----------
    tiles, graph, solved
        The solve and what it was made of.

    Returns
    -------
    dict
        Name of the output of `solve_transforms` -> columns and rows.
    """
    return {
        "tiles": (TILE_COLUMNS, per_tile(tiles, graph, solved)),
        "layers": (LAYER_COLUMNS, per_layer(tiles, graph, solved)),
        "pairs": (PAIR_COLUMNS, _per_pair(tiles, graph, solved)),
        "worst_pairs": (WORST_COLUMNS, worst_pairs(tiles, graph, solved)),
    }


def figures(tiles: Tiles, graph: Graph, solved: Solved, options: Options, ignored: int) -> Solve:
    """Sum a solve up.

    Parameters
    ----------
    tiles, graph, solved, options
        The solve and what it was made of.
    ignored
        Pairs of the collections that are not in `graph`.

    Returns
    -------
    Solve
        Content of ``solve/solve.json``.
    """
    good = solved.factor > 0
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
            for name, v in _deviations(solved).items()
        },
        "share_of_error_of_wrong_pairs": _share(graph, solved, ~good),
        "restart_offsets_px": [
            {
                "z_first": _number(float(tiles.z[solved.reference.groups == group].min())),
                "dx": dx,
                "dy": dy,
            }
            for group, (dx, dy) in enumerate(np.round(solved.reference.offsets, 4).tolist())
        ],
        "restart_steps": _steps(tiles, solved),
        "precision": float(f"{solved.precision:.3g}"),
        "iterations": solved.iterations,
        "strained_pairs": strained(tiles, graph, solved, options.robust_cutoff),
        "misplaced_pairs": misplaced.pairs(tiles, solved.placement),
        "worst_tiles": _worst(tiles, graph, solved),
        "worst_layers": _worst_layers(tiles, graph, solved),
        "worst_pairs": [
            {name: row[name] for name in ("p_id", "q_id", "rms_px", "share_of_error")}
            | {"wrong": row["wrong"]}
            for row in worst_pairs(tiles, graph, solved)[:MOST]
        ],
    }


def _steps(tiles: Tiles, solved: Solved) -> list[RestartStep]:
    """Scale, rotation and shear of the runs of layers between steps, when there are several."""
    runs, linear = solved.reference.runs, solved.reference.linear
    found = {
        name: [round(v, 6) for v in values.tolist()] for name, values in shapes(linear).items()
    }
    return [
        {
            "z_first": _number(float(tiles.z[runs.run == r].min())),
            "scale_x": found["scale_x"][r],
            "scale_y": found["scale_y"][r],
            "rotation_mrad": found["rotation_mrad"][r],
            "shear": found["shear"][r],
        }
        for r in range(len(linear) if len(linear) > 1 else 0)
    ]


def _worst(tiles: Tiles, graph: Graph, solved: Solved, most: int = MOST) -> list[WorstTile]:
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


def _worst_layers(tiles: Tiles, graph: Graph, solved: Solved) -> list[WorstLayer]:
    """Layers of the largest rms, those beyond twice the median alone."""
    rows = per_layer(tiles, graph, solved)
    rms = np.array([float(row["rms_px"]) for row in rows])
    order = np.argsort(-rms, kind="stable")[:MOST]
    return [
        {"z": rows[i]["z"], "rms_px": float(rms[i])} for i in order if rms[i] > 2 * np.median(rms)
    ]


def _share(graph: Graph, solved: Solved, some: Bool) -> float:
    error = graph.weight * solved.residual**2
    return round(float(error[some].sum() / max(float(error.sum()), 1e-300)), 6)


def _quantiles(values: Array) -> Residuals:
    if not len(values):
        return {"median": None, "p90": None, "p99": None, "max": None}
    found = [round(float(np.quantile(values, at)), 6) for at in (0.5, 0.9, 0.99, 1.0)]
    return {"median": found[0], "p90": found[1], "p99": found[2], "max": found[3]}


def _number(value: float) -> int | float:
    return int(value) if float(value).is_integer() else float(value)
