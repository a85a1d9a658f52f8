"""Detector: from the specimen to the 16-bit counts of one tile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from scripts.demo.plan import Settings
from scripts.demo.random_streams import stream
from scripts.lib import geometry
from scripts.lib.arrays import Float32

BLACK = 1200.0  # counts of a white (unstained) voxel: the raw contrast is inverted
SPAN = 3200.0  # counts from white to black
ELECTRON = 8.0  # counts of one electron: shot noise
READ_NOISE = 90.0  # counts, sd
ROW_NOISE = 25.0
STREAKS = 0.005  # relative sd of the vertical curtains that the ion beam leaves
MIRROR = "mirror"
SENSITIVITY = (1.0, 0.6, 0.4, 0.3)  # of each detector, relative to the first


def face(block: Float32, z: float, depth_response: float) -> Float32:
    """Return the spline coefficients of the milled face at true `z`, as the beam sees it.

    The beam integrates over a Gaussian in depth of sd `depth_response`.
    """
    planes = np.arange(len(block))
    weight = np.exp(-0.5 * ((planes - z) / depth_response) ** 2)
    seen = weight > 1e-6 * weight.max()
    weight = (weight / weight.sum()).astype(np.float32)
    flat = np.tensordot(weight[seen], block[seen], axes=1)
    return np.asarray(ndimage.spline_filter(flat, order=3, output=np.float32, mode=MIRROR))


def expose(coefficients: Float32, tile: Mapping[str, Any], settings: Settings) -> Float32:
    """Return the specimen as a tile shows it, (h, w) in 0..1, without noise."""
    u = np.arange(settings.tile_width, dtype=float)
    a, b, c, d = settings.scan
    x = u + a * np.exp(-u / b) + c * np.exp(-u / d)
    y = np.arange(settings.tile_height, dtype=float)
    points = np.stack(np.meshgrid(x, y), axis=-1)
    world = geometry.apply(geometry.from_wire(tile["true_affine"]), points)
    image = ndimage.map_coordinates(
        coefficients, (world[..., 1], world[..., 0]), order=3, mode=MIRROR, prefilter=False
    )
    return np.asarray(np.clip(image, 0.0, 1.0), np.float32)


def count(
    image: Float32, tile: Mapping[str, Any], gain: float, settings: Settings
) -> NDArray[np.int16]:
    """Return the raw counts, (h, w, channel) int16: inverted, shaded, with curtains and noise."""
    place = tile["layer"], tile["row"], tile["column"]
    # what one detector records does not depend on how many there are
    names = [("counts", *place), *(("counts", *place, k) for k in range(1, settings.channels))]
    seen = [
        _counts(image, tile, gain * SENSITIVITY[channel], settings, stream(settings.seed, *name))
        for channel, name in enumerate(names)
    ]
    return np.stack(seen, axis=-1)


def _counts(
    image: Float32,
    tile: Mapping[str, Any],
    gain: float,
    settings: Settings,
    rng: np.random.Generator,
) -> NDArray[np.int16]:
    """Return what one detector records, (h, w)."""
    h, w = image.shape
    # shading belongs to the grid position: the same in every layer, as on a real scope
    tilt = settings.shading * stream(settings.seed, "shading", tile["row"], tile["column"]).normal(
        size=2
    )
    field = 1 + tilt[0] * np.linspace(-0.5, 0.5, w) + tilt[1] * np.linspace(-0.5, 0.5, h)[:, None]
    curtains = 1 + 2.3 * STREAKS * ndimage.gaussian_filter1d(rng.standard_normal(w), 1.5)
    signal = (BLACK + SPAN * (1 - image)) * field * curtains * gain
    if settings.noise > 0:
        electron = ELECTRON * settings.noise**2
        signal = electron * rng.poisson(np.maximum(signal, 0) / electron)
        signal = signal + settings.noise * READ_NOISE * rng.standard_normal((h, w))
        signal = signal + settings.noise * ROW_NOISE * rng.standard_normal((h, 1))
    return np.asarray(np.clip(np.rint(signal), -32768, 32767), np.int16)
