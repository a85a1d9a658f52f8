"""Publish the align stack: the trimmed stack with every last transform replaced by the solved one.

Inputs
    the trimmed stack (its receipt), ``solve/transforms.json.gz``; with ``solve.refine: field`` too
    ``solve/fields/{chunk}.json.gz`` of every chunk: splines that stand before the solved transform

Output
    ``stacks/v1_acquire_trimmed_align.json``, the receipt; bounding boxes are derived anew. While
    imaging goes on, tiles that the solve hardly moved keep their transform (`kept_transforms`).
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib import growing
from scripts.lib.files import read_json, write_json
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.lib.service.records import TileSet
from scripts.solve import kept_transforms
from scripts.solve.aligned import aligned

log = logging.getLogger(__name__)
_PUBLISHED = Path("solve/kept/transforms.json.gz")  # what the stack has; may be removed at any time


def main(
    *,
    trimmed: str | Path,
    transforms: str | Path,
    out: str | Path,
    render: dict[str, Any],
    stack: str,
    fields: Sequence[str | Path] = (),
    params: Mapping[str, Any],
    keep_px: float = 0.0,
) -> None:
    """Publish `stack` and write its receipt."""
    client = RenderClient(**render)
    source = StackReceipt.read(trimmed)
    client.require(source)
    chosen = client.tiles(source.stack, *(params["z_range"] or ()))
    bent = {name: data for path in fields for name, data in read_json(path)["tiles"].items()}
    affines = _affines(chosen, read_json(transforms)["tiles"], dict(params), keep_px)
    tiles = aligned(chosen, affines, bent)
    version = client.stack_metadata(source.stack)["currentVersion"]
    receipt = client.publish_stack(
        stack,
        tiles,
        resolution_nm=client.resolution(source.stack),
        inputs=[trimmed, transforms, *fields],
        params=params,
        mipmaps=version.get("mipmapPathBuilder"),
    )
    write_json(_PUBLISHED, {"tiles": affines, "params": dict(params)})
    growing.publish_box(receipt.bounds if keep_px > 0 else None)
    receipt.write(out)
    log.info("stack %s: %d tiles, %d of them with a field", stack, receipt.tile_count, len(bent))


def _affines(
    chosen: TileSet, solved: kept_transforms.Affines, params: dict[str, Any], keep_px: float
) -> kept_transforms.Affines:
    """Return the transforms to publish: solved ones, or those of before where they are as good."""
    found = read_json(_PUBLISHED) if keep_px > 0 and _PUBLISHED.is_file() else {}
    if found.get("params") != params:  # other settings are meant to change something
        return solved
    sizes = {str(tile.tile_id): (float(tile.width), float(tile.height)) for tile in chosen.tiles}
    known = {tile: each for tile, each in solved.items() if tile in sizes}
    before = found["tiles"]
    layers = {str(tile.tile_id): float(tile.z) for tile in chosen.tiles if tile.tile_id in known}
    out, drift_px = kept_transforms.kept(known, before, sizes, layers, keep_px)
    same = sum(each == before.get(tile) for tile, each in out.items())
    log.info(
        "%d of %d tiles keep the transform they had (%g px); over them a drift of %.2f px waits"
        " until imaging has ended",
        *(same, len(out), keep_px, drift_px),
    )
    return out


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
            keep_px=snakemake.params.keep_px,
        )
