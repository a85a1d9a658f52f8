"""Tissue: a block of synthetic neuropil that looks like EM, isotropic and consistent in 3-D.

Cells are the regions where one of several smooth random fields is the largest; a membrane is the
zero level set of the difference between the two largest, which gives foam-like junctions as in
real neuropil. Mitochondria, vesicles and endoplasmic reticulum are set into the cells, a corner
of the block is bare resin. Grey values are 0 (black, stained) to 1 (white), as in an 8-bit volume.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from scripts.demo.random_streams import stream
from scripts.lib.arrays import Array, Bytes, Complex64, Float32, Index

RESIN = 0.80
CELL_SCALES_PX = (22.0, 22.0, 20.0, 14.0, 14.0, 14.0, 9.0, 9.0)  # smoothing of the fields
CYTOPLASM = (0.66, 0.72, 0.60, 0.69, 0.76, 0.63, 0.70, 0.57)  # grey of each kind of cell


@dataclass(frozen=True)
class ResinCorner:
    """Bare resin in the corner (x0, y0): a rounded box that shrinks with depth and is gone.

    Half axes `width_px`, `height_px`; whole until `full_until_z`, gone at `gone_at_z`.
    """

    x0: float
    y0: float
    width_px: float
    height_px: float
    full_until_z: float
    gone_at_z: float

    def distance(self, shape_zyx: tuple[int, int, int]) -> Float32:
        """Return the signed distance from the resin's face, px: negative inside resin."""
        z, y, x = np.ogrid[: shape_zyx[0], : shape_zyx[1], : shape_zyx[2]]
        fade = (self.gone_at_z - z) / max(self.gone_at_z - self.full_until_z, 1e-6)
        size = np.clip(fade, 0.0, 1.0)
        norm = (np.abs((x - self.x0) / self.width_px) ** 6).astype(np.float32)
        norm = (norm + np.abs((y - self.y0) / self.height_px) ** 6) ** (1 / 6)
        return np.asarray((norm - size) * self.height_px, np.float32)


def grow(shape_zyx: tuple[int, int, int], *, seed: int, resin: ResinCorner | None) -> Float32:
    """Make the block: (z, y, x) float32, 0 (black) to 1."""
    wall, kind = _cells(shape_zyx, seed)
    grey = np.asarray(CYTOPLASM, np.float32)[kind]
    grey += 0.035 * _field(shape_zyx, 6.0, seed, "shade")
    noise = stream(seed, "grain").standard_normal(shape_zyx, dtype=np.float32)
    grey += 0.085 * ndimage.gaussian_filter(noise, 0.8)
    _reticulum(grey, wall, kind, seed)
    _vesicles(grey, wall, seed)
    _mitochondria(grey, wall, kind, seed)
    _membranes(grey, wall, seed)
    if resin is not None:
        _embed(grey, resin, seed)
    return np.asarray(np.clip(grey, 0.0, 1.0), np.float32)


def _field(shape_zyx: tuple[int, int, int], scale_px: float, seed: int, name: str) -> Float32:
    """Return Gaussian noise smoothed by `scale_px`, unit variance, drawn in frequency space.

    Only the few low frequencies that survive the smoothing are drawn, and each axis is transformed
    before the next one is filled up with zeros: a tenth of the time of one whole transform.
    """
    depth, height, width = shape_zyx
    axes = [fft.fftfreq(depth), fft.fftfreq(height), fft.rfftfreq(width)]
    live = [np.flatnonzero(np.abs(k) * scale_px < 0.7) for k in axes]  # beyond: below 1e-4
    weights = [np.exp(-2 * (np.pi * scale_px * k[i]) ** 2) for k, i in zip(axes, live, strict=True)]
    size = tuple(len(i) for i in live)
    noise = stream(seed, "field", name).standard_normal((*size, 2), dtype=np.float32)
    low = noise.view(np.complex64)[..., 0] * np.einsum("i,j,k->ijk", *weights).astype(np.float32)
    along_z = fft.ifft(_spread(low, live[0], depth, 0), axis=0, workers=2)
    along_y = fft.ifft(_spread(along_z, live[1], height, 1), axis=1, workers=2)
    out = fft.irfft(along_y, n=width, axis=2, workers=2)
    return np.asarray(out / out.std(), np.float32)


