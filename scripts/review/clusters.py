"""Clusters: which tiles the matches join, by one union-find over all pairs at once.

No slabs: a tile whose only partners lie beyond a slab's border is no orphan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from scripts.lib.arrays import Array, Bool, Int64
from scripts.lib.files import read_cells
from scripts.lib.service.records import TileSpec


@dataclass(frozen=True, eq=False)
class Net:
    """n tiles and the m saved pairs between them.

    ``tiles`` sorted by z, row, column, id; ``p``, ``q`` (m,) positions in `tiles`; ``dz`` (m,)
    layers, 0 within a layer.
    """

    tiles: Sequence[TileSpec]
    p: Int64
    q: Int64
    dz: Array

    def without(self, gone: Bool) -> Net:
        """Return the net without the pairs of some tiles; the tiles stay.

        Parameters
        ----------
        gone
            (n,) bool, the tiles.

        Returns
        -------
        Net
            With the same tiles in the same order.
        """
        keep = ~(gone[self.p] | gone[self.q])
        return Net(self.tiles, self.p[keep], self.q[keep], self.dz[keep])


def net_of(tiles: Sequence[TileSpec], saved: Iterable[Mapping[str, str]]) -> Net:
    """Return the net of tiles and rows of pairs.

    Parameters
    ----------
    tiles
        The tiles.
    saved
        Rows with ``p_id`` and ``q_id``; pairs with other tiles are left out.

    Returns
    -------
    Net
        Tiles in the order of z, row, column, id.
    """
    return net_of_ids(tiles, ((row["p_id"], row["q_id"]) for row in saved))


def net_of_ids(tiles: Sequence[TileSpec], pairs: Iterable[tuple[str, str]]) -> Net:
    """Return the net of tiles and pairs of their ids.

    Parameters
    ----------
    tiles
        The tiles.
    pairs
        Pairs of tile ids; those with other tiles are left out.

    Returns
    -------
    Net
        Tiles in the order of z, row, column, id.
    """
    ordered = sorted(tiles, key=lambda t: (t.z, t.row, t.column, t.tile_id))
    at: dict[str, int] = {tile.tile_id: i for i, tile in enumerate(ordered)}
    found = (at.get(one, -1) for pair in pairs for one in pair)
    ends = np.fromiter(found, np.int64).reshape(-1, 2)
    p, q = ends[(ends >= 0).all(axis=1)].T
    z = np.array([tile.z for tile in ordered], float)
    return Net(ordered, p, q, np.abs(z[p] - z[q]))


def saved_ids(paths: Iterable[str | Path]) -> Iterator[tuple[str, str]]:
    """Read the tile ids of the saved pairs of result tables.

    Parameters
    ----------
    paths
        Tables with ``p_id``, ``q_id`` and ``saved``.

    Yields
    ------
    tuple of str
        p, q.
    """
    for path in paths:
        for p, q, saved in read_cells(path, ("p_id", "q_id", "saved")):
            if saved == "1":
                yield p, q


def degrees(net: Net) -> tuple[Int64, Int64]:
    """Count the pairs of each tile.

    Parameters
    ----------
    net
        n tiles and their pairs.

    Returns
    -------
    montage, cross : ndarray
        (n,) int64, pairs within the layer and with other layers.
    """
    n = len(net.tiles)
    montage = net.dz == 0
    both = np.concatenate([net.p, net.q])
    kind = np.concatenate([montage, montage])
    return np.bincount(both[kind], minlength=n), np.bincount(both[~kind], minlength=n)


def labels(net: Net, gone: Bool) -> Int64:
    """Return the cluster of each tile.

    A cluster has at least two tiles; of two alike the one with the earlier tile comes first. A
    volume of one tile is one cluster.

    Parameters
    ----------
    net
        n tiles and their pairs.
    gone
        (n,) bool, tiles that are left out.

    Returns
    -------
    ndarray
        (n,) int64: 1 the largest cluster, 2 the next ..., 0 for unconnected or gone.
    """
    n = len(net.tiles)
    kept = net.without(gone)
    link = coo_array((np.ones(len(kept.p)), (kept.p, kept.q)), shape=(n, n))
    piece = connected_components(link, directed=False)[1]
    size = np.bincount(piece[~gone], minlength=piece.max(initial=0) + 1)
    least = 1 if (~gone).sum() == 1 else 2
    real = np.flatnonzero(size >= least)
    # pieces are numbered in the order of their first tile
    ranked = real[np.argsort(-size[real], kind="stable")]
    number = np.zeros(len(size), np.int64)
    number[ranked] = np.arange(1, len(ranked) + 1)
    return np.where(gone, 0, number[piece])


def described(net: Net, label: Int64) -> list[dict[str, object]]:
    """Describe each cluster.

    Parameters
    ----------
    net
        n tiles.
    label
        (n,) int64 (`labels`).

    Returns
    -------
    list of dict
        Size, z range, cells, first and last tile; largest first.
    """
    out: list[dict[str, object]] = []
    members: dict[int, list[TileSpec]] = {}
    for tile, number in zip(net.tiles, label.tolist(), strict=True):
        members.setdefault(number, []).append(tile)
    for number in sorted(members.keys() - {0}):
        tiles = members[number]
        out.append(
            {
                "cluster": number,
                "tiles": len(tiles),
                "z_first": tiles[0].z,
                "z_last": tiles[-1].z,
                "cells": sorted({f"{t.row},{t.column}" for t in tiles}),
                "first_tile": tiles[0].tile_id,
                "last_tile": tiles[-1].tile_id,
            }
        )
    return out
