# mypy: disable-error-code="name-defined"
"""Make the stack of one correction step.

Inputs
    ``stacks/<source>.json``: receipt of the stack before; ``correct/<step>.json``: its parameters
Outputs
    ``stacks/{stack}.json``: receipt of the corrected stack
"""

from collections.abc import Mapping
from typing import Any

from scripts.correct import steps
from scripts.lib import files
from scripts.lib.job import job
from scripts.lib.receipts import StackReceipt
from scripts.lib.render import RenderClient


def main(
    *,
    source: str,
    parameters: str,
    receipt: str,
    stack: str,
    render: Mapping[str, Any],
    voxel_nm: Mapping[str, float],
) -> None:
    """Read the stack and the parameters, apply, publish."""
    before, found, client = (
        StackReceipt.read(source),
        files.read_json(parameters),
        RenderClient(**render),
    )
    client.require(before)
    tiles = steps.find(found["step"]).apply(client.tiles(before.stack), found["parameters"])
    pixel_nm, z_nm = voxel_nm["pixel_nm"], voxel_nm["z_nm"]
    client.publish_stack(
        stack,
        tiles,
        resolution_nm=(pixel_nm, pixel_nm, z_nm),
        inputs=[source, parameters],
        params={"step": found["step"]},
    ).write(receipt)


if __name__ == "__main__":
    with job(snakemake):
        main(
            source=snakemake.input.source,
            parameters=snakemake.input.parameters,
            receipt=snakemake.output[0],
            stack=snakemake.wildcards.stack,
            render=snakemake.params.render,
            voxel_nm=snakemake.params.voxel_nm,
        )
