"""Measure place by place what the affines of one chunk have left, where `solve.refine` is `field`.

Inputs
    the trimmed stack (its receipt), ``solve/transforms.json.gz``, ``ingest/chunks.tsv``

Output
    ``solve/displacements/{chunk}.npz``: windows of a lattice on each tile against the next layer,
    and in the overlaps of tiles: places in both tiles and the shift between them, px (see
    `scripts.solve.displacements`)
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from scripts.lib.array_files import write_columns
from scripts.lib.chunks import chunk_range
from scripts.lib.drawing import compose, windows
from scripts.lib.files import read_json
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.solve import displacements
from scripts.solve.aligned import aligned

log = logging.getLogger(__name__)


def main(
    *,
    trimmed: str | Path,
    transforms: str | Path,
    chunks: str | Path,
    chunk: str,
    out: str | Path,
    render: Mapping[str, Any],
    cell_px: float,
    section: Mapping[str, Any],
) -> None:
    """Measure the layers of `chunk`."""
    client, receipt = RenderClient(**render), StackReceipt.read(trimmed)
    client.require(receipt)
    affines = read_json(transforms)["tiles"]
    first, last = chunk_range(chunks, chunk)
    tiles = client.tiles(receipt.stack, first, last + displacements.NEXT)
    solved = replace(tiles, tiles=tuple(one for one in tiles.tiles if one.tile_id in affines))
    layers = compose.place_layers(aligned(solved, affines))
    settings = windows.settings_of(section)
    found = displacements.measured(layers, first, last, settings, cell_px)
    write_columns(out, found)
    log.info("chunk %s, z %d to %d: %d windows", chunk, first, last, len(found))


if __name__ == "__main__":
    with job(snakemake):
        main(
            trimmed=snakemake.input.trimmed,
            transforms=snakemake.input.transforms,
            chunks=snakemake.input.chunks,
            chunk=snakemake.wildcards.chunk,
            out=snakemake.output[0],
            render=snakemake.params.render,
            cell_px=snakemake.params.cell_px,
            section=snakemake.params.misalignment,
        )
