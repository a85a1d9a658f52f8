"""Number the layers: z, frozen at the first time a layer is seen.

Inputs: `transfer/layers.tsv`, `ingest/headers.tsv`. Output, read first where it exists:
`ingest/layers.tsv` with z, layer_id ("" where a gap reserves the z), tiles, missing (keys of cells
without a tile, by comma), status (ok, partial, gap), gap_before_s (whole seconds since the layer
before), align_h5, acquired (tiles that the microscope wrote, readable or not), declared (what
``ingest.layers`` says about it). Beside it `ingest/numbering.json`: last z, layers by status, the
digest of the table.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.ingest import declarations, numbering
from scripts.lib import made_by
from scripts.lib.files import digest_of_file, read_table, write_json, write_table
from scripts.lib.job import job
from scripts.lib.kept import Kept


def main(
    *,
    transfer: str,
    headers: str,
    rows: int,
    columns: int,
    first_dat: str | None = None,
    last_dat: str | None = None,
    scope_name: str | None = None,
    declared: Sequence[Mapping[str, Any]],
    layers: str,
    summary: str,
) -> None:
    """Put new layers after those that `layers` has already, and write it again."""
    limits = {"first_dat": first_dat, "last_dat": last_dat, "scope": scope_name}
    params = [rows, columns, limits, [dict(entry) for entry in declared]]
    kept = Kept.of([layers, summary], [transfer, headers], params, code=made_by.NUMBERED)
    if kept.restore(unless_changed=[layers]):  # numbers, once given, stay the same
        return
    numbered = numbering.number(
        read_table(layers) if Path(layers).exists() else [],
        numbering.within(read_table(transfer), **limits),
        {row["layer_id"]: row["tiles"] for row in read_table(headers)},
        cells=list(itertools.product(range(rows), range(columns))),
        declared=declarations.parse(declared),
        last_dat=last_dat,
    )
    write_table(layers, numbering.COLUMNS, numbered)
    write_json(summary, numbering.summary(numbered) | {"digest": digest_of_file(layers)})
    kept.keep()


if __name__ == "__main__":
    with job(snakemake):
        main(
            transfer=snakemake.input.transfer,
            headers=snakemake.input.headers,
            rows=snakemake.params.rows,
            columns=snakemake.params.columns,
            first_dat=snakemake.params.first_dat,
            last_dat=snakemake.params.last_dat,
            scope_name=snakemake.params.scope_name,
            declared=snakemake.params.declared,
            layers=snakemake.output.layers,
            summary=snakemake.output.summary,
        )
