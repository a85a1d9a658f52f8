"""Look at the match collection that is taken over: is it this volume's, and how much does it hold.

Inputs
    stack ``v1_acquire`` (its receipt)
Outputs
    ``takeover/matches.json``: owner, collection, numbers of pairs, points and tiles. The collection
    is read; `match_pairs` copies its pairs into this volume's own.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.lib.files import write_json
from scripts.lib.job import job
from scripts.lib.service import source_client
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.match import given

log = logging.getLogger(__name__)


def main(
    *, acquire: str | Path, render: Mapping[str, Any], source: Mapping[str, Any], out: str | Path
) -> None:
    """Count, and write the receipt."""
    client, name = RenderClient(**render), source["matches"]
    receipt = StackReceipt.read(acquire)
    client.require(receipt)
    theirs = source_client.client(source)
    found = given.look(theirs, name, client.tile_ids(receipt.stack))
    write_json(out, {"owner": source["owner"], "collection": name, **found})
    log.info("%s: %s", name, found)


if __name__ == "__main__":
    with job(snakemake):
        main(
            acquire=snakemake.input.acquire,
            render=snakemake.params.render,
            source=snakemake.params.source,
            out=snakemake.output[0],
        )
