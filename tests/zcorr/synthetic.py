"""A specimen that is alike in all directions, and what layers cut from it measure."""

import numpy as np
from scipy import ndimage

from scripts.lib.drawing.compose import Picture
from scripts.zcorr import comparison, correlation, isotropy
from scripts.zcorr.measured import Measured


def specimen(shape, seed=0, sigma=2.2):
    """(z, y, x) isotropic Gaussian field, fine and coarse, about 128 ± 30 grey levels."""
    rng = np.random.default_rng(seed)
    out = np.zeros(shape, np.float32)
    for sd in (sigma, 2.5 * sigma):
        field = ndimage.gaussian_filter(rng.standard_normal(shape).astype(np.float32), sd)
        out += 20 * field / field.std()
    return 128 + out


def cut(volume, z, noise=0.0, seed=1):
    """Layers at real-valued z, linear between planes smoothed along z; (n, y, x)."""
    smooth = ndimage.gaussian_filter1d(volume, 0.7, axis=0)
    low = np.floor(z).astype(int)
    share = (z - low)[:, None, None]
    layers = (1 - share) * smooth[low] + share * smooth[low + 1]
    return layers + noise * np.random.default_rng(seed).standard_normal(layers.shape)


def whole(pixels):
    """Whole grey levels, none of them 0, which is no data."""
    return np.clip(np.rint(pixels), 1, 255).astype(np.uint8)


def seen(pixels, mask=None):
    """Make one layer ready for all comparisons."""
    mask = np.ones(pixels.shape, bool) if mask is None else mask
    picture = Picture(whole(pixels) * mask, mask)
    field = correlation.prepare(picture, mask)
    return comparison.PreparedLayer(picture.pixels, field, isotropy.band_texture([picture]))


def measured(layers, reach=3, first=1):
    """Give the measurements of layers, None where there is none."""
    shape = next(one for one in layers if one is not None).shape
    ready = [None if one is None else seen(one) for one in layers]
    found = comparison.compare(ready, len(layers), reach, shape, 40.0)
    z = np.arange(first, first + len(layers))
    present = np.array([one is not None for one in layers])
    return Measured(z=z, present=present, own=present, pixel_layers=(1.0, 1.0), **vars(found))
