"""List what the pairs of each chunk of a growing volume are made of: what is the same is not read.

Inputs
    the match collection and that of the review (their receipts), ``ingest/chunks.tsv``,
    ``match/results/{run}/{chunk}.tsv.gz`` (with ``match/timing`` of the same names, which say what
    matches were made of), ``match/wide/results.tsv.gz``; ``match/decisions.tsv`` where there is one
Output
    ``solve/pairs_listed.tsv``: chunk, pairs = digest of all that decides what points the pairs of
    the chunk have. Of the review, which makes few matches, of these themselves
"""

import bisect
import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from scripts.lib import files
from scripts.lib.job import job
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import REACH, CollectionReceipt

Item = TypeVar("Item")
Bounds = tuple[int, int]

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
    chunked = files.read_table(chunks)
    bounds = [(int(one["z_first"]), int(one["z_last"])) for one in chunked]
    tables = defaultdict(list)
    for path in results:
        tables[_chunk_of(path)].append(path)
    lows = ((_lower(row["p_group"], row["q_group"]), row) for row in files.read_table(wide))
    searched, rows = _by_chunk(lows, bounds), []
    made = _by_chunk(_of_review(client, receipts[-1].collection), bounds)
    for k, row in enumerate(chunked):
        parts = [*map(_bytes_of, tables[row["chunk"]]), searched[k], sorted(made[k])]
        rows.append({"chunk": row["chunk"], "pairs": files.digest([*bounds[k], of_all, parts])})
    files.write_table(out, COLUMNS, rows)
    log.info("%d chunks", len(rows))


def _by_chunk(items: Iterable[tuple[float, Item]], bounds: Sequence[Bounds]) -> list[list[Item]]:
    """Sort items by the chunk (first and last z, in order of z) that their z lies in."""
    firsts, out = [first for first, _ in bounds], [list[Item]() for _ in bounds]
    for z, item in items:
        k = bisect.bisect_right(firsts, z) - 1
        if k >= 0 and z <= bounds[k][1]:
            out[k].append(item)
    return out


def _of_review(client: RenderClient, collection: str) -> Iterator[tuple[float, str]]:
    """Yield lower z and digest of each of the review's matches."""
    for each in client.match_lists(collection, client.p_groups(collection)):
        for one in each:
            yield _lower(one["pGroupId"], one["qGroupId"]), files.digest(one)


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
