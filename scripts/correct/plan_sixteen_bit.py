"""List the raw 16-bit files of step 16bit, checked to exist, with their sizes.

Inputs
    ``stacks/<before>.json``: receipt of the stack before the step
Outputs
    ``correct/16bit_plan.tsv``: z, image (8-bit file), raw (where it is read), found (where it is
    now), bytes, restore (1: it is copied from the archive first)
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from scripts.correct import sixteen_bit
from scripts.lib import files
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt

log = logging.getLogger(__name__)


def main(
    *,
    source: str,
    plan: str,
    render: Mapping[str, Any],
    restore: bool,
    archive_root: str | None,
    taken: str | None = None,
) -> None:
    """Look for the files, write the list, state the sizes."""
    before, client = StackReceipt.read(source), RenderClient(**render)
    client.require(before)
    listed = files.read_table(taken) if taken else []
    rows = sixteen_bit.plan(
        client.tiles(before.stack),
        restore=restore,
        archive_root=archive_root,
        taken={row["align_h5"]: row["raw_h5"] for row in listed},
    )
    files.write_table(plan, sixteen_bit.PLAN_COLUMNS, (asdict(row) for row in rows))
    total, copied = (
        sum(row.bytes for row in rows if row.restore or not only) / 1e9 for only in (False, True)
    )
    log.info("16bit: %d files, %.3f GB, of these %.3f GB to restore", len(rows), total, copied)


if __name__ == "__main__":
    with job(snakemake):
        main(
            source=snakemake.input.source,
            plan=snakemake.output[0],
            render=snakemake.params.render,
            restore=snakemake.params.restore,
            archive_root=snakemake.params.archive_root,
            taken=snakemake.input.get("taken"),
        )
