"""Solve with two sets of parameters and put them side by side; the align stack stays as it is.

Inputs
    as of `solve_transforms`; the second set is ``solve`` with the keys of ``solve.compare``

Output
    ``solve/compare.html``: parameters, figures, both along z, and how far the tiles moved
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib.files import read_table, write_text
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import CollectionReceipt, StackReceipt
from scripts.solve import comparison
from scripts.solve.graph import tiles_of
from scripts.solve.solve_transforms import gathered


def main(
    *,
    trimmed: str | Path,
    matches: Sequence[str | Path],
    parts: Sequence[str | Path],
    restarts: str | Path,
    out: str | Path,
    render: dict[str, Any],
    params: Mapping[str, Any],
) -> None:
    """Write the page."""
    sets = comparison.parameter_sets(params)
    client, receipt = RenderClient(**render), StackReceipt.read(trimmed)
    client.require(receipt)
    pairs = gathered(parts, [CollectionReceipt.read(path) for path in matches])
    tiles = tiles_of(client.parts(receipt.stack, *(params["z_range"] or ())))
    jumps = [float(row["z"]) for row in read_table(restarts)]
    write_text(out, comparison.page_of(tiles, pairs, jumps, sets))


if __name__ == "__main__":
    with job(snakemake):
        main(
            trimmed=snakemake.input.trimmed,
            matches=snakemake.input.matches,
            parts=snakemake.input.moments,
            restarts=snakemake.input.restarts,
            out=snakemake.output[0],
            render=snakemake.params.render,
            params=snakemake.params.solve,
        )
