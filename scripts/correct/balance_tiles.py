"""Solve for gain and offset of the regions of the tiles of one chunk.

Inputs
    ``stacks/<before>.json``: receipt of the stack before step intensity; ``ingest/chunks.tsv``;
    ``correct/levels.npz``; ``correct/overlaps/{chunk}.npz`` of the chunk and those around it
Outputs
    ``correct/maps/{chunk}.npz``: a map of each tile (see `regions.balanced`)
"""

from collections.abc import Mapping, Sequence
from typing import Any

from scripts.correct import overlaps, regions
from scripts.lib import array_files
from scripts.lib.chunks import chunk_range
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt


def main(
    *,
    source: str,
    chunks: str,
    measured: Sequence[str],
    levels: str,
    out: str,
    chunk: str,
    render: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> None:
    """Read the overlaps, solve layer by layer, write."""
    before, client = StackReceipt.read(source), RenderClient(**render)
    client.require(before)
    tiles = client.tiles(before.stack, *chunk_range(chunks, chunk)).tiles
    table = overlaps.joined(array_files.read(path) for path in measured)
    grey = regions.Grey(*array_files.read(levels)["grey"].tolist())
    array_files.write(out, regions.balanced(tiles, table, grey, settings))


if __name__ == "__main__":
    with job(snakemake):
        main(
            source=snakemake.input.source,
            chunks=snakemake.input.chunks,
            measured=snakemake.input.overlaps,
            levels=snakemake.input.levels,
            out=snakemake.output[0],
            chunk=snakemake.wildcards.chunk,
            render=snakemake.params.render,
            settings=snakemake.params.settings,
        )
