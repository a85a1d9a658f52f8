"""Make the stack of one correction step.

Inputs
    ``stacks/<source>.json``: receipt of the stack before; ``correct/<step>.json`` and ``.npz``: its
    parameters
Outputs
    ``stacks/{stack}.json``: receipt of the corrected stack
"""

from collections.abc import Mapping
from typing import Any

from scripts.correct import chain, publishing
from scripts.correct.evidence import Found
from scripts.lib import array_files, files
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt


def main(
    *,
    source: str,
    parameters: str,
    arrays: str,
    receipt: str,
    stack: str,
    render: Mapping[str, Any],
    voxel_nm: Mapping[str, float],
) -> None:
    """Read the stack and the parameters, apply, publish."""
    before, client = StackReceipt.read(source), RenderClient(**render)
    client.require(before)
    summary = files.read_json(parameters)
    found = Found(summary["parameters"], array_files.read(arrays))
    step = chain.STEPS[summary["step"]].load()
    tiles = publishing.Corrected(client, before.stack, lambda part: step.apply(part, found))
    inputs, params = [source, parameters, arrays], {"step": summary["step"]}
    made = publishing.publish(client, stack, tiles, voxel_nm, inputs=inputs, params=params)
    made.write(receipt)


if __name__ == "__main__":
    with job(snakemake):
        main(
            source=snakemake.input.source,
            parameters=snakemake.input.parameters,
            arrays=snakemake.input.arrays,
            receipt=snakemake.output[0],
            stack=snakemake.wildcards.stack,
            render=snakemake.params.render,
            voxel_nm=snakemake.params.voxel_nm,
        )
