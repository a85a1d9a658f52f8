"""Render the blocks of level 0 whose first z lies in one chunk of layers, and their lower levels.

Inputs
    ``export/plan.json``, ``stacks/<final>.json``, ``ingest/chunks.tsv``, ``zcorr/Zcoords.txt``;
    ``export/damaged/{chunk}.json`` once check_slab has found damage (its time alone matters);
    ``export/contrast.npz`` where 16 bit are shown in 8 (see set_contrast)
Outputs
    ``export/slabs/{chunk}.json``: ``levels``, for each a list of regions with voxel range, CRC-32
    and number of files that are not all zero; ``voxels`` of level 0; ``key``, the digest of all
    they depend on; of a preview also ``made_of``
    Side effect: the blocks, in every target, and ``export/journals/{chunk}.jsonl``, a journal of
    what is finished while the job runs: an interrupted job goes on at the next column of blocks.
Method
    One warp per tile from source pixels through all its transforms, feathered seams, linear
    interpolation between layers at their corrected z.
"""

import functools
import logging
from collections.abc import Mapping
from typing import Any

from scripts.export import destination, disk, interpolation, pyramid, slabs
from scripts.export.journal import Journal
from scripts.export.shown import Shown
from scripts.export.slab import Mixtures, Slab
from scripts.lib import files, made_by
from scripts.lib.chunks import chunk_range
from scripts.lib.drawing import compose
from scripts.lib.geometry import Box
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt, digest_seen

log = logging.getLogger(__name__)

Layers = Mapping[int, list[compose.Placed]]


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
    limits: str | None = None,
) -> None:
    """Find the layers each output layer is made of, render column by column, write, record."""
    stack, client = StackReceipt.read(receipt), RenderClient(**render)
    client.require(stack)
    what = slabs.Plan.from_json(files.read_json(plan))
    destination.refuse_promoted(what)
    slab = Slab.of(what, chunk_range(chunks, chunk), coordinates, export, limits)
    z_range, mixed, shown = slab.z_range, slab.mixed, slab.shown
    tiles = client.tiles(stack.stack, *slab.layers) if slab.layers else None
    placed = compose.place_layers(tiles) if tiles else {}
    seen = digest_seen(tiles) if tiles else ""
    depends = slab.depends(export)
    key = slabs.key(what, z_range, mixed, depends, seen if made_of is None else made_of)
    journal = Journal.beside(out, key)
    with disk.reported():
        rows = _render(what, z_range, mixed, placed, export, journal, shown)
    log.info("chunk %s: z %s, %d regions", chunk, z_range, sum(map(len, rows["levels"])))
    disk.flush(what)
    known = {"key": key} | ({} if made_of is None else {"made_of": made_of})
    shape = {"z": z_range, "voxels": pyramid.voxels(rows["levels"][0])}
    files.write_json(out, {"chunk": chunk} | rows | shape | known)
    made_by.SLABS.record()


def _render(
    plan: slabs.Plan,
    z_range: tuple[int, int],
    mixed: Mixtures,
    placed: Layers,
    export: Mapping[str, Any],
    journal: Journal,
    shown: Shown | None,
) -> pyramid.Rows:
    """Render and write every column of the slab that is not finished; gives its records."""
    out: pyramid.Rows = {
        kind: [[] for _ in range(each.levels_at_once)] for kind, each in plan.kinds.items()
    }
    finished = journal.finished(plan)
    for area in slabs.areas(plan, 0) if z_range[0] < z_range[1] else ():
        rows = finished.get((area[0].start, area[1].start))
        if rows is None:
            rows = _column(plan, z_range, area, mixed, placed, export, shown)
            journal.add(area, rows)
        for kind, levels in rows.items():
            for level, more in zip(out[kind], levels, strict=True):
                level += more
    return out


def _column(
    plan: slabs.Plan,
    z_range: tuple[int, int],
    area: tuple[slice, slice],
    mixed: Mixtures,
    placed: Layers,
    export: Mapping[str, Any],
    shown: Shown | None,
) -> pyramid.Rows:
    column = pyramid.Column(plan, z_range, area)
    for depth in slabs.depths(plan, z_range):
        region = (depth, *area)
        box = slabs.area(plan.spec, region, plan.step_px)
        dtype = plan.drawn_dtype
        layer = functools.partial(_layer, placed, box, export, 1 / plan.step_px, dtype)
        within = slice(depth.start - z_range[0], depth.stop - z_range[0])
        voxels = column.voxels(depth.stop - depth.start)
        interpolation.interpolate(mixed[within], layer, voxels)
        eight = shown.in_8_bit(voxels, within, box, plan.step_px) if shown else None
        column.put(region, voxels, eight)
    return column.rows


def _layer(
    placed: Layers, box: Box, export: Mapping[str, Any], scale: float, dtype: str, z: int
) -> compose.Layer:
    how = {key: export[key] for key in ("blend", "interpolation")}
    return compose.prepare(placed.get(z, []), box, scale=scale, dtype=dtype, **how)


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
            limits=next(iter(snakemake.input.get("contrast", [])), None),
        )
