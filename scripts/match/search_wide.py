"""Look for tiles that no match joins to the rest where their stage positions did not say.

Inputs
    stack ``v1_acquire`` (its receipt), all ``match/results/{run}/{chunk}.tsv.gz``

Outputs
    ``match/wide/results.tsv.gz``  saved pairs, rows as those of ``match/results``; their matches
                                   are in the collection
    ``match/wide/parts.tsv``       what was found: range of z, cells, number of tiles, how far off
                                   the stage positions are (px; add it to them), pairs that join it
                                   now, correlations that it took

Method: `scripts.match.wide`.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2

from scripts.lib.files import read_table, write_table
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.match import presets, tables, wide

log = logging.getLogger(__name__)


def main(
    *,
    stack: str | Path,
    results: Sequence[str | Path],
    out: Mapping[str, str],
    render: dict[str, Any],
    collection: str,
    runs: Sequence[str],
    stage_tables: Sequence[Mapping[str, Any]],
    z_distance: int,
    most: int,
    feature_cache_mb: int,
) -> None:
    """Search, store what was found, and write the outputs `results` and `parts`."""
    cv2.setNumThreads(1)  # one job, one core
    client = RenderClient(**render)
    receipt = StackReceipt.read(stack)
    client.require(receipt)
    tiles = client.tiles(receipt.stack)
    side_px = max((max(tile.width, tile.height) for tile in tiles.tiles), default=0)
    table = presets.choose(stage_tables, side_px)
    search = wide.Search(
        tiles,
        {run: presets.read_run(table, run, z_distance) for run in runs},
        z_distance=z_distance,
        most=most,
        budget_mb=feature_cache_mb,
    )
    saved = (row for path in results for row in read_table(path) if row["saved"] == "1")
    found = list(search.run((row["p_id"], row["q_id"]) for row in saved))
    records = [(a, a.matches) for one in found for a in one.attempts]
    kept = [(attempt, matches) for attempt, matches in records if matches is not None]
    client.put_matches(collection, [matches for _, matches in kept])
    by_id = {str(tile.tile_id): tile for tile in tiles.tiles}
    rows = [tables.result_row(attempt, wide.RUN, by_id) for attempt, _ in kept]
    write_table(out["results"], tables.RESULT_COLUMNS, rows)
    write_table(out["parts"], wide.COLUMNS, [one.row() for one in found])
    log.info("%d parts found, %d of %d correlations left", len(found), search.left, most)


if __name__ == "__main__":
    with job(snakemake):
        main(
            stack=snakemake.input.stack,
            results=snakemake.input.results,
            out=dict(snakemake.output.items()),
            render=snakemake.params.render,
            collection=snakemake.params.collection,
            runs=snakemake.params.runs,
            stage_tables=snakemake.params.stage_tables,
            z_distance=snakemake.params.z_distance,
            most=snakemake.params.most,
            feature_cache_mb=snakemake.params.feature_cache_mb,
        )
