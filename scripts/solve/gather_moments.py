"""Gather the moments of the matches of one chunk, so that the solve need not read all points.

What
    A pair belongs to the chunk of its lower z, whichever of its tiles is p: p and q are in text
    order of their section ids. So the p groups of the chunk and of the `z_distance` layers after
    it (of more where matches made by hand reach farther, as the receipt says) are read, and the
    pairs of the chunk kept.

Inputs
    the match collection and that of the review (their receipts), ``ingest/chunks.tsv``

Output
    ``solve/moments/{chunk}.npz``: for each pair count, weight, centroids and centred second moments
    (see `scripts.solve.moments`), matching-frame px.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.lib.array_files import write_columns
from scripts.lib.chunks import chunk_range
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import CollectionReceipt
from scripts.solve import moments

log = logging.getLogger(__name__)


def main(
    *,
    matches: Sequence[str | Path],
    chunks: str | Path,
    chunk: str,
    out: str | Path,
    render: dict[str, Any],
    z_distance: int,
    point_cutoff: float,
) -> None:
    """Write the moments of `chunk`."""
    client = RenderClient(**render)
    first, last = chunk_range(chunks, chunk)
    parts = []
    for receipt in map(CollectionReceipt.read, matches):
        client.require(receipt)
        name, reach = receipt.collection, receipt.reach_layers(z_distance)
        parts.append(moments.gathered(client, name, first, last, reach=reach, cutoff=point_cutoff))
    found = moments.joined(parts)
    write_columns(out, found)
    log.info("chunk %s, z %g to %g: %d pairs", chunk, first, last, len(found))


if __name__ == "__main__":
    with job(snakemake):
        main(
            matches=snakemake.input.matches,
            chunks=snakemake.input.chunks,
            chunk=snakemake.wildcards.chunk,
            out=snakemake.output[0],
            render=snakemake.params.render,
            z_distance=snakemake.params.z_distance,
            point_cutoff=snakemake.params.point_cutoff,
        )
