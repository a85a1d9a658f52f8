# mypy: disable-error-code="name-defined"
"""Publish stack v1_acquire: one tile spec per readable tile, at its stage position.

Inputs: `ingest/layers.tsv`, `transfer/layers.tsv` and the align HDF5 files. Outputs: the stack,
COMPLETE; `ingest/restarts.tsv` (z, reason); last, the receipt `stacks/v1_acquire.json`. Nothing is
published while anything is wrong: all problems are listed at once.
"""

from pathlib import Path
from typing import Any

from scripts.ingest import align, restarts, specs, validation
from scripts.lib.files import read_table, write_table
from scripts.lib.job import job
from scripts.lib.render import RenderClient


def main(
    *,
    render: dict[str, Any],
    layers: str,
    transfer: str,
    ingest: dict[str, Any],
    acquisition: dict[str, Any],
    restart_table: str,
    receipt: str,
) -> None:
    """Read all headers, check them, publish the stack and write its receipt."""
    acquired = {r["layer_id"]: int(r["tiles"]) + int(r["bad"]) for r in read_table(transfer)}
    volume, unreadable = align.read_volume(read_table(layers), acquired)
    settings = specs.Settings.of(ingest)
    grid = {name: acquisition[name] for name in ("rows", "columns")}
    validation.check(volume, settings=settings, unreadable=unreadable, **grid)
    found = restarts.find(volume, **ingest["restart"])
    published = RenderClient(**render).publish_stack(
        Path(receipt).stem,
        specs.tile_set(volume, found, settings),
        resolution_nm=specs.resolution_nm(acquisition),
        inputs=[layers],
        params={"ingest": ingest},
        mipmaps=specs.mipmap_builder(volume),
    )
    rows = [{"z": z, "reason": reason} for z, reason in found.items()]
    write_table(restart_table, restarts.COLUMNS, rows)
    published.write(receipt)


if __name__ == "__main__":
    with job(snakemake):
        main(
            render=snakemake.params.render,
            layers=snakemake.input.layers,
            transfer=snakemake.input.transfer,
            ingest=snakemake.params.ingest,
            acquisition=snakemake.params.acquisition,
            restart_table=snakemake.output.restarts,
            receipt=snakemake.output.receipt,
        )
