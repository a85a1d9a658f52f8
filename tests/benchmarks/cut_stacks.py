"""Stacks of layers with known z, cut from real tissue: no acquisition, no workflow, seconds each.

Layers come from the generator of acquisitions (one tile a layer, detector noise, curtains, shading,
drift), and are laid on one grid by their true transforms, off by `MISALIGNED_PX`. A stack is a
`Recipe`; the same recipe is always the same stack.
"""

import functools
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy import ndimage

from scripts.lib.drawing.compose import Picture
from scripts.zcorr import comparison, correlation, isotropy, windows
from scripts.zcorr.measured import Measured

DATA = Path(__file__).parents[3] / "shared/data"
VOLUMES = {
    "fib25": DATA / "fib25/fib25_250.h5",
    "second": DATA / "fib25/fib25_128.h5",
    "celegans": DATA / "celegans/celegans_21.h5",
}
AXES = {"z": (0, 1, 2), "y": (1, 2, 0), "x": (2, 0, 1)}
REACH = 3  # as zcorr.comparison_range
COUNTS = (500, 5000)  # of the detector, white and black of 8 bits
MARGIN_PX = 40  # that drift may take
MISALIGNED_PX = 0.1  # sd of each axis of each layer: what the solve leaves
RESIN = 0.7  # grey level, of 1


@dataclass(frozen=True)
class Recipe:
    """What a stack is cut from, and how."""

    volume: str  # of `VOLUMES`, or "synthetic"
    axis: str  # that layers follow
    side: int  # px
    layers: int
    seed: int
    even: bool = False  # else thickness sd 20 %, lost slices 1 %
    emerge: float = 0.0  # px a layer by which a disc of tissue grows out of resin; 0: no resin
    every: int = 1  # voxels of the volume that a layer is thick
    noise: float = 1.0

    @property
    def name(self) -> str:
        """Name of the stack."""
        kind = "even" if self.even else "uneven"
        more = f" emerge {self.emerge:g}" * (self.emerge > 0) + f" every {self.every}" * (
            self.every > 1
        )
        more += f" noise {self.noise:g}" * (self.noise != 1)
        size = f"{self.layers} x {self.side} px"
        return f"{self.volume} {self.axis} {size} {kind}{more}, seed {self.seed}"


@dataclass(frozen=True)
class Cut:
    """Layers on one grid, uint8 (n, h, w), their true z, and where slices were lost."""

    layers: np.ndarray
    z: np.ndarray
    lost: np.ndarray


@functools.cache
def maker():
    """Load the generator of acquisitions."""
    spec = importlib.util.spec_from_file_location("make_misaligned", DATA / "make_misaligned.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_misaligned"] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@functools.cache
def volume_of(name, axis):
    """Load a volume, layers first; 0..255."""
    return np.ascontiguousarray(maker().load_volume(str(VOLUMES[name])).transpose(AXES[axis]))


def field(rng, shape):
    """Isotropic Gaussian field, fine and coarse, of a texture of its own; 0..255."""
    out = np.zeros(shape, np.float32)
    fine = rng.uniform(1.5, 3.0)
    for sd in (fine, rng.uniform(1.5, 4.0) * fine):
        part = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), sd, truncate=3)
        out += 24 * part / part.std()
    return np.clip(128 + out, 0, 255)


def block(recipe, depth):
    """Part of the volume that a stack is cut from, at a place of its own."""
    rng = np.random.default_rng([recipe.seed, recipe.side, recipe.layers, ord(recipe.axis)])
    if recipe.volume == "synthetic":
        return field(rng, (depth, *2 * [recipe.side + MARGIN_PX]))
    whole = volume_of(recipe.volume, recipe.axis)
    part = []
    for size, wanted in zip(whole.shape, (depth, *2 * [recipe.side + MARGIN_PX]), strict=True):
        first = int(rng.integers(0, max(size - wanted, 0) + 1))
        part.append(slice(first, min(first + wanted, size)))
    seen = whole[tuple(part)]
    return seen[::-1] if recipe.volume != "celegans" and rng.random() < 0.5 else seen


def parameters(recipe, **how):
    """Return parameters of the generator for a stack."""
    even = {"thickness_sd": 0.0, "lost_slice_rate": 0.0} if recipe.even else {}
    tile = recipe.side + MARGIN_PX
    return maker().Params(
        seed=recipe.seed,
        layers=recipe.layers,
        rows=1,
        columns=1,
        tile_height=tile,
        tile_width=tile,
        corrupt=0,
        overlap=0.1,
        thickness=float(recipe.every),
        noise=recipe.noise,
        **even | how,
    )


