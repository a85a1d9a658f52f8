"""Plan: where every tile of a synthetic acquisition truly lies, and what the stage reports.

All lengths are px of the specimen block (= world px), z in layers. A raw pixel (u, v) of a tile
shows the specimen at ``affine(scan(u), v)`` and at the true z of its layer; ``truth.json`` records
exactly that (format ``misaligned-fibsem-truth/1``).
"""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from scripts.demo.random_streams import stream
from scripts.lib import geometry
from scripts.lib.arrays import Array
from scripts.lib.transforms import SEM_DISTORTION_A
from scripts.lib.truth import FORMAT

SCOPE = "Merlin-6284"
FIRST_LAYER_AT = datetime.datetime(2024, 3, 7, 10, 11, 12)


@dataclass(frozen=True)
class Settings:
    """What to simulate; lengths in px unless the name says otherwise."""

    seed: int = 0
    layers: int = 44
    rows: int = 2
    columns: int = 2
    tile_height: int = 256
    tile_width: int = 320
    overlap: float = 0.20  # fraction of a tile
    pixel_nm: float = 8.0
    channels: int = 1  # detectors: InLens, ESB
    scan: tuple[float, float, float, float] = (3.0, 12.0, 2.0, 60.0)  # a1 b1 a2 b2, left edge

    thickness_sd: float = 0.22  # relative, AR(1) from layer to layer
    thickness_memory: float = 0.6
    depth_response: float = 0.6  # sd in z of what the beam sees

    drift: float = 6.0  # sd of the slow drift of the layer
    drift_layers: float = 9.0  # its correlation length
    jitter: float = 0.9  # sd, each layer anew
    restart_layer: int = 30  # the beam restarts before this layer (0 = never) …
    restart_jump: float = 7.0  # … and the image jumps by about this much
    restart_pause_s: float = 2400.0
    rotation: float = 1.5e-3  # rad, sd of the slow rotation
    stretch: float = 1.0e-3  # sd of the slow change of scale
    stage_error: float = 2.5  # sd, of each grid position, all layers alike
    tile_jitter: float = 0.35  # sd, each tile of each layer anew
    tile_warp: float = 5e-4  # sd of each term of the tile's own matrix

    resin_layers: int = 6  # tile (0, 0) is bare resin that long, then tissue grows into it
    corrupt_layer: int = 20  # one tile of this layer is cut off (0 = none)

    seconds_per_layer: float = 62.0
    gain_sd: float = 0.03
    shading: float = 0.08  # across a tile
    noise: float = 1.0  # scales shot and read noise

    @property
    def step_xy(self) -> tuple[int, int]:
        """Return the distance of neighbouring tiles on the stage, px."""
        keep = 1 - self.overlap
        return round(self.tile_width * keep), round(self.tile_height * keep)

    @property
    def field_xy(self) -> tuple[int, int]:
        """Return the width and height of the whole grid, px."""
        dx, dy = self.step_xy
        return (self.columns - 1) * dx + self.tile_width, (self.rows - 1) * dy + self.tile_height


@dataclass(frozen=True, eq=False)
class Motion:
    """How each layer moved: arrays over layers."""

    z: Array  # (n,) true z
    shift: Array  # (n, 2) x, y
    jump: Array  # (n, 2) part of the shift that began at a restart
    rotation: Array  # (n,) rad
    scale: Array  # (n, 2)
    gain: Array  # (n,)


def plan_motion(settings: Settings) -> Motion:
    """Draw the motion of all layers."""
    n, rng = settings.layers, stream(settings.seed, "motion")
    jump = np.zeros((n, 2))
    if 0 < settings.restart_layer < n:
        angle = rng.uniform(0, 2 * np.pi)
        jump[settings.restart_layer] = settings.restart_jump * np.array(
            [np.cos(angle), np.sin(angle)]
        )
    slow = _slow(rng, n, settings.drift_layers, 6)
    drift = settings.drift * (slow[:, :2] - slow[0, :2])
    shift = drift + np.cumsum(jump, axis=0) + settings.jitter * rng.standard_normal((n, 2))
    return Motion(
        z=_depths(settings),
        shift=shift,
        jump=jump,
        rotation=settings.rotation * slow[:, 2],
        scale=1 + settings.stretch * slow[:, 3:5],
        gain=1 + settings.gain_sd * slow[:, 5],
    )


def _depths(settings: Settings) -> Array:
    """Return the true z of each layer: steps of mean 1, a first-order autoregressive series."""
    rng, memory = stream(settings.seed, "thickness"), settings.thickness_memory
    step = np.empty(settings.layers)
    state = rng.standard_normal()
    for k in range(settings.layers):
        step[k] = 1 + settings.thickness_sd * state
        state = memory * state + np.sqrt(1 - memory**2) * rng.standard_normal()
    step = np.clip(step, 0.3, 2.5)
    return np.asarray(3.0 + np.cumsum(step) - step[0])


def _slow(rng: np.random.Generator, n: int, length: float, count: int) -> Array:
    """Return (n, count) smooth noise of unit variance with a correlation `length` in samples."""
    margin = int(4 * length)
    rough = rng.standard_normal((n + 2 * margin, count))
    smooth = ndimage.gaussian_filter1d(rough, length, axis=0)[margin : margin + n]
    return np.asarray(smooth * np.sqrt(2 * length * np.sqrt(np.pi)))


