"""Look at what the matches join, after patches, and decide which tiles leave the solve.

What
    One union-find over all pairs that the service holds; the entries of ``review.exclude`` and,
    with ``review.auto``, resin, damaged tiles that no patch could replace, and what is not joined;
    gaps of edges between cells, and matches derived for long ones (`scripts.review.bridges`).

Inputs
    stack ``v1_acquire`` and the collection ``<project>_v1`` (their receipts), the survey,
    ``match/results/{run}/{chunk}.tsv.gz``, ``review/patch_proposals.tsv``, the last
    ``review/patches/{round}.tsv`` and all ``review/patch_results/{round}/{run}.tsv.gz``

Outputs
    ``review/clusters.json``   clusters before and after the decisions, counts, saved shares
    ``review/tiles.tsv``       per tile: cluster, pairs, texture, kind tissue | resin | damaged,
                               state ok | patched | unconnected | small_cluster | excluded
    ``review/edges.tsv``       ranges of z without a match across an edge, and how many are bridged
    ``review/patches.tsv``     patches, and whether each holds: patched | failed | proposed
    ``review/bridges.tsv``     derived matches: offset and its spread, px
    ``review/statistics.tsv``  saved pairs by stage, dz, cell, edge and z
    ``review/proposals.yaml``  lines to paste into the config
    ``matches/<project>_v1_review.json``  receipt of the collection of patches' and derived matches
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from scripts.lib.files import write_json, write_table, write_text
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import CollectionReceipt, StackReceipt
from scripts.review import bridges, decisions, edges, outcome, statistics, suspects
from scripts.review.collected import Files, Joined, Settings, collect, conclude

log = logging.getLogger(__name__)

Entries = Sequence[Mapping[str, Any]]  # what a person decided, with a reason


def main(
    *,
    inputs: Mapping[str, Any],
    out: Mapping[str, str],
    render: dict[str, Any],
    collection: str,
    limits: Mapping[str, Any],
    auto: bool,
    exclude: Entries,
    keep: Entries,
    patch: Entries,
    bridge: Entries,
    bridge_from_layers: int,
    bridge_window_layers: int,
) -> None:
    """Write the outputs."""
    client = RenderClient(**render)
    acquire, matches = (
        StackReceipt.read(inputs["acquire"]),
        CollectionReceipt.read(inputs["matches"]),
    )
    client.require(acquire)
    client.require(matches)
    files = Files.read(inputs, suspects.Limits(**limits))
    joined: Joined = collect(client, acquire.stack, (matches.collection, collection), files)
    files = files.confirmed(joined.net)
    layers = bridge_from_layers, bridge_window_layers
    gone = [*exclude, *decisions.not_taken(inputs.get("taken"))]
    settings = Settings(auto, gone, keep, patch, bridge, *layers)
    found = conclude(client, joined, files, settings, collection=collection)
    write_table(out["edges"], edges.COLUMNS, found.gaps)
    write_table(out["patches"], outcome.PATCH_COLUMNS, found.patches)
    write_table(out["bridges"], bridges.COLUMNS, found.bridges)
    write_table(out["statistics"], statistics.COLUMNS, statistics.table(files.pairs))
    write_text(out["proposals"], found.proposals)
    write_table(out["tiles"], outcome.COLUMNS, found.tiles)
    write_json(out["clusters"], found.figures)
    found.receipt.write(out["matches"])
    log.info("%d tiles, %d pairs, %s", len(joined.net.tiles), len(joined.net.p), found.figures)


if __name__ == "__main__":
    with job(snakemake):
        main(
            inputs=dict(snakemake.input.items()),
            out=dict(snakemake.output.items()),
            render=snakemake.params.render,
            collection=snakemake.params.collection,
            limits=snakemake.params.limits,
            auto=snakemake.params.auto,
            exclude=snakemake.params.exclude,
            keep=snakemake.params.keep,
            patch=snakemake.params.patch,
            bridge=snakemake.params.bridge,
            bridge_from_layers=snakemake.params.bridge_from_layers,
            bridge_window_layers=snakemake.params.bridge_window_layers,
        )
