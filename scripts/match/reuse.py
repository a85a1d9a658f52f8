"""Pairs whose result stands, because nothing that it was made of has changed.

A result is made of the two tiles (spec, and size and time of the image file), the pair's relation,
and the stages that were asked, settings and code: those up to the one that saved it, or that
stopped it. So a changed stage affects the pairs that reached it, a patched tile the pairs that it
is part of, and mended code of one method those that were matched by it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

from scripts.lib.drawing import pixels
from scripts.lib.files import digest, read_table, write_table
from scripts.lib.made_by import matched
from scripts.lib.names import STAGE_STOPS
from scripts.lib.service.records import TileSet, TileSpec
from scripts.match import journal, tables
from scripts.match.pairs import Pair
from scripts.match.presets import Stage
from scripts.match.stages import Attempt

_LOOKED_AT, _FORMER = 20, 3  # pairs and records that are looked at to say why

Key = tuple[str, str, str, str]
Row = Mapping[str, str]


class Provenance:
    """What the results of one job are made of.

    Parameters
    ----------
    stages
        Those of the run, in order.
    tiles
        The tiles, and the transforms they share.
    """

    def __init__(self, stages: Sequence[Stage], tiles: TileSet) -> None:
        self.codes = {stage.method: matched(stage.method).digest() for stage in stages}
        self.stages = _digests(stages, self.codes)
        self._steps, self._tiles = stages, tiles
        self._of_tiles: dict[str, str] = {}
        self._by_id = {str(tile.tile_id): tile for tile in tiles.tiles}

    def digest(self, pair: Pair, asked: int) -> str:
        """Return the digest of a pair's result after its first `asked` stages.

        Parameters
        ----------
        pair
            Of two of the job's tiles.
        asked
            Number of stages that had a say.

        Returns
        -------
        str
            Hexadecimal.
        """
        both = [self._tile(pair.p_id), self._tile(pair.q_id)]
        return digest([both, tables.pair_row(pair), self.stages[:asked]])

    def row(self, attempt: Attempt, run: str, tiles: Mapping[str, TileSpec]) -> dict[str, Any]:
        """Return the row of an attempt, with what a later run needs to tell whether it stands.

        Parameters
        ----------
        attempt
            a pair after its stages.
        run
            Name of the run.
        tiles
            Tile specs by tile id.

        Returns
        -------
        dict
            `tables.TIMING_COLUMNS`; ``cpu_s`` in seconds.
        """
        made_of = self.digest(attempt.pair, attempt.asked)
        return tables.result_row(attempt, run, tiles) | {
            "asked": attempt.asked,
            "made_of": made_of,
            "cpu_s": round(attempt.seconds, 4),
        }

    def record(self) -> None:
        """Put on record which code makes the results by now."""
        for method in self.codes:
            matched(method).record()

    def why(self, pairs: Iterable[Pair], rows: Mapping[Key, Row]) -> str:
        """Say which code on record made rows of these pairs.

        Parameters
        ----------
        pairs
            Those that do not stand.
        rows
            Of the last run, by pair.

        Returns
        -------
        str
            What of the code changed; empty where that is not the reason.
        """
        known = [pair for pair in pairs if pair.key in rows][:_LOOKED_AT]
        former = [
            [(method, one.digest) for one in matched(method).records()[:_FORMER]]
            for method in self.codes
        ]
        for changed in product(*([None, *each] for each in former)):
            codes = dict(each for each in changed if each is not None)
            before = copy.copy(self)
            before.stages = _digests(self._steps, self.codes | codes)
            if codes and any(before.stands(pair, rows[pair.key]) for pair in known):
                return "; ".join(matched(method).other(one) for method, one in codes.items())
        return ""

    def _tile(self, tile_id: str) -> str:
        if tile_id not in self._of_tiles:
            tile = self._by_id[tile_id]
            used = [self._tiles.shared[i].to_json() for i in _references(self._tiles, tile)]
            self._of_tiles[tile_id] = digest([tile.to_json(), used, _file(tile.image_url)])
        return self._of_tiles[tile_id]

    def stands(self, pair: Pair, row: Row) -> bool:
        """Tell whether an earlier row of the pair is what matching would find again.

        Parameters
        ----------
        pair
            As it is planned now.
        row
            `tables.TIMING_COLUMNS` of an earlier run.

        Returns
        -------
        bool
            False also where a stage was added that the pair would reach.
        """
        asked = int(row["asked"])
        last = row["reason"].rpartition("; ")[2]
        over = row["saved"] == "1" or any(f":{word}(" in last for word in STAGE_STOPS)
        if not asked:  # its matches were given, and are looked at each time
            return False
        if asked > len(self.stages) or not (over or asked == len(self.stages)):
            return False
        return self.digest(pair, asked) == row["made_of"]


def _digests(stages: Sequence[Stage], codes: Mapping[str, str]) -> list[str]:
    return [digest([codes[stage.method], asdict(stage)]) for stage in stages]


def _references(tiles: TileSet, tile: TileSpec) -> list[str]:
    ids = [getattr(spec, "id", None) for spec in tile.transforms]
    return [i for i in ids if i is not None and i in tiles.shared]


def _file(url: str) -> Any:  # noqa: ANN401 - a JSON value
    """Size and time of an image file; None where it is no file."""
    path = pixels.image_path(url)
    if path is None or not path.is_file():
        return None
    about = path.stat()
    return [about.st_size, about.st_mtime_ns]


def earlier(path: str | Path | None) -> dict[Key, Row]:
    """Return the rows that the last run of this job left, by pair, even if it was killed.

    Parameters
    ----------
    path
        ``match/timing/{run}/{chunk}.tsv.gz``; None: there is no earlier run.

    Returns
    -------
    dict
        Rows of `tables.TIMING_COLUMNS` by p group, p id, q group, q id; rows without these columns
        are left out.
    """
    if path is None:
        return {}
    rows = [*(read_table(path) if Path(path).is_file() else []), *journal.read(path)]
    whole = set(tables.TIMING_COLUMNS)
    return {tables.key(row): row for row in rows if whole <= set(row)}


def keep(
    timing: str | Path | None, ordered: Sequence[Mapping[str, Any]], provenance: Provenance
) -> None:
    """Write the rows of a job that has ended for the next one, and which code made them.

    Parameters
    ----------
    timing
        The table, ``match/timing/{run}/{chunk}.tsv.gz``; None: nothing is kept.
    ordered
        Rows of all pairs of the plan.
    provenance
        That of the job.
    """
    if timing is None:
        return
    provenance.record()
    write_table(timing, tables.TIMING_COLUMNS, ordered)
    journal.remove(timing)


def standing(
    plan: Iterable[Pair], rows: Mapping[Key, Row], provenance: Provenance, stored: Mapping[Key, int]
) -> dict[Key, Mapping[str, Any]]:
    """Return the earlier rows that still hold.

    Parameters
    ----------
    plan
        Pairs of the job.
    rows
        Earlier rows by pair.
    provenance
        That of the job as it is now.
    stored
        Number of points in the collection by pair; a row whose count differs does not hold.

    Returns
    -------
    dict
        The rows by p group, p id, q group, q id.
    """
    out: dict[Key, Mapping[str, Any]] = {}
    for pair in plan:
        row = rows.get(pair.key)
        if row is None or int(row["count"]) != stored.get(pair.key, 0):
            continue
        if provenance.stands(pair, row):
            out[pair.key] = row
    return out
