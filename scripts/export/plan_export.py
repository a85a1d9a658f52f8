"""Plan the export and write the metadata of the volumes, before any job writes a block.

Inputs
    ``stacks/<final>.json`` (receipt of the last stack), ``ingest/chunks.tsv``
Outputs
    ``export/plan.json``: stack, shape, blocks, origin, levels, targets (see `slabs.Plan`). While a
    volume grows its frame stays what it was, as long as it holds all tiles
    (``export/kept/frame.json``, no declared output)
    Side effect: ``<volume>.n5`` and ``<volume>.zarr`` with all metadata. Blocks of an earlier
    export stay when shape, block and codec are the same; every job rewrites its own.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.export import destination, disk, frame, naming, planning, slabs
from scripts.lib import files
from scripts.lib.drawing import compose, coverage
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.lib.volumes import metadata

log = logging.getLogger(__name__)


def main(
    *,
    receipt: str,
    chunks: str,
    out: str,
    volume: str,
    voxel_nm: Mapping[str, float],
    export: Mapping[str, Any],
    render: Mapping[str, Any] | None = None,
) -> None:
    """Plan, write all metadata, then the plan."""
    stack, rows = StackReceipt.read(receipt), files.read_table(chunks)
    z_range = min(int(row["z_first"]) for row in rows), max(int(row["z_last"]) for row in rows)
    bounds = _framed(stack.bounds, export, Path(out).parent / "kept/frame.json")
    export = {**export, "dataset": _dataset(export, stack, Path(out).with_name("times.json"))}
    export = {**export, "crop": _crop(export.get("crop"), stack, render)}
    plan = planning.plan(
        stack.stack, bounds, z_range, volume=volume, voxel_nm=voxel_nm, export=export
    )
    destination.refuse_promoted(plan)
    made_of = {k: getattr(stack, k) for k in ("owner", "project", "stack", "digest")}
    with disk.reported():
        _create(plan, made_of, export)
    log.info("%s: %s voxels in %d levels", volume, plan.spec.shape_zyx, plan.spec.levels)
    files.write_json(out, plan.to_json())


def _crop(
    crop: Mapping[str, Any] | None, stack: StackReceipt, render: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """Return the box to export: that of the config; where asked, what layers share of it."""
    if not crop:
        return None
    box = {name: crop[name] for name in ("x_px", "y_px", "z_px")}
    if crop["shared_by"] is None or render is None:
        return box
    client = RenderClient(**render)
    client.require(stack)
    z0, z1 = crop["z_px"] or (None, None)
    tiles = client.tiles(stack.stack, z0, None if z1 is None else z1 - 1)
    seen = coverage.measure(compose.place_layers(tiles), stack.bounds)
    return planning.shared(seen, crop["shared_by"], box)


def _dataset(export: Mapping[str, Any], stack: StackReceipt, times: Path) -> str | None:
    """Fill in the name of the dataset, where the config has a pattern."""
    if not export.get("dataset"):
        return None
    known = {key: getattr(stack, key) for key in ("project", "stack", "digest")}
    return naming.dataset(export["dataset"], known=known | {"dtype": export["dtype"]}, times=times)


def _create(plan: slabs.Plan, made_of: Mapping[str, Any], export: Mapping[str, Any]) -> None:
    """Write the metadata of all pyramids of an export."""
    kinds, consolidated = plan.kinds, bool(export.get("consolidated"))
    for kind, each in kinds.items():
        if kind in slabs.BASE:
            sources = kinds[slabs.BASE[kind]].targets
            for target, source in zip(each.targets, sources, strict=True):
                planning.link_level_0(target, source)
        for target in each.targets:
            attributes = {"renderExport": dict(made_of)}
            if each.drawn_as:
                attributes["contrast"] = dict(export["contrast"])
            metadata.create(target, each.spec, attributes, consolidated=consolidated)


def _framed(bounds: frame.Bounds, export: Mapping[str, Any], kept: Path) -> frame.Bounds:
    """Return the bounds to export: those of the stack, or while it grows the frame of before."""
    if not export.get("grows") or export.get("box") is not None:
        return bounds
    _, y_block, x_block = export["block_zyx_px"]
    before = files.read_json(kept) if kept.is_file() else {}
    found = frame.steady(bounds, (x_block, y_block), before.get("bounds"))
    files.write_json(kept, {"bounds": found})
    return found


if __name__ == "__main__":
    with job(snakemake):
        main(
            receipt=snakemake.input.receipt,
            chunks=snakemake.input.chunks,
            out=snakemake.output[0],
            volume=snakemake.params.volume,
            voxel_nm=snakemake.params.voxel_nm,
            export=snakemake.params.export,
            render=snakemake.params.get("render"),
        )
