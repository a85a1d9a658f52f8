"""Edges: where neighboring cells of a layer have no match between them, as ranges of z.

Tiles may be one cluster through z while a seam has no match for many layers: the seam then drifts.
All ranges are kept, short ones too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from scripts.lib.arrays import Bool
from scripts.lib.service.records import TileSpec
from scripts.review.clusters import Net

COLUMNS = ("row_a", "column_a", "row_b", "column_b", "z_first", "z_last", "layers",
           "bridged")  # fmt: skip
Cell = tuple[int, int]
Edge = tuple[Cell, Cell]


def _expected(cells: Iterable[Cell]) -> Iterator[Edge]:
    """Return the edges between neighboring cells present in a layer, smaller cell first."""
    present = set(cells)
    for row, column in sorted(present):
        for other in ((row, column + 1), (row + 1, column)):
            if other in present:
                yield (row, column), other


def gaps(net: Net, gone: Bool) -> list[dict[str, Any]]:
    """Return the ranges of consecutive layers in which an edge has no saved pair.

    A layer in which one of the two cells is absent ends a range no more than a layer in which both
    are: only a matched edge, or a jump in z, does.

    Parameters
    ----------
    net
        n tiles and their pairs.
    gone
        (n,) bool; these tiles are not expected to have edges.

    Returns
    -------
    list of dict
        Rows (`COLUMNS`), none of them bridged yet.
    """
    kept = net.without(gone)
    joined = defaultdict(set)
    for p, q in zip(kept.p[kept.dz == 0], kept.q[kept.dz == 0], strict=True):
        a, b = sorted((net.tiles[p].cell, net.tiles[q].cell))
        joined[net.tiles[p].z].add((a, b))
    missing: dict[Edge, list[float]] = defaultdict(list)
    for z, tiles in _layers(net, gone).items():
        for edge in _expected(tile.cell for tile in tiles):
            if edge not in joined[z]:
                missing[edge].append(z)
    return [
        {
            "row_a": a[0], "column_a": a[1], "row_b": b[0], "column_b": b[1],
            "z_first": span[0], "z_last": span[-1], "layers": len(span), "bridged": 0,
        }
        for a, b in sorted(missing)
        for span in runs(missing[a, b])
    ]  # fmt: skip


def layers_of(gaps: Iterable[Mapping[str, Any]], edge: Edge) -> set[float]:
    """Return the layers in which an edge has no match.

    Parameters
    ----------
    gaps
        Rows (`COLUMNS`).
    edge
        Two cells, the smaller first.

    Returns
    -------
    set of float
        z.
    """
    return {
        z
        for gap in gaps
        if _ends(gap) == (*edge[0], *edge[1])
        for z in np.arange(gap["z_first"], gap["z_last"] + 1).tolist()
    }


def mark(gaps: Sequence[dict[str, Any]], bridges: Iterable[Mapping[str, Any]]) -> None:
    """Set in each gap how many of its layers are bridged.

    Parameters
    ----------
    gaps
        Rows (`COLUMNS`), changed in place.
    bridges
        Rows of `bridges.COLUMNS`.
    """
    of_edge: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for gap in gaps:
        of_edge[_ends(gap)].append(gap)
    for row in bridges:
        z = float(row["z"])
        for gap in of_edge[_ends(row)]:
            gap["bridged"] += gap["z_first"] <= z <= gap["z_last"]


def _ends(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("row_a", "column_a", "row_b", "column_b"))


def _layers(net: Net, gone: Bool) -> dict[float, list[TileSpec]]:
    layers: dict[float, list[TileSpec]] = defaultdict(list)
    for tile, absent in zip(net.tiles, gone, strict=True):
        if not absent:
            layers[tile.z].append(tile)
    return layers


def runs(values: Iterable[float], *, step: float = 1.0) -> list[list[float]]:
    """Split z values into runs.

    Parameters
    ----------
    values
        z in any order.
    step
        Neighbors of a run differ by this at most.

    Returns
    -------
    list of list of float
        Sorted.
    """
    out: list[list[float]] = []
    for value in sorted(values):
        if out and value - out[-1][-1] <= step:
            out[-1].append(value)
        else:
            out.append([value])
    return out
