# mypy: disable-error-code="name-defined"
"""Find the point matches of the pairs of one run and chunk, stage by stage.

Reads ``match/pairs/{run}/{chunk}.tsv.gz``, the stack `v1_acquire` and the tiles' images.
Leaves in the collection a record for each pair that a stage saved, and none for a pair that failed.
Writes ``match/results/{run}/{chunk}.tsv.gz``: one row for each planned pair, in that order;
count of matches, rms_px (residual of the stage's model, full scale), coverage_pct (of the overlap),
and why each stage before failed. Method: MultiStagePointMatchClient, spec match-review sections 4
and 5.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2

from scripts.lib.files import read_table, write_table
from scripts.lib.job import job
from scripts.lib.receipts import StackReceipt
from scripts.lib.render import RenderClient
from scripts.match import presets, stages, storing, tables
from scripts.match.canvases import Canvases

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
) -> None:
    """Match the planned pairs and write what became of each."""
    cv2.setNumThreads(1)  # one job, one core: OpenCV would take all of the host
    client = RenderClient(**render)
    receipt = StackReceipt.read(stack)
    client.require(receipt)
    plan = [tables.read_pair(row) for row in read_table(pairs)]
    tiles = client.tiles(receipt.stack, *storing.z_range(plan)) if plan else storing.NO_TILES
    side_px = max((max(tile.width, tile.height) for tile in tiles.tiles), default=0)
    steps = presets.read_run(presets.choose(stage_tables, side_px), run).stages
    canvases = Canvases(tiles, budget_mb=feature_cache_mb)
    found = storing.store(client, collection, plan, stages.match_all(plan, steps, canvases))
    rows = [tables.result_row(attempt, run, canvases.by_id) for attempt in found]
    write_table(out, tables.RESULT_COLUMNS, rows)
    saved = sum(row["saved"] for row in rows)
    log.info("run %s: %d pairs, %d saved, %d canvases", run, len(rows), saved, canvases.computed)


if __name__ == "__main__":
    with job(snakemake):
        main(
            stack=snakemake.input.stack,
            pairs=snakemake.input.pairs,
            run=snakemake.wildcards.run,
            out=snakemake.output[0],
            render=snakemake.params.render,
            collection=snakemake.params.collection,
            stage_tables=snakemake.params.stage_tables,
            feature_cache_mb=snakemake.params.feature_cache_mb,
        )
