"""Choose how the fields of all tiles are held, or that there are to be none.

Inputs
    the trimmed stack (its receipt), ``solve/displacements/{chunk}.npz`` of every chunk

Outputs
    ``solve/refinement.json``: ``prior`` (``bending``, ``ridge``; null: no fields), and what it
    rests on: px of the displacements, their correlation over place and over layers by bands of
    modes, the share of each band that comes and goes as bends do (see `scripts.solve.spectra`)
    ``solve/refinement.html``: the same with maps over place and layer
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scripts.lib.array_files import read_columns
from scripts.lib.drawing import compose
from scripts.lib.files import write_json, write_text
from scripts.lib.geometry import Box
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.solve import displacements, fields_page, spectra
from scripts.solve.displacements import Displacements
from scripts.solve.lattice import Lattice

log = logging.getLogger(__name__)
MOST_WINDOWS = 4_000_000  # 0.3 GB; a spectrum needs no more


def sampled(paths: Sequence[str | Path], most: int = MOST_WINDOWS) -> list[Displacements]:
    """Read the displacements of all chunks as one run, or evenly of some, each a run.

    Parameters
    ----------
    paths
        One for each chunk, in the order of z.
    most
        Windows.

    Returns
    -------
    list of Displacements
        One of all chunks where they are few enough.
    """
    parts: list[Displacements] = []
    for path in paths:
        if sum(map(len, parts)) >= most:
            every = -(-len(paths) // len(parts))
            return [read_columns(each, Displacements) for each in paths[::every]]
        parts.append(read_columns(path, Displacements))
    return [displacements.joined(parts)] if parts else []


def lattices_of(
    client: RenderClient, stack: str, parts: Sequence[Displacements], cell_px: float
) -> tuple[dict[str, Lattice], dict[str, str]]:
    """Return lattice and cell, by tile id, of the tiles of some displacements.

    Parameters
    ----------
    client, stack
        Where the tiles are.
    parts
        Displacements.
    cell_px
        Least side of a cell of the fields, px.

    Returns
    -------
    tuple of dict
        Lattices, and cells of the grid as text.
    """
    lattices, cells = {}, {}
    for part in parts:
        if not len(part):
            continue
        for one in compose.place(client.tiles(stack, int(part.z.min()), int(part.z.max()))):
            lattices[str(one.tile.tile_id)] = displacements.lattice_of(one, cell_px)
            cells[str(one.tile.tile_id)] = "-".join(map(str, one.tile.cell))
    return lattices, cells


def main(
    *,
    trimmed: str | Path,
    parts: Sequence[str | Path],
    out: str | Path,
    page: str | Path,
    render: Mapping[str, Any],
    refine: Mapping[str, float],
) -> None:
    """Choose, and write why."""
    client, receipt = RenderClient(**render), StackReceipt.read(trimmed)
    client.require(receipt)
    found = sampled(parts)
    lattices, cells = lattices_of(client, receipt.stack, found, refine["cell_px"])
    if lattices:
        common = Counter(lattices.values()).most_common(1)[0][0]
    else:
        common = Lattice.over(Box(0, 0, 256, 256), refine["cell_px"])  # of no tile
    cells = {tile_id: cell for tile_id, cell in cells.items() if lattices[tile_id] == common}
    side = displacements.side_of(common, refine["window_px"])
    choice = spectra.chosen(found, cells, common, side)
    prior = None if choice.prior is None else asdict(choice.prior)
    figures = {"prior": prior, **choice.figures}
    shape = displacements.windows_of(common, side)[1]
    write_text(page, fields_page.render(figures, found, cells, shape))
    write_json(out, figures)
    log.info("fields: %s", "none" if prior is None else f"held by {prior}")


if __name__ == "__main__":
    with job(snakemake):
        main(
            trimmed=snakemake.input.trimmed,
            parts=snakemake.input.parts,
            out=snakemake.output.figures,
            page=snakemake.output.page,
            render=snakemake.params.render,
            refine=snakemake.params.refine,
        )
