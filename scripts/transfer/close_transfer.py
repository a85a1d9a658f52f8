"""Close the transfer: one row per layer, one row and one link per tile that could not be read.

Inputs: `transfer/converted/*.tsv`, `transfer/archived/*.tsv`, `transfer/copied.tsv`. Outputs:
`transfer/layers.tsv` (layer_id, scope, stamp, tiles, expected, bad, status ok | partial | empty |
failed, raw_h5, align_h5; copied, converted, verified, archived: 1, 0, or - where there is nothing
to do; message; of foreign sources `source_sha256`, the digest of the layer's pixels as they are in
the source; paths relative to the working directory, archived ones absolute) and
`transfer/quarantine.tsv` (layer_id, tile_key, dat, reason). Links to the bad files:
`transfer/quarantine/`. It never fails because of a layer: `check_transfer` does.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib.files import read_table, write_table
from scripts.lib.job import job
from scripts.transfer import quarantine, summary
from scripts.transfer.layers import Grid
from scripts.transfer.original import file_of
from scripts.transfer.taken import layer_rows

log = logging.getLogger(__name__)


def main(
    *,
    converted: Sequence[str],
    dat_root: str,
    rows: int,
    columns: int,
    layers: str,
    bad_tiles: str,
    archived: Sequence[str] = (),
    copied: str | None = None,
    archive_root: str | None = None,
    taken: str | None = None,
    source: Mapping[str, Any] | None = None,
) -> None:
    """Write the table of layers and the table of bad tiles, and link the latter."""
    tiles = [row for path in converted for row in read_table(path)]
    bad = summary.quarantine_rows(tiles)
    unread = [Path(dat_root, file_of(row["dat"])) for row in bad]
    quarantine.link(Path(bad_tiles).with_suffix(""), unread)
    write_table(bad_tiles, summary.QUARANTINE_COLUMNS, bad)
    grid = Grid(rows, columns)
    table = summary.layer_rows(
        tiles,
        grid,
        archived=[row for path in archived for row in read_table(path)],
        copied=read_table(copied) if copied else None,
        archive_root=Path(archive_root) if archive_root else None,
        source=source,
    )
    every = summary.joined(table, layer_rows(read_table(taken), grid) if taken else [])
    write_table(layers, summary.columns(source), summary.with_columns(every, source))
    log.info("%d layers, %d tiles, %d of them in quarantine", len(every), len(tiles), len(bad))


if __name__ == "__main__":
    with job(snakemake):
        main(
            converted=list(snakemake.input.converted),
            dat_root=snakemake.params.dat_root,
            rows=snakemake.params.rows,
            columns=snakemake.params.columns,
            layers=snakemake.output.layers,
            bad_tiles=snakemake.output.quarantine,
            archived=list(snakemake.input.archived),
            copied=snakemake.input.get("copied"),
            archive_root=snakemake.params.archive_root,
            taken=snakemake.input.get("taken"),
            source=snakemake.params.get("source"),
        )
