# mypy: disable-error-code="name-defined"
"""Render the blocks of level 0 whose first z lies in one chunk of layers.

Inputs
    ``export/plan.json``, ``stacks/<final>.json``, ``ingest/chunks.tsv``, ``zcorr/Zcoords.txt``
Outputs
    ``export/slabs/{chunk}.json``: ``tasks``, each with its voxel range, the number of its blocks
    that are not all zero and the CRC-32 of its voxels; ``voxels``; of a preview also ``made_of``
    Side effect: the blocks, in every target.
Method
    One warp per tile from source pixels through all its transforms, feathered seams, linear
    interpolation between layers at their corrected z (spec solve-export 3.7).
"""

import functools
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.export import interpolation, slabs
from scripts.lib import compose, files, volumes
from scripts.lib.geometry import Box
from scripts.lib.job import job
from scripts.lib.receipts import StackReceipt
from scripts.lib.render import RenderClient

log = logging.getLogger(__name__)


def main(
    *,
    plan: str,
    receipt: str,
    chunks: str,
    coordinates: str,
    out: str,
    chunk: str,
    render: Mapping[str, Any],
    export: Mapping[str, Any],
    made_of: str | None = None,
) -> None:
    """Find the layers each output layer is made of, render task by task, write, record."""
    stack, client = StackReceipt.read(receipt), RenderClient(**render)
    client.require(stack)
    what = slabs.Plan.from_json(files.read_json(plan))
    (row,) = [row for row in files.read_table(chunks) if row["chunk"] == chunk]
    z_range = slabs.owned(what.spec, int(row["z_first"]), int(row["z_last"]))
    mixed = _mixed(coordinates, what, z_range, export)
    needed = [z for one in mixed if one is not None for z in (one.a, one.b)]
    tiles = client.tiles(stack.stack, min(needed), max(needed)) if needed else None
    placed = compose.place_layers(tiles) if tiles else {}
    rows = _render(what, z_range, mixed, placed, export["blend"])
    log.info("chunk %s: z %s, %d tasks", chunk, z_range, len(rows))
    voxels = (z_range[1] - z_range[0]) * what.spec.shape_zyx[1] * what.spec.shape_zyx[2]
    known = {} if made_of is None else {"made_of": made_of}
    files.write_json(out, {"chunk": chunk, "z": z_range, "voxels": voxels, "tasks": rows} | known)


def _mixed(
    coordinates: str, plan: slabs.Plan, z_range: tuple[int, int], export: Mapping[str, Any]
) -> list[interpolation.Mixture | None]:
    """Say what each output layer of the slab is made of."""
    corrected = interpolation.read_coordinates(Path(coordinates).read_text(), coordinates)
    if not export["z_correction"]:
        corrected = {z: float(z) for z in corrected}
    first = plan.spec.origin_px_zyx[0]
    wanted = range(first + z_range[0], first + z_range[1])
    fill = export["fill_gaps"] == "interpolate"
    return interpolation.mixtures(corrected, wanted, fill_gaps=fill)


def _render(
    plan: slabs.Plan,
    z_range: tuple[int, int],
    mixed: list[interpolation.Mixture | None],
    placed: Mapping[int, list[compose.Placed]],
    blend: str,
) -> list[dict[str, Any]]:
    """Render and write every task of the slab; gives their records."""
    spec, rows = plan.spec, []
    levels = [volumes.open_level(target, 0) for target in plan.targets]
    for region in slabs.tasks(spec.shape_zyx, spec.block_zyx, z_range, plan.task_px):
        box = slabs.area(spec, region, plan.step_px)
        picture = functools.partial(_picture, placed, box, blend, 1 / plan.step_px)
        mine = mixed[region[0].start - z_range[0] : region[0].stop - z_range[0]]
        shape = (region[1].stop - region[1].start, region[2].stop - region[2].start)
        voxels = interpolation.weave(mine, picture, shape, spec.dtype)
        for level in levels:
            level.write(region, voxels)
        rows.append(slabs.record(region, voxels, spec.block_zyx))
    return rows


def _picture(
    placed: Mapping[int, list[compose.Placed]], box: Box, blend: str, scale: float, z: int
) -> compose.Picture:
    return compose.render(placed.get(z, []), box, blend=blend, scale=scale)


if __name__ == "__main__":
    with job(snakemake):
        main(
            plan=snakemake.input.plan,
            receipt=snakemake.input.receipt,
            chunks=snakemake.input.chunks,
            coordinates=snakemake.input.coordinates,
            out=snakemake.output[0],
            chunk=snakemake.wildcards.chunk,
            render=snakemake.params.render,
            export=snakemake.params.export,
            made_of=snakemake.params.get("made_of"),
        )
