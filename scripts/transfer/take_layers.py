"""Take layers over that another pipeline converted: look at every align HDF5, and list it.

Reads the folders ``takeover.align_h5`` and ``takeover.raw_h5``; nothing is written there. Outputs:
`takeover/layers.tsv`, one row per layer in order of time (see `taken.COLUMNS`; paths are absolute),
and the receipt `takeover/align.json`: numbers, bytes, digest. What is missing or cannot be used is
named at once, and nothing is written then.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.lib.files import write_json, write_table
from scripts.lib.job import job
from scripts.transfer import taken

log = logging.getLogger(__name__)


def main(
    *,
    align_h5: str,
    raw_h5: str | None,
    acquisition: Mapping[str, Any],
    whole: bool,
    layers: str,
    receipt: str,
) -> None:
    """Write the table of layers, then the receipt."""
    deep = Path(raw_h5) if raw_h5 else None
    rows = taken.rows(Path(align_h5), deep, acquisition, whole=whole)
    write_table(layers, taken.COLUMNS, rows)
    figures = taken.receipt(rows)
    write_json(receipt, figures)
    log.info("%d layers, %d tiles are taken over", figures["files"], figures["tiles"])


if __name__ == "__main__":
    with job(snakemake):
        main(
            align_h5=snakemake.params.align_h5,
            raw_h5=snakemake.params.raw_h5,
            acquisition=snakemake.params.acquisition,
            whole=snakemake.params.whole,
            layers=snakemake.output.layers,
            receipt=snakemake.output.receipt,
        )
