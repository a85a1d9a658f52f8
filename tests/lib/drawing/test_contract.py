"""The two rendering paths show the same: `compose.render` in float32, the compiled one in integers.

The tolerance of a pixel follows from what is rounded:

- the value, to whole grey values: 1/2 (and 0.01 for float32);
- its place, by at most `place` px: 0.002 through affines; 0.02 with a scan correction, which the
  one path tabulates and the other draws straight in pieces. As many px times the steepest slope of
  the picture;
- in a mean of n tiles the weights, whole 1/256 px: together 2 n (1/256 + place) of their sum, times
  how far grey values lie apart.

Where a tile's border passes nearer than `place` to a pixel centre, the two may see it on different
sides: such pixels are left out, and are few.
"""

import math
from dataclasses import replace

import h5py
import numpy as np
import pytest
from scipy import ndimage

from scripts.lib.drawing import compose, filters, maps, mosaic, pixels, warp
from scripts.lib.drawing.compose import Grid
from scripts.lib.geometry import Box
from scripts.lib.numerics.reduction import halved
from scripts.lib.service.records import Leaf, Ref, TileSet, TileSpec
from scripts.lib.transforms import AFFINE, SEM_DISTORTION_A, affine_data

W, H = 120, 88
SHIFTS = [(0, 0), (80, 3), (6, 61)]  # of three tiles, which all meet
EXPONENTIAL = "org.janelia.alignment.transform.ExponentialFunctionOffsetTransform"
RECOVERY = "org.janelia.alignment.transform.ExponentialRecoveryOffsetTransform"


def turned(degrees, stretch=1.0):
    c, s = stretch * math.cos(math.radians(degrees)), stretch * math.sin(math.radians(degrees))
    return np.array([[c, -s], [s, c]])


SHEAR = np.array([[1.02, 0.03], [-0.01, 0.97]])
# name -> (scan correction or None, linear part, fraction of the shifts, place error in px)
TRANSFORMS = {
    "whole translation": (None, np.eye(2), 0.0, 0.002),
    "translation": (None, np.eye(2), 0.37, 0.002),
    "rotation": (None, turned(3.1), 0.21, 0.002),
    "similarity": (None, turned(-2.2, 1.013), 0.4, 0.002),
    "affine": (None, SHEAR, 0.29, 0.002),
    "scan in x": (Leaf(SEM_DISTORTION_A, "3 12 2 60 0"), np.eye(2), 0.37, 0.02),
    "scan in y": (Leaf(SEM_DISTORTION_A, "2 30 1 200 1"), np.eye(2), 0.37, 0.02),
    "scan and affine": (Leaf(SEM_DISTORTION_A, "3 12 2 60 0"), SHEAR, 0.29, 0.02),
    "exponential": (Leaf(EXPONENTIAL, "4 0.05 1 0"), turned(1.0), 0.11, 0.02),
    "recovery": (Leaf(RECOVERY, "4 0.05 1 1"), turned(-1.0), 0.11, 0.02),
}
MASKS = {"none": None, "box": f"mask://outside-box?minX=9&minY=4&maxX={W - 7}&maxY={H}"}
TOP = {"uint8": 255, "uint16": 65535}


def filters_of(name, top):
    """Filters that leave values inside the type, by its brightest value."""
    unit = top / 255
    single = {
        "shading": filters.shading([4.0 * unit, 3 * unit, -5 * unit, 2 * unit, unit, 6 * unit]),
        "intensity": filters.intensity(np.array([[[0.9, 0.02], [0.8, 0.05]]]), float(top)),
        "streaks": filters.streaks(0.02, 0.03, 0.0),
        "local streaks": filters.streaks(0.02, 0.03, 90.0, (3.0, 2.0 * unit, 0.1)),
        "background": filters.background(9.0, 0.5, "GAUSSIAN"),
    }
    if name == "composite":
        return [single["shading"], single["streaks"], single["intensity"]]
    return [single[name]] if name != "none" else []


