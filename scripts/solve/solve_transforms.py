"""Solve the transforms of all tiles at once.

What
    One robust, regularised least-squares solve over the moments of all pairs between tiles of the
    trimmed stack (method: `scripts.solve.solver`).

Inputs
    the trimmed stack and the match collection (their receipts), ``solve/moments/*.npz``,
    ``ingest/restarts.tsv``: the layers before which the stage may have jumped

Outputs
    ``solve/transforms.json.gz``  tile id -> [m00, m10, m01, m11, m02, m12], matching frame to world
    ``solve/tiles.tsv``           per tile: pairs, rms px, scale, rotation mrad, shear, deviation
                                  of its centre from the stage px
    ``solve/pairs.tsv.gz``        per pair: dz layers, points, rms px, robust weight 0..1
    ``solve/layers.tsv``          per layer: the means of its tiles, its group between restarts
    ``solve/worst_pairs.tsv``     wrong pairs, and the largest errors among the others, with their
                                  share of the error
    ``solve/solve.json``          figures

With ``takeover/transforms.json.gz`` nothing is solved: these transforms are the result, and all
figures are those of the matches under them.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib import commands
from scripts.lib.array_files import read_columns
from scripts.lib.files import read_json, read_table, write_json, write_table
from scripts.lib.job import UserError, job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import CollectionReceipt, StackReceipt
from scripts.solve import moments, residuals, solver, taken_over
from scripts.solve.graph import Graph, Tiles, graph_of, solution, tiles_of

log = logging.getLogger(__name__)


def gathered(paths: Sequence[str | Path], receipts: Sequence[CollectionReceipt]) -> moments.Moments:
    """Read all moments and check that no pair of the collections is missing or doubled.

    Parameters
    ----------
    paths
        Files of moments, one for each chunk.
    receipts
        Those of the collections they were made of.

    Returns
    -------
    Moments
        The moments of all pairs.

    Raises
    ------
    UserError
        When the count differs from that of the receipts.
    """
    found = moments.joined([read_columns(path, moments.Moments) for path in paths])
    expected = sum(receipt.pairs_saved for receipt in receipts)
    if len(found) != expected:
        names = " and ".join(receipt.collection for receipt in receipts)
        raise UserError(
            f"solve/moments: expected the {expected} pairs of collection"
            f" {names}, found {len(found)}; type: {commands.again('gather_moments')}"
        )
    return found


def main(
    *,
    trimmed: str | Path,
    matches: Sequence[str | Path],
    parts: Sequence[str | Path],
    restarts: str | Path,
    out: Mapping[str, str],
    render: dict[str, Any],
    params: Mapping[str, Any],
    taken: str | None = None,
) -> None:
    """Write the outputs of `out`."""
    client, options = RenderClient(**render), solver.Options.of_config(dict(params))
    receipt = StackReceipt.read(trimmed)
    client.require(receipt)
    tiles = tiles_of(client.parts(receipt.stack, *(params["z_range"] or ())))
    collections = [CollectionReceipt.read(path) for path in matches]
    # the moments, with the ids of both tiles of each pair, are not in memory while it solves
    graph = graph_of(tiles, gathered(parts, collections), options.weighting)
    ignored = sum(one.pairs_saved for one in collections) - len(graph)
    jumps = [float(row["z"]) for row in read_table(restarts)]
    solved, affines = _solved(tiles, graph, options, jumps, taken)
    figures = residuals.figures(tiles, graph, solved, options, ignored=ignored)
    for name, (columns, rows) in residuals.tables(tiles, graph, solved).items():
        write_table(out[name], columns, rows)
    write_json(out["figures"], figures)
    write_json(out["transforms"], {"tiles": affines})
    log.info("%d tiles, %d pairs: residual px %s", len(tiles), len(graph), figures["residual_px"])


def _solved(
    tiles: Tiles, graph: Graph, options: solver.Options, jumps: Sequence[float], taken: str | None
) -> tuple[solver.Solved, Mapping[str, Sequence[float]]]:
    """Solve, or take transforms over; with the affines by tile id."""
    if not taken:  # None, or the empty list of an input that is none
        solved = solver.solve(tiles, graph, options, jumps)
        return solved, solution(tiles, solved.placement)
    given = read_json(taken)["tiles"]
    solved = taken_over.solved(tiles, graph, options, given, jumps)
    return solved, {str(name): given[str(name)] for name in tiles.ids}


if __name__ == "__main__":
    with job(snakemake):
        main(
            trimmed=snakemake.input.trimmed,
            matches=snakemake.input.matches,
            parts=snakemake.input.moments,
            restarts=snakemake.input.restarts,
            out=dict(snakemake.output.items()),
            render=snakemake.params.render,
            params=snakemake.params.solve,
            taken=snakemake.input.get("taken"),
        )
