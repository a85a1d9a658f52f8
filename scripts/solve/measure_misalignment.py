"""Measure what the alignment of one chunk has left over, between layers and at the seams of tiles.

Inputs
    ``stacks/<align>.json`` (receipt of the aligned stack), ``ingest/chunks.tsv``

Output
    ``solve/misalignment/{chunk}.tsv.gz``: for each tile against the next layer (``step``; of a copy
    ``patch``) and each overlap of two tiles (``seam``) shift, standard error and mean square,
    full-resolution px, how many windows tell, and of steps how alike the next layer is and the one
    after it (see `scripts.solve.misalignment`). A step belongs to its lower layer.
"""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2

from scripts.lib import made_by
from scripts.lib.chunks import chunk_range
from scripts.lib.drawing import compose, windows
from scripts.lib.drawing.compose import Placed
from scripts.lib.drawing.pixels import held_open
from scripts.lib.drawing.windows import Settings
from scripts.lib.files import write_table
from scripts.lib.job import job
from scripts.lib.kept import Kept
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt, digest_seen
from scripts.solve import misalignment
from scripts.solve.misalignment import Row

log = logging.getLogger(__name__)
HELD_BYTES = 192 << 20  # of pictures: what the windows of some 24 tiles touch
NEXT = 10  # layers beyond the chunk in which the layers that follow its last one are looked for


def measured(
    layers: Mapping[int, list[Placed]], first: int, last: int, settings: Settings
) -> Iterator[Row]:
    """Yield the rows of the layers `first` to `last`, each against the next that has tiles.

    Parameters
    ----------
    layers
        Placed tiles by z.
    first, last
        Layers of the chunk, both included.
    settings
        How it is measured.

    Yields
    ------
    dict
        Rows of `misalignment.COLUMNS`; shifts in full-resolution px.
    """
    known = sorted(layers)
    for i, z in enumerate(known):
        if not first <= z <= last:
            continue
        yield from misalignment.seams(layers[z], settings)
        following = [layers[k] for k in known[i + 1 : i + 1 + NEXT] if k <= z + NEXT]
        yield from misalignment.steps(layers[z], following, settings)
        if not following:  # the last layer: what it shows of another is measured against that
            copies = [one for one in layers[z] if one.tile.is_copy]
            before = [layers[k] for k in reversed(known[max(0, i - NEXT) : i])]
            yield from misalignment.steps(copies, before, settings)


def main(
    *,
    align: str | Path,
    chunks: str | Path,
    chunk: str,
    out: str | Path,
    render: Mapping[str, Any],
    section: Mapping[str, Any],
) -> None:
    """Measure the layers of `chunk`."""
    client, receipt = RenderClient(**render), StackReceipt.read(align)
    client.require(receipt)
    first, last = chunk_range(chunks, chunk)
    tiles = client.tiles(receipt.stack, first, last + NEXT)
    settings = [first, last, dict(section)]
    kept = Kept.of_tiles([out], digest_seen(tiles), settings, code=made_by.MISALIGNMENT)
    if kept.restore():
        return
    layers = compose.place_layers(tiles)
    rows = measured(layers, first, last, windows.settings_of(section))
    cv2.setNumThreads(1)  # one job, one core
    with held_open(HELD_BYTES):  # some 60 windows of a tile are read, by three layers
        count = write_table(out, misalignment.COLUMNS, rows)
    kept.keep()
    log.info("chunk %s, z %d to %d: %d places", chunk, first, last, count)


if __name__ == "__main__":
    with job(snakemake):
        main(
            align=snakemake.input.align,
            chunks=snakemake.input.chunks,
            chunk=snakemake.wildcards.chunk,
            out=snakemake.output[0],
            render=snakemake.params.render,
            section=snakemake.params.misalignment,
        )