def block_shape(settings: Settings, motion: Motion) -> tuple[int, int, int]:
    """Return (z, y, x) of the specimen block that holds all that is ever seen."""
    width, height = settings.field_xy
    margin = int(np.ceil(np.abs(motion.shift).max() + 4 * settings.stage_error)) + 8
    depth = int(np.ceil(motion.z[-1])) + 4
    return depth, _even(height + 2 * margin), _even(width + 2 * margin)


def _even(size: int) -> int:
    return -(-size // 16) * 16  # a multiple of 16: fast Fourier transforms


def stamp(settings: Settings, layer: int) -> str:
    """Return the time stamp of a layer, as in the file names."""
    pause = settings.restart_pause_s if 0 < settings.restart_layer <= layer else 0.0
    seconds = datetime.timedelta(seconds=layer * settings.seconds_per_layer + pause)
    return (FIRST_LAYER_AT + seconds).strftime("%y-%m-%d_%H%M%S")


def make_truth(
    settings: Settings, motion: Motion, shape_zyx: tuple[int, int, int]
) -> dict[str, Any]:
    """Place every tile and return the truth, in which every tile is tissue as yet."""
    stage = settings.stage_error * stream(settings.seed, "stage").standard_normal(
        (settings.rows, settings.columns, 2)
    )
    stage[0, 0] = 0.0
    tiles = [
        _tile(settings, motion, shape_zyx, (layer, row, column), stage[row, column])
        for layer in range(settings.layers)
        for row in range(settings.rows)
        for column in range(settings.columns)
    ]
    return {
        "format": FORMAT,
        "parameters": asdict(settings) | {"scan": list(settings.scan)},
        "volume_shape_zyx": list(shape_zyx),
        "world": "voxels of the specimen block; pixel centres on integers; x right, y down",
        "affine_order": ["m00", "m10", "m01", "m11", "m02", "m12"],
        "scan_correction": {
            "className": SEM_DISTORTION_A,
            "dataString": " ".join(f"{v:g}" for v in settings.scan) + " 0",
        },
        "polarity": "inverted: raw 16-bit is dark where the specimen is bright",
        "source": "synthetic neuropil",
        "layers": [_layer(settings, motion, k) for k in range(settings.layers)],
        "tiles": tiles,
    }


def _layer(settings: Settings, motion: Motion, k: int) -> dict[str, Any]:
    thickness = motion.z[k] - motion.z[k - 1] if k else motion.z[1] - motion.z[0]
    return {
        "layer": k,
        "stamp": stamp(settings, k),
        "z_nominal": float(k),
        "z_true": float(motion.z[k]),
        "thickness": float(thickness),
        "slice_lost_before": False,
        "shift": motion.shift[k].tolist(),
        "jump": motion.jump[k].tolist(),
        "rotation": float(motion.rotation[k]),
        "scale": motion.scale[k].tolist(),
        "shear": 0.0,
        "gain": float(motion.gain[k]),
        "offset": 0.0,
    }


def _tile(
    settings: Settings,
    motion: Motion,
    shape_zyx: tuple[int, int, int],
    cell: tuple[int, int, int],
    stage_error: Array,
) -> dict[str, Any]:
    layer, row, column = cell
    rng = stream(settings.seed, "tile", layer, row, column)
    step_x, step_y = settings.step_xy
    stage_xy = np.array([column * step_x, row * step_y], float)
    name = f"{stamp(settings, layer)}_0-{row}-{column}"
    middle = (np.array([settings.tile_width, settings.tile_height]) - 1) / 2
    block_middle = (np.array([shape_zyx[2], shape_zyx[1]]) - 1) / 2
    field_middle = (np.array(settings.field_xy) - 1) / 2

    whole = _layer_matrix(motion, layer)
    own = whole @ (np.eye(2) + settings.tile_warp * rng.standard_normal((2, 2)))
    error = stage_error + settings.tile_jitter * rng.standard_normal(2)
    from_middle = stage_xy + middle - field_middle + error
    centre = block_middle + motion.shift[layer] + whole @ from_middle
    affine = np.column_stack([own, centre - own @ middle])
    return {
        "tile_id": name,
        "layer": layer,
        "row": row,
        "column": column,
        "file": f"{SCOPE}_{name}.dat",
        "kind": "tissue",
        "corrupt": None,
        "stage_xy": stage_xy.tolist(),
        "true_affine": geometry.to_wire(affine),
    }


def _layer_matrix(motion: Motion, layer: int) -> Array:
    cos, sin = np.cos(motion.rotation[layer]), np.sin(motion.rotation[layer])
    return np.array([[cos, -sin], [sin, cos]]) @ np.diag(motion.scale[layer])


def pick_corrupt(settings: Settings, tile: dict[str, Any]) -> dict[str, Any] | None:
    """Return the fault of a tile: the last cell of `corrupt_layer` is cut off at a third."""
    last = (settings.corrupt_layer, settings.rows - 1, settings.columns - 1)
    if settings.corrupt_layer == 0 or (tile["layer"], tile["row"], tile["column"]) != last:
        return None
    return {"kind": "truncated", "first_row": settings.tile_height // 3}
