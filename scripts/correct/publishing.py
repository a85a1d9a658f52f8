"""Publishing: a corrected stack in render-ws, filters and all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scripts.lib.drawing import filters
from scripts.lib.job import UserError
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.lib.service.records import TileSet

_REMEDY = (
    "use one that keeps them (the branch newsolver of the known one), or copy the project to the"
    " embedded one and set render.url to it: python -m scripts.render_ws copy"
    " (docs/render-ws.md, From one service to another)"
)


def publish(
    client: RenderClient,
    stack: str,
    tiles: TileSet,
    voxel_nm: Mapping[str, float],
    *,
    inputs: Sequence[str],
    params: Mapping[str, Any],
) -> StackReceipt:
    """Publish tiles as a stack, in a service that is known to keep their filters.

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
        When the service drops filters, as some versions of render-ws do silently: what is drawn
        from the stack would lack the corrections. It is asked before anything is written.
    """
    filtered = next((tile for tile in tiles.tiles if filters.filters_of(tile)), None)
    if filtered is not None and not client.keeps_filters(filtered):
        raise UserError(
            f"stack {stack}: this render-ws drops filterSpec of tile specs, so it cannot hold"
            f" grey-value corrections: {_REMEDY}"
        )
    pixel_nm, z_nm = voxel_nm["pixel_nm"], voxel_nm["z_nm"]
    return client.publish_stack(
        stack, tiles, resolution_nm=(pixel_nm, pixel_nm, z_nm), inputs=inputs, params=params
    )
