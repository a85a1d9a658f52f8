"""Find the point matches of the pairs of one run and chunk, stage by stage.

Reads ``match/pairs/{run}/{chunk}.tsv.gz``, the stack `v1_acquire` and the tiles' images.
Leaves in the collection a record for each pair that a stage saved, and none for a pair that failed.
Writes ``match/results/{run}/{chunk}.tsv.gz``: one row for each planned pair, in that order;
count of matches, rms_px (residual of the stage's model, full scale), coverage_pct (of the overlap),
and why each stage before failed. Method: MultiStagePointMatchClient
of render.
Also ``match/timing/{run}/{chunk}.tsv.gz``: the same rows, what they were made of, and CPU seconds.
It is read first: a pair whose tiles and stages are as they were, and whose record is still in the
collection, is not matched again. Nothing else depends on it. While the job runs its rows are added
to a journal beside it, so that a job that was killed goes on where it was.
"""

import logging
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import cv2

from scripts.lib.files import read_table, write_table
from scripts.lib.job import job
from scripts.lib.service import source_client
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.lib.service.records import TileSet
from scripts.match import given, journal, match_store, presets, reuse, set_aside, stages, tables
from scripts.match.canvases import Canvases
from scripts.match.pairs import Pair, in_cache_order

log = logging.getLogger(__name__)


def main(
    *,
    stack: str | Path,
    pairs: str | Path,
    run: str,
    out: str | Path,
    render: dict[str, Any],
    collection: str,
    stage_tables: Sequence[Mapping[str, Any]],
    feature_cache_mb: int,
    timing: str | Path | None = None,
    source: Mapping[str, Any] | None = None,
) -> None:
    """Match the planned pairs and write what became of each."""
    cv2.setNumThreads(1)  # one job, one core: OpenCV would take all of the host
    client = RenderClient(**render)
    receipt = StackReceipt.read(stack)
    client.require(receipt)
    plan = [tables.read_pair(row) for row in read_table(pairs)]
    tiles = _tiles(client, receipt.stack, plan)
    side_px = max((max(tile.width, tile.height) for tile in tiles.tiles), default=0)
    steps = presets.read_run(presets.choose(stage_tables, side_px), run).stages
    canvases = Canvases(tiles, budget_mb=feature_cache_mb)
    provenance = reuse.Provenance(steps, tiles)
    ready = _given(source, plan, tiles)
    rest, earlier = [pair for pair in plan if pair.key not in ready], reuse.earlier(timing)
    rows = reuse.standing(rest, earlier, provenance, _stored(client, collection, rest))
    fresh = [pair for pair in rest if pair.key not in rows]
    set_aside.forget(client, collection, {pair.key for pair in plan} - rows.keys())
    if reason := provenance.why(fresh, earlier):
        log.info("pairs are matched again: %s", reason)
    attempts = stages.match_all(in_cache_order(fresh, canvases.by_id), steps, canvases)
    found = match_store.store(client, collection, fresh, chain(ready.values(), attempts))
    new = (provenance.row(attempt, run, canvases.by_id) for attempt in found)
    rows |= {tables.key(row): row for row in journal.written(timing, new)}
    ordered = [rows[pair.key] for pair in plan]
    write_table(out, tables.RESULT_COLUMNS, ordered)
    reuse.keep(timing, ordered, provenance)
    log.info("run %s: %d pairs, %d matched anew", run, len(plan), len(fresh))


def _tiles(client: RenderClient, stack: str, plan: Sequence[Pair]) -> TileSet:
    return client.tiles(stack, *match_store.z_range(plan)) if plan else match_store.NO_TILES


def _stored(
    client: RenderClient, collection: str, plan: Sequence[Pair]
) -> dict[match_store.Key, int]:
    """Return the number of points of each pair; those set aside count as matching found them."""
    return match_store.counts(client, collection, plan) | set_aside.counts(client, collection)


def _given(
    source: Mapping[str, Any] | None, plan: Sequence[Pair], tiles: TileSet
) -> dict[match_store.Key, stages.Attempt]:
    """Return the pairs of a collection that is taken over, by key."""
    if source is None or not source["matches"]:
        return {}
    theirs = source_client.client(source)
    found = given.attempts(theirs, source["matches"], plan, tiles)
    return {attempt.pair.key: attempt for attempt in found}


if __name__ == "__main__":
    with job(snakemake):
        main(
            stack=snakemake.input.stack,
            pairs=snakemake.input.pairs,
            run=snakemake.wildcards.run,
            out=snakemake.output[0],
            timing=snakemake.output.get("timing"),
            render=snakemake.params.render,
            collection=snakemake.params.collection,
            stage_tables=snakemake.params.stage_tables,
            feature_cache_mb=snakemake.params.feature_cache_mb,
            source=snakemake.params.get("source"),
        )
