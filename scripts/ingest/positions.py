"""Stage positions: where headers put the tiles, what the config adds, and what breaks the pattern.

FirstX and FirstY of the header, or the computed grid where they are not recorded: in headers before
version 9, and in layers whose tiles all report one place (0, 0 as a rule), which two tiles cannot
have. `ingest.stage_offsets` is added to either.

From layer to layer a cell stays where it was. Where it moves by more than `FAR` of a tile, either
the specimen or the scan field was moved, or the header is wrong; the images say which, and the wide
search of the matching finds tiles that the header puts elsewhere. Either way it is reported, with
the entry that would undo it.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.ingest.headers import Part
from scripts.ingest.settings import Settings
from scripts.lib.arrays import Array, Bool, Index, Int64

STAGE_MARGIN_PX = 400  # of tiles that are placed by the computed grid
FAR = 0.25  # of a tile's shorter side: half as far, the next layer is still found without a search
ALIKE = 0.1  # of a tile's shorter side: a step back that undoes the step before to within this


def stage_positions(
    tiles: NDArray[np.void], tile_overlap_um: float, recorded: Bool | None = None
) -> Int64:
    """Return the stage positions of tiles: FirstX and FirstY, or by the grid.

    Parameters
    ----------
    tiles
        (n,) of dtype `align.TILE`.
    tile_overlap_um
        Overlap of neighbouring tiles, µm, for tiles whose header has no position.
    recorded
        (n,) False where the header's position is none; None: all are.

    Returns
    -------
    Int64
        (n, 2) x, y of the first pixel, px.
    """
    known = np.isfinite(tiles["first_x"]) & np.isfinite(tiles["first_y"])
    known &= True if recorded is None else recorded
    with np.errstate(divide="ignore", invalid="ignore"):
        overlap_px = tile_overlap_um * 1000 / tiles["pixel_nm"]
        x = STAGE_MARGIN_PX + np.rint(tiles["column"] * (tiles["width"] - overlap_px))
        y = STAGE_MARGIN_PX + np.rint(tiles["row"] * (tiles["height"] - overlap_px))
    x = np.where(known, tiles["first_x"], x)
    y = np.where(known, tiles["first_y"], y)
    return np.asarray(np.nan_to_num(np.column_stack([x, y])), np.int64)


def in_one_place(part: Part) -> Bool:
    """Mark tiles of layers in which all of several tiles report the same position.

    Parameters
    ----------
    part
        The tiles of a day.

    Returns
    -------
    ndarray
        (n,) bool.
    """
    if len(part) == 0:
        return np.zeros(0, bool)
    _, layer, tiles = np.unique(part.z, return_inverse=True, return_counts=True)
    same = np.ones(len(tiles), bool)
    for name in ("first_x", "first_y"):
        at = part.tiles[name]
        low, high = np.full(len(tiles), np.inf), np.full(len(tiles), -np.inf)
        np.minimum.at(low, layer, at)
        np.maximum.at(high, layer, at)
        same &= low == high
    found: Bool = (same & (tiles > 1))[layer]
    return found


def placed(part: Part, settings: Settings) -> Int64:
    """Return where tiles are placed.

    Parameters
    ----------
    part
        The tiles of a day.
    settings
        Overlap of the computed grid, and what is added to positions.

    Returns
    -------
    Int64
        (n, 2) x, y of the first pixel, px.
    """
    at = stage_positions(part.tiles, settings.tile_overlap_um, ~in_one_place(part))
    source = sources(part, settings)
    # where the files were exchanged the header went along with the image: the columns run backwards
    cell = np.column_stack([part.tiles["column"], part.tiles["row"]]).astype(np.int64)
    backwards = ((at[source] - at) * (cell[source] - cell)).sum(axis=1) < 0
    at = np.where(backwards[:, None], at[source], at)
    for each in settings.offsets:
        inside = (part.z >= each.z_first) & (part.z <= each.z_last)
        at[inside] += np.array([each.x_px, each.y_px])
    return at


def sources(part: Part, settings: Settings) -> Index:
    """Return the tile whose image each tile shows (``ingest.exchange``).

    Parameters
    ----------
    part
        The tiles of a day.
    settings
        The cells that are exchanged.

    Returns
    -------
    Index
        (n,) positions: its own, or that of the tile which it is exchanged with.
    """
    source = np.arange(len(part))
    for each in settings.exchanges:
        inside = (part.z >= each.z_first) & (part.z <= each.z_last)
        p, q = (
            np.flatnonzero(inside & (part.tiles["row"] == row) & (part.tiles["column"] == column))
            for row, column in each.cells
        )
        _, i, j = np.intersect1d(part.z[p], part.z[q], return_indices=True)
        source[p[i]], source[q[j]] = q[j], p[i]
    return source


@dataclass(frozen=True)
class _Step:
    """Cells of layer `z` that moved by `by` (x, y, px) against their last layer, `before`."""

    z: int
    before: int
    by: tuple[int, int]
    cells: int
    side_px: float

    def undoes(self, other: _Step) -> bool:
        away = np.hypot(*np.add(self.by, other.by))
        return self.cells == other.cells and bool(away <= ALIKE * self.side_px)


@dataclass(frozen=True)
class _Moved:
    """A cell that lies elsewhere than in its last layer: where now, where before, px."""

    cell: int
    at: tuple[int, int]
    was: tuple[int, int]
    side_px: int

    @property
    def by(self) -> tuple[int, int, int]:
        return self.at[0] - self.was[0], self.at[1] - self.was[1], self.side_px

    def takes(self, other: _Moved) -> bool:
        """Whether it lies where another one did."""
        away = np.hypot(*np.subtract(self.at, other.was))
        return bool(away <= ALIKE * self.side_px)


class Pattern:
    """Collects what breaks the pattern while the tiles of the volume pass by, in order of z."""

    def __init__(self) -> None:
        self._last: dict[int, tuple[int, int, int]] = {}  # cell -> z, x, y
        self._steps: list[_Step] = []
        self._one_place: list[int] = []
        # two cells -> layers from which on each lies where the other did, or back in its own place
        self._exchanged: dict[tuple[int, int], list[int]] = defaultdict(list)

    def add(self, part: Part, settings: Settings) -> None:
        """Look at the tiles of one day.

        Parameters
        ----------
        part
            The tiles.
        settings
            As of `placed`.
        """
        if len(part) == 0:
            return
        self._one_place += np.unique(part.z[in_one_place(part)]).tolist()
        side = np.minimum(part.tiles["width"], part.tiles["height"])
        cell = part.tiles["row"].astype(np.int64) << 32 | part.tiles["column"]
        columns = (cell, part.z, placed(part, settings), side)
        moved: dict[tuple[int, int], list[_Moved]] = defaultdict(list)
        for c, z, (x, y), s in zip(*(column.tolist() for column in columns), strict=True):
            before, x0, y0 = self._last.get(c, (z, x, y))
            if abs(x - x0) + abs(y - y0) > FAR * s:
                moved[z, before].append(_Moved(c, (x, y), (x0, y0), s))
            self._last[c] = z, x, y
        for (z, before), all_found in moved.items():
            found = self._without_exchanged(z, all_found)
            if not found:
                continue
            by: Array = np.median(np.array([one.by for one in found]), axis=0).round()
            dx, dy, side_px = (int(value) for value in by)
            self._steps.append(_Step(z, before, (dx, dy), len(found), side_px))

    def _without_exchanged(self, z: int, found: list[_Moved]) -> list[_Moved]:
        """Note cells each of which lies where the other did; return the others."""
        left = list(found)
        for a, b in itertools.combinations(found, 2):
            if a.takes(b) and b.takes(a):
                left = [one for one in left if one not in (a, b)]
                self._exchanged[a.cell, b.cell].append(z)
        return left

    def findings(self) -> Iterator[tuple[int, str]]:
        """Say what breaks the pattern.

        Yields
        ------
        tuple
            z of the first layer of it, and words.
        """
        for first, end in _runs(self._one_place):
            text = f"z {first}" if first == end else f"z {first} to {end}"
            yield (
                first,
                f"{text}: all tiles report one position, which is none; they are placed by the grid"
                " and ingest.tile_overlap_um",
            )
        for cells, z in self._exchanged.items():
            for first, end in itertools.zip_longest(z[::2], z[1::2]):
                yield first, _exchange_words(*cells, first, end)
        steps = list(self._steps)
        while steps:
            step = steps.pop(0)
            back = steps.pop(0) if steps and steps[0].undoes(step) else None
            yield step.z, _step_words(step, back.before if back else None)


def _exchange_words(a: int, b: int, first: int, end: int | None) -> str:
    names = [f"{cell >> 32},{cell & 0xFFFFFFFF}" for cell in (a, b)]
    last = "" if end is None else f", z_last: {end - 1}"
    entry = f'{{cells: ["{names[0]}", "{names[1]}"], z_first: {first}{last}, reason: positions}}'
    return (
        f"cells {names[0]} and {names[1]} are exchanged: the header of each has the stage position"
        f" of the other, as where files got each other's name. The entry of ingest.exchange that"
        f" gives each its own image: {entry}"
    )


def _step_words(step: _Step, last: int | None) -> str:
    x, y = step.by
    until = "" if last is None else f", z_last: {last}"
    back = "" if last is None else f", and back after z {last}"
    return (
        f"the stage positions of {step.cells} cell(s) move by {x}, {y} px against z {step.before}"
        f"{back}. If the images do not (match/wide/parts.tsv says what was found), the entry is"
        f" {{z_first: {step.z}{until}, x_px: {-x}, y_px: {-y}}}"
    )


def _runs(values: list[int]) -> Iterator[tuple[int, int]]:
    for k, z in enumerate(values):
        if k == 0 or values[k - 1] != z - 1:
            first = z
        if k == len(values) - 1 or values[k + 1] != z + 1:
            yield first, z
