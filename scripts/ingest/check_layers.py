"""Check all layers and tiles, and find the restarts of the microscope.

Inputs: `ingest/layers.tsv`, `ingest/headers.tsv` and the cached headers beside it. Outputs:
`ingest/problems.tsv` (severity error or note, check, z, layer_id, tile, problem), the same as a
page, `ingest/validation.html`, and `ingest/restarts.tsv` (z, reason). This job succeeds whatever it
finds, so that the page is there to be read; `publish_acquire` stops at an error.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.ingest import page as pages
from scripts.ingest import restarts, validation
from scripts.ingest.headers import parts, with_prior
from scripts.ingest.kept import Kept
from scripts.ingest.settings import Settings
from scripts.lib.files import read_table, write_table, write_text
from scripts.lib.job import job

log = logging.getLogger(__name__)


def main(
    *,
    layers: str,
    headers: str,
    ingest: Mapping[str, Any],
    expected: Mapping[str, Any],
    problems: str,
    page: str,
    restart_table: str,
) -> None:
    """Write all problems as a table and as a page, and the table of restarts."""
    rows = read_table(layers)
    absent = validation.absent_files(rows)
    outputs, params = [problems, page, restart_table], [dict(ingest), dict(expected), absent]
    kept = Kept.of(outputs, [layers, headers], params)
    if kept.restore():
        return
    cached = read_table(headers)
    volume = parts(validation.usable(rows, cached), Path(headers).with_suffix(""))
    watch = restarts.Watch(ingest["restart"]["pixel_tolerance_nm"])
    wanted = validation.Expected(settings=Settings.of(ingest), **expected)
    listed = validation.find(rows, cached, watch.over(with_prior(volume)), wanted, absent)
    found = watch.found(rows, ingest["restart"]["max_gap_s"])
    ids = {int(row["z"]): row["layer_id"] for row in rows}
    table = [problem.row(ids) for problem in listed]
    write_table(problems, validation.COLUMNS, table)
    write_text(page, pages.render(table, rows, found, problems))
    write_table(restart_table, restarts.COLUMNS, restarts.rows(found))
    kept.keep()
    log.info("%d problems and notes, %d restarts", len(table), len(found))


if __name__ == "__main__":
    with job(snakemake):
        main(
            layers=snakemake.input.layers,
            headers=snakemake.input.headers,
            ingest=snakemake.params.ingest,
            expected=snakemake.params.expected,
            problems=snakemake.output.problems,
            page=snakemake.output.page,
            restart_table=snakemake.output.restarts,
        )