def cut(recipe, volume=None, **how):
    """Cut a stack, seen through its true transforms.

    `volume` (n, h, w), 0..255: what it is cut from, else `block`; `how`: other parameters of the
    generator.
    """
    make, params = maker(), parameters(recipe, **how)
    if volume is None:
        endless = (10**6, *2 * [recipe.side + MARGIN_PX])
        last = make.make_truth(params, endless)["layers"][-1]["z_true"]
        volume = block(recipe, int(np.ceil(last)) + 3)
    truth = make.make_truth(params, volume.shape)
    rng = np.random.default_rng([recipe.seed, 5])
    shown = []
    for tile, facts in zip(truth["tiles"], truth["layers"], strict=True):
        plane = make.sample_plane(volume, facts["z_true"], params.sigma_z)
        affine = np.reshape(tile["true_affine"], (3, 2)).T  # tile to volume
        seen = _drawn(plane, affine, params.tile_width, cv2.INTER_CUBIC, cv2.BORDER_REFLECT_101)
        if recipe.emerge:
            y, x = np.ogrid[: seen.shape[0], : seen.shape[1]]
            middle = (seen.shape[0] - 1) / 2
            radius = 20 + recipe.emerge * tile["layer"]
            seen = np.where(np.hypot(y - middle, x - middle) > radius, RESIN, seen)
        image = _detected(np.clip(seen, 0, 1), tile, facts, params)
        # from the common grid to the volume, off by what an alignment leaves, to the tile
        corner = np.array(volume.shape[:0:-1]) / 2 - recipe.side / 2
        back = cv2.invertAffineTransform(affine)
        off = corner + MISALIGNED_PX * rng.standard_normal(2)
        grid = np.column_stack([back[:, :2], back[:, :2] @ off + back[:, 2]])
        shown.append(_drawn(image, grid, recipe.side, cv2.INTER_LINEAR, cv2.BORDER_CONSTANT))
    z = np.array([facts["z_true"] for facts in truth["layers"]])
    lost = np.array([facts["slice_lost_before"] for facts in truth["layers"]], bool)
    return Cut(np.rint(shown).astype(np.uint8), z, lost)


def _drawn(image, affine, side, order, border):
    """Draw a square of an image, of which pixel (x, y) is at ``affine (x, y, 1)``."""
    flags = order | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, affine, (side, side), flags=flags, borderMode=border)


def _detected(image, tile, facts, params):
    """Return grey levels (0 = no data) as `make_misaligned.detect` would see them.

    Shot noise is taken as Gaussian, which costs a tenth.
    """
    size = image.shape[0]
    rng = maker().stream(params.seed, "pixels", tile["layer"], 0, 0, 0)
    across = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    sx, sy = maker().stream(params.seed, "gain", 0, 0).standard_normal(2) * params.shading
    streaks = ndimage.gaussian_filter1d(rng.standard_normal(size), 1.5) * 2.3 * params.curtain
    field = facts["gain"] * (1 + sx * across + sy * across[:, None]) * (1 + streaks)
    signal = ((params.black + params.span * (1 - image)) * field).astype(np.float32)
    electron = params.electron * params.noise**2
    sd = np.sqrt(electron * signal + (params.noise * params.read_noise) ** 2)
    signal += sd * rng.standard_normal(signal.shape, np.float32)
    signal += (params.row_noise * rng.standard_normal((size, 1)) + facts["offset"]).astype("f4")
    grey = 255 * (1 - (signal - COUNTS[0]) / (COUNTS[1] - COUNTS[0]))
    return np.clip(np.rint(grey), 1, 254).astype(np.float32)


def ready(layer):
    """Make a layer ready to compare, as the job does."""
    picture = Picture(layer, layer > 0)
    mask = correlation.textured(picture, 1.0, correlation.ResinMask())
    field = correlation.prepare(picture, mask)
    return comparison.PreparedLayer(layer, field, isotropy.band_texture([Picture(layer, mask)]))


def measured(layers, every=1):
    """Compare all layers, at the scale at which the job looks at their texture."""
    scale = windows.texture_scale(1 / every)
    if scale < 1:
        small = tuple(int(scale * size) for size in layers.shape[:0:-1])
        layers = np.stack([cv2.resize(one, small, interpolation=cv2.INTER_AREA) for one in layers])
    n, *shape = layers.shape
    found = comparison.compare((ready(one) for one in layers), n, REACH, tuple(shape), 500.0)
    there, pixel = np.ones(n, bool), 1 / every / scale
    return Measured(
        z=np.arange(n), present=there, own=there, pixel_layers=(pixel, pixel), **vars(found)
    )


def rms(z, true):
    """Rms of what is left of `true` after the best line through it over z."""
    return float(np.sqrt(np.mean((np.polyval(np.polyfit(z, true, 1), z) - true) ** 2)))
