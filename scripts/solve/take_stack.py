"""Take the transforms of an aligned stack over, after a look at every tile of it.

Inputs
    stack ``v1_acquire`` (its receipt), and the stack that is taken over, which is only read
Outputs
    ``takeover/transforms.json.gz``  as ``solve/transforms.json.gz``
    ``takeover/tiles.tsv``           per acquired tile: taken, replaced (by a patch), absent, or
                                     outside of ``solve.z_range``
    ``takeover/stack.json``          owner, project, stack, numbers, digest
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib.files import write_json, write_table
from scripts.lib.job import job
from scripts.lib.service import source_client
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.solve import taken_over

log = logging.getLogger(__name__)


def main(
    *,
    acquire: str | Path,
    render: Mapping[str, Any],
    source: Mapping[str, Any],
    patch: Sequence[Mapping[str, Any]],
    out: Mapping[str, str],
    z_range: Sequence[float] | None = None,
) -> None:
    """Compare the stacks, and write the outputs, the receipt last."""
    client, theirs = RenderClient(**render), source_client.client(source)
    receipt = StackReceipt.read(acquire)
    client.require(receipt)
    acquired = client.tiles(receipt.stack)
    by_id = {str(tile.tile_id): tile for tile in acquired.tiles}
    limits = (z_range[0], z_range[1]) if z_range else taken_over.ALL_LAYERS
    found = taken_over.Compared(source["stack"], by_id, acquired.shared, limits)
    for part in theirs.parts(source["stack"]):
        found.add(part)
    found.require(patch)
    rows = found.rows()
    write_json(out["transforms"], {"tiles": found.affines})
    write_table(out["tiles"], taken_over.COLUMNS, rows)
    place = {key: source[key] for key in ("owner", "project")}
    write_json(out["receipt"], place | found.receipt(rows))
    log.info("%s: %d tiles are taken over", source["stack"], len(found.affines))


if __name__ == "__main__":
    with job(snakemake):
        main(
            acquire=snakemake.input.acquire,
            render=snakemake.params.render,
            source=snakemake.params.source,
            patch=snakemake.params.patch,
            z_range=snakemake.params.z_range,
            out=dict(snakemake.output.items()),
        )