FILTERS = ["none", "shading", "intensity", "streaks", "local streaks", "background", "composite"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """URLs of smooth noise, 0.25 to 0.75 of the brightest value, by type and tile; two levels."""
    folder, urls = tmp_path_factory.mktemp("images"), {}
    rng = np.random.default_rng(8)
    for k in range(len(SHIFTS)):
        noise = ndimage.gaussian_filter(rng.normal(size=(H, W)), 1.5)
        noise = (noise - noise.min()) / np.ptp(noise)
        for dtype, top in TOP.items():
            path = folder / f"{k}-{dtype}.h5"
            image = np.rint((0.25 + 0.5 * noise) * top).astype(dtype)
            with h5py.File(path, "w") as file:
                for level in range(2):
                    file[f"mipmap.{level}"] = image[None]
                    image = np.rint(halved(image.astype(np.float32))).astype(dtype)
            urls[dtype, k] = f"file://{path}?dataSet=/mipmap.0&z=0"
    return urls


def placed_tiles(images, transform, chain, mask, dtype):
    scan, linear, fraction, _ = TRANSFORMS[transform]
    specs = []
    for k, shift in enumerate(SHIFTS):
        affine = np.column_stack([linear, np.array(shift) + fraction * np.array([1, 1.3])])
        parts = (*((Ref("scan"),) if scan else ()), Leaf(AFFINE, affine_data(affine)))
        spec = TileSpec(f"t{k}", 1.0, W, H, images[dtype, k], parts, mask_url=MASKS[mask])
        specs.append(filters.with_filters(spec, chain if k != 1 else []))  # one tile has none
    shared = {"scan": replace(scan, id="scan")} if scan else {}
    return compose.place(TileSet(tuple(specs), shared))


def signed_distances(placed, grid, level):
    """Distance of each pixel to the border of each tile's data, below 0 outside; (n, h, w), px."""
    window = tuple(slice(0, n) for n in grid.shape)
    out = []
    for one in placed:
        data = warp.data_of(one.tile, level, masked=one.tile.mask_url)
        at = maps.locator(one, grid, window, level).at(window)
        near = [
            np.minimum(a - lo, hi - a) for a, lo, hi in zip(at, data.low, data.high, strict=True)
        ]
        out.append(np.minimum(*near))
    return np.array(out)


def compare(placed, box, scale, blend, dtype, place):
    """Tell how far the paths lie apart where both can be told, beside the tolerance there."""
    level = pixels.level_for(scale)
    exact = compose.render(placed, box, scale=scale, blend=blend)
    layer = compose.prepare(placed, box, scale=scale, blend=blend, dtype=dtype)
    assert isinstance(layer, mosaic.Layer)
    found = layer.rows(slice(None))
    assert found.pixels.dtype == dtype
    distance = signed_distances(placed, Grid(box, scale), level)
    told = (np.abs(distance + maps.FUZZ_PX) > (place if place > 0.01 else 1e-4)).all(axis=0)
    assert told.mean() > 0.99
    assert np.array_equal(found.mask[told], exact.mask[told])
    values = exact.pixels[exact.mask]
    slope = sum(slopes(one, level) for one in placed)
    tolerance = 0.51 + place / (1 << level) * slope / len(placed) * np.ones(distance.shape[1:])
    if blend == "feather":
        weights = np.where(distance > 0, distance, 0).sum(axis=0)
        count = (distance > 0).sum(axis=0)
        lost = 2 * count * (1 / 256 + place) / np.maximum(weights, 1e-9)
        tolerance += np.where(count > 1, np.minimum(lost, 1) * np.ptp(values), 0)
    told &= exact.mask
    return np.abs(found.pixels - exact.pixels)[told], tolerance[told]


def slopes(one, level):
    """Steepest step of a tile's level between neighbours, of x and y together."""
    whole = (slice(0, one.tile.height >> level), slice(0, one.tile.width >> level))
    image = np.asarray(warp.read(one.tile, level, whole), float)
    return np.abs(np.diff(image, axis=0)).max() + np.abs(np.diff(image, axis=1)).max()


@pytest.mark.parametrize("dtype", TOP)
@pytest.mark.parametrize("kind", FILTERS)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_both_paths_show_the_same(images, transform, kind, dtype):
    place, chain = TRANSFORMS[transform][-1], filters_of(kind, TOP[dtype])
    for mask in MASKS:
        placed = placed_tiles(images, transform, chain, mask, dtype)
        for blend in ("feather", "last"):
            for scale in (1.0, 0.5):
                box = Box(-10, -10, 212, 162)
                apart, tolerance = compare(placed, box, scale, blend, dtype, place)
                worst = np.argmax(apart - tolerance)
                assert apart[worst] <= tolerance[worst], (mask, blend, scale)


@pytest.mark.parametrize("blend", ["feather", "last"])
@pytest.mark.parametrize("kind", ["none", "composite"])
def test_a_mask_that_is_an_image_shows_what_its_box_shows(images, blend, kind):
    """Of the float path alone: the compiled one knows boxes. At full scale: sides are pixels."""
    placed = placed_tiles(images, "translation", filters_of(kind, 255), "box", "uint8")
    box = Box(-10, -10, 212, 162)
    by_box = compose.render(placed, box, blend=blend)
    by_image = compose.render(placed, box, blend=blend, source=compose.file_source)
    assert np.array_equal(by_box.mask, by_image.mask)
    inner = (signed_distances(placed, Grid(box, 1.0), 0) > 1).any(axis=0)
    apart = np.abs(by_box.pixels - by_image.pixels)[inner]
    # the image's distance is interpolated, so it is less by up to 1/2 px on the middle lines
    assert apart.max() < (0.01 if blend == "last" else 6)


def test_what_the_compiled_path_does_not_know_goes_through_the_other(images):
    placed = placed_tiles(images, "scan in x", [], "none", "uint8")
    twice = [replace(one, chain=replace(one.chain, parts=one.chain.parts * 2)) for one in placed]
    layer = compose.prepare(twice, Box(0, 0, 200, 150), dtype="uint8")
    assert not isinstance(layer, mosaic.Layer)
    exact = compose.render(twice, Box(0, 0, 200, 150))
    assert np.abs(layer.rows(slice(None)).pixels - exact.pixels).max() <= 0.5
