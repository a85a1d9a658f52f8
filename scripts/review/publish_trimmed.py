# mypy: disable-error-code="name-defined"
"""Publish the trimmed stack: the acquired tiles without those the review excluded.

Inputs
    stack ``v1_acquire`` (its receipt), ``review/tiles.tsv``, ``review/gate.json``

Output
    ``stacks/v1_acquire_trimmed.json``, the receipt
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from scripts.lib.files import read_table
from scripts.lib.job import job
from scripts.lib.receipts import StackReceipt
from scripts.lib.records import TileSet
from scripts.lib.render import RenderClient

log = logging.getLogger(__name__)


def trimmed(tiles: TileSet, excluded: set[str]) -> TileSet:
    """Give the tiles that are not in `excluded`."""
    return replace(tiles, tiles=tuple(t for t in tiles.tiles if t.tile_id not in excluded))


def resolution(version: Mapping[str, Any]) -> tuple[float, float, float]:
    """Give the x, y, z size of a voxel in nm of a stack version."""
    x, y, z = (float(version[f"stackResolution{axis}"]) for axis in "XYZ")
    return x, y, z


def main(
    *,
    acquire: str | Path,
    tiles: str | Path,
    gate: str | Path,
    out: str | Path,
    render: dict[str, Any],
    stack: str,
) -> None:
    """Publish `stack` and write its receipt."""
    client = RenderClient(**render)
    source = StackReceipt.read(acquire)
    client.require(source)
    excluded = {row["tile_id"] for row in read_table(tiles) if row["state"] == "excluded"}
    version = client.stack_metadata(source.stack)["currentVersion"]
    receipt = client.publish_stack(
        stack,
        trimmed(client.tiles(source.stack), excluded),
        resolution_nm=resolution(version),
        inputs=[acquire, gate],
        params={"excluded": len(excluded)},
        mipmaps=version.get("mipmapPathBuilder"),
    )
    receipt.write(out)
    log.info("stack %s: %d tiles, %d excluded", stack, receipt.tile_count, len(excluded))


if __name__ == "__main__":
    with job(snakemake):
        main(
            acquire=snakemake.input.acquire,
            tiles=snakemake.input.tiles,
            gate=snakemake.input.gate,
            out=snakemake.output[0],
            render=snakemake.params.render,
            stack=snakemake.params.stack,
        )
