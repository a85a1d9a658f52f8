"""Show on the review page what the thickness proposes: tiles of layers that fit neither neighbor.

Inputs
    ``zcorr/proposals.yaml`` (form of ``review/proposals.yaml``), stack ``v1_acquire`` (its receipt)
    and its images

Outputs
    ``review/thickness.js``    fills the place that ``review/index.html`` keeps for it; that page is
    older than the solve, and is not written again
    ``review/thickness.json``  the pictures, for the report
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from scripts.lib.files import write_json, write_text
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.review import page, patches
from scripts.review.survey import read_pixels

log = logging.getLogger(__name__)

Entries = Sequence[Mapping[str, Any]]


def around(client: RenderClient, stack: str, entries: Entries) -> dict[patches.Place, Any]:
    """Return the tiles of the layers of `entries` that are shown, and of those beside them.

    Parameters
    ----------
    client
        The service.
    stack
        Name of the acquired stack.
    entries
        Proposals, form of ``review.exclude``.

    Returns
    -------
    dict
        Tile specs by z, row and column.
    """
    layers = sorted({float(one["z_first"]) for one in entries[: page.MOST_PROPOSALS]})
    return patches.places(tile for z in layers for tile in client.tiles(stack, z - 1, z + 1).tiles)


def main(*, acquire: str, proposals: str, out: Mapping[str, str], render: dict[str, Any]) -> None:
    """Write the part of the page and its pictures."""
    lines = Path(proposals).read_text()
    entries: Entries = yaml.safe_load(lines).get("exclude", [])
    at = around(RenderClient(**render), StackReceipt.read(acquire).stack, entries)
    shown = page.thickness_strips(entries, at, read_pixels)
    write_json(out["pictures"], [one.to_json() for one in shown])
    write_text(out["part"], page.thickness_part(shown, len(entries), lines))
    log.info("%d proposals of the thickness, %d with pictures", len(entries), len(shown))


if __name__ == "__main__":
    with job(snakemake):
        main(
            acquire=snakemake.input.acquire,
            proposals=snakemake.input.proposals,
            out=dict(snakemake.output.items()),
            render=snakemake.params.render,
        )
