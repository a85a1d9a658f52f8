"""Say what each slab of a preview is made of, so that only slabs with something new are rendered.

Inputs
    ``preview/plan.json``, ``stacks/imaging_preview.json``, ``preview/chunks.tsv``,
    ``preview/layers.tsv``
Outputs
    ``preview/slabs.tsv``: chunk, z_first, z_last (inclusive), made_of = digest of the volume's
    frame, the slab's tile specs, and size and time of their image files
    ``preview/Zcoords.txt``: every layer with tiles at its own z
"""

import logging
from collections.abc import Mapping
from typing import Any

from scripts.export import preview, slabs
from scripts.lib import files
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt

log = logging.getLogger(__name__)


def main(
    *,
    plan: str,
    receipt: str,
    chunks: str,
    layers: str,
    table: str,
    coordinates: str,
    render: Mapping[str, Any],
) -> None:
    """Digest the tiles of one slab after another."""
    stack, client = StackReceipt.read(receipt), RenderClient(**render)
    client.require(stack)
    what = slabs.Plan.from_json(files.read_json(plan))
    rows = []
    for row in preview.slab_rows(what, files.read_table(chunks)):
        tiles = client.tiles(stack.stack, row["z_first"], row["z_last"])
        rows.append(row | {"made_of": preview.made_of(what, row, tiles)})
    files.write_text(coordinates, preview.coordinates(files.read_table(layers)))
    files.write_table(table, preview.COLUMNS, rows)
    log.info("%d slabs", len(rows))


if __name__ == "__main__":
    with job(snakemake):
        main(
            plan=snakemake.input.plan,
            receipt=snakemake.input.receipt,
            chunks=snakemake.input.chunks,
            layers=snakemake.input.layers,
            table=snakemake.output.table,
            coordinates=snakemake.output.coordinates,
            render=snakemake.params.render,
        )
