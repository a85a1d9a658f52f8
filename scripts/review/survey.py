"""Survey: every tile looked at once, beside the same cell of the layers around it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lib.arrays import Array, Bool, Image
from scripts.lib.drawing import masks
from scripts.lib.drawing.pixels import contrast_range, read_image
from scripts.lib.files import path_of_url
from scripts.lib.service.records import TileSpec
from scripts.review import condition, likeness, texture
from scripts.review.likeness import Likeness, Look

REACH = 2  # layers on either side
AROUND = ((-1, 1), (-2, -1), (1, 2), (-2, 1), (-1, 2))
COLUMNS = (
    "tile_id", "z", "row", "column", "texture", "noise", "saturated_share", "dead_share",
    "like", "unlike_share", "judged_blocks", "unlike_from", "unlike_to", "displaced_share",
    "displaced_from", "shift_px", "opposite", "unlike_before", "unlike_after",
    "displaced_before", "displaced_after", "grey_step",
)  # fmt: skip

Pixels = tuple[NDArray[np.generic], Bool]
Read = Callable[[TileSpec], Pixels]
Step = Callable[[TileSpec], float]


def read_pixels(tile: TileSpec) -> Pixels:
    """Read a tile's picture at the level of the survey.

    Parameters
    ----------
    tile
        The tile.

    Returns
    -------
    image : ndarray
        (h, w) grey levels.
    valid : ndarray
        (h, w) bool, where the tile has data.
    """
    level = texture.level_of(tile.width, tile.height, condition.SIDE_PX)
    image = read_image(tile.image_url, level)
    mask = masks.read(tile.mask_url, (tile.height, tile.width), level)
    valid = np.ones(image.shape, bool) if mask is None else np.asarray(mask > 254)
    return image, valid


def grey_step(tile: TileSpec) -> float:
    """Return how many raw levels of the detector one grey value of a tile's 8-bit image is.

    Parameters
    ----------
    tile
        The tile.

    Returns
    -------
    float
        By the contrast range of its layer; NaN where its file does not say.
    """
    black, white = contrast_range(path_of_url(tile.image_url))
    return abs(black - white) / 255 or math.nan


@dataclass
class _Seen:
    """A tile while it is near: its look and its own figures."""

    tile: TileSpec
    look: Look
    figures: dict[str, Any]


@dataclass
class _Window:
    """The tiles of one cell by z, with the likenesses measured so far."""

    seen: dict[float, _Seen] = field(default_factory=dict)
    pairs: dict[tuple[float, float], Likeness] = field(default_factory=dict)

    def likeness(self, a: float, b: float) -> Likeness | None:
        """Return the likeness of the tiles at z `a` and `b`, None when one is absent."""
        if a not in self.seen or b not in self.seen:
            return None
        low, high = min(a, b), max(a, b)
        if (low, high) not in self.pairs:
            one = likeness.compare(self.seen[low].look, self.seen[high].look)
            self.pairs[low, high] = one
        found = self.pairs[low, high]
        return found if a < b else found.turned()

    def forget(self, before: float) -> None:
        """Drop what lies below z `before`."""
        self.seen = {z: one for z, one in self.seen.items() if z >= before}
        self.pairs = {key: one for key, one in self.pairs.items() if key[0] >= before}


def survey(
    tiles: Sequence[TileSpec],
    z_first: float,
    z_last: float,
    *,
    read: Read = read_pixels,
    step: Step = grey_step,
) -> Iterator[dict[str, Any]]:
    """Measure every tile of a range of layers beside its neighbors, cell by cell.

    A few tiles of one cell are in memory at a time.

    Parameters
    ----------
    tiles
        Tiles of the range and of `REACH` layers on either side.
    z_first, z_last
        The range, inclusive.
    read
        Gives a tile's pixels.
    step
        Gives the raw levels that one grey value of it is.

    Yields
    ------
    dict
        A row (`COLUMNS`) for each tile with ``z_first <= z <= z_last``.
    """
    cells: dict[tuple[int, int], list[TileSpec]] = defaultdict(list)
    for tile in sorted(tiles, key=lambda t: (t.z, t.tile_id)):
        cells[tile.cell].append(tile)
    for _, column in sorted(cells.items()):
        window, ahead = _Window(), iter(column)
        waiting = next(ahead, None)
        for tile in column:
            while waiting is not None and waiting.z <= tile.z + REACH:
                window.seen[waiting.z] = _look(waiting, read)
                waiting = next(ahead, None)
            window.forget(tile.z - REACH)
            if z_first <= tile.z <= z_last:
                yield _row(window, tile) | {"grey_step": _known(step(tile))}


def _known(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def _look(tile: TileSpec, read: Read) -> _Seen:
    image, valid = read(tile)
    own = condition.condition(image, valid)
    figures = {
        "texture": texture.score(*_small(image, valid)),
        "noise": own.noise,
        "saturated_share": own.saturated,
        "dead_share": own.dead,
    }
    # saturated areas say nothing of the specimen: a charged edge would pass for its structure
    seen = valid & ~condition.flat(np.asarray(image, np.float32), valid)
    return _Seen(tile, likeness.look(image, seen), figures)


def _small(image: Image, valid: Bool) -> Pixels:
    """Average down to the size at which texture is judged."""
    step = 1 << texture.level_of(image.shape[1], image.shape[0])
    h, w = image.shape[0] // step, image.shape[1] // step
    cut = (slice(0, h * step), slice(0, w * step))
    shape = (h, step, w, step)
    pixels = np.asarray(image, np.float32)[cut].reshape(shape).mean(axis=(1, 3))
    return pixels, np.asarray(valid[cut].reshape(shape).all(axis=(1, 3)), bool)


def _displaced(
    window: _Window, tile: TileSpec, present: Mapping[int, Likeness]
) -> dict[str, float | None]:
    """Return how far tile rows are displaced, as a share of its shorter side, and from where."""
    mine = window.seen[tile.z].look
    shifts = {
        d: likeness.band_shifts(mine, window.seen[tile.z + d].look, one.shift)
        for d, one in present.items()
    }
    far, where = likeness.displaced(shifts)
    before, after = ({d: one for d, one in shifts.items() if d * way > 0} for way in (-1, 1))
    side = min(mine.band.shape)

    def _share(some: Mapping[int, Array]) -> float | None:
        return round(likeness.displaced(some)[0] / side, 4) if len(some) > 1 else None

    return {
        "displaced_share": round(far / side, 4),
        "displaced_from": round(where, 3),
        "displaced_before": _share(before),
        "displaced_after": _share(after),
    }


def _row(window: _Window, tile: TileSpec) -> dict[str, Any]:
    z = tile.z
    own = {d: window.likeness(z, z + d) for d in likeness.NEIGHBORS}
    around = {(a, b): window.likeness(z + a, z + b) for a, b in AROUND}
    present = {d: one for d, one in own.items() if one is not None}
    pairs = {pair: one for pair, one in around.items() if one is not None}
    judged = likeness.judge(present, pairs)
    # as it would be judged at the end of the stack: what is usual there
    before, after = (likeness.judge(*_of_side(present, pairs, side)) for side in (-1, 1))
    nearest, last = own[-1] or own[1], own[-1] or own[-2]
    figures = {name: round(value, 4) for name, value in window.seen[z].figures.items()}
    return {
        "tile_id": tile.tile_id,
        "z": f"{z:g}",
        "row": tile.row,
        "column": tile.column,
        **figures,
        "like": round(judged.like, 4),
        "unlike_share": round(judged.unlike, 4),
        "judged_blocks": judged.blocks,
        "unlike_from": judged.rows[0],
        "unlike_to": judged.rows[1],
        **_displaced(window, tile, present),
        # with the layer before: contrast that flips is reported where it does
        "opposite": round(last.opposite, 4) if last else 0.0,
        "shift_px": None if nearest is None else round(float(np.hypot(*nearest.shift)), 2),
        "unlike_before": round(before.unlike, 4) if before.blocks else None,
        "unlike_after": round(after.unlike, 4) if after.blocks else None,
    }


def _of_side(
    own: Mapping[int, Likeness], around: Mapping[tuple[int, int], Likeness], side: int
) -> tuple[dict[int, Likeness], dict[tuple[int, int], Likeness]]:
    """Return the likenesses to the layers before (-1) or after (1) alone."""
    return (
        {d: one for d, one in own.items() if d * side > 0},
        {pair: one for pair, one in around.items() if min(d * side for d in pair) > 0},
    )
