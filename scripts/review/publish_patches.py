"""Publish the tiles of one round of patches with those they are compared with, and their pairs.

Inputs
    stack ``v1_acquire`` (its receipt), ``match/pairs/{run}/{chunk}.tsv.gz``,
    ``review/patches/{round - 1}.tsv``

Outputs
    ``stacks/v1_acquire_patch{round}.json``  receipt of a small stack: patches and their partners
    ``review/patch_pairs/{round}/{run}.tsv.gz``  pairs that touch a patch new in this round
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib.files import read_table, write_table
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.lib.service.records import TileSet, TileSpec
from scripts.review import patches

log = logging.getLogger(__name__)


def main(
    *,
    acquire: str | Path,
    patch_table: str | Path,
    plans: Mapping[str, Sequence[str | Path]],
    out: str | Path,
    pairs_out: Mapping[str, str],
    number: int,
    render: dict[str, Any],
    stack: str,
) -> None:
    """Write the pairs of each run, publish `stack`, write its receipt."""
    client = RenderClient(**render)
    source = StackReceipt.read(acquire)
    client.require(source)
    tiles = client.tiles(source.stack)
    rows = read_table(patch_table)
    known: dict[str, TileSpec] = {tile.tile_id: tile for tile in tiles.tiles}
    now = patches.patched(patches.places(tiles.tiles), rows)
    touched: set[str] = set()
    for run, paths in plans.items():
        steps = patches.steps((row for path in paths for row in read_table(path)), known)
        found = patches.pairs(rows, now, steps, number=number)
        touched |= {pair[end] for pair in found for end in ("p_id", "q_id")}
        write_table(pairs_out[run], patches.PAIR_COLUMNS, found)
    chosen = tuple(tile for tile in now.values() if tile.tile_id in touched)
    inputs = [acquire, patch_table]
    if chosen:
        whole, size = TileSet(chosen, tiles.shared), client.resolution(source.stack)
        receipt = client.publish_stack(stack, whole, resolution_nm=size, inputs=inputs)
    else:
        receipt = client.withdraw_stack(stack, inputs=inputs, params={})
    receipt.write(out)
    log.info("round %d: %d patches, %d tiles to compare", number, len(rows), len(chosen))


if __name__ == "__main__":
    with job(snakemake):
        main(
            acquire=snakemake.input.acquire,
            patch_table=snakemake.input.patches,
            plans={run: snakemake.input[run] for run in snakemake.params.runs},
            out=snakemake.output.receipt,
            pairs_out={run: snakemake.output[run] for run in snakemake.params.runs},
            number=int(snakemake.wildcards.round),
            render=snakemake.params.render,
            stack=snakemake.params.stack,
        )
