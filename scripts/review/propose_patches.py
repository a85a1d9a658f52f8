"""Name the tiles that should be replaced by those of an adjacent layer, and from which.

What
    Damaged tiles (by the survey), tissue that no match joins to the rest, tiles missing between
    others; each with the layers that could give theirs, best first. With ``review.auto`` all of
    them go into the first round, otherwise those of ``review.patch`` alone.

Inputs
    stack ``v1_acquire`` (its receipt), the survey, ``match/results/{run}/{chunk}.tsv.gz``

Outputs
    ``review/patch_proposals.tsv``  all of them
    ``review/patches/0.tsv``        those that are made: what round 1 starts from
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib.files import read_table, write_table
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.review import clusters, decisions, patches, replacements, suspects

log = logging.getLogger(__name__)
Entries = Sequence[Mapping[str, Any]]


def main(
    *,
    acquire: str | Path,
    survey: Sequence[str | Path],
    results: Sequence[str | Path],
    out: Mapping[str, str],
    render: dict[str, Any],
    limits: Mapping[str, Any],
    auto: bool,
    exclude: Entries,
    keep: Entries,
    patch: Entries,
    taken: str | None = None,
) -> None:
    """Write the outputs `proposed` and `applied`."""
    client = RenderClient(**render)
    receipt = StackReceipt.read(acquire)
    client.require(receipt)
    looked = [row for path in survey for row in read_table(path)]
    net = clusters.net_of_ids(client.tiles(receipt.stack).tiles, clusters.saved_ids(results))
    found, quality = replacements.wanted(
        net,
        suspects.verdicts(looked, suspects.Limits(**limits)),
        exclude=[*exclude, *decisions.not_taken(taken)],
        keep=keep,
    )
    at = patches.places(net.tiles)
    by_hand = replacements.asked(patch, at)
    proposed = patches.first_round(replacements.merged(found, by_hand), at, quality)
    applied = proposed if auto else patches.first_round(by_hand, at, quality)
    write_table(out["proposed"], patches.COLUMNS, proposed)
    write_table(out["applied"], patches.COLUMNS, applied)
    log.info("%d tiles to replace, %d are replaced", len(proposed), len(applied))


if __name__ == "__main__":
    with job(snakemake):
        main(
            acquire=snakemake.input.acquire,
            survey=snakemake.input.survey,
            results=snakemake.input.results,
            out=dict(snakemake.output.items()),
            render=snakemake.params.render,
            limits=snakemake.params.limits,
            auto=snakemake.params.auto,
            exclude=snakemake.params.exclude,
            keep=snakemake.params.keep,
            patch=snakemake.params.patch,
            taken=snakemake.input.get("taken"),
        )
