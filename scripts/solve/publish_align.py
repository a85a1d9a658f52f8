"""Publish the align stack: the trimmed stack with every last transform replaced by the solved one.

Inputs
    the trimmed stack (its receipt), ``solve/transforms.json.gz``

Output
    ``stacks/v1_acquire_trimmed_align.json``, the receipt; bounding boxes are derived anew.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scripts.lib import commands, geometry
from scripts.lib.files import read_json
from scripts.lib.job import UserError, job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.lib.service.records import Leaf, TileSet
from scripts.lib.transforms import AFFINE, affine_data

log = logging.getLogger(__name__)


def aligned(tiles: TileSet, affines: Mapping[str, Sequence[float]]) -> TileSet:
    """Return the tiles with the solved affine as last transform, and their new bounds.

    Parameters
    ----------
    tiles
        The trimmed tiles.
    affines
        m00, m10, m01, m11, m02, m12 by tile id, matching frame to world.

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
    moved = tuple(
        tile.with_last(Leaf(AFFINE, affine_data(geometry.from_wire(affines[tile.tile_id]))))
        for tile in tiles.tiles
    )
    return replace(tiles, tiles=moved).with_bounds()


def main(
    *,
    trimmed: str | Path,
    transforms: str | Path,
    out: str | Path,
    render: dict[str, Any],
    stack: str,
    params: Mapping[str, Any],
) -> None:
    """Publish `stack` and write its receipt."""
    client = RenderClient(**render)
    source = StackReceipt.read(trimmed)
    client.require(source)
    chosen = client.tiles(source.stack, *(params["z_range"] or ()))
    tiles = aligned(chosen, read_json(transforms)["tiles"])
    version = client.stack_metadata(source.stack)["currentVersion"]
    receipt = client.publish_stack(
        stack,
        tiles,
        resolution_nm=client.resolution(source.stack),
        inputs=[trimmed, transforms],
        params=params,
        mipmaps=version.get("mipmapPathBuilder"),
    )
    receipt.write(out)
    log.info("stack %s: %d tiles", stack, receipt.tile_count)


if __name__ == "__main__":
    with job(snakemake):
        main(
            trimmed=snakemake.input.trimmed,
            transforms=snakemake.input.transforms,
            out=snakemake.output[0],
            render=snakemake.params.render,
            stack=snakemake.params.stack,
            params=snakemake.params.solve,
        )
