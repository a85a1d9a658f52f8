# mypy: disable-error-code="name-defined"
"""Look at what the matches join, and decide which tiles leave the solve.

What
    One union-find over all saved pairs; the entries of ``review.exclude`` and, with
    ``review.auto``, of tiles outside the largest cluster; gaps of edges between cells; the texture
    of doubtful tiles against a sample of connected ones.

Inputs
    stack ``v1_acquire`` (its receipt), ``match/results/{run}/{chunk}.tsv.gz``

Outputs
    ``review/clusters.json``   clusters before and after the decisions, counts, saved shares
    ``review/tiles.tsv``       per tile: cluster, pairs, texture (grey levels; doubtful and sampled
                               tiles alone), state ok | unconnected | small_cluster | excluded
    ``review/edges.tsv``       ranges of z without a match across an edge
    ``review/proposals.yaml``  lines to paste into the config: all tiles outside the largest cluster
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib.files import read_table, write_json, write_table, write_text
from scripts.lib.job import job
from scripts.lib.receipts import StackReceipt
from scripts.lib.render import RenderClient
from scripts.review import clusters, edges, findings
from scripts.review.decisions import as_yaml, decide

log = logging.getLogger(__name__)


def main(
    *,
    acquire: str | Path,
    results: Sequence[str | Path],
    out: Mapping[str, str],
    render: dict[str, Any],
    params: Mapping[str, Any],
) -> None:
    """Write the four outputs `clusters`, `tiles`, `edges`, `proposals` of `out`."""
    client = RenderClient(**render)
    receipt = StackReceipt.read(acquire)
    client.require(receipt)
    rows = [row for path in results for row in read_table(path)]
    net = clusters.net_of(
        client.tiles(receipt.stack).tiles, [row for row in rows if row["saved"] == "1"]
    )
    decided = decide(net, params["exclude"], auto=params["auto"])
    pictures = findings.textures(net, samples=params["texture_samples"])
    entries = findings.proposed(net, decided, pictures, params["resin_texture"])
    write_table(out["edges"], edges.COLUMNS, edges.gaps(net, decided.gone))
    write_text(out["proposals"], as_yaml(entries))
    write_table(out["tiles"], findings.COLUMNS, findings.per_tile(net, decided, pictures))
    write_json(out["clusters"], findings.figures(net, decided, rows))
    log.info("%d tiles, %d pairs, %d excluded", len(net.tiles), len(net.p), decided.gone.sum())


if __name__ == "__main__":
    with job(snakemake):
        main(
            acquire=snakemake.input.acquire,
            results=snakemake.input.results,
            out=dict(snakemake.output.items()),
            render=snakemake.params.render,
            params=snakemake.params.review,
        )
