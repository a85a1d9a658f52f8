"""Wide search: tiles that no match joins to the rest are looked for where the stage did not say.

Pairs are planned from the stage positions. Where those are wrong (a header that says another place,
another version of headers from some layer on, FirstX and FirstY not recorded) a tile meets no
partner, although its image fits. So, after the matching, what the matches join is taken apart into
*parts*; the largest stays, and for each other one

1. *seek*: a few of its tiles are correlated as a whole, over all lags, at low scale, with tiles of
   the layers around that belong to what is placed: those of the same cell first, then all others.
   A peak that unrelated tiles would not reach says how far off its stage positions are.
2. *confirm*: with the positions corrected so, pairs are derived and matched by the ordinary stages.
   What those save joins the part; without any it stays where it was.

Nothing of it changes the stack. The cost is bounded: ``most`` correlations of two canvases of at
most `SEEK_PX` px, and the ordinary matching of the pairs of what was found.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from scripts.lib.arrays import Array
from scripts.lib.names import WIDE_RUN
from scripts.lib.service.records import TileSet, TileSpec
from scripts.match import alongside, block, pairs
from scripts.match.canvases import Canvases
from scripts.match.levels import BlockParams
from scripts.match.moving import moved
from scripts.match.pairs import Pair
from scripts.match.presets import Rendering, Run, Stage
from scripts.match.stages import Attempt, match_all

RUN = WIDE_RUN
COLUMNS = ("z_first", "z_last", "cells", "tiles", "dx_px", "dy_px", "pairs", "comparisons")
SEEK_PX = 512  # longer side of the canvases that are sought
MIN_OVERLAP_PCT = 20.0  # of the smaller tile: of less, chance alone finds a peak among all lags
# correlations for one part: with its own cells, and with all others. Where eight of tissue find
# nothing the ninth will not; resin must not use up what there is
TRIES = {False: 8, True: 24}

Seek = Callable[[str, str], Array | None]


@dataclass(frozen=True, eq=False)
class Joined:
    """A part that was found: its tiles, how far off they are (x, y, px), and what joins it now."""

    tiles: Sequence[TileSpec]
    offset: Array
    attempts: Sequence[Attempt]
    comparisons: int

    def row(self) -> dict[str, object]:
        """Return the row of ``match/wide/parts.tsv``.

        Returns
        -------
        dict
            Column (`COLUMNS`) -> value; offsets are what is to be added to the stage positions.
        """
        z = [tile.z for tile in self.tiles]
        cells = sorted({f"{tile.row},{tile.column}" for tile in self.tiles})
        values = (f"{min(z):g}", f"{max(z):g}", " ".join(cells), len(z), *self.offset.astype(int))
        saved = sum(attempt.matches is not None for attempt in self.attempts)
        return dict(zip(COLUMNS, (*values, saved, self.comparisons), strict=True))


def parts(tiles: Sequence[TileSpec], joined: Iterable[tuple[str, str]]) -> list[list[TileSpec]]:
    """Return what the matches join.

    Parameters
    ----------
    tiles
        All tiles.
    joined
        Ids of the tiles of each saved pair.

    Returns
    -------
    list of list
        Tiles of each part by z and id, the largest part first, of two alike the earlier one.
    """
    ordered = sorted(tiles, key=lambda tile: (tile.z, tile.tile_id))
    at: dict[str, int] = {tile.tile_id: i for i, tile in enumerate(ordered)}
    ends = np.array([(at[p], at[q]) for p, q in joined if p in at and q in at], np.int64).reshape(
        -1, 2
    )
    link = coo_array((np.ones(len(ends)), tuple(ends.T)), shape=(len(ordered), len(ordered)))
    label = connected_components(link, directed=False)[1]
    found: dict[int, list[TileSpec]] = defaultdict(list)
    for tile, number in zip(ordered, label.tolist(), strict=True):
        found[number].append(tile)
    return sorted(found.values(), key=lambda part: -len(part))


def seeker(canvases: Canvases) -> Seek:
    """Return what looks for one tile in another.

    Parameters
    ----------
    canvases
        Of the tiles, at their stage positions.

    Returns
    -------
    callable
        Ids of two tiles -> x, y in px by which the first one's stage position is off against the
        second one's; None where it is not found.
    """
    side = max(max(tile.width, tile.height) for tile in canvases.tiles.tiles)
    scale = 1 / (1 << max(0, math.ceil(math.log2(side / SEEK_PX))))
    how = BlockParams(min_overlap_pct=MIN_OVERLAP_PCT)
    render = Rendering(scale, with_filter=False, without_mask=False)
    stage = Stage("seek", "block", render, block=how)

    def _seek(p_id: str, q_id: str) -> Array | None:
        p, q = (canvases.blocks(tile_id, stage) for tile_id in (p_id, q_id))
        shift, log_chance = block.whole_shift(p, q)
        if log_chance > math.log10(how.max_chance):
            return None
        place = p.to_full(np.array(p.shape[::-1]) / 2)[None]
        chain_p, chain_q = (canvases.tiles.chain(canvases.by_id[i]) for i in (p_id, q_id))
        off = chain_q.parts[-1].apply(place + shift) - chain_p.parts[-1].apply(place)
        whole: Array = off[0].round()
        return whole

    return _seek


def candidates(
    part: Sequence[TileSpec],
    layers: Mapping[float, Sequence[TileSpec]],
    *,
    z_distance: int,
    elsewhere: bool,
) -> list[tuple[TileSpec, TileSpec]]:
    """Return pairs to seek, the likeliest first.

    Parameters
    ----------
    part
        Tiles that are looked for.
    layers
        z -> tiles among which they are looked for.
    z_distance
        Farthest layer.
    elsewhere
        False: in the same cell; True: in all others.

    Returns
    -------
    list of tuple
        At most `TRIES`: by distance in layers, then in cells, then spread evenly over the part.
    """
    found = []
    for tile in part:
        for dz in (d for n in range(1, z_distance + 1) for d in (-n, n)):
            for other in layers.get(tile.z + dz, ()):
                away = abs(tile.row - other.row) + abs(tile.column - other.column)
                if (away > 0) == elsewhere:
                    found.append((abs(dz), away, tile, other))
    found.sort(key=lambda one: one[:2])
    most = TRIES[elsewhere]
    nearest = [one for one in found if one[:2] == found[0][:2]]
    if len(nearest) > most:  # tiles that share a layer may all be resin: look along the part
        step = len(nearest) / most
        found = [nearest[int(i * step)] for i in range(most)]
    return [(tile, other) for *_, tile, other in found[:most]]


class Search:
    """One search over a volume.

    Parameters
    ----------
    tiles
        All tiles, with bounds.
    runs
        Runs of the stage table by name.
    z_distance
        Farthest layer that tiles are compared with.
    most
        Correlations at low scale, at most.
    budget_mb
        Memory of the features that are kept.
    seek
        What looks for one tile in another; None: `seeker`.
    canvases
        What makes the canvases of some tiles; None: from their files.
    """

    def __init__(
        self,
        tiles: TileSet,
        runs: Mapping[str, Run],
        *,
        z_distance: int,
        most: int,
        budget_mb: float,
        seek: Seek | None = None,
        canvases: Callable[[TileSet], Canvases] | None = None,
    ) -> None:
        self._tiles, self._runs, self._z_distance = tiles, runs, z_distance
        self._canvases = canvases or (lambda some: Canvases(some, budget_mb=budget_mb))
        self._seek = seek
        self._left, self._tried = most, set[tuple[str, str]]()
        self._offset: dict[str, Array] = {}  # of placed tiles
        self._layers: dict[float, list[TileSpec]] = defaultdict(list)  # placed tiles by z

    def run(self, joined: Iterable[tuple[str, str]]) -> Iterator[Joined]:
        """Look for all parts but the largest, until nothing is found any more.

        Parameters
        ----------
        joined
            Ids of the tiles of each saved pair.

        Yields
        ------
        Joined
            What was found, in the order in which it was.
        """
        placed, *waiting = parts(self._tiles.tiles, joined) or [[]]
        if not waiting or self._left == 0:
            return
        self._seek = self._seek or seeker(self._canvases(self._tiles))
        self._place(placed, np.zeros(2))
        ways: list[Callable[[Sequence[TileSpec]], Joined | None]] = [
            partial(self._look_for, elsewhere=False),
            partial(self._look_for, elsewhere=True),
            self._alongside,
        ]
        for way in ways:
            progress = True
            while progress and self._left > 0:
                progress = False
                for part in tuple(waiting):
                    one = way(part)
                    if one is not None:
                        waiting.remove(part)
                        self._place(part, one.offset)
                        progress = True
                        yield one

    @property
    def left(self) -> int:
        """Return how many correlations are left.

        Returns
        -------
        int
            0: parts may be there that were not looked for.
        """
        return self._left

    def _place(self, part: Sequence[TileSpec], offset: Array) -> None:
        for tile in part:
            self._offset[tile.tile_id] = offset
            self._layers[tile.z].append(tile)

    def _look_for(self, part: Sequence[TileSpec], *, elsewhere: bool) -> Joined | None:
        assert self._seek is not None  # noqa: S101 - set by `run`
        before = self._left
        for tile, other in candidates(
            part, self._layers, z_distance=self._z_distance, elsewhere=elsewhere
        ):
            ids = (str(tile.tile_id), str(other.tile_id))
            if ids in self._tried or self._left == 0:
                continue
            self._tried.add(ids)
            self._left -= 1
            off = self._seek(*ids)
            if off is None:
                continue
            offset = off + self._offset[other.tile_id]
            attempts = self._confirm(part, offset)
            if any(attempt.matches is not None for attempt in attempts):
                return Joined(part, offset, attempts, before - self._left)
        return None

    def _alongside(self, part: Sequence[TileSpec]) -> Joined | None:
        """Join a part that lies where the stage says, over seams on which its layers agree."""
        before, mine = self._left, {str(tile.tile_id) for tile in part}
        layers = {tile.z for tile in part}
        # what was found elsewhere has seams of its own with the rest
        still = [
            tile for z in layers for tile in self._layers.get(z, ())
            if not self._offset[tile.tile_id].any()
        ]  # fmt: skip
        if not still or len(layers) == 1:
            return None
        shown = [*part, *still]
        by_id = {str(tile.tile_id): tile for tile in shown}
        attempts: list[Attempt] = []
        for run in self._runs.values():
            for _, seam in alongside.seams(_between(shown, run, mine), by_id).items():
                found, took = alongside.join(
                    seam, run.stages[0], TileSet(tuple(shown), self._tiles.shared),
                    self._canvases, self._z_distance, self._left,
                )  # fmt: skip
                self._left -= took
                attempts += found
        if all(attempt.matches is None for attempt in attempts):
            return None
        return Joined(part, np.zeros(2), attempts, before - self._left)

    def _confirm(self, part: Sequence[TileSpec], offset: Array) -> list[Attempt]:
        """Match a part at its corrected place with what is placed around it."""
        mine = {str(tile.tile_id) for tile in part}
        near = {
            z + dz
            for z in {tile.z for tile in part}
            for dz in range(-self._z_distance, self._z_distance + 1)
        }
        around = [tile for z in near for tile in self._layers.get(z, ())]
        beside = {t.z + dz for t in around for dz in range(-self._z_distance, self._z_distance + 1)}
        shown = [moved(tile, offset) for tile in part if tile.z in beside]
        shown += [moved(tile, self._offset[tile.tile_id]) for tile in around]
        canvases = self._canvases(TileSet(tuple(shown), self._tiles.shared))
        return [
            attempt
            for run in self._runs.values()
            for attempt in match_all(_between(shown, run, mine), run.stages, canvases)
        ]


def _between(tiles: Sequence[TileSpec], run: Run, mine: set[str]) -> list[Pair]:
    """Return the pairs of a run that have one tile of `mine`, and one that is not."""
    z = [tile.z for tile in tiles]
    found = pairs.derive(tiles, run.rules, min(z), max(z))
    return [pair for pair in found if (pair.p_id in mine) != (pair.q_id in mine)]
