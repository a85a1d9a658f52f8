"""Stacks whose true grey values are known, in memory: tiles, and what a renderer would read."""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from scripts.lib import geometry
from scripts.lib.drawing import compose, filters
from scripts.lib.service.records import Leaf, TileSet, TileSpec
from scripts.lib.transforms import AFFINE, affine_data

W, H, STEP = 120, 100, 96


def tissue(shape, seed=0, sigma=2.0):
    """Structures of sd 25 around 125, a third of the picture smooth."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), sigma)
    where = ndimage.gaussian_filter(rng.standard_normal(shape), 6 * sigma)
    noise = np.where(where > np.quantile(where, 0.33), noise / noise.std(), 0)
    return 125 + 25 * noise


class World:
    """Layers of 1 x `columns` tiles over a field of grey values that changes little with z."""

    def __init__(self, layers, columns=2, seed=0, step=STEP, width=W, height=H):
        self.shape = (height, step * (columns - 1) + width)
        a, b = (tissue(self.shape, seed + k) for k in (0, 1))
        turn = {z: 0.03 * z for z in layers}
        self.clean = {z: a * np.cos(t) + b * np.sin(t) for z, t in turn.items()}
        # cos + sin would brighten: the mean stays 125
        self.clean = {z: 125 + (v - v.mean()) for z, v in self.clean.items()}
        self.step, self.images, tiles = step, {}, []
        for z in layers:
            for column in range(columns):
                name = f"{z:03d}-{column}"
                matrix = geometry.translation(column * step, 0)
                leaf = Leaf(AFFINE, affine_data(matrix))
                spec = TileSpec(name, float(z), width, height, "none", (leaf,), column=column)
                tiles.append(spec)
                x = column * step
                self.images[name] = self.clean[z][:, x : x + width].copy()
        self.tiles = TileSet(tuple(tiles)).with_bounds()

    def degrade(self, how):
        """Replace every image by ``how(image, tile)``."""
        for tile in self.tiles.tiles:
            self.images[tile.tile_id] = how(self.images[tile.tile_id], tile)

    def source(self, tile, level):
        """Read a tile as `compose.file_source` does, filters applied."""
        image = self.images[tile.tile_id].astype(np.float32)
        assert level == 0
        return filters.unrounded(image, tile, level), None

    def read(self, tile, level, crop):
        """Read a part of a tile as rendering does from files."""
        return self.source(tile, level)[0][crop]

    def layer(self, tiles, z):
        """Draw a layer over the whole field."""
        mine = replace(tiles, tiles=tuple(t for t in tiles.tiles if t.z == z))
        box = geometry.Box(0, 0, self.shape[1], self.shape[0])
        return compose.render(compose.place(mine), box, source=self.source).pixels

    def volume(self, tiles):
        """Draw all layers, (z, y, x)."""
        return np.stack([self.layer(tiles, z) for z in self.clean])

    def truth(self):
        """Give the clean field, (z, y, x)."""
        return np.stack(list(self.clean.values()))


def correlation(a, b):
    """Give the Pearson correlation of two arrays."""
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])
