"""Write the TIFF slices that begin in one chunk of layers.

Inputs
    ``tiff/plan.json``, ``export/plan.json``, ``ingest/chunks.tsv``
Outputs
    ``tiff/slices/{chunk}.json``: names of the files; none where one file holds all
    Side effect: the slices, each written at once and read back
"""

from scripts.export import disk, slabs, tiffs
from scripts.lib import files
from scripts.lib.chunks import chunk_range
from scripts.lib.job import job


def main(*, plan: str, export: str, chunks: str, chunk: str, out: str) -> None:
    """Write and list."""
    what = tiffs.TiffPlan.from_json(files.read_json(plan))
    exported = slabs.Plan.from_json(files.read_json(export))
    names: list[str] = []
    if not what.is_stack:
        with disk.reported():
            names = tiffs.write_slices(what, slabs.owned(exported, *chunk_range(chunks, chunk)))
    files.write_json(out, {"chunk": chunk, "files": names})


if __name__ == "__main__":
    with job(snakemake):
        main(
            plan=snakemake.input.plan,
            export=snakemake.input.export,
            chunks=snakemake.input.chunks,
            chunk=snakemake.wildcards.chunk,
            out=snakemake.output[0],
        )
