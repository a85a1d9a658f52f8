"""Aligned: the trimmed tiles with what the solve has found for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from scripts.lib import commands, geometry
from scripts.lib.job import UserError
from scripts.lib.service.records import Leaf, TileSet
from scripts.lib.transforms import AFFINE, affine_data

FIELD = "mpicbg.trakem2.transform.ThinPlateSplineTransform"


def aligned(
    tiles: TileSet,
    affines: Mapping[str, Sequence[float]],
    fields: Mapping[str, str] | None = None,
) -> TileSet:
    """Return the tiles with the solved affine as last transform, and their new bounds.

    Parameters
    ----------
    tiles
        The trimmed tiles.
    affines
        m00, m10, m01, m11, m02, m12 by tile id, matching frame to world.
    fields
        Data strings of splines by tile id, which stand before the affine: what comes later
        replaces the last transform and leaves them where they are.

    Returns
    -------
    TileSet
        With bounds in world px.

    Raises
    ------
    UserError
        When a tile has no solved transform; the message names it.
    """
    missing = [tile.tile_id for tile in tiles.tiles if tile.tile_id not in affines]
    if missing:
        raise UserError(
            f"solve/transforms.json.gz: expected a transform for each tile, found none for"
            f" {len(missing)}: {', '.join(missing[:5])}; type: {commands.again('solve_transforms')}"
        )
    fields = fields or {}
    moved = []
    for tile in tiles.tiles:
        last = Leaf(AFFINE, affine_data(geometry.from_wire(affines[tile.tile_id])))
        data = fields.get(tile.tile_id)
        field = () if data is None else (Leaf(FIELD, data),)
        changed = (*tile.transforms[:-1], *field, last)
        moved.append(tile.changed(transforms=changed, bounds=None))
    return replace(tiles, tiles=tuple(moved)).with_bounds()
