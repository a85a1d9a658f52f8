"""List what each layer of a stack shows, so that jobs of unchanged layers need not start.

Inputs
    ``stacks/<stack>.json``, its receipt
Output
    ``stacks/layers/<stack>.tsv``: z, digest of the layer's tile specs, with size and time of their
    image files
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.lib import layer_digests
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt, digests_seen

log = logging.getLogger(__name__)


def main(*, receipt: str | Path, out: str | Path, render: Mapping[str, Any]) -> None:
    """Read the stack some layers at a time, and digest."""
    stack, client = StackReceipt.read(receipt), RenderClient(**render)
    client.require(stack)
    parts = client.parts(stack.stack) if stack.tile_count else ()
    log.info("%d layers", layer_digests.write(out, digests_seen(parts)))


if __name__ == "__main__":
    with job(snakemake):
        main(
            receipt=snakemake.input.receipt,
            out=snakemake.output[0],
            render=snakemake.params.render,
        )
