"""Plan the transfer: which tiles belong to the volume, and which job converts which layer.

Reads the `.dat` files below `dat_root`, the raw HDF5 files and those of the archive, and the tables
of earlier runs. Outputs: `transfer/plan.tsv`, one row per tile: chunk, layer_id, tile_key, row,
column, dat (path relative to `dat_root`; the mere name when the tile is in HDF5 alone), bytes,
modified_ns and attempt (see `planning`); `transfer/misfits.tsv`, `.dat` files that are no tile of
the volume: dat, bytes, modified_ns, reason (empty: a copy of a tile); `transfer/plan.json`.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.lib.files import read_table, write_json, write_table
from scripts.lib.job import UserError, job
from scripts.transfer import archiving, origin, planning, state
from scripts.transfer.layers import Grid, not_the_corners

log = logging.getLogger(__name__)

_KEYS = ("rows", "columns", "first_dat", "last_dat", "scope")  # of section acquisition


def main(
    *,
    dat_root: str,
    rows: int,
    columns: int,
    layers_per_job: int,
    plan: str,
    first_dat: str | None = None,
    last_dat: str | None = None,
    scope_name: str | None = None,
    quiet_time_s: float = 0,
    archive_root: str | None = None,
    source: Mapping[str, Any] | None = None,
    fingerprint: str = "",
    taken: str | None = None,
) -> None:
    """Write the plan of all tiles that belong to the volume."""
    acquisition = dict(zip(_KEYS, (rows, columns, first_dat, last_dat, scope_name), strict=True))
    _look_at_ends(first_dat, last_dat, Grid(rows, columns))
    archive = Path(archive_root) if archive_root else None
    where, known = (Path(dat_root), acquisition, quiet_time_s), _ids(taken)
    view = state.look(*where, archive_root=archive, taken=known, source=source)
    tiles = planning.plan(
        *(view.previous, view.layers, view.on_disk, view.limits),
        todo=view.todo,
        stored=lambda layer: archiving.stored_anywhere(layer, Path(), archive),
        layers_per_job=layers_per_job,
    )
    if not tiles and not known:
        raise UserError(_nothing(dat_root, acquisition, view, source))
    folder = Path(plan).parent
    write_table(plan, planning.PLAN_COLUMNS, tiles)
    misfits = planning.misfit_rows(view.misfits)
    write_table(folder / "misfits.tsv", planning.MISFIT_COLUMNS, misfits)
    write_json(folder / "plan.json", {"fingerprint": fingerprint})
    due = dict(Counter(view.todo.values()))
    words = "%d tiles, %d files that do not fit; layers to do: %s"
    log.info(words, len(tiles), len(misfits), due)


def _ids(table: str | None) -> set[str]:
    return {row["layer_id"] for row in read_table(table)} if table else set()


def _nothing(
    dat_root: str, acquisition: Mapping[str, Any], view: state.View, source: origin.Source | None
) -> str:
    first = view.misfits[0].reason if view.misfits else ""
    return state.nothing(dat_root, acquisition, len(view.misfits), source, first)


def _look_at_ends(first_dat: str | None, last_dat: str | None, grid: Grid) -> None:
    ends = {"acquisition.first_dat": first_dat, "acquisition.last_dat": last_dat}
    for words in not_the_corners(ends, grid):
        log.warning("%s", words)


if __name__ == "__main__":
    with job(snakemake):
        main(
            dat_root=snakemake.params.dat_root,
            rows=snakemake.params.rows,
            columns=snakemake.params.columns,
            first_dat=snakemake.params.first_dat,
            last_dat=snakemake.params.last_dat,
            scope_name=snakemake.params.scope_name,
            layers_per_job=snakemake.params.layers_per_job,
            plan=snakemake.output.plan,
            quiet_time_s=snakemake.params.quiet_time_s,
            archive_root=snakemake.params.archive_root,
            source=snakemake.params.get("source"),
            fingerprint=snakemake.params.fingerprint,
            taken=snakemake.input.get("taken"),
        )
