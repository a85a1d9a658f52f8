"""Remove what was listed, when the config names the word of the listing.

Inputs
    ``cleanup/listing.tsv``, ``export/volume.json``, ``transfer/layers.tsv``
Outputs
    ``cleanup/removed.tsv``: the listing, as removed. As long as it is there the transfer does not
    ask for the removed images.
"""

import logging
from pathlib import Path

from scripts.export import removable
from scripts.lib import files
from scripts.lib.job import UserError, job

log = logging.getLogger(__name__)


def main(
    *, layers: str, listing: str, out: str, word: str | None, archive_root: str | None
) -> None:
    """Compare the word, check the archive once more, remove."""
    rows = files.read_table(listing)
    expected = removable.confirmation(rows)
    if word != expected:
        raise UserError(
            f"cleanup: nothing was removed. Look at {listing}; to remove what it names, set"
            f" export.cleanup_word: {expected} (found {word})"
        )
    removable.check_archive(files.read_table(layers), archive_root)
    removable.remove(rows, Path())
    files.write_table(out, removable.COLUMNS, rows)
    log.info("removed %.3f GB", sum(int(row["bytes"]) for row in rows) / 1e9)


if __name__ == "__main__":
    with job(snakemake):
        main(
            layers=snakemake.input.layers,
            listing=snakemake.input.listing,
            out=snakemake.output[0],
            word=snakemake.params.word,
            archive_root=snakemake.params.archive_root,
        )
