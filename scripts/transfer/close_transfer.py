# mypy: disable-error-code="name-defined"
"""Close the transfer: one row per layer, one row and one link per tile that could not be read.

Inputs: `transfer/converted/*.tsv`. Outputs: `transfer/layers.tsv` (layer_id, scope, stamp, tiles,
expected, bad, status ok | partial | empty, raw_h5, align_h5, message; paths relative to the working
directory) and `transfer/quarantine.tsv` (layer_id, tile_key, dat, reason). Links to the bad files:
`transfer/quarantine/`.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from scripts.lib.files import read_table, write_table
from scripts.lib.job import job
from scripts.transfer import quarantine, summary
from scripts.transfer.layers import Grid

log = logging.getLogger(__name__)


def main(
    *, converted: Sequence[str], dat_root: str, grid: Grid, layers: str, bad_tiles: str
) -> None:
    """Write the table of layers and the table of bad tiles, and link the latter."""
    tiles = [row for path in converted for row in read_table(path)]
    bad = summary.quarantine_rows(tiles)
    quarantine.link(Path(bad_tiles).with_suffix(""), [Path(dat_root, row["dat"]) for row in bad])
    write_table(bad_tiles, summary.QUARANTINE_COLUMNS, bad)
    count = write_table(layers, summary.LAYER_COLUMNS, summary.layer_rows(tiles, grid))
    log.info("%d layers, %d tiles, %d of them in quarantine", count, len(tiles), len(bad))


if __name__ == "__main__":
    with job(snakemake):
        main(
            converted=list(snakemake.input.converted),
            dat_root=snakemake.params.dat_root,
            grid=Grid(**snakemake.params.grid),
            layers=snakemake.output.layers,
            bad_tiles=snakemake.output.quarantine,
        )
