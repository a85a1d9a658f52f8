"""Copy from the scope what has a keep flag, and what is missing; remove the flags.

Reads the scope's folders and, beside it, what is here (`.dat` files, names of HDF5 files,
`transfer/plan.tsv`). Side effect: `.dat` files in `dat_root/YYYY/MM/DD/HH`. Outputs:
`transfer/copied.tsv`, one row per file that was copied so far or fails now: layer_id, tile_key,
dat, bytes, sha256 (empty unless asked for), status (copied, broken as on the scope, failed),
reason; and `transfer/copy.json`, what the next reading of the workflow wants to know. A scope that
does not answer is reported there, so that what is here is converted all the same: `check_transfer`
ends the run.
"""

import logging
from pathlib import Path
from typing import Any

from scripts.lib.files import read_json, read_table, write_json, write_table
from scripts.lib.job import job
from scripts.transfer import state
from scripts.transfer.copying import COPIED_COLUMNS, Rules
from scripts.transfer.layers import Limits
from scripts.transfer.scope import ScopeSettings
from scripts.transfer.visits import visit

log = logging.getLogger(__name__)


def main(
    *,
    scope: dict[str, Any],
    first_dat: str | None,
    last_dat: str | None,
    scope_name: str | None,
    dat_root: str,
    archive_root: str | None,
    free_space_gb: float,
    fingerprint: str,
    copied: str,
    copy_state: str,
) -> None:
    """Visit the scope once."""
    settings, root = ScopeSettings.of(scope), Path(dat_root)
    max_s = None if settings.max_minutes is None else settings.max_minutes * 60
    rules = Rules(root, settings.hash == "sha256", max_s, free_space_gb)
    here = state.known_dats(root, archive_root=Path(archive_root) if archive_root else None)
    before = read_table(copied) if Path(copied).exists() else []
    limits = Limits.of({"first_dat": first_dat, "last_dat": last_dat, "scope": scope_name})
    done = visit(settings, limits, rules, here=here, before=before)
    for line in [*done.problems, *(r["reason"] for r in done.rows if r["status"] == "failed")]:
        log.error("%s", line)
    last = read_json(copy_state) if Path(copy_state).exists() else {}
    write_table(copied, COPIED_COLUMNS, done.rows)
    write_json(copy_state, done.state(fingerprint, last, last_dat))


if __name__ == "__main__":
    with job(snakemake):
        main(
            scope=snakemake.params.scope,
            first_dat=snakemake.params.first_dat,
            last_dat=snakemake.params.last_dat,
            scope_name=snakemake.params.scope_name,
            dat_root=snakemake.params.dat_root,
            archive_root=snakemake.params.archive_root,
            free_space_gb=snakemake.params.free_space_gb,
            fingerprint=snakemake.params.fingerprint,
            copied=snakemake.output.copied,
            copy_state=snakemake.output.state,
        )
