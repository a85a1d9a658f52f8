"""Do the results add up, and what did the stages do."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.lib.files import digest
from scripts.lib.service.receipts import CollectionReceipt
from scripts.match.tables import key

Row = Mapping[str, str]
Key = tuple[str, str, str, str]

_REASON = re.compile(r"(?P<stage>[^:;]+):(?P<word>\w+)(\([^)]*\))?(; |$)")
SUMMARY_COLUMNS = (
    "run",
    "stage",
    "processed",
    "saved",
    "saved_pct",
    "not_distinct",
    "few_blocks",
    "beyond_reach",
    "few_inliers",
    "low_coverage",
    "low_correlation",
    "no_descriptors",
    "no_overlap",
    "no_usable_pixels",
    "stopped_by_distance",
)


@dataclass(frozen=True)
class Sums:
    """What the chunk results say together."""

    planned: int
    saved: frozenset[Key]

    @property
    def failed(self) -> int:
        """Return the number of pairs that no stage saved.

        Returns
        -------
        int
            Planned less saved.
        """
        return self.planned - len(self.saved)


def add_up(
    planned: Sequence[Sequence[Row]],
    results: Sequence[Sequence[Row]],
    wide: Sequence[Row] = (),
) -> Sums:
    """Compare the plan of each chunk with its results.

    Parameters
    ----------
    planned
        Rows of `tables.PAIR_COLUMNS`, chunk by chunk.
    results
        Rows of `tables.RESULT_COLUMNS` of the same chunks.
    wide
        Such rows of the wide search, which plans on its own; a pair that failed where the stage
        positions had it may be there once more.

    Returns
    -------
    Sums
        The pairs of all chunks together.

    Raises
    ------
    ValueError
        When a planned pair has no result, a result no plan, or two chunks tried the same pair.
    """
    total: set[Key] = set()
    saved: set[Key] = set()
    for plan, done in zip(planned, results, strict=True):
        wanted, tried = [key(row) for row in plan], [key(row) for row in done]
        if wanted != tried:
            odd = sorted(set(wanted) ^ set(tried))[:3]
            raise ValueError(
                f"a chunk planned {len(wanted)} pairs and has {len(tried)} results, e.g. {odd}:"
                " run match_pairs of it again"
            )
        if twice := total & set(wanted):
            raise ValueError(f"two chunks tried the same pair: {sorted(twice)[:3]}")
        total |= set(wanted)
        saved |= {key(row) for row in done if row["saved"] == "1"}
    saved |= {key(row) for row in wide if row["saved"] == "1"}
    return Sums(len(total) + len(wide), frozenset(saved))


def strays(stored: Sequence[tuple[str, str, str, str, int]], sums: Sums) -> list[Key]:
    """Return the stored pairs that no chunk saved.

    Parameters
    ----------
    stored
        p group, p id, q group, q id and number of points of each pair of the collection.
    sums
        What the chunks saved.

    Returns
    -------
    list of Key
        p group, p id, q group, q id, in the order of `stored`.
    """
    keys = [(pg, p, qg, q) for pg, p, qg, q, _ in stored]
    return [pair for pair in keys if pair not in sums.saved]


def receipt(
    owner: str, collection: str, sums: Sums, inputs: Mapping[str, str], params: Mapping[str, Any]
) -> CollectionReceipt:
    """Return the receipt of the closed collection.

    Parameters
    ----------
    owner
        Owner of the match collection.
    collection
        Name of the match collection.
    sums
        Those over all chunks.
    inputs
        Digest by name of the file that the collection was made of.
    params
        Values of the config that it was made with.

    Returns
    -------
    CollectionReceipt
        Its digest is that of the inputs.
    """
    return CollectionReceipt(
        owner=owner,
        collection=collection,
        pairs_planned=sums.planned,
        pairs_saved=len(sums.saved),
        pairs_failed=sums.failed,
        digest=digest(dict(inputs)),
        inputs=inputs,
        params=params,
    )


def summary(results: Sequence[Sequence[Row]]) -> list[dict[str, Any]]:
    """Count, for each run and stage in order of use, what became of the pairs.

    Parameters
    ----------
    results
        Rows of `tables.RESULT_COLUMNS`, chunk by chunk.

    Returns
    -------
    list of dict
        Rows of `SUMMARY_COLUMNS`; ``saved_pct`` of those processed, None where there were none.
    """
    counts: dict[tuple[str, str], Counter[str]] = {}
    for row in (row for done in results for row in done):
        for match in _REASON.finditer(row["reason"]):
            count = counts.setdefault((row["run"], match["stage"]), Counter())
            stopped = match["word"] == "beyond_distance"
            count["stopped_by_distance" if stopped else match["word"]] += 1
            count["processed"] += not stopped
        if row["saved"] == "1":
            count = counts.setdefault((row["run"], row["stage"]), Counter())
            count["saved"] += 1
            count["processed"] += 1
    return [_line(run, stage, count) for (run, stage), count in counts.items()]


def _line(run: str, stage: str, count: Counter[str]) -> dict[str, Any]:
    line: dict[str, Any] = {name: count[name] for name in SUMMARY_COLUMNS[2:]}
    share = round(100 * count["saved"] / count["processed"], 1) if count["processed"] else None
    return {"run": run, "stage": stage} | line | {"saved_pct": share}
