"""Check all layers and tiles, and find the restarts of the microscope.

Inputs: `ingest/layers.tsv`, `ingest/headers.tsv` and the cached headers beside it,
`ingest/masks.tsv` where masks are pictures. Outputs: `ingest/problems.tsv` (severity error or note,
check, z, layer_id, tile, problem), the same as a page, `ingest/validation.html`,
`ingest/restarts.tsv` (z, reason) and `ingest/missing_layers.tsv` (see `missing`). This job succeeds
whatever it finds, so that the page is there to be read; `publish_acquire` stops at an error.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.ingest import mask_files, missing, restarts, validation
from scripts.ingest import page as pages
from scripts.ingest.headers import parts, with_prior
from scripts.ingest.settings import Ranges, Settings
from scripts.lib import made_by
from scripts.lib.files import read_table, write_table, write_text
from scripts.lib.job import job
from scripts.lib.kept import Kept

log = logging.getLogger(__name__)


def main(
    *,
    layers: str,
    headers: str,
    scan_correction: Ranges,
    mask: Ranges,
    tile_overlap_um: float,
    restart: Mapping[str, float],
    rows: int,
    columns: int,
    pixel_nm: float,
    problems: str,
    page: str,
    restart_table: str,
    missing_table: str,
    declared: Sequence[Mapping[str, Any]] = (),
    pixel_deviation_pct: float = 10.0,
    sample_ids: Sequence[str] = (),
    stage_offsets: Ranges = None,
    exchange: Sequence[Mapping[str, Any]] = (),
    masks: str | None = None,
) -> None:
    """Write all problems as a table and as a page, and the table of restarts."""
    table, cached = read_table(layers), read_table(headers)
    absent = validation.absent_files(table)
    specs = (scan_correction, mask, tile_overlap_um, stage_offsets)
    settings = Settings.of(*specs, mask_files.read(masks), exchange)
    wanted = validation.Expected(rows, columns, pixel_nm, settings, pixel_deviation_pct, sample_ids)
    lacking = missing.Search.of(table, declared, restart["max_gap_s"])
    params: list[object] = [*specs, restart, absent, list(exchange), lacking.left_out]
    params += [rows, columns, pixel_nm, pixel_deviation_pct, list(sample_ids)]
    outputs = [problems, page, restart_table, missing_table]
    inputs = [layers, headers, *([masks] if masks else [])]
    kept = Kept.of(outputs, inputs, params, code=made_by.CHECKED)
    if kept.restore():
        return
    volume = parts(validation.usable(table, cached), Path(headers).with_suffix(""))
    watch = restarts.Watch(restart["pixel_tolerance_nm"])
    listed = validation.find(table, cached, watch.over(with_prior(volume)), wanted, absent, lacking)
    found = watch.found(table, restart["max_gap_s"])
    found_problems = validation.rows(listed, table)
    write_table(problems, validation.COLUMNS, found_problems)
    write_text(page, pages.render(found_problems, table, found, problems, page))
    write_table(restart_table, restarts.COLUMNS, restarts.rows(found))
    write_table(missing_table, missing.COLUMNS, [one.row() for one in lacking.found])
    kept.keep()
    log.info("%d problems and notes, %d restarts", len(found_problems), len(found))


if __name__ == "__main__":
    with job(snakemake):
        main(
            layers=snakemake.input.layers,
            headers=snakemake.input.headers,
            masks=snakemake.input.masks or None,
            scan_correction=snakemake.params.scan_correction,
            mask=snakemake.params.mask,
            tile_overlap_um=snakemake.params.tile_overlap_um,
            stage_offsets=snakemake.params.stage_offsets,
            exchange=snakemake.params.get("exchange", ()),
            restart=snakemake.params.restart,
            rows=snakemake.params.rows,
            columns=snakemake.params.columns,
            pixel_nm=snakemake.params.pixel_nm,
            pixel_deviation_pct=snakemake.params.pixel_deviation_pct,
            sample_ids=snakemake.params.sample_ids,
            problems=snakemake.output.problems,
            page=snakemake.output.page,
            restart_table=snakemake.output.restarts,
            missing_table=snakemake.output.missing,
            declared=snakemake.params.declared,
        )
