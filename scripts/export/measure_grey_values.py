"""Measure the 16-bit grey values of some layers of a chunk, for the contrast in 8 bit.

Inputs
    ``stacks/<final>.json``, ``ingest/chunks.tsv``
Outputs
    ``export/grey_values/{chunk}.npz``: of every n-th layer the histogram, and by cell of a grid
    number, sum and sum of squares of the pixels that hold anything (see `contrast.Measured`)

Pixels are those of full resolution: what is averaged has lost its noise, and its extremes. While a
volume grows its bounds are rounded to whole cells, and a chunk of the same tiles is not measured
again.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scripts.export import contrast
from scripts.lib import made_by
from scripts.lib.arrays import Voxels
from scripts.lib.chunks import chunk_range
from scripts.lib.drawing import compose
from scripts.lib.geometry import Box
from scripts.lib.job import job
from scripts.lib.kept import Kept
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt, digest_seen

log = logging.getLogger(__name__)


def main(
    *,
    receipt: str,
    chunks: str,
    out: str,
    chunk: str,
    render: Mapping[str, Any],
    settings: Mapping[str, Any],
    grows: bool = False,
) -> None:
    """Draw some layers cell by cell, and measure."""
    stack, client = StackReceipt.read(receipt), RenderClient(**render)
    client.require(stack)
    tiles = client.tiles(stack.stack, *chunk_range(chunks, chunk))
    cells = contrast.grid(stack.bounds, settings["cell_px"], whole=grows)
    made_of = [dict(settings), [cells[0][0].x0, cells[0][0].y0], len(cells), len(cells[0])]
    kept = Kept.of_tiles([out], digest_seen(tiles), made_of, code=made_by.GREY_VALUES)
    if grows and kept.restore():
        return
    placed = compose.place_layers(tiles)
    wanted = contrast.sampled(list(placed), settings["every_layers"])
    log.info(
        "chunk %s: %d of %d layers, %d rows of cells", chunk, len(wanted), len(placed), len(cells)
    )
    measured(wanted, placed, cells).save(out)
    if grows:
        kept.keep()


def measured(
    layers: Sequence[int],
    placed: Mapping[int, list[compose.Placed]],
    cells: Sequence[Sequence[Box]],
) -> contrast.Measured:
    """Measure layers.

    Parameters
    ----------
    layers
        Their z.
    placed
        Tiles by z.
    cells
        Of the grid.

    Returns
    -------
    Measured
        Of all these layers.
    """
    shape = len(layers), len(cells), len(cells[0])
    histogram, sums = np.zeros((len(layers), contrast.BINS), np.int64), np.zeros((*shape, 3))
    for k, z in enumerate(layers):
        for i, row in enumerate(cells):
            for j, box in enumerate(row):
                found, sums[k, i, j] = contrast.of_cell(_drawn(placed[z], box))
                histogram[k] += found
    centres_y = np.array([(row[0].y0 + row[0].y1 - 1) / 2 for row in cells])
    centres_x = np.array([(box.x0 + box.x1 - 1) / 2 for box in cells[0]])
    count, total, squares = np.moveaxis(sums, -1, 0)
    at = np.array(layers, np.int64)
    return contrast.Measured(at, histogram, count, total, squares, centres_y, centres_x)


def _drawn(placed: Sequence[compose.Placed], box: Box) -> Voxels:
    return compose.prepare(placed, box, dtype="uint16").rows(slice(None)).pixels


if __name__ == "__main__":
    with job(snakemake):
        main(
            receipt=snakemake.input.receipt,
            chunks=snakemake.input.chunks,
            out=snakemake.output[0],
            chunk=snakemake.wildcards.chunk,
            render=snakemake.params.render,
            settings=snakemake.params.settings,
            grows=snakemake.params.get("grows", False),
        )
