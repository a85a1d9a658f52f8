# mypy: disable-error-code="name-defined"
"""Number the layers: z, frozen at the first time a layer is seen.

Input: `transfer/layers.tsv` and the align HDF5 files it names. Output, read first where it exists:
`ingest/layers.tsv` with z, layer_id, tiles, missing (keys of cells without a tile, by comma),
status (ok, partial, gap), gap_before_s (whole seconds since the layer before), align_h5.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from scripts.ingest.align import missing_cells
from scripts.ingest.numbering import COLUMNS, number
from scripts.lib.files import read_table, write_table
from scripts.lib.job import job

log = logging.getLogger(__name__)


def main(*, transfer: str, grid: tuple[int, int], drop: Sequence[str], layers: str) -> None:
    """Put new layers after those that `layers` has already, and write it again."""
    known = read_table(layers) if Path(layers).exists() else []
    transferred = read_table(transfer)
    missing = {row["layer_id"]: missing_cells(row["align_h5"], *grid) for row in transferred}
    rows = number(known, transferred, missing, drop)
    write_table(layers, COLUMNS, rows)
    log.info("%d layers, %d of them new", len(rows), len(rows) - len(known))


if __name__ == "__main__":
    with job(snakemake):
        main(
            transfer=snakemake.input[0],
            grid=tuple(snakemake.params.grid),
            drop=snakemake.params.drop,
            layers=snakemake.output[0],
        )
