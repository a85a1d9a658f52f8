# mypy: disable-error-code="name-defined"
"""Draw the page of the solve: plots along z, worst layers and pairs, the worst ones with pictures.

Inputs
    the align stack (its receipt), ``solve/layers.tsv``, ``solve/worst_pairs.tsv``,
    ``solve/solve.json``

Output
    ``solve/solve.html``, one file
"""

from pathlib import Path
from typing import Any

from scripts.lib.files import read_json, read_table, write_text
from scripts.lib.job import job
from scripts.lib.receipts import StackReceipt
from scripts.lib.records import TileSet
from scripts.lib.render import RenderClient
from scripts.solve import overlays, page, plots

MOST_PICTURES = 12


def main(
    *,
    align: str | Path,
    layers: str | Path,
    worst: str | Path,
    figures: str | Path,
    out: str | Path,
    render: dict[str, Any],
) -> None:
    """Write the page."""
    client, receipt = RenderClient(**render), StackReceipt.read(align)
    client.require(receipt)
    pairs = read_table(worst)
    drawn = pairs[:MOST_PICTURES]
    z_values = sorted({float(row[side]) for row in drawn for side in ("p_z", "q_z")})
    tiles = TileSet.merged(client.tiles(receipt.stack, z, z) for z in z_values)
    tracks = plots.of_layers({"solve": read_table(layers)})
    write_text(out, page.render(read_json(figures), pairs, overlays.draw(tiles, drawn), tracks))


if __name__ == "__main__":
    with job(snakemake):
        main(
            align=snakemake.input.align,
            layers=snakemake.input.layers,
            worst=snakemake.input.worst,
            figures=snakemake.input.figures,
            out=snakemake.output[0],
            render=snakemake.params.render,
        )
