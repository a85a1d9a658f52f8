"""Stop before the matching when the contrast flips from one layer to the next.

Inputs
    the survey of all chunks, ``ingest/layers.tsv``

Output
    ``review/contrast.json``: z of the layers at which the contrast flips. With more of them than
    ``review.max_contrast_flips`` the job writes nothing and says which, and the lines to add.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib.files import read_table, write_json
from scripts.lib.job import job
from scripts.review import polarity, suspects

log = logging.getLogger(__name__)


def main(
    *,
    survey: Sequence[str | Path],
    layers: str | Path,
    out: str | Path,
    most: int,
    kept: Sequence[Mapping[str, Any]],
) -> None:
    """Look for flips, and write them when they are few enough."""
    flips = suspects.contrast_flips([row for path in survey for row in read_table(path)])
    acquired = [row for row in read_table(layers) if row["status"] != "gap"]
    layer_ids = {float(row["z"]): row["layer_id"] for row in acquired}
    polarity.require(flips, layer_ids, kept, most=most)
    write_json(out, {"contrast_flips": flips})
    log.info("the contrast flips at %d layers", len(flips))


if __name__ == "__main__":
    with job(snakemake):
        main(
            survey=snakemake.input.survey,
            layers=snakemake.input.layers,
            out=snakemake.output[0],
            most=snakemake.params.most,
            kept=snakemake.params.kept,
        )
