"""Close the match collection: the sums of all chunks agree, or the job stops.

Reads all ``match/pairs/{run}/{chunk}.tsv.gz``, ``match/results/{run}/{chunk}.tsv.gz`` and
``match/wide/results.tsv.gz``.
Deletes from the collection what no plan of this volume saved. Writes ``matches/<project>_v1.json``
(receipt: pairs planned, saved, failed) and ``match/summary.tsv`` (for each run and stage: pairs
processed, saved, and why not; counts).
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.lib import files
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.match import tables, totals

log = logging.getLogger(__name__)


def main(
    *,
    pairs: Sequence[str | Path],
    results: Sequence[str | Path],
    out: str | Path,
    summary: str | Path,
    render: dict[str, Any],
    collection: str,
    preset: str,
    z_distance: int,
    wide: str | Path | None = None,
) -> None:
    """Write the receipt of `collection`."""
    client = RenderClient(**render)
    sums, inputs = totals.Sums(), {}
    for plan, path in zip(pairs, results, strict=True):  # a chunk at a time is in memory
        done = files.read_table(path)
        sums.add(list(files.read_cells(plan, tables.KEY)), done)
        inputs[str(path)] = files.digest_of_rows(done)
    if wide:
        found = files.read_table(wide)
        sums.add_wide(found)
        inputs[str(wide)] = files.digest_of_rows(found)
    for group in client.p_groups(collection):
        for key in sums.strays(client.match_keys(collection, group)):
            client.delete_pair(collection, key)
    files.write_table(summary, totals.SUMMARY_COLUMNS, sums.summary())
    params = {"preset": preset, "z_distance": z_distance}
    receipt = totals.receipt(client.owner, collection, sums, inputs, params)
    client.require(receipt)
    receipt.write(out)
    log.info("%d pairs, %d saved, %d failed", sums.planned, sums.saved, sums.failed)


if __name__ == "__main__":
    with job(snakemake):
        main(
            pairs=snakemake.input.pairs,
            results=snakemake.input.results,
            wide=snakemake.input.wide,
            out=snakemake.output.receipt,
            summary=snakemake.output.summary,
            render=snakemake.params.render,
            collection=snakemake.params.collection,
            preset=snakemake.params.preset,
            z_distance=snakemake.params.z_distance,
        )
