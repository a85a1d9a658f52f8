"""The features of rendered tiles, computed once per job and kept within a budget.

Memory of a job = `budget_mb` of features (144 bytes each, and the pixels for stages that compare
them; the least recently used leave first)
+ what one canvas takes while it is drawn, searched or compared: 330 bytes per px for features, 62
per px of a level that is filtered, 30 for blocks (`scripts.lib.resources`).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

import numpy as np

from scripts.lib.arrays import Array, Bool, Bytes, Image
from scripts.lib.drawing import compose, masks, pixels
from scripts.lib.drawing.compose import Source
from scripts.lib.geometry import Box
from scripts.lib.service.records import TileSet, TileSpec
from scripts.match import descriptors, filters, ransac, sift
from scripts.match.descriptors import Blobs
from scripts.match.levels import BlockFeatures, BlockParams
from scripts.match.presets import Clip, Descriptors, Rendering, Stage
from scripts.match.sift import Extraction, Features


@dataclass(frozen=True, eq=False)
class Canvas:
    """Features of one rendered tile; `mask` is None when no pixel is masked."""

    features: Features
    shape: tuple[int, int]  # h, w, canvas px
    packed: Bytes | None
    origin: Array  # full-scale x, y of canvas pixel 0 in the matching frame
    scale: float
    image: Bytes | None = None  # the pixels, for stages that compare them

    @property
    def mask(self) -> Bool:
        """Return the mask.

        Returns
        -------
        Bool
            (h, w), False where a pixel is masked.
        """
        if self.packed is None:
            return np.ones(self.shape, bool)
        bits = np.unpackbits(self.packed, count=self.shape[0] * self.shape[1])
        return bits.reshape(self.shape).astype(bool)

    @property
    def nbytes(self) -> int:
        """Return the memory this canvas holds.

        Returns
        -------
        int
            Bytes of features, mask and image.
        """
        others = (self.packed, self.image)
        return self.features.nbytes + sum(a.nbytes for a in others if a is not None)

    def to_full(self, xy: Array) -> Array:
        """Return full-scale px of the matching frame.

        Parameters
        ----------
        xy
            (n, 2) canvas px.

        Returns
        -------
        Array
            (n, 2) x, y.
        """
        return xy / self.scale + self.origin

    def to_canvas(self, xy: Array) -> Array:
        """Return canvas px.

        Parameters
        ----------
        xy
            (n, 2) full-scale px of the matching frame.

        Returns
        -------
        Array
            (n, 2) x, y.
        """
        return np.asarray((xy - self.origin) * self.scale)


@dataclass(frozen=True, eq=False)
class Peaks:
    """Blobs of one rendered tile: places (n, 2) in full-scale px of the matching frame."""

    xy: Array

    @property
    def nbytes(self) -> int:
        """Return the memory this holds.

        Returns
        -------
        int
            Bytes of the places.
        """
        return int(self.xy.nbytes)


Key = tuple[str, Rendering, Extraction | BlockParams | Blobs, Box | None, bool]


class Canvases:
    """Canvases of the tiles of one job.

    Parameters
    ----------
    tiles
        The tiles, and the transforms they share.
    budget_mb
        What may be kept, MB of 10^6 bytes.
    source
        How images and masks are read; None: from files.
    """

    def __init__(self, tiles: TileSet, *, budget_mb: float, source: Source | None = None) -> None:
        self.tiles = tiles
        self.by_id = {str(tile.tile_id): tile for tile in tiles.tiles}
        self.computed = 0
        self._source = source or compose.file_source
        self._budget = budget_mb * 1e6
        self._kept: OrderedDict[Key, Canvas | BlockFeatures | Peaks] = OrderedDict()
        self._held = 0

    def get(self, tile_id: str, stage: Stage, position: str = "") -> Canvas:
        """Return the canvas of a tile as a stage wants it.

        Parameters
        ----------
        tile_id
            One of the job's tiles.
        stage
            Its rendering, clip and extraction.
        position
            Side of its pair on which it lies, TOP, BOTTOM, LEFT or RIGHT: selects the clip.

        Returns
        -------
        Canvas
            Its features; with its image where the stage compares pixels.
        """
        tile = self.by_id[tile_id]
        box = _clip_box(self.tiles, tile, stage.clip, position)
        wants_image = stage.min_correlation is not None
        key = (tile_id, stage.render, stage.extraction, box, wants_image)
        canvas = self._known(key)
        if not isinstance(canvas, Canvas):
            canvas = self._compute(tile, stage, box)
            self._keep(key, canvas)
        return canvas

    def area_px(self, tile_id: str, stage: Stage, position: str = "") -> float:
        """Return the area of a tile that a stage looks at, without drawing it.

        Parameters
        ----------
        tile_id
            One of the job's tiles.
        stage
            Its clip.
        position
            As in `get`.

        Returns
        -------
        float
            Full-scale px.
        """
        tile = self.by_id[tile_id]
        box = _clip_box(self.tiles, tile, stage.clip, position)
        if box is None:
            return float(tile.width * tile.height)
        return (box.x1 - box.x0) * (box.y1 - box.y0)

    def peaks(self, tile_id: str, stage: Stage, how: Descriptors, position: str = "") -> Peaks:
        """Return the peaks of a tile that the geometric descriptors of a stage are made of.

        Parameters
        ----------
        tile_id
            One of the job's tiles.
        stage
            Its clip.
        how
            Rendering and blobs, which are those of the descriptors and not of the stage.
        position
            As in `get`.

        Returns
        -------
        Peaks
            (n, 2) full-scale px of the matching frame.
        """
        tile = self.by_id[tile_id]
        box = _clip_box(self.tiles, tile, stage.clip, position)
        key = (tile_id, how.render, how.blobs, box, False)
        found = self._known(key)
        if not isinstance(found, Peaks):
            picture, origin = self._picture(tile, replace(stage, render=how.render), box)
            xy = descriptors.peaks(picture, how.blobs)
            found = Peaks(xy / how.render.scale + np.array(origin))
            self._keep(key, found)
        return found

    def picture(self, tile_id: str, stage: Stage, position: str = "") -> tuple[Bytes, Array]:
        """Return the pixels of a tile as `stage` sees it, and the full-scale place of pixel 0.

        Parameters
        ----------
        tile_id
            One of the job's tiles.
        stage
            Its rendering and clip.
        position
            As in `get`.

        Returns
        -------
        tuple
            (h, w) uint8, 0 where masked, and (2,) x, y of pixel 0 in the matching frame.
        """
        tile = self.by_id[tile_id]
        box = _clip_box(self.tiles, tile, stage.clip, position)
        drawn, origin = self._picture(tile, stage, box)
        return sift.byte_image(drawn, 0.0), np.array(origin)

    def blocks(self, tile_id: str, stage: Stage, position: str = "") -> BlockFeatures:
        """Return what the block matcher needs of a tile.

        Parameters
        ----------
        tile_id
            One of the job's tiles.
        stage
            Its rendering, clip and block parameters.
        position
            As in `get`.

        Returns
        -------
        BlockFeatures
            Made of a mipmap level itself where the scale is that of a level.
        """
        tile = self.by_id[tile_id]
        box = _clip_box(self.tiles, tile, stage.clip, position)
        key = (tile_id, stage.render, stage.block, box, False)
        found = self._known(key)
        if not isinstance(found, BlockFeatures):
            picture, origin = self._picture(tile, stage, box, on_level=True)
            scale = stage.render.scale
            found = BlockFeatures(picture, stage.block, scale=scale, origin=np.array(origin))
            self._keep(key, found)
        return found

    def _known(self, key: Key) -> Canvas | BlockFeatures | Peaks | None:
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def _picture(
        self, tile: TileSpec, stage: Stage, box: Box | None, *, on_level: bool = False
    ) -> tuple[compose.Picture, tuple[float, float]]:
        self.computed += 1
        source, scale = _prepared(self._source, stage.render), stage.render.scale
        level = pixels.level_for(scale)
        if on_level and scale == 1 / (1 << level):
            return compose.level_canvas(self.tiles, tile, level, clip=box, source=source)
        return compose.canvas(self.tiles, tile, scale=scale, clip=box, source=source)

    def _compute(self, tile: TileSpec, stage: Stage, box: Box | None) -> Canvas:
        picture, origin = self._picture(tile, stage, box)
        packed = None if picture.mask.all() else np.packbits(picture.mask)
        h, w = picture.mask.shape
        features = sift.extract(picture, stage.extraction)
        image = None
        if stage.min_correlation is not None:
            image = sift.byte_image(picture, stage.extraction.preblur_px)
        return Canvas(features, (h, w), packed, np.array(origin), stage.render.scale, image)

    def _keep(self, key: Key, canvas: Canvas | BlockFeatures | Peaks) -> None:
        self._kept[key] = canvas
        self._held += canvas.nbytes
        while self._held > self._budget and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._held -= oldest.nbytes


def _clip_box(tiles: TileSet, tile: TileSpec, clip: Clip, position: str) -> Box | None:
    """Part of the canvas that faces the partner; None = all of it.

    The near edge of a TOP tile is its bottom, of a LEFT tile its right side; a tile smaller than
    the clip is not clipped.
    """
    size = {"TOP": clip.height, "BOTTOM": clip.height, "LEFT": clip.width, "RIGHT": clip.width}
    extent = size.get(position)
    if extent is None:
        return None
    box = compose.matching_box(tile, tiles.scan_chain(tile))
    if position == "TOP":
        return Box(box.x0, max(box.y0, box.y1 - extent), box.x1, box.y1)
    if position == "BOTTOM":
        return Box(box.x0, box.y0, box.x1, min(box.y1, box.y0 + extent))
    if position == "LEFT":
        return Box(max(box.x0, box.x1 - extent), box.y0, box.x1, box.y1)
    return Box(box.x0, box.y0, min(box.x1, box.x0 + extent), box.y1)


def _prepared(source: Source, how: Rendering) -> Source:
    """Return a source whose images are filtered and whose masks are those of the stage."""

    def read(tile: TileSpec, level: int) -> tuple[Image, Image | None]:
        image, mask = source(tile, level)
        mask = None if how.without_mask else _stage_mask(tile, level, mask, how)
        if how.with_filter:
            random = ransac.generator(tile.tile_id, str(level))
            return filters.built_in(image, level, random), mask
        return image, mask

    return read


def _stage_mask(tile: TileSpec, level: int, mask: Image | None, how: Rendering) -> Image | None:
    """Move a box's left and top limit to those of the stage, if it has its own.

    Of a picture the stage's limits hide what lies beyond them, too.
    """
    if how.mask_min_x is None and how.mask_min_y is None:
        return mask
    shape, picture = (tile.height, tile.width), masks.is_picture(tile.mask_url)
    x0, y0, x1, y1 = 0.0, 0.0, float(tile.width), float(tile.height)
    if tile.mask_url is not None and not picture:
        x0, y0, x1, y1 = masks.box(tile.mask_url, shape)
    x0 = x0 if how.mask_min_x is None else how.mask_min_x
    y0 = y0 if how.mask_min_y is None else how.mask_min_y
    limits = masks.read(f"{masks.BOX}?minX={x0}&minY={y0}&maxX={x1}&maxY={y1}", shape, level)
    both = [each for each in (mask if picture else None, limits) if each is not None]
    return np.asarray(np.minimum.reduce(both))
