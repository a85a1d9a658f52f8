"""Straighten: take the linear lean of the stack in z out by one shear.

The centre of the bounding box goes from its place in the first layer to its place in the last;
layer z moves back by its linear share of that. Curvature stays. Facts: spec solve-export 4.4
(render's StackStraighteningClient).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from scripts.lib import geometry, transforms
from scripts.lib.geometry import Array, Box
from scripts.lib.records import Leaf, TileSet, TileSpec


def estimate(tiles: TileSet) -> dict[str, Any]:
    """Measure the lean: ``z_first``, ``z_last`` and how far the centre goes between, x, y in px.

    Raises
    ------
    ValueError
        When there are not two layers.
    """
    layers = sorted({tile.z for tile in tiles.tiles})
    if len(layers) < 2:
        raise ValueError(f"straighten needs two layers, found {len(layers)}")
    first, last = layers[0], layers[-1]
    lean = _centre(tiles, last) - _centre(tiles, first)
    return {"z_first": first, "z_last": last, "lean_px": [float(v) for v in lean]}


def apply(tiles: TileSet, parameters: Mapping[str, Any]) -> TileSet:
    """Give the tiles with the lean of `estimate` taken out, bounds included.

    Raises
    ------
    TypeError
        When a tile's last transform is not affine.
    """
    first, last = parameters["z_first"], parameters["z_last"]
    lean = np.array(parameters["lean_px"])
    moved = tuple(
        _moved(tiles, tile, -(tile.z - first) / (last - first) * lean) for tile in tiles.tiles
    )
    return replace(tiles, tiles=moved).with_bounds()


def _centre(tiles: TileSet, z: float) -> Array:
    """Centre x, y of the bounding box of a layer, world px."""
    box = Box.around(tile.box for tile in tiles.tiles if tile.z == z)
    return np.array([(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2])


def _moved(tiles: TileSet, tile: TileSpec, shift: Array) -> TileSpec:
    """Put a translation after the last affine (PRE_CONCATENATE_LAST), kept as one affine."""
    last = tiles.chain(tile).parts[-1]
    if not isinstance(last, transforms.Affine):
        raise TypeError(f"tile {tile.tile_id}: its last transform is not affine")
    matrix = geometry.compose(geometry.translation(*shift), last.matrix)
    return tile.with_last(Leaf(transforms.AFFINE, transforms.affine_data(matrix)))
