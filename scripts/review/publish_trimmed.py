"""Publish the trimmed stack: the acquired tiles without those the review excluded or replaced.

Inputs
    stack ``v1_acquire`` (its receipt), ``review/tiles.tsv``, ``review/patches.tsv`` (those that
    hold take the places of the tiles they replace), ``review/gate.json``

Output
    ``stacks/v1_acquire_trimmed.json``, the receipt
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scripts.lib.files import read_table
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.lib.service.records import TileSet
from scripts.review import patches

log = logging.getLogger(__name__)


def trimmed(
    tiles: TileSet, excluded: set[str], patch_rows: Sequence[Mapping[str, str]] = ()
) -> TileSet:
    """Return the tiles that are not in `excluded`, with the patches that hold in their places.

    Parameters
    ----------
    tiles
        All acquired tiles.
    excluded
        Tile ids.
    patch_rows
        Rows of ``review/patches.tsv``.

    Returns
    -------
    TileSet
        In the order of `tiles`.
    """
    held = [row for row in patch_rows if row["state"] == "patched"]
    now = patches.patched(patches.places(tiles.tiles), held) if held else None
    kept = tiles.tiles if now is None else now.values()
    return replace(tiles, tiles=tuple(t for t in kept if t.tile_id not in excluded))


def main(
    *,
    acquire: str | Path,
    tiles: str | Path,
    patch_table: str | Path,
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
    rows = read_table(patch_table)
    version = client.stack_metadata(source.stack)["currentVersion"]
    receipt = client.publish_stack(
        stack,
        trimmed(client.tiles(source.stack), excluded, rows),
        resolution_nm=client.resolution(source.stack),
        inputs=[acquire, gate, patch_table],
        params={"excluded": len(excluded), "patched": sum(r["state"] == "patched" for r in rows)},
        mipmaps=version.get("mipmapPathBuilder"),
    )
    receipt.write(out)
    log.info("stack %s: %d tiles, %d excluded", stack, receipt.tile_count, len(excluded))


if __name__ == "__main__":
    with job(snakemake):
        main(
            acquire=snakemake.input.acquire,
            tiles=snakemake.input.tiles,
            patch_table=snakemake.input.patches,
            gate=snakemake.input.gate,
            out=snakemake.output[0],
            render=snakemake.params.render,
            stack=snakemake.params.stack,
        )
