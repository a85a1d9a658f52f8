"""Read what people decided about pairs, and check it against the tiles; nothing is carried out.

Inputs
    stack ``v1_acquire`` (its receipt), the landmarks that ``match.by_hand`` names
Output
    ``match/decided.json``: the entries of ``match.decisions``, and for each of ``match.by_hand``
    the matches of its landmarks, full-scale px of the matching frames. `close_matches` carries it
    out.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib.files import write_json
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.match import decided

log = logging.getLogger(__name__)


def main(
    *,
    acquire: str | Path,
    out: str | Path,
    render: Mapping[str, Any],
    decisions: Sequence[Mapping[str, Any]],
    by_hand: Sequence[Mapping[str, Any]],
    dz_exponent: float,
) -> None:
    """Write the decisions as `close_matches` reads them."""
    client = RenderClient(**render)
    receipt = StackReceipt.read(acquire)
    client.require(receipt)
    plan = decided.read(client.tiles(receipt.stack), decisions, by_hand, dz_exponent)
    write_json(out, plan.to_json())
    log.info("%d decisions, %d pairs by hand", len(plan.entries), len(plan.by_hand))


if __name__ == "__main__":
    with job(snakemake):
        main(
            acquire=snakemake.input.acquire,
            out=snakemake.output[0],
            render=snakemake.params.render,
            decisions=snakemake.params.decisions,
            by_hand=snakemake.params.by_hand,
            dz_exponent=snakemake.params.dz_exponent,
        )
