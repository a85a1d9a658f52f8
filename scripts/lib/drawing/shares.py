"""Shares: what each tile adds to a picture of several."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scripts.lib.arrays import Float32
from scripts.lib.drawing import warp
from scripts.lib.drawing.compose import Picture
from scripts.lib.drawing.maps import Grid, Placed
from scripts.lib.geometry import Box


def shares(
    placed: Sequence[Placed],
    box: Box,
    *,
    blend: str = "feather",
    interpolation: str = "linear",
) -> list[tuple[Picture, Float32]]:
    """Render each tile by itself, at full scale, with the share that it has of what `render` shows.

    Parameters
    ----------
    placed, box, blend, interpolation
        As of `compose.render`.

    Returns
    -------
    list of tuple
        Of each tile, in order of their ids, its picture and its share (h, w), 0 to 1. Where there
        is data the shares add up to 1; pixels times shares add up to what `compose.render` shows.
    """
    grid = Grid(box, 1.0)
    found = [_alone(one, grid, interpolation) for one in sorted(placed, key=_order)]
    weights = [weight for _, weight in found]
    if blend == "last":  # nothing is left of those that a later one covers
        later = np.zeros(grid.shape, bool)
        for weight in reversed(weights):
            weight *= ~later
            np.sign(weight, out=weight)
            later |= weight > 0
    total = np.sum(weights, axis=0, initial=0.0)
    shares = [np.divide(each, total, out=np.zeros_like(each), where=total > 0) for each in weights]
    return [(picture, share) for (picture, _), share in zip(found, shares, strict=True)]


def _order(one: Placed) -> str:
    return one.tile.tile_id


def _alone(one: Placed, grid: Grid, interpolation: str) -> tuple[Picture, Float32]:
    """Return what a tile shows, and its weights, (h, w) of the grid."""
    values, weight = np.zeros(grid.shape, np.float32), np.zeros(grid.shape, np.float32)
    found = warp.warp(one, grid, 0, how=interpolation)
    if found is not None:
        values[found.window], weight[found.window] = found.values, found.weights(found.window)
    return Picture(values * (weight > 0), weight > 0), weight
