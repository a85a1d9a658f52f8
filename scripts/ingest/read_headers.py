"""Read the headers of the align HDF5 files of some jobs of the transfer, of a long volume.

Inputs: `transfer/converted/{chunk}.tsv`. Output: `ingest/read/{span}.npz`, a shard of the header
cache (`scripts.ingest.headers`). `cache_headers` takes from it what is still true of the files, and
reads the others itself.
"""

from collections.abc import Sequence
from pathlib import Path

from scripts.ingest import headers
from scripts.lib.files import read_table
from scripts.lib.job import job
from scripts.lib.layer_files import align_path
from scripts.lib.names import parse_layer


def main(*, converted: Sequence[str], out: str) -> None:
    """Read the headers of the layers whose file is there."""
    names = {row["layer_id"]: None for path in converted for row in read_table(path)}
    found = [(name, align_path(parse_layer(name))) for name in names]
    rows = [{"layer_id": name, "align_h5": str(p)} for name, p in found if Path(p).exists()]
    headers.save(Path(out).parent, Path(out).stem, headers.read_part(rows))


if __name__ == "__main__":
    with job(snakemake):
        main(converted=snakemake.input, out=snakemake.output[0])
