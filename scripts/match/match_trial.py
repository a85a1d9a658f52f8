"""Try variants of the first stage of each run on a sample of the planned pairs.

Reads ``match/pairs/{run}/{chunk}.tsv.gz``, the stack `v1_acquire` and the tiles' images; touches no
collection. Writes ``match/trial/variants.tsv`` (for each run and variant: share of pairs saved and
false, medians of points, coverage, rms_px and apart_px, full-scale px, and CPU seconds a pair),
``match/trial/preset.yaml`` (the stage table with the variants it would choose first) and
``match/trial/index.html`` (both, and pictures).
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import yaml

from scripts.lib import files
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.match import trial, trial_page
from scripts.match.trial_run import Trial

log = logging.getLogger(__name__)


def main(
    *,
    stack: str | Path,
    pairs: Mapping[str, Sequence[str | Path]],
    table_out: str | Path,
    preset_out: str | Path,
    page_out: str | Path,
    render: dict[str, Any],
    stage_tables: Sequence[Mapping[str, Any]],
    pairs_per_run: int,
    sweep: Mapping[str, Sequence[Any]],
    feature_cache_mb: int,
) -> None:
    """Write table, preset and page of the trial."""
    cv2.setNumThreads(1)
    client = RenderClient(**render)
    receipt = StackReceipt.read(stack)
    client.require(receipt)
    tiles, budget_mb = client.tiles(receipt.stack), feature_cache_mb
    found = Trial(tiles, stage_tables, budget_mb, pairs_per_run=pairs_per_run, sweep=sweep)
    for run, paths in pairs.items():
        found.run(run, [row for path in paths for row in files.read_table(path)])
    lines = yaml.safe_dump(found.table, sort_keys=False, width=110)
    files.write_table(table_out, trial.COLUMNS, found.rows)
    files.write_bytes(preset_out, lines.encode())
    files.write_text(page_out, trial_page.page(found.rows, found.pictures, lines))
    log.info("%d variants of %d runs", len(found.rows), len(pairs))


if __name__ == "__main__":
    with job(snakemake):
        main(
            stack=snakemake.input.stack,
            pairs={run: snakemake.input.get(run) for run in snakemake.params.runs},
            table_out=snakemake.output.table,
            preset_out=snakemake.output.preset,
            page_out=snakemake.output.page,
            render=snakemake.params.render,
            stage_tables=snakemake.params.stage_tables,
            pairs_per_run=snakemake.params.pairs_per_run,
            sweep=snakemake.params.sweep,
            feature_cache_mb=snakemake.params.feature_cache_mb,
        )
