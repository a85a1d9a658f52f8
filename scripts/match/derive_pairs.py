"""Derive the pairs of tiles that one run compares in one chunk.

Reads the stack `v1_acquire` from the chunk's first layer to `z_distance` beyond its last.
Writes ``match/pairs/{run}/{chunk}.tsv.gz``: p_group, p_id, q_group, q_id, dz (layers), p_position,
q_position; a pair belongs to the chunk of its lower tile. Method: TilePairDerivationParameters
of render.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib.chunks import chunk_range
from scripts.lib.files import write_table
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.match import pairs, presets, tables

log = logging.getLogger(__name__)


def main(
    *,
    stack: str | Path,
    chunks: str | Path,
    chunk: str,
    run: str,
    out: str | Path,
    render: dict[str, Any],
    stage_tables: Sequence[Mapping[str, Any]],
    z_distance: int,
) -> None:
    """Write the pairs of `run` in `chunk`."""
    client = RenderClient(**render)
    receipt = StackReceipt.read(stack)
    client.require(receipt)
    first, last = chunk_range(chunks, chunk)
    tiles = client.tiles(receipt.stack, first, last + z_distance).tiles
    side_px = max((max(tile.width, tile.height) for tile in tiles), default=0)
    rules = presets.read_run(presets.choose(stage_tables, side_px), run, z_distance).rules
    found = pairs.derive(tiles, rules, first, last)
    write_table(out, tables.PAIR_COLUMNS, map(tables.pair_row, found))
    log.info("run %s, z %g to %g: %d tiles, %d pairs", run, first, last, len(tiles), len(found))


if __name__ == "__main__":
    with job(snakemake):
        main(
            stack=snakemake.input.stack,
            chunks=snakemake.input.chunks,
            chunk=snakemake.wildcards.chunk,
            run=snakemake.wildcards.run,
            out=snakemake.output[0],
            render=snakemake.params.render,
            stage_tables=snakemake.params.stage_tables,
            z_distance=snakemake.params.z_distance,
        )
