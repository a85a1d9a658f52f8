"""Do the results add up, and what did the stages do."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib import files
from scripts.lib.names import STAGE_STOPS
from scripts.lib.service.receipts import CollectionReceipt
from scripts.match.tables import KEY, key

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
    *STAGE_STOPS.values(),
)


class Sums:
    """What the tables of all chunks say together, added chunk by chunk.

    Of a pair 16 bytes are kept, a digest of its key: a large volume has millions of pairs.
    """

    def __init__(self) -> None:
        self._saved: dict[bytes, bool] = {}  # of every pair that chunks tried
        self._of_chunks = 0
        self._wide = 0
        self._moved = 0  # pairs that decisions added, less those they took out
        self._counts: dict[tuple[str, str], Counter[str]] = {}

    @property
    def planned(self) -> int:
        """Return the number of pairs that were tried.

        Returns
        -------
        int
            Of the chunks, and of the wide search, which plans on its own.
        """
        return self._wide + self._of_chunks

    @property
    def saved(self) -> int:
        """Return the number of pairs that matching saved.

        Returns
        -------
        int
            Each pair counts once.
        """
        return sum(self._saved.values())

    @property
    def stored(self) -> int:
        """Return the number of pairs that the collection holds.

        Returns
        -------
        int
            Those saved, without those that people took out, with those that they put in.
        """
        return self.saved + self._moved

    @property
    def failed(self) -> int:
        """Return the number of pairs that no stage saved.

        Returns
        -------
        int
            Planned less saved.
        """
        return self.planned - self.saved

    def add(self, wanted: Sequence[tuple[str, ...]], done: Sequence[Row]) -> None:
        """Add a chunk, and compare its plan with its results.

        Parameters
        ----------
        wanted
            Keys of the planned pairs.
        done
            Rows of `tables.RESULT_COLUMNS` of the same chunk.

        Raises
        ------
        ValueError
            When a planned pair has no result, a result no plan, or a chunk before tried the same
            pair.
        """
        tried = [key(row) for row in done]
        if wanted != tried:
            odd = sorted(set(wanted) ^ set(tried))[:3]
            raise ValueError(
                f"a chunk planned {len(wanted)} pairs and has {len(tried)} results, e.g. {odd}:"
                " run match_pairs of it again"
            )
        marks = [_mark(pair) for pair in wanted]
        if twice := [pair for pair, mark in zip(wanted, marks, strict=True) if mark in self._saved]:
            raise ValueError(f"two chunks tried the same pair: {sorted(twice)[:3]}")
        saved = (row["saved"] == "1" for row in done)
        self._saved.update(zip(marks, saved, strict=True))
        self._of_chunks = len(self._saved)
        self._count(done)

    def add_wide(self, found: Sequence[Row]) -> None:
        """Add the wide search, after all chunks: a pair may be there once more that failed.

        Parameters
        ----------
        found
            Rows of `tables.RESULT_COLUMNS`.
        """
        self._wide += len(found)
        self._saved |= {_mark(key(row)): True for row in found if row["saved"] == "1"}
        self._count(found)

    def decide(self, *, gone: int, added: int) -> None:
        """Count what people decided about pairs, after all results.

        Parameters
        ----------
        gone
            Saved pairs that are set aside.
        added
            Pairs that are put in.
        """
        self._moved = added - gone

    def strays(self, stored: Sequence[tuple[str, str, str, str, int]]) -> list[Key]:
        """Return the stored pairs that nothing saved.

        Parameters
        ----------
        stored
            p group, p id, q group, q id and number of points of pairs of the collection.

        Returns
        -------
        list of Key
            p group, p id, q group, q id, in the order of `stored`.
        """
        keys = [(pg, p, qg, q) for pg, p, qg, q, _ in stored]
        return [pair for pair in keys if not self._saved.get(_mark(pair))]

    def summary(self) -> list[dict[str, Any]]:
        """Return, for each run and stage in order of use, what became of the pairs.

        Returns
        -------
        list of dict
            Rows of `SUMMARY_COLUMNS`; ``saved_pct`` of those processed, None where there were none.
        """
        return [_line(run, stage, count) for (run, stage), count in self._counts.items()]

    def _count(self, done: Sequence[Row]) -> None:
        for row in done:
            for match in _REASON.finditer(row["reason"]):
                count = self._counts.setdefault((row["run"], match["stage"]), Counter())
                count[STAGE_STOPS.get(match["word"], match["word"])] += 1
                count["processed"] += match["word"] not in STAGE_STOPS
            if row["saved"] == "1":
                count = self._counts.setdefault((row["run"], row["stage"]), Counter())
                count["saved"] += 1
                count["processed"] += 1


def _mark(pair: tuple[str, ...]) -> bytes:
    # 128 bits: two of ten million pairs are taken for one with a chance of 1e-25
    return hashlib.blake2b("\t".join(pair).encode(), digest_size=16).digest()


def read(
    plans: Iterable[str | Path], results: Iterable[str | Path], wide: str | Path | None = None
) -> tuple[Sums, dict[str, str]]:
    """Add up the tables of all chunks, and of the wide search.

    Parameters
    ----------
    plans, results
        Tables of pairs and of results, of the same chunks in the same order.
    wide
        Results of the wide search; None: there was none.

    Returns
    -------
    sums : Sums
        Over all of them.
    digests : dict
        Of the rows of each table of results, by its path.
    """
    sums, inputs = Sums(), {}
    for plan, path in zip(plans, results, strict=True):  # a chunk at a time is in memory
        done = files.read_table(path)
        sums.add(list(files.read_cells(plan, KEY)), done)
        inputs[str(path)] = files.digest_of_rows(done)
    if wide:
        found = files.read_table(wide)
        sums.add_wide(found)
        inputs[str(wide)] = files.digest_of_rows(found)
    return sums, inputs


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
        pairs_saved=sums.stored,
        pairs_failed=sums.failed,
        digest=files.digest(dict(inputs)),
        inputs=inputs,
        params=params,
    )


def _line(run: str, stage: str, count: Counter[str]) -> dict[str, Any]:
    line: dict[str, Any] = {name: count[name] for name in SUMMARY_COLUMNS[2:]}
    share = round(100 * count["saved"] / count["processed"], 1) if count["processed"] else None
    return {"run": run, "stage": stage} | line | {"saved_pct": share}
