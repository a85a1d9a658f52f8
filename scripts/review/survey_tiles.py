"""Look at every tile of one chunk beside the same cell of the layers around it.

Inputs
    stack ``v1_acquire`` (its receipt) from two layers before the chunk to two after it, the images

Output
    ``review/survey/{chunk}.tsv.gz``: per tile texture and noise (grey levels of a small mipmap
    level), shares of saturated area and of rows without signal, correlation with the likest
    neighbor, share of the area that resembles no neighbor although they resemble each other
    (method: `scripts.review.likeness`), shift to the neighbor (px of the level read)
"""

import logging
from pathlib import Path
from typing import Any

import cv2

from scripts.lib import made_by
from scripts.lib.chunks import chunk_range
from scripts.lib.files import write_table
from scripts.lib.job import job
from scripts.lib.kept import Kept
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt, digest_seen
from scripts.review import survey

log = logging.getLogger(__name__)


def main(
    *, acquire: str | Path, chunks: str | Path, chunk: str, out: str | Path, render: dict[str, Any]
) -> None:
    """Write the survey of `chunk`."""
    cv2.setNumThreads(1)  # one job, one core
    client = RenderClient(**render)
    receipt = StackReceipt.read(acquire)
    client.require(receipt)
    first, last = chunk_range(chunks, chunk)
    found = client.tiles(receipt.stack, first - survey.REACH, last + survey.REACH)
    kept = Kept.of_tiles([out], digest_seen(found), [first, last], code=made_by.SURVEY)
    if kept.restore():
        return
    count = write_table(out, survey.COLUMNS, survey.survey(found.tiles, first, last))
    kept.keep()
    log.info("chunk %s, z %g to %g: %d tiles", chunk, first, last, count)


if __name__ == "__main__":
    with job(snakemake):
        main(
            acquire=snakemake.input.acquire,
            chunks=snakemake.input.chunks,
            chunk=snakemake.wildcards.chunk,
            out=snakemake.output[0],
            render=snakemake.params.render,
        )
