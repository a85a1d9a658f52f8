"""Convert the layers of one chunk: `.dat` files to raw 16-bit and 8-bit align HDF5.

Inputs: `transfer/plan.tsv`; the `.dat` files under `dat_root`. Output:
`transfer/converted/{chunk}.tsv`, one row per tile: layer_id, tile_key, dat, status (ok, bad: the
tile cannot be read, failed: its layer could not be converted), reason (of a good tile: its pixels
show nothing, or come from elsewhere), of foreign sources sha256
(of the pixels as they are in the source). Beside it, per layer,
`h5/raw/…/<layer>.raw.h5` ((y, x) 16-bit per tile and channel) and `h5/align/…/<layer>.uint8.h5`
((1, y, x) 8-bit per tile and mipmap level). Both are published only when they were read back and
agree; see `conversion`.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib.files import read_cells, read_rows_of, write_table
from scripts.lib.job import job
from scripts.transfer import contrast, conversion, digests, origin
from scripts.transfer.contrast import Fill
from scripts.transfer.conversion import Settings
from scripts.transfer.hdf5 import Storage

log = logging.getLogger(__name__)


def main(
    *,
    chunk: str,
    plan: str,
    dat_root: str,
    bad_tiles: str,
    channel: int,
    mipmap_levels: int,
    chunk_px: int,
    gzip_level: int,
    fill: Sequence[Mapping[str, Any]],
    free_space_gb: float,
    converted: str,
    keep_contrast: Sequence[Mapping[str, Any]] = (),
    archive_root: str | None = None,
    copied: str | None = None,
    source: Mapping[str, Any] | None = None,
) -> None:
    """Bring the HDF5 files of chunk `chunk` up to date and list its tiles."""
    mine = read_rows_of(plan, chunk)
    rows = conversion.convert_layers(
        mine,
        dat_root=origin.files_of(Path(dat_root), source),
        work_dir=Path(),
        settings=Settings(
            channel=channel,
            mipmap_levels=mipmap_levels,
            storage=Storage(chunk_px, gzip_level),
            fills=tuple(Fill.of(entry) for entry in fill),
            kept=contrast.kept(keep_contrast),
            reserve_gb=free_space_gb,
            hashes=_hashes(copied, mine),
        ),
        stop=bad_tiles == "stop",
        archive_root=Path(archive_root) if archive_root else None,
    )
    for row in rows:
        if row["status"] == "bad":
            log.warning("quarantined: %s", row["reason"])
        elif row["status"] == "ok" and row["reason"]:
            log.warning("%s_%s: %s", row["layer_id"], row["tile_key"], row["reason"])
    write_table(converted, digests.columns(source), digests.with_digests(rows, source))


def _hashes(copied: str | None, mine: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return SHA-256 by name of the files of these rows that were compared with the scope's."""
    names = {Path(row["dat"]).name for row in mine}  # the plan has paths
    known = read_cells(copied, ("dat", "sha256")) if copied else ()
    return {dat: sha256 for dat, sha256 in known if dat in names}


if __name__ == "__main__":
    with job(snakemake):
        main(
            chunk=snakemake.wildcards.chunk,
            plan=snakemake.input.plan,
            dat_root=snakemake.params.dat_root,
            bad_tiles=snakemake.params.bad_tiles,
            channel=snakemake.params.channel,
            mipmap_levels=snakemake.params.mipmap_levels,
            chunk_px=snakemake.params.chunk_px,
            gzip_level=snakemake.params.gzip_level,
            fill=snakemake.params.fill,
            keep_contrast=snakemake.params.keep_contrast,
            free_space_gb=snakemake.params.free_space_gb,
            converted=snakemake.output[0],
            archive_root=snakemake.params.archive_root,
            copied=snakemake.input.get("copied"),
            source=snakemake.params.get("source"),
        )
