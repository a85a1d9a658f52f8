"""List what the finished volume no longer needs, with sizes; nothing is removed here.

Inputs
    ``transfer/layers.tsv``; ``export/volume.json``, which is there only when every block was read
    back
Outputs
    ``cleanup/listing.tsv``: path, files, bytes, what; its log ends with the word that confirms it
    ``cleanup/word.txt``: that word

Fails when a layer is not safe in the archive.
"""

import logging
from pathlib import Path

from scripts.export import removable
from scripts.lib import files
from scripts.lib.job import job

log = logging.getLogger(__name__)


def main(*, layers: str, listing: str, word: str, archive_root: str | None) -> None:
    """Check the archive, then list."""
    removable.check_archive(files.read_table(layers), archive_root)
    rows = removable.found(Path())
    for row in rows:
        log.info(
            "%s: %d files, %.3f GB; %s",
            *(row[k] for k in ("path", "files")),
            row["bytes"] / 1e9,
            row["what"],
        )
    files.write_table(listing, removable.COLUMNS, rows)
    confirmed_by = removable.confirmation(rows)
    files.write_text(word, confirmed_by + "\n")
    log.info("to remove these: export.cleanup_word: %s", confirmed_by)


if __name__ == "__main__":
    with job(snakemake):
        main(
            layers=snakemake.input.layers,
            listing=snakemake.output.listing,
            word=snakemake.output.word,
            archive_root=snakemake.params.archive_root,
        )
