# mypy: disable-error-code="name-defined"
"""Plan the transfer: which `.dat` files belong to the volume, and which job converts which layer.

Output: `transfer/plan.tsv`, one row per tile: chunk, layer_id, tile_key, row, column, dat (path
relative to transfer.dat_root), bytes. Layers are in order of time, `layers_per_job` of them in one
chunk.
"""

import logging
from pathlib import Path
from typing import Any

from scripts.lib.files import write_table
from scripts.lib.job import job
from scripts.transfer.layers import PLAN_COLUMNS, plan_of_acquisition
from scripts.transfer.scan import dat_files

log = logging.getLogger(__name__)


def main(*, dat_root: str, acquisition: dict[str, Any], layers_per_job: int, plan: str) -> None:
    """Write the plan of all `.dat` files under `dat_root` that belong to the volume."""
    found = dat_files(Path(dat_root))
    rows = plan_of_acquisition(found, acquisition, layers_per_job)
    write_table(plan, PLAN_COLUMNS, rows)
    log.info("%d of %d .dat files belong to the volume", len(rows), len(found))


if __name__ == "__main__":
    with job(snakemake):
        main(
            dat_root=snakemake.params.dat_root,
            acquisition=snakemake.params.acquisition,
            layers_per_job=snakemake.params.layers_per_job,
            plan=snakemake.output[0],
        )
