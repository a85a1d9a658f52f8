"""Cost of the one rendering path and of features, beside the libraries that could do it too."""

import math

import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage import transform
from skimage.feature import SIFT

from scripts.lib.drawing import compose
from scripts.lib.drawing.compose import Picture
from scripts.lib.geometry import Box
from scripts.lib.service.records import Leaf, TileSet, TileSpec
from scripts.lib.transforms import AFFINE, affine_data
from scripts.match import sift

ANGLE = math.radians(0.5)
AFFINE_XY = np.array(
    [[math.cos(ANGLE), -math.sin(ANGLE), 3.3], [math.sin(ANGLE), math.cos(ANGLE), -2.7]]
)


@pytest.fixture(scope="module")
def side_px(bench):
    return 2048 if bench.measuring else 128


@pytest.fixture(scope="module")
def texture(side_px):
    """Noise smoothed to the size of cell structures, 8 bit."""
    noise = np.random.default_rng(0).normal(size=(side_px, side_px))
    smooth = ndimage.gaussian_filter(noise, 3) + 0.3 * ndimage.gaussian_filter(noise, 1)
    return np.clip(128 + 60 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def test_warp_of_one_tile(bench, texture, side_px):
    leaf = Leaf(AFFINE, affine_data(AFFINE_XY))
    tile = TileSpec("a", 1.0, side_px, side_px, "none", (leaf,))
    placed = compose.place(TileSet((tile,), {}))
    box = Box(0, 0, side_px, side_px)
    inverse = np.linalg.inv(np.vstack([AFFINE_XY, [0, 0, 1]]))
    swap = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1.0]])  # scipy counts y first
    image = texture.astype(np.float32)

    def ours():
        return compose.render(placed, box, blend="last", source=lambda *_: (texture, None))

    def scipys():
        return ndimage.affine_transform(image, swap @ inverse @ swap, order=1)

    def skimages():
        return transform.warp(image, inverse, order=1, preserve_range=True)

    def opencvs():
        return cv2.warpAffine(image, AFFINE_XY, (side_px, side_px), flags=cv2.INTER_LINEAR)

    middle = (slice(side_px // 4, -side_px // 4),) * 2
    np.testing.assert_allclose(ours().pixels[middle], scipys()[middle], atol=0.6)
    pixels = side_px**2 / 1e6
    bench.row(
        "warp_one_tile",
        pixels / bench.cpu_s(ours),
        "Mpx/CPU s",
        better="higher",
        opencv=pixels / bench.cpu_s(opencvs),
        scipy=pixels / bench.cpu_s(scipys),
        skimage=pixels / bench.cpu_s(skimages),
    )


def test_features_of_one_tile(bench, texture, side_px):
    half = texture[: side_px // 2, : side_px // 2]
    picture = Picture(half.astype(np.float32), np.ones(half.shape, bool))

    def ours():
        return sift.extract(picture, sift.Extraction())

    def skimages():
        detector = SIFT(upsampling=1)
        detector.detect_and_extract(half)

    def opencvs():
        return cv2.SIFT_create(contrastThreshold=0.075).detectAndCompute(half, None)

    assert len(ours().xy)
    bench.row(
        "features_one_tile",
        bench.cpu_s(ours),
        f"CPU s ({side_px // 2} px square)",
        better="lower",
        opencv=bench.cpu_s(opencvs),
        skimage=bench.cpu_s(skimages, repeats=1),
    )
