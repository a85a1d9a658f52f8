"""Move the raw HDF5 of one chunk to the archive, and remove `.dat` files that are safe.

Inputs: `transfer/plan.tsv`, `transfer/converted/{chunk}.tsv` (layers that failed there are left
alone). Output: `transfer/archived/{chunk}.tsv`, one row per layer: layer_id, archived (1, 0; - when
there is no archive), dats_left, status (ok or failed), reason. What is moved and removed, and what
is proven before, is in `archiving`.
"""

import logging
from pathlib import Path

from scripts.lib.files import read_rows_of, read_table, write_table
from scripts.lib.job import job
from scripts.transfer import archiving

log = logging.getLogger(__name__)


def main(
    *,
    chunk: str,
    plan: str,
    converted: str,
    dat_root: str,
    archive_root: str | None,
    remove_dats: bool,
    free_space_gb: float,
    archived: str,
) -> None:
    """Settle the layers of chunk `chunk`."""
    mine = read_rows_of(plan, chunk)
    failed = {r["layer_id"]: r["reason"] for r in read_table(converted) if r["status"] == "failed"}
    archive = Path(archive_root) if archive_root else None
    rules = archiving.Rules(archive, remove_dats, free_space_gb)
    rows = archiving.settle_layers(mine, failed, rules, dat_root=Path(dat_root), work_dir=Path())
    for row in rows:
        if row["reason"]:
            log.warning("%s: %s", row["layer_id"], row["reason"])
    write_table(archived, archiving.ARCHIVED_COLUMNS, rows)


if __name__ == "__main__":
    with job(snakemake):
        main(
            chunk=snakemake.wildcards.chunk,
            plan=snakemake.input.plan,
            converted=snakemake.input.converted,
            dat_root=snakemake.params.dat_root,
            archive_root=snakemake.params.archive_root,
            remove_dats=snakemake.params.remove_dats,
            free_space_gb=snakemake.params.free_space_gb,
            archived=snakemake.output[0],
        )
