"""Draw the page of the solve: plots along z, worst layers and pairs, the worst ones with pictures.

Inputs
    the align stack (its receipt), ``solve/layers.tsv``, ``solve/worst_pairs.tsv``,
    ``solve/solve.json``

Outputs
    ``solve/solve.html``, one file
    ``solve/pictures.json``  the worst pairs and layers once more, small, for the report
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib.files import read_json, read_table, write_json, write_text
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.lib.service.records import TileSet
from scripts.solve import overlays, page, plots

MOST_PICTURES = 12  # of pairs
MOST_LAYERS = 6
OF_EACH = 3  # pictures for the report


def main(
    *,
    align: str | Path,
    layers: str | Path,
    worst: str | Path,
    figures: str | Path,
    out: Mapping[str, str],
    render: dict[str, Any],
) -> None:
    """Write the page, and pictures for the report."""
    client, receipt = RenderClient(**render), StackReceipt.read(align)
    client.require(receipt)
    pairs = read_table(worst)
    drawn = pairs[:MOST_PICTURES]
    rows, found = read_table(layers), read_json(figures)
    bad = found["worst_layers"][:MOST_LAYERS]
    tiles = _tiles(client, receipt.stack, {float(r[s]) for r in drawn for s in ("p_z", "q_z")})
    beside = _tiles(client, receipt.stack, _and_next([r["z"] for r in bad], rows))
    of_pairs, of_layers = overlays.draw(tiles, drawn), overlays.draw_layers(beside, bad)
    shown = [one.shown() for one in (*of_pairs, *of_layers)]
    write_text(out["page"], page.render(found, pairs, shown, plots.of_layers({"solve": rows})))
    few = [*of_pairs[:OF_EACH], *of_layers[:OF_EACH]]
    write_json(out["pictures"], [one.small() for one in few])


def _tiles(client: RenderClient, stack: str, z_values: Iterable[float]) -> TileSet:
    return TileSet.merged(client.tiles(stack, z, z) for z in sorted(z_values))


def _and_next(z_values: Iterable[float], rows: Sequence[Mapping[str, str]]) -> set[float]:
    """Return layers and the one that follows each in ``layers.tsv``."""
    known = [float(row["z"]) for row in rows]
    after = dict(zip(known, known[1:], strict=False))
    return {z for one in z_values for z in (float(one), after.get(float(one), float(one)))}


if __name__ == "__main__":
    with job(snakemake):
        main(
            align=snakemake.input.align,
            layers=snakemake.input.layers,
            worst=snakemake.input.worst,
            figures=snakemake.input.figures,
            out=dict(snakemake.output.items()),
            render=snakemake.params.render,
        )
