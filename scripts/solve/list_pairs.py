"""List what the pairs of each chunk of a growing volume are made of: what is the same is not read.

Inputs
    the match collection and that of the review (their receipts), ``ingest/chunks.tsv``,
    ``match/results/{run}/{chunk}.tsv.gz`` (with ``match/timing`` of the same names, which say what
    matches were made of), ``match/wide/results.tsv.gz``; ``match/decisions.tsv`` where there is one
Output
    ``solve/pairs_listed.tsv``: chunk, pairs = digest of all that decides what points the pairs of
    the chunk have. Of the review, which makes few matches, of these themselves
"""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.lib import files
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import REACH, CollectionReceipt

log = logging.getLogger(__name__)
COLUMNS = ("chunk", "pairs")
_DECISIONS = Path("match/decisions.tsv")  # of close_matches, no declared output


def main(
    *,
    matches: Sequence[str | Path],
    chunks: str | Path,
    results: Sequence[str | Path],
    wide: str | Path,
    out: str | Path,
    render: dict[str, Any],
) -> None:
    """Digest what belongs to one chunk after another, and what belongs to all."""
    client = RenderClient(**render)
    receipts = [CollectionReceipt.read(path) for path in matches]
    for receipt in receipts:
        client.require(receipt)
    of_all = [receipt.params.get(REACH) for receipt in receipts]
    of_all.append(files.read_table(_DECISIONS) if _DECISIONS.exists() else [])
    searched = [(_lower(row["p_group"], row["q_group"]), row) for row in files.read_table(wide)]
    made, rows = _of_review(client, receipts[-1].collection), []
    for row in files.read_table(chunks):
        first, last = int(row["z_first"]), int(row["z_last"])
        parts = [
            *(_bytes_of(path) for path in results if _chunk_of(path) == row["chunk"]),
            [one for z, one in searched if first <= z <= last],
            sorted(one for z, one in made if first <= z <= last),
        ]
        rows.append({"chunk": row["chunk"], "pairs": files.digest([first, last, of_all, parts])})
    files.write_table(out, COLUMNS, rows)
    log.info("%d chunks", len(rows))


def _of_review(client: RenderClient, collection: str) -> list[tuple[float, str]]:
    """Return lower z and digest of each of the review's matches."""
    lists = client.match_lists(collection, client.p_groups(collection))
    return [
        (_lower(one["pGroupId"], one["qGroupId"]), files.digest(one))
        for each in lists
        for one in each
    ]


def _lower(p_group: str, q_group: str) -> float:
    return min(float(p_group), float(q_group))


def _chunk_of(path: str | Path) -> str:
    return Path(path).name.partition(".")[0]


def _bytes_of(path: str | Path) -> list[str]:
    """Return the digests of a table of results, and of the table beside it that tells what of."""
    beside = Path(str(path).replace("match/results/", "match/timing/", 1))
    return [
        hashlib.sha256(each.read_bytes()).hexdigest()
        for each in (Path(path), beside)
        if each.exists()
    ]


if __name__ == "__main__":
    with job(snakemake):
        main(
            matches=snakemake.input.matches,
            chunks=snakemake.input.chunks,
            results=snakemake.input.results,
            wide=snakemake.input.wide,
            out=snakemake.output[0],
            render=snakemake.params.render,
        )
