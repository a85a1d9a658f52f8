"""Copy the archived raw files of one chunk of layers back into the working directory.

Inputs
    ``correct/16bit_plan.tsv``, ``ingest/chunks.tsv``
Outputs
    ``correct/restored/{chunk}.tsv``: z, raw, bytes of the files copied
    Side effect: the files, under a temporary name until they equal the archive's byte for byte.
"""

import filecmp
import logging
import shutil
from pathlib import Path

from scripts.correct import sixteen_bit
from scripts.lib import files
from scripts.lib.chunks import chunk_range
from scripts.lib.job import UserError, job

log = logging.getLogger(__name__)


def main(*, plan: str, chunks: str, restored: str, chunk: str) -> None:
    """Copy, compare, list."""
    first, last = chunk_range(chunks, chunk)
    listed = sixteen_bit.rows_of(files.read_table(plan))
    mine = [each for each in listed if each.restore and first <= each.z <= last]
    for each in mine:
        _copy(Path(each.found), Path(each.raw), each.bytes)
    log.info("chunk %s: %d files, %d bytes", chunk, len(mine), sum(each.bytes for each in mine))
    rows = ({"z": each.z, "raw": each.raw, "bytes": each.bytes} for each in mine)
    files.write_table(restored, ("z", "raw", "bytes"), rows)


def _copy(source: Path, target: Path, size: int) -> None:
    """Copy a file; one that is there already and equal stays."""
    if target.is_file() and filecmp.cmp(source, target, shallow=False):
        return
    with files.atomic_path(target) as partial:
        shutil.copyfile(source, partial)
        if partial.stat().st_size != size or not filecmp.cmp(source, partial, shallow=False):
            raise UserError(
                f"16bit: {target} differs from {source}: copy failed; start the same command again"
            )


if __name__ == "__main__":
    with job(snakemake):
        main(
            plan=snakemake.input.plan,
            chunks=snakemake.input.chunks,
            restored=snakemake.output[0],
            chunk=snakemake.wildcards.chunk,
        )
