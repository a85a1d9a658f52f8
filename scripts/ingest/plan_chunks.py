"""Cut the volume into chunks of z, the unit of work of match, solve, zcorr and export.

Input: `ingest/layers.tsv`. Output: `ingest/chunks.tsv` with chunk, z_first, z_last (inclusive);
every chunk but the last has exactly `size` z values, gaps included.
"""

from scripts.ingest.chunks import COLUMNS, plan
from scripts.lib.files import read_table, write_table
from scripts.lib.job import job


def main(*, layers: str, size: int, chunks: str) -> None:
    """Write the chunks of `size` layers each."""
    values = [int(row["z"]) for row in read_table(layers)]
    write_table(chunks, COLUMNS, plan(min(values), max(values), size))


if __name__ == "__main__":
    with job(snakemake):
        main(
            layers=snakemake.input[0],
            size=snakemake.params.size,
            chunks=snakemake.output[0],
        )
