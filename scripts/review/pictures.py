"""Pictures: a tile beside its neighbors, and two tiles with their matches, as small JPEGs."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from scripts.lib.arrays import Bytes, Float32
from scripts.lib.service.records import CanvasMatches, TileSpec
from scripts.review.patches import Place
from scripts.review.survey import Read

SIDE_PX = 150  # longer side of one picture of a strip
PAIR_PX = 320  # longer side of one tile of a pair
MOST_LINES = 40
GAP_PX = 4
QUALITY = 80
RED, YELLOW = (213, 94, 0), (240, 228, 66)


@dataclass(frozen=True)
class Shown:
    """A picture of the page, and what it shows."""

    uri: str
    width_px: int
    height_px: int
    title: str
    caption: str

    def to_json(self) -> dict[str, Any]:
        """Return the form of ``review/pictures.json``."""
        return asdict(self)


def strip(
    place: Place, at: Mapping[Place, TileSpec], read: Read, title: str, caption: str
) -> Shown | None:
    """Show the tile at `place` between those of the layers before and after and its neighbors.

    From left to right: layer before, the tile (framed), layer after; then the cells right and left
    of it, below and above it, as far as there are. None when there is nothing to show.
    """
    z, row, column = place
    around = [(z - 1, row, column), place, (z + 1, row, column)]
    beside = [
        (z, row, column + 1),
        (z, row, column - 1),
        (z, row + 1, column),
        (z, row - 1, column),
    ]
    beside = [one for one in beside if one in at][:2]
    known = [at[one] for one in around if one in at]
    if not known:
        return None
    shape = _size(known[0].width, known[0].height, SIDE_PX)
    pixels = {one: _small(at[one], read, shape) for one in (*around, *beside) if one in at}
    # one contrast for all: that of the layers before and after, which are not suspected
    sound = [pixels[one] for one in (around[0], around[2]) if one in pixels] or [*pixels.values()]
    low, high = np.percentile(np.concatenate([one.ravel() for one in sound]), [0.5, 99.5])
    parts = []
    for one in (*around, *beside):
        picture = pixels.get(one)
        drawn = _absent(shape) if picture is None else _grey(picture, float(low), float(high))
        if one == place:
            cv2.rectangle(drawn, (0, 0), (drawn.shape[1] - 1, drawn.shape[0] - 1), RED, 2)
        parts.append(drawn)
    return _shown(_beside(parts), title, caption)


def pair(
    matches: CanvasMatches, p: TileSpec, q: TileSpec, read: Read, title: str, caption: str
) -> Shown:
    """Show two tiles side by side with their matches; points are full-scale px."""
    drawn, scales = [], []
    for tile in (p, q):
        shape = _size(tile.width, tile.height, PAIR_PX)
        picture = _small(tile, read, shape)
        low, high = np.percentile(picture, [0.5, 99.5])
        drawn.append(_grey(picture, float(low), float(high)))
        scales.append(shape[1] / tile.width)
    canvas = _beside(drawn)
    offset = drawn[0].shape[1] + GAP_PX
    step = max(1, len(matches.w) // MOST_LINES)
    for a, b in zip(matches.p[::step], matches.q[::step], strict=True):
        start = tuple(int(v) for v in np.rint(a * scales[0]))
        end = tuple(int(v) for v in np.rint(b * scales[1] + [offset, 0]))
        cv2.line(canvas, start, end, YELLOW, 1, cv2.LINE_AA)
        for point in (start, end):
            cv2.circle(canvas, point, 2, RED, -1, cv2.LINE_AA)
    return _shown(canvas, title, caption)


def _size(width: int, height: int, side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(width, height))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _small(tile: TileSpec, read: Read, shape: tuple[int, int]) -> Float32:
    image, _ = read(tile)
    size = (shape[1], shape[0])
    picture = cv2.resize(np.asarray(image, np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray(picture, np.float32)


def _grey(picture: Float32, low: float, high: float) -> Bytes:
    value = np.clip((picture - low) / max(high - low, 1e-6) * 255, 0, 255)
    return np.dstack([value.astype(np.uint8)] * 3)


def _absent(shape: tuple[int, int]) -> Bytes:
    out = np.full((*shape, 3), 235, np.uint8)
    cv2.line(out, (0, 0), (shape[1], shape[0]), (170, 170, 170), 1, cv2.LINE_AA)
    return out


def _beside(parts: Sequence[Bytes]) -> Bytes:
    height = max(part.shape[0] for part in parts)
    width = sum(part.shape[1] for part in parts) + GAP_PX * (len(parts) - 1)
    canvas = np.full((height, width, 3), 255, np.uint8)
    x = 0
    for part in parts:
        canvas[: part.shape[0], x : x + part.shape[1]] = part
        x += part.shape[1] + GAP_PX
    return canvas


def _shown(canvas: Bytes, title: str, caption: str) -> Shown:
    data = cv2.imencode(".jpg", canvas[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    uri = "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
    return Shown(uri, canvas.shape[1], canvas.shape[0], title, caption)


Matches = Callable[[str, str], Sequence[CanvasMatches]]