def _spread(values: Complex64, at: Index, size: int, axis: int) -> Complex64:
    """Put `values` at the indices `at` of an `axis` of `size`, zeros elsewhere."""
    shape = list(values.shape)
    shape[axis] = size
    out = np.zeros(shape, np.complex64)
    out[(slice(None),) * axis + (at,)] = values
    return out


def _cells(shape_zyx: tuple[int, int, int], seed: int) -> tuple[Float32, Bytes]:
    """Return the distance to the nearest cell wall, px, and the kind of cell of each voxel."""
    first = np.full(shape_zyx, -np.inf, np.float32)
    second = first.copy()
    kind = np.zeros(shape_zyx, np.uint8)
    for i, scale in enumerate(CELL_SCALES_PX):
        field = _field(shape_zyx, scale, seed, f"cell{i}")
        # small cells are fewer than large ones: their field starts lower
        field += 0.35 * (scale - 22.0) / 22.0
        wins = field > first
        second = np.where(wins, first, np.maximum(second, field))
        first = np.where(wins, field, first)
        kind[wins] = i
    lead = first - second
    return np.asarray(lead / np.maximum(_steepness(lead), 0.035), np.float32), kind


def _steepness(field: Float32) -> Float32:
    """Return |gradient| per px, by differences over two voxels."""
    square = np.zeros_like(field)
    for axis in range(3):
        front, back = np.roll(field, -1, axis), np.roll(field, 1, axis)
        # beside a wall the lead has a kink: the steeper one-sided slope is the true one
        square += np.maximum(np.abs(front - field), np.abs(field - back)) ** 2
    return np.sqrt(square)


def _membranes(grey: Float32, wall: Float32, seed: int) -> None:
    """Darken cell walls; some stretches, like synapses, are thicker and darker."""
    dense = np.clip(_field(grey.shape, 7.0, seed, "synapse") - 1.7, 0.0, 1.0)
    width = 1.25 + 2.2 * dense
    line = np.exp(-((wall / width) ** 2))
    grey -= line * np.minimum(0.48 + 0.35 * dense, grey - 0.07)


def _reticulum(grey: Float32, wall: Float32, kind: Bytes, seed: int) -> None:
    """Draw thin inner membranes, away from the wall, in every other kind of cell."""
    field = np.abs(_field(grey.shape, 6.5, seed, "reticulum")) * 6.5
    patch = _field(grey.shape, 12.0, seed, "reticulum patch") > 0.5
    share = np.clip((wall - 4.0) / 2.0, 0.0, 1.0) * ((kind % 2 == 0) & patch)
    grey -= 0.24 * share * np.exp(-((field / 0.9) ** 2))


def _vesicles(grey: Float32, wall: Float32, seed: int) -> None:
    """Set clusters of small round vesicles (dark shell, light lumen) into the cells."""
    rng = stream(seed, "vesicles")
    size = np.array(grey.shape)
    clusters = rng.uniform(0, 1, (max(1, int(grey.size / 110_000)), 3)) * size
    members = rng.integers(14, 45, len(clusters))
    centres = np.repeat(clusters, members, axis=0)
    centres += rng.normal(0, 8.5, centres.shape)
    reach = 4
    for centre in centres:
        corner = np.rint(centre).astype(int) - reach
        if (corner < 0).any() or (corner + 2 * reach + 1 > size).any():
            continue
        if wall[tuple(corner + reach)] < 3.5:
            continue
        box = tuple(slice(c, c + 2 * reach + 1) for c in corner)
        radius = _radius(corner, centre, reach)
        shell = np.exp(-(((radius - 2.3) / 0.85) ** 2))
        grey[box] += 0.05 * (radius < 1.6) - 0.27 * shell


def _radius(corner: NDArray[np.int_], centre: Array, reach: int) -> Float32:
    """Return the distance from `centre`, px, over the box that starts at `corner`."""
    z, y, x = np.ogrid[: 2 * reach + 1, : 2 * reach + 1, : 2 * reach + 1]
    dz, dy, dx = corner - centre
    return np.asarray(np.sqrt((z + dz) ** 2 + (y + dy) ** 2 + (x + dx) ** 2), np.float32)


