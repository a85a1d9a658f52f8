"""Solve the displacement fields of the tiles of one chunk.

Inputs
    the trimmed stack (its receipt), ``solve/transforms.json.gz``, ``ingest/chunks.tsv``,
    ``solve/displacements/{chunk}.npz`` of every chunk (those near by are read),
    ``solve/refinement.json``

Output
    ``solve/fields/{chunk}.json.gz``: ``tiles``, data strings of thin plate splines by tile id, for
    tiles whose field stands out of its error; ``px`` and ``times_error`` of all
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib import geometry
from scripts.lib.array_files import read_columns
from scripts.lib.arrays import Array
from scripts.lib.chunks import chunk_range
from scripts.lib.drawing import compose
from scripts.lib.drawing.compose import Placed
from scripts.lib.files import read_json, read_table, write_json
from scripts.lib.job import job
from scripts.lib.nonlinear import thin_plate_data
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.solve import displacements, field_solve
from scripts.solve.displacements import Displacements
from scripts.solve.field_solve import MARGIN, FieldOf, TileLattice
from scripts.solve.spectra import Prior

log = logging.getLogger(__name__)


def near(parts: Sequence[str | Path], chunks: str | Path, first: int, last: int) -> Displacements:
    """Read the displacements of the chunks that hold a layer of a range.

    Parameters
    ----------
    parts
        Files of all chunks, in the order of the table.
    chunks
        ``ingest/chunks.tsv``.
    first, last
        Layers, both included.

    Returns
    -------
    Displacements
        Of whole chunks.
    """
    rows = list(read_table(chunks))
    inside = [int(row["z_last"]) >= first and int(row["z_first"]) <= last for row in rows]
    chosen = [path for path, use in zip(parts, inside, strict=True) if use]
    return displacements.joined([read_columns(path, Displacements) for path in chosen])


def fields_of(
    placed: Sequence[Placed], found: Displacements, prior: Prior, refine: Mapping[str, float]
) -> dict[str, FieldOf]:
    """Solve the fields of tiles.

    Parameters
    ----------
    placed
        All tiles of the layers; copies of other layers' images get none.
    found
        Displacements of these layers.
    prior
        How fields are held.
    refine
        ``cell_px``, ``montage_weight`` and ``window_px``.

    Returns
    -------
    dict
        Fields by tile id.
    """
    own = [one for one in placed if not one.tile.is_copy]
    tiles = [
        TileLattice(one.tile.tile_id, "-".join(map(str, one.tile.cell)), lattice)
        for one in own
        for lattice in [displacements.lattice_of(one, refine["cell_px"])]
    ]
    if not tiles:
        return {}
    lattice = tiles[0].lattice
    side = displacements.side_of(lattice, refine["window_px"])
    shared = displacements.windows_per_px(lattice, side)
    weight = refine["montage_weight"]
    return field_solve.solve(tiles, found, prior, seam_weight=weight, windows_per_px=shared)


def written(
    fields: Mapping[str, FieldOf], affines: Mapping[str, Array], errors: float
) -> dict[str, dict[str, Any]]:
    """Return what the output holds of some tiles.

    Parameters
    ----------
    fields
        Fields by tile id.
    affines
        (2, 3) of the tiles that are wanted, by tile id.
    errors
        Times its own error that a field must be.

    Returns
    -------
    dict
        ``tiles``, ``px``, ``times_error``.
    """
    own = {tile_id: fields[tile_id] for tile_id in affines if tile_id in fields}
    splines = field_solve.splines(own, affines, errors)
    return {
        "tiles": {tile_id: thin_plate_data(spline) for tile_id, spline in splines.items()},
        "px": {tile_id: round(field.px, 4) for tile_id, field in own.items()},
        "times_error": {tile_id: round(field.times_error, 2) for tile_id, field in own.items()},
    }


def main(
    *,
    trimmed: str | Path,
    transforms: str | Path,
    chunks: str | Path,
    chunk: str,
    parts: Sequence[str | Path],
    refinement: str | Path,
    out: str | Path,
    render: Mapping[str, Any],
    refine: Mapping[str, float],
) -> None:
    """Write the fields of `chunk`."""
    client, receipt = RenderClient(**render), StackReceipt.read(trimmed)
    client.require(receipt)
    prior, affines = read_json(refinement)["prior"], read_json(transforms)["tiles"]
    first, last = chunk_range(chunks, chunk)
    around = first - MARGIN, last + MARGIN
    fields: dict[str, FieldOf] = {}
    own: dict[str, Array] = {}
    if prior is not None:
        placed = compose.place(client.tiles(receipt.stack, *around))
        placed = [one for one in placed if one.tile.tile_id in affines]
        fields = fields_of(placed, near(parts, chunks, *around), Prior(**prior), refine)
        ids = [one.tile.tile_id for one in placed if first <= one.tile.z <= last]
        own = {tile_id: geometry.from_wire(affines[tile_id]) for tile_id in ids}
    result = written(fields, own, refine["errors"])
    write_json(out, result)
    log.info("chunk %s: %d of %d tiles with a field", chunk, len(result["tiles"]), len(own))


if __name__ == "__main__":
    with job(snakemake):
        main(
            trimmed=snakemake.input.trimmed,
            transforms=snakemake.input.transforms,
            chunks=snakemake.input.chunks,
            chunk=snakemake.wildcards.chunk,
            parts=snakemake.input.parts,
            refinement=snakemake.input.refinement,
            out=snakemake.output[0],
            render=snakemake.params.render,
            refine=snakemake.params.refine,
        )
