"""Read the headers of all align HDF5 files once; later runs read those of new or changed files.

Inputs: `transfer/layers.tsv`; of a long volume `ingest/read/{span}.npz`. Output:
`ingest/headers.tsv`, one row per layer that has a file, in order of time: layer_id, align_h5, tiles
(keys by comma), digest of the headers, problem (why the file could not be read). Beside it,
undeclared, the cache itself: `ingest/headers/<yy-mm-dd>.npz`.
"""

from collections.abc import Sequence
from pathlib import Path

from scripts.ingest import headers
from scripts.lib import made_by
from scripts.lib.files import read_table, write_table
from scripts.lib.job import job
from scripts.lib.kept import Kept


def main(*, transfer: str, table: str, parts: Sequence[str] = ()) -> None:
    """Bring the cache up to date and write the table of headers."""
    folder, rows = Path(table).with_suffix(""), read_table(transfer)
    files = headers.digest_of_stamps(rows)  # before they are read: what changes then is read again
    kept = Kept.of([table], [transfer], [files, headers.shards(folder)], code=made_by.CACHED)
    if not kept.restore():
        write_table(table, headers.COLUMNS, headers.refresh(rows, folder, parts))
        found = [files, headers.shards(folder)]
        Kept.of([table], [transfer], found, code=made_by.CACHED).keep()


if __name__ == "__main__":
    with job(snakemake):
        main(
            transfer=snakemake.input.transfer,
            table=snakemake.output[0],
            parts=snakemake.input.parts,
        )
