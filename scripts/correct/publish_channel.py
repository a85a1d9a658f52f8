"""Make the stack of another channel: transforms of the finished stack, raw data of the channel.

Inputs
    ``stacks/<final>.json``: receipt of the last stack; ``correct/16bit.json`` and ``.npz``
Outputs
    ``stacks/<final>_channel_{channel}.json``: receipt of the channel's stack
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.correct import publishing, sixteen_bit
from scripts.correct.evidence import Found
from scripts.lib import files
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt


def main(
    *,
    source: str,
    parameters: str,
    receipt: str,
    channel: int,
    render: Mapping[str, Any],
    voxel_nm: Mapping[str, float],
) -> None:
    """Read the stack, change the images, publish."""
    before, client = StackReceipt.read(source), RenderClient(**render)
    client.require(before)
    found = Found(files.read_json(parameters)["parameters"])
    tiles = publishing.Corrected(
        client, before.stack, lambda part: sixteen_bit.of_channel(part, found, channel)
    )
    made = publishing.publish(
        client,
        Path(receipt).stem,
        tiles,
        voxel_nm,
        inputs=[source, parameters],
        params={"channel": channel},
    )
    made.write(receipt)


if __name__ == "__main__":
    with job(snakemake):
        main(
            source=snakemake.input.source,
            parameters=snakemake.input.parameters,
            receipt=snakemake.output[0],
            channel=int(snakemake.wildcards.channel),
            render=snakemake.params.render,
            voxel_nm=snakemake.params.voxel_nm,
        )
