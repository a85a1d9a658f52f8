"""Plot the header fields of all tiles over z, and name settings that changed.

Inputs
    ``ingest/layers.tsv`` and the align HDF5 files it names
Outputs
    ``ingest/metadata.json``: constants with their values, changes with z and tiles, ranges
    ``ingest/metadata.html``: the same as a page with plots, needs no network
    ``ingest/metadata.csv``: the fields that vary, a line for each tile
    ``ingest/metadata.npz``: the header fields as read, so that the next run reads new files alone
"""

import logging
from pathlib import Path

from scripts.ingest import header_table, metadata, metadata_page
from scripts.lib.files import read_table, write_json, write_text
from scripts.lib.job import job

log = logging.getLogger(__name__)


def main(*, layers: str, volume: str, page: str, summary: str, rows: str, cache: str) -> None:
    """Read what is new, summarise, draw."""
    table = header_table.read(read_table(layers), Path(cache))
    figures = metadata.summarise(table)
    for line in (*metadata.warnings(figures), *figures["unreadable"]):
        log.warning("%s", line)
    write_json(summary, figures)
    write_text(rows, metadata_page.rows(table, figures))
    write_text(page, metadata_page.page(table, figures, volume=volume, here=page))


if __name__ == "__main__":
    with job(snakemake):
        main(
            layers=snakemake.input[0],
            volume=snakemake.params.volume,
            page=snakemake.output.page,
            summary=snakemake.output.summary,
            rows=snakemake.output.rows,
            cache=snakemake.output.cache,
        )
