"""A textured specimen, tiles cut from it, and a source of their pixels."""

import cv2
import numpy as np
import pytest

from scripts.lib import geometry
from scripts.lib.drawing import masks
from scripts.lib.numerics.reduction import halved
from scripts.lib.service.records import Leaf, TileSet, TileSpec
from scripts.lib.transforms import AFFINE


def texture(size=(420, 560), seed=0):
    """Blobs of several sizes, 0..255."""
    rng = np.random.default_rng(seed)
    image = np.zeros(size)
    for sigma in (2, 4, 8):
        layer = cv2.GaussianBlur(rng.standard_normal(size), (0, 0), sigma)
        image += layer / layer.std()
    return np.clip(128 + 30 * image, 0, 255).astype(np.float32)


class Specimen:
    """Tiles of one specimen: nominal places in the specs, true places in the pixels."""

    def __init__(self, *, noise=4.0, w=200, h=160, scan=None):
        self.image = texture()
        self.noise, self.w, self.h = noise, w, h
        self.images, self.true, self.specs = {}, {}, []

    def cut(self, z, row, column, *, step=(150, 120), error=(0.0, 0.0), angle=0.0, blank=False):
        c, s = np.cos(angle), np.sin(angle)
        x, y = 20 + column * step[0], 20 + row * step[1]
        true = np.array([[c, -s, x + error[0]], [s, c, y + error[1]]])
        tile_id = f"21-07-31_{z:06d}_0-{row}-{column}.{z}.0"
        size = (self.w, self.h)
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        image = cv2.warpAffine(self.image, true, size, flags=flags, borderMode=cv2.BORDER_REFLECT)
        rng = np.random.default_rng(abs(hash((z, row, column))) % 2**32)
        image = np.full_like(image, 128) if blank else image
        image = image + self.noise * rng.standard_normal(image.shape)
        self.images[tile_id] = np.clip(np.rint(image), 0, 255).astype(np.uint8)
        self.true[tile_id] = true
        spec = TileSpec(
            tile_id,
            float(z),
            self.w,
            self.h,
            "none",
            (Leaf(AFFINE, f"1 0 0 1 {x} {y}"),),
            row=row,
            column=column,
        )
        self.specs.append(spec)
        return tile_id

    @property
    def tiles(self):
        return TileSet(tuple(self.specs)).with_bounds()

    def source(self, tile, level):
        image = self.images[tile.tile_id].astype(np.float32)
        for _ in range(level):
            image = halved(image)
        return image, masks.read(tile.mask_url, (self.h, self.w), level)

    def map(self, p_id, q_id):
        """True affine from p's pixels to q's."""
        return geometry.compose(geometry.invert(self.true[q_id]), self.true[p_id])


@pytest.fixture
def specimen():
    return Specimen()
