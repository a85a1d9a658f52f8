"""Close the match collection: people's decisions are carried out, and the sums of all chunks agree.

Reads all ``match/pairs/{run}/{chunk}.tsv.gz``, ``match/results/{run}/{chunk}.tsv.gz`` and
``match/wide/results.tsv.gz``; where people decided something, also ``match/decided.json`` and the
stack `v1_acquire`.
Deletes from the collection what no plan of this volume saved, then sets pairs aside (collection
``<project>_v1_set_aside``) and puts pairs in, as the decisions say. What is decided no more is put
back. Writes ``matches/<project>_v1.json`` (receipt: pairs planned, saved, failed),
``match/summary.tsv`` (for each run and stage: pairs processed, saved, and why not; counts) and
``match/decisions.tsv`` (what became of every pair that was decided on).
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib import files
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.match import decided, decisions, set_aside, totals

log = logging.getLogger(__name__)


def main(
    *,
    pairs: Sequence[str | Path],
    results: Sequence[str | Path],
    out: Mapping[str, str],
    render: dict[str, Any],
    collection: str,
    preset: str,
    z_distance: int,
    wide: str | Path | None = None,
    acquire: str | Path | None = None,
    plan: str | Path | None = None,
) -> None:
    """Write the receipt of `collection`."""
    client = RenderClient(**render)
    sums, inputs = totals.read(pairs, results, wide)
    set_aside.put_back(client, collection)
    for group in client.p_groups(collection):
        for key in sums.strays(client.match_keys(collection, group)):
            client.delete_pair(collection, key)
    wanted = decided.Plan.of_file(plan)
    made = decided.carry_out(client, collection, acquire, wanted)
    sums.decide(gone=len(made.gone), added=len(made.added))
    files.write_table(decided.beside(out["summary"]), decisions.COLUMNS, made.rows)
    files.write_table(out["summary"], totals.SUMMARY_COLUMNS, sums.summary())
    params = {"preset": preset, "z_distance": z_distance} | decided.params(wanted, made)
    inputs |= decided.digests(plan)
    receipt = totals.receipt(client.owner, collection, sums, inputs, params)
    client.require(receipt)
    receipt.write(out["receipt"])
    log.info("%d pairs, %d saved, %d failed", sums.planned, sums.saved, sums.failed)


if __name__ == "__main__":
    with job(snakemake):
        main(
            pairs=snakemake.input.pairs,
            results=snakemake.input.results,
            wide=snakemake.input.wide,
            acquire=snakemake.input.get("acquire"),
            plan=snakemake.input.get("plan"),
            out=dict(snakemake.output.items()),
            render=snakemake.params.render,
            collection=snakemake.params.collection,
            preset=snakemake.params.preset,
            z_distance=snakemake.params.z_distance,
        )
