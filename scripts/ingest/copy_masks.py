"""Copy the masks that are pictures, each under the name of its content.

Output: `ingest/masks.tsv` with image (path in the config), file, width, height (px), hidden_pct;
the copies lie beside it, in `ingest/masks/`. A changed picture gets another name, so all tiles and
matches that it hides a part of are made anew, and no others.
"""

from collections.abc import Mapping

from scripts.ingest import mask_files
from scripts.lib.files import write_table
from scripts.lib.job import job


def main(*, images: Mapping[str, str], table: str) -> None:
    """Copy each picture, and write the table."""
    rows = [mask_files.copied(image) for image in images]
    write_table(table, mask_files.COLUMNS, rows)


if __name__ == "__main__":
    with job(snakemake):
        main(images=snakemake.params.images, table=snakemake.output[0])
