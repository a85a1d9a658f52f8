"""Measure what tiles of a layer show of the same places, for one chunk of layers.

Inputs
    ``stacks/<before>.json``: receipt of the stack before step intensity; ``ingest/chunks.tsv``
Outputs
    ``correct/overlaps/{chunk}.npz``: one row for each pair of regions, columns of `overlaps`
"""

from collections.abc import Mapping
from typing import Any

from scripts.correct import overlaps
from scripts.lib import array_files, made_by
from scripts.lib.chunks import chunk_range
from scripts.lib.drawing import compose
from scripts.lib.job import job
from scripts.lib.kept import Kept
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt, digest_seen


def main(
    *,
    source: str,
    chunks: str,
    out: str,
    chunk: str,
    render: Mapping[str, Any],
    regions: int,
    overlap_scale: float,
) -> None:
    """Draw the overlaps, sum them up, write."""
    before, client = StackReceipt.read(source), RenderClient(**render)
    client.require(before)
    tiles = client.tiles(before.stack, *chunk_range(chunks, chunk))
    z_range = chunk_range(chunks, chunk)
    settings = {"regions": regions, "overlap_scale": overlap_scale}
    kept = Kept.of_tiles([out], digest_seen(tiles), [*z_range, settings], code=made_by.OVERLAPS)
    if kept.restore():
        return
    top = max((tile.max_intensity for tile in tiles.tiles), default=255.0)
    layers = compose.place_layers(tiles)
    array_files.write(out, overlaps.measure(layers, (regions, regions), overlap_scale, top))
    kept.keep()


if __name__ == "__main__":
    with job(snakemake):
        main(
            source=snakemake.input.source,
            chunks=snakemake.input.chunks,
            out=snakemake.output[0],
            chunk=snakemake.wildcards.chunk,
            render=snakemake.params.render,
            regions=snakemake.params.regions,
            overlap_scale=snakemake.params.overlap_scale,
        )
