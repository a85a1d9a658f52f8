"""See which patches of a round hold; those that match nothing but their own source try another.

Inputs
    stack ``v1_acquire`` (its receipt), ``review/patches/{round - 1}.tsv``,
    ``review/patch_results/{round}/{run}.tsv.gz`` of this round and those before

Output
    ``review/patches/{round}.tsv``: what the next round starts from
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.lib.files import read_table, write_table
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.review import patches

log = logging.getLogger(__name__)


def main(
    *,
    acquire: str | Path,
    patch_table: str | Path,
    results: Sequence[str | Path],
    out: str | Path,
    number: int,
    render: dict[str, Any],
) -> None:
    """Write the table of the patches after round `number`."""
    client = RenderClient(**render)
    receipt = StackReceipt.read(acquire)
    client.require(receipt)
    at = patches.places(client.tiles(receipt.stack).tiles)
    found = [row for path in results for row in read_table(path)]
    rows = patches.next_round(read_table(patch_table), found, at, number=number + 1)
    write_table(out, patches.COLUMNS, rows)
    again = sum(int(row["round"]) == number + 1 for row in rows)
    log.info("round %d: %d patches, %d try another source", number, len(rows), again)


if __name__ == "__main__":
    with job(snakemake):
        main(
            acquire=snakemake.input.acquire,
            patch_table=snakemake.input.patches,
            results=snakemake.input.results,
            out=snakemake.output[0],
            number=int(snakemake.wildcards.round),
            render=snakemake.params.render,
        )
