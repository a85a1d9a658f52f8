"""Publishing: a corrected stack in render-ws, filters and all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scripts.lib.drawing import filters
from scripts.lib.job import UserError
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.lib.service.records import TileSet


def publish(
    client: RenderClient,
    stack: str,
    tiles: TileSet,
    voxel_nm: Mapping[str, float],
    *,
    inputs: Sequence[str],
    params: Mapping[str, Any],
) -> StackReceipt:
    """Publish tiles as a stack; a layer is read back to see that its filters are kept.

    Parameters
    ----------
    client
        The service.
    stack
        Name of the new stack.
    tiles
        Its tiles.
    voxel_nm
        ``pixel_nm`` and ``z_nm`` of the acquisition.
    inputs
        Files that the receipt names with their digests.
    params
        What the receipt says of the step.

    Returns
    -------
    StackReceipt
        To be written by the job.

    Raises
    ------
    UserError
        When the service drops filters, as older versions of render-ws do silently: what is
        drawn from the stack would lack the corrections.
    """
    pixel_nm, z_nm = voxel_nm["pixel_nm"], voxel_nm["z_nm"]
    made = client.publish_stack(
        stack, tiles, resolution_nm=(pixel_nm, pixel_nm, z_nm), inputs=inputs, params=params
    )
    filtered = next((tile for tile in tiles.tiles if filters.filters_of(tile)), None)
    if filtered is not None:
        kept = {t.tile_id: t for t in client.tiles(stack, filtered.z, filtered.z).tiles}
        if filters.filters_of(kept[filtered.tile_id]) != filters.filters_of(filtered):
            raise UserError(
                f"stack {stack}: render-ws dropped filterSpec of tile {filtered.tile_id}; this"
                " version of the service holds no filters on tile specs: use a newer one, or the"
                " embedded service (render.url: '')"
            )
    return made