def _mitochondria(grey: Float32, wall: Float32, kind: Bytes, seed: int) -> None:
    """Set dark ellipsoids with a double rim and cristae where a cell has room for them."""
    rng = stream(seed, "mitochondria")
    size = np.array(grey.shape)
    taken = np.zeros(grey.shape, bool)
    for _ in range(max(3, int(grey.size / 20_000))):
        at = tuple(int(v) for v in rng.uniform(0, 1, 3) * size)
        mito = _Mitochondrion.draw(rng)
        if wall[at] < 6.0 or taken[at]:
            continue
        box, offset = mito.box(at, size)
        if taken[box].mean() > 0.02:
            continue
        depth = np.minimum(mito.depth(offset), wall[box] - 2.6)
        depth[kind[box] != kind[at]] = -9.0  # never through the cell's wall
        inside = np.clip(depth + 0.5, 0.0, 1.0)
        shade = mito.shade(offset, depth) + 0.5 * (grey[box] - 0.66)  # keeps the noise
        grey[box] += (inside * (shade - grey[box])).astype(np.float32)
        taken[box] |= inside > 0


@dataclass(frozen=True)
class _Mitochondrion:
    axis: Array  # unit vector z, y, x
    long_px: float
    short_px: float
    phase: float
    pitch_px: float  # of the cristae

    @staticmethod
    def draw(rng: np.random.Generator) -> _Mitochondrion:
        axis = rng.standard_normal(3)
        return _Mitochondrion(
            axis / np.linalg.norm(axis),
            long_px=rng.uniform(16, 42),
            short_px=rng.uniform(8.5, 14.0),
            phase=rng.uniform(0, 6.3),
            pitch_px=rng.uniform(4.6, 6.0),
        )

    def box(
        self, at: tuple[int, ...], size: NDArray[np.int_]
    ) -> tuple[tuple[slice, ...], list[NDArray[np.int_]]]:
        """Return the box it fills, cut to the block, and the offsets from its centre (z, y, x)."""
        reach = np.sqrt(self.axis**2 * self.long_px**2 + (1 - self.axis**2) * self.short_px**2)
        low = np.maximum(np.floor(at - reach), 0).astype(int)
        high = np.minimum(np.ceil(at + reach) + 1, size).astype(int)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        return box, [axis - c for axis, c in zip(np.ogrid[box], at, strict=True)]

    def _along(self, offset: list[NDArray[np.int_]]) -> Float32:
        dz, dy, dx = (np.float32(a) * o for a, o in zip(self.axis, offset, strict=True))
        return np.asarray(dz + dy + dx, np.float32)

    def _across(self, offset: list[NDArray[np.int_]]) -> Float32:
        dz, dy, dx = (o.astype(np.float32) ** 2 for o in offset)
        square = dz + dy + dx - self._along(offset) ** 2
        return np.asarray(np.sqrt(np.maximum(square, 0.0)), np.float32)

    def depth(self, offset: list[NDArray[np.int_]]) -> Float32:
        """Return the depth below its surface, px, about."""
        long = (self._along(offset) / np.float32(self.long_px)) ** 2
        across = (self._across(offset) / np.float32(self.short_px)) ** 2
        return np.asarray(self.short_px * (1 - np.sqrt(long + across)), np.float32)

    def shade(self, offset: list[NDArray[np.int_]], depth: Float32) -> Float32:
        """Return its grey: rim, matrix, and bent cristae that do not touch the rim."""
        along = self._along(offset) + 1.6 * np.sin(self._across(offset) / 2.6 + self.phase)
        cristae = np.clip(np.cos(2 * np.pi * along / self.pitch_px + self.phase), 0.0, 1.0) ** 2
        rim = np.exp(-(((depth - 0.8) / 1.1) ** 2))
        inner = np.clip((depth - 2.0) / 1.5, 0.0, 1.0)
        return np.asarray(0.50 - 0.20 * cristae * inner - 0.26 * rim, np.float32)


def _embed(grey: Float32, resin: ResinCorner, seed: int) -> None:
    """Replace a corner by bare resin; the tissue's face is a wavy dark line."""
    shape = grey.shape
    distance = resin.distance(shape) + 6.0 * _field(shape, 10.0, seed, "face")
    haze = RESIN + 0.012 * _field(shape, 25.0, seed, "haze")
    bare = distance < 0
    grey -= 0.35 * np.exp(-((distance / 2.0) ** 2))
    grey[bare] = haze[bare]
