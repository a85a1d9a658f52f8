"""Publish stack v1_acquire: one tile spec per readable tile, at its stage position.

Inputs: `ingest/layers.tsv`, `ingest/headers.tsv` and the cached headers beside it,
`ingest/restarts.tsv`, `ingest/problems.tsv`, `ingest/masks.tsv` where masks are
pictures. Outputs: the stack, COMPLETE; last, the receipt
`stacks/v1_acquire.json`. Nothing is published while there is an error among the problems, and
nothing is written anew when the same code made the stack of the same inputs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.ingest import mask_files, restarts, specs, validation
from scripts.ingest.settings import Ranges, Settings
from scripts.lib import made_by
from scripts.lib.files import read_table
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient

_SPECS = ("scan_correction", "mask", "tile_overlap_um", "stage_offsets")


def main(
    *,
    render: dict[str, Any],
    layers: str,
    headers: str,
    restart_table: str,
    problems: str,
    page: str,
    scan_correction: Ranges,
    mask: Ranges,
    tile_overlap_um: float,
    pixel_nm: float,
    z_nm: float,
    receipt: str,
    stage_offsets: Ranges = None,
    exchange: Sequence[Mapping[str, Any]] = (),
    masks: str | None = None,
) -> None:
    """Stop at an error; otherwise publish the stack, unless it is there, and write its receipt."""
    validation.require(read_table(problems), page)
    client = RenderClient(**render)
    values = (scan_correction, mask, tile_overlap_um, stage_offsets)
    params = {
        "ingest": dict(zip(_SPECS, values, strict=True)) | _asked(exchange),
        "acquisition": {"pixel_nm": pixel_nm, "z_nm": z_nm},
        "folder": specs.folder_digest(),
    }
    inputs = [layers, headers, restart_table, *([masks] if masks else [])]
    made_of: dict[str, Any] = {"inputs": inputs, "params": params, "code": made_by.ACQUIRED}
    stack = Path(receipt).stem
    published = client.published(stack, **made_of)
    if published is None:
        found = restarts.read(restart_table)
        settings = Settings.of(*values, mask_files.read(masks), exchange)
        tiles = specs.Acquired.of(layers, headers, found, settings, pixel_nm)
        published = client.publish_stack(
            stack,
            tiles,
            resolution_nm=(pixel_nm, pixel_nm, z_nm),
            mipmaps=specs.mipmap_builder(tiles.volume()),
            **made_of,
        )
    published.write(receipt)


def _asked(exchange: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what is part of a stack's notes only where there is any: old stacks stand."""
    return {"exchange": [dict(entry) for entry in exchange]} if exchange else {}


if __name__ == "__main__":
    with job(snakemake):
        main(
            render=snakemake.params.render,
            layers=snakemake.input.layers,
            headers=snakemake.input.headers,
            restart_table=snakemake.input.restarts,
            problems=snakemake.input.problems,
            page=snakemake.input.page,
            masks=snakemake.input.masks or None,
            scan_correction=snakemake.params.scan_correction,
            mask=snakemake.params.mask,
            tile_overlap_um=snakemake.params.tile_overlap_um,
            stage_offsets=snakemake.params.stage_offsets,
            exchange=snakemake.params.get("exchange", ()),
            pixel_nm=snakemake.params.pixel_nm,
            z_nm=snakemake.params.z_nm,
            receipt=snakemake.output[0],
        )
