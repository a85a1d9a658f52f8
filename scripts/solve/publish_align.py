"""Publish the align stack: the trimmed stack with every last transform replaced by the solved one.

Inputs
    the trimmed stack (its receipt), ``solve/transforms.json.gz``; with ``solve.refine: field`` too
    ``solve/fields/{chunk}.json.gz`` of every chunk: splines that stand before the solved transform

Output
    ``stacks/v1_acquire_trimmed_align.json``, the receipt; bounding boxes are derived anew.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib.files import read_json
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.solve.aligned import aligned

log = logging.getLogger(__name__)


def main(
    *,
    trimmed: str | Path,
    transforms: str | Path,
    out: str | Path,
    render: dict[str, Any],
    stack: str,
    fields: Sequence[str | Path] = (),
    params: Mapping[str, Any],
) -> None:
    """Publish `stack` and write its receipt."""
    client = RenderClient(**render)
    source = StackReceipt.read(trimmed)
    client.require(source)
    chosen = client.tiles(source.stack, *(params["z_range"] or ()))
    bent = {name: data for path in fields for name, data in read_json(path)["tiles"].items()}
    tiles = aligned(chosen, read_json(transforms)["tiles"], bent)
    version = client.stack_metadata(source.stack)["currentVersion"]
    receipt = client.publish_stack(
        stack,
        tiles,
        resolution_nm=client.resolution(source.stack),
        inputs=[trimmed, transforms, *fields],
        params=params,
        mipmaps=version.get("mipmapPathBuilder"),
    )
    receipt.write(out)
    log.info("stack %s: %d tiles, %d of them with a field", stack, receipt.tile_count, len(bent))


if __name__ == "__main__":
    with job(snakemake):
        main(
            trimmed=snakemake.input.trimmed,
            transforms=snakemake.input.transforms,
            out=snakemake.output[0],
            render=snakemake.params.render,
            stack=snakemake.params.stack,
            fields=snakemake.input.get("fields", []),
            params=snakemake.params.solve,
        )
