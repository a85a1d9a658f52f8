"""Pairs whose result stands, because nothing that it was made of has changed.

A result is made of the two tiles (spec, and size and time of the image file), the pair's relation,
and the stages that were asked: those up to the one that saved it, or that stopped it. So a changed
stage affects the pairs that reached it, and a patched tile the pairs that it is part of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scripts.lib.drawing import pixels
from scripts.lib.files import digest, read_table
from scripts.lib.service.records import TileSet, TileSpec
from scripts.match import tables
from scripts.match.pairs import Pair
from scripts.match.presets import Stage
from scripts.match.stages import Attempt

# to be raised when a method gives other results from the same parameters
VERSIONS = {"sift": 2}  # 1 of all others

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
        self.stages = [digest([VERSIONS.get(stage.method, 1), asdict(stage)]) for stage in stages]
        self._tiles = tiles
        self._digests: dict[str, str] = {}
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

    def _tile(self, tile_id: str) -> str:
        if tile_id not in self._digests:
            tile = self._by_id[tile_id]
            used = [self._tiles.shared[i].to_json() for i in _references(self._tiles, tile)]
            self._digests[tile_id] = digest([tile.to_json(), used, _file(tile.image_url)])
        return self._digests[tile_id]

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
        over = row["saved"] == "1" or "beyond_distance(" in row["reason"].rpartition("; ")[2]
        if asked > len(self.stages) or not (over or asked == len(self.stages)):
            return False
        return self.digest(pair, asked) == row["made_of"]


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
    """Return the rows that the last run of this job left, by pair; none without such a file.

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
    if path is None or not Path(path).is_file():
        return {}
    rows = read_table(path)
    whole = set(tables.TIMING_COLUMNS)
    return {tables.key(row): row for row in rows if whole <= set(row)}


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
