"""Say what each slab of a growing volume is made of: jobs of slabs that are the same do not start.

Inputs
    ``export/plan.json``, ``stacks/<final>.json``, ``ingest/chunks.tsv``, ``zcorr/Zcoords.txt``;
    ``export/contrast.npz`` where 16 bit are shown in 8
Output
    ``export/slabs.tsv``: chunk, work = digest of the frame, of what each output layer is made of,
    of settings and contrast, and of tiles and images; not of the code
"""

import logging
from collections.abc import Mapping
from typing import Any

from scripts.export import slabs
from scripts.export.slab import Slab
from scripts.lib import files
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt, digest_seen

log = logging.getLogger(__name__)
COLUMNS = ("chunk", "work")


def main(
    *,
    plan: str,
    receipt: str,
    chunks: str,
    coordinates: str,
    out: str,
    render: Mapping[str, Any],
    export: Mapping[str, Any],
    limits: str | None = None,
) -> None:
    """Digest what one slab after another depends on."""
    stack, client = StackReceipt.read(receipt), RenderClient(**render)
    client.require(stack)
    what, rows = slabs.Plan.from_json(files.read_json(plan)), []
    for row in files.read_table(chunks):
        layers = int(row["z_first"]), int(row["z_last"])
        slab = Slab.of(what, layers, coordinates, export, limits)
        seen = digest_seen(client.tiles(stack.stack, *slab.layers)) if slab.layers else ""
        made_of = (what, slab.z_range, slab.mixed, slab.depends(export), seen)
        rows.append({"chunk": row["chunk"], "work": slabs.work(*made_of)})
    files.write_table(out, COLUMNS, rows)
    log.info("%d slabs", len(rows))


if __name__ == "__main__":
    with job(snakemake):
        main(
            plan=snakemake.input.plan,
            receipt=snakemake.input.receipt,
            chunks=snakemake.input.chunks,
            coordinates=snakemake.input.coordinates,
            out=snakemake.output[0],
            render=snakemake.params.render,
            export=snakemake.params.export,
            limits=next(iter(snakemake.input.get("contrast", [])), None),
        )
