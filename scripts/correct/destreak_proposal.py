"""Propose the parameters of step destreak from a sample of tiles, and show what they would do.

Inputs
    ``stacks/<before>.json``: receipt of the stack before the step (of the aligned one without it)
Outputs
    ``correct/destreak_proposal.json``: ``found``, the section for the YAML of the volume, residues
    ``correct/destreak_proposal.html``: the same with pictures, works without a network
Method
    `proposal`: where the mean spectrum of the tiles stands out from its surroundings.
"""

from collections.abc import Mapping
from typing import Any

from scripts.correct import proposal_page
from scripts.lib import files
from scripts.lib.drawing import compose
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt


def main(
    *,
    source: str,
    proposal: str,
    page: str,
    volume: str,
    render: Mapping[str, Any],
    voxel_nm: Mapping[str, float],
    settings: Mapping[str, Any],
) -> None:
    """Read a sample of tiles, propose, show."""
    before, client = StackReceipt.read(source), RenderClient(**render)
    client.require(before)
    z = proposal_page.sample(client.z_values(before.stack), settings["sample_tiles"])
    tiles = proposal_page.one_each([client.tiles(before.stack, k, k).tiles for k in z])
    images = [compose.file_source(tile, 0)[0] for tile in tiles]
    result = proposal_page.result(tiles, images, settings, voxel_nm["pixel_nm"])
    files.write_json(proposal, result.figures)
    files.write_text(page, proposal_page.page(volume, result))


if __name__ == "__main__":
    with job(snakemake):
        main(
            source=snakemake.input.source,
            proposal=snakemake.output.proposal,
            page=snakemake.output.page,
            volume=snakemake.params.volume,
            render=snakemake.params.render,
            voxel_nm=snakemake.params.voxel_nm,
            settings=snakemake.params.settings,
        )
