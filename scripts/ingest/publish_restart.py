"""Publish stack v1_acquire_restart: the layers around every restart of the microscope.

Inputs: receipt `stacks/v1_acquire.json`, `ingest/restarts.tsv`. Outputs: the stack, COMPLETE, with
all layers within `context_layers` of a restart; last, the receipt `stacks/v1_acquire_restart.json`.
Without a restart there is no stack, and the receipt says so: it has no tile.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.ingest import restarts
from scripts.lib import made_by
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.lib.service.records import TileSet


def main(
    *,
    render: dict[str, Any],
    acquire: str,
    restart_table: str,
    context_layers: int,
    pixel_nm: float,
    z_nm: float,
    receipt: str,
) -> None:
    """Copy the layers around restarts into a stack of their own."""
    client, source = RenderClient(**render), StackReceipt.read(acquire)
    client.require(source)
    spans = restarts.spans(restarts.read(restart_table), context_layers)
    made_of: dict[str, Any] = {
        "inputs": [acquire, restart_table],
        "params": {"context_layers": context_layers, "restarts": len(spans)},
        "code": made_by.RESTART,
    }
    stack = Path(receipt).stem
    published = client.published(stack, **made_of)
    if published is None:
        published = _publish(
            client, source.stack, stack, spans, (pixel_nm, pixel_nm, z_nm), made_of
        )
    published.write(receipt)


def _publish(
    client: RenderClient,
    source: str,
    stack: str,
    spans: Sequence[tuple[int, int]],
    resolution_nm: tuple[float, float, float],
    made_of: Mapping[str, Any],
) -> StackReceipt:
    tiles = TileSet.merged(client.tiles(source, *span) for span in spans)
    if not tiles.tiles:
        return client.withdraw_stack(stack, **made_of)
    mipmaps = client.stack_metadata(source)["currentVersion"].get("mipmapPathBuilder")
    return client.publish_stack(
        stack, tiles, resolution_nm=resolution_nm, mipmaps=mipmaps, **made_of
    )


if __name__ == "__main__":
    with job(snakemake):
        main(
            render=snakemake.params.render,
            acquire=snakemake.input.acquire,
            restart_table=snakemake.input.restarts,
            context_layers=snakemake.params.context_layers,
            pixel_nm=snakemake.params.pixel_nm,
            z_nm=snakemake.params.z_nm,
            receipt=snakemake.output[0],
        )
