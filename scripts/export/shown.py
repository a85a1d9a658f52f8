"""Shown: 16-bit grey values in 8, between those that are black and white at each place.

A grey value v becomes 1 + 254 (v - low) / (high - low), cut to 1 to 255. 0 is no data, in both.
Which values are black and white is the business of `contrast`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scripts.lib import array_files, files
from scripts.lib.arrays import Array, Voxels
from scripts.lib.geometry import Box
from scripts.lib.numerics import kernels


@dataclass(frozen=True, eq=False)
class Limits:
    """Grey values that become black and white: (n, gy, gx) at layers z, and centres of cells."""

    z: Array
    y: Array
    x: Array
    low: Array
    high: Array

    def save(self, path: str | Path) -> None:
        """Write to an ``.npz`` file.

        Parameters
        ----------
        path
            Of the file.
        """
        array_files.write_columns(path, self)

    @staticmethod
    def load(path: str | Path) -> Limits:
        """Read what `save` wrote.

        Parameters
        ----------
        path
            Of the file.

        Returns
        -------
        Limits
            As they were.
        """
        return array_files.read_columns(path, Limits)

    def at(self, z: float) -> tuple[Array, Array]:
        """Return low and high at a layer, linear between those that are known.

        Parameters
        ----------
        z
            Of the layer; may be a fraction.

        Returns
        -------
        tuple of Array
            (gy, gx) each.
        """
        i = int(np.clip(np.searchsorted(self.z, z, side="right") - 1, 0, len(self.z) - 1))
        j = min(i + 1, len(self.z) - 1)
        gap = self.z[j] - self.z[i]
        share = float(np.clip((z - self.z[i]) / gap, 0, 1)) if gap else 0.0
        low, high = ((1 - share) * each[i] + share * each[j] for each in (self.low, self.high))
        return low, high


def linear(centres: Array, at: Array) -> Array:
    """Return the weights of cells at places, linear between centres and constant beyond.

    Parameters
    ----------
    centres
        (g,) in ascending order.
    at
        (n,) places.

    Returns
    -------
    Array
        (n, g); each row adds up to 1.
    """
    basis = np.eye(len(centres))
    return np.stack([np.interp(at, centres, row) for row in basis], axis=1)


@dataclass(frozen=True, eq=False)
class Shown:
    """How the layers of a slab are shown: low and high of each, and where the cells are."""

    ends: Sequence[tuple[Array, Array]]
    y: Array
    x: Array

    @staticmethod
    def of(limits: Limits, layers: Sequence[float]) -> Shown:
        """Look up the limits of the layers of a slab.

        Parameters
        ----------
        limits
            Of the volume.
        layers
            z in the stack of what each layer of the slab shows; may be fractions.

        Returns
        -------
        Shown
            For these layers.
        """
        return Shown([limits.at(z) for z in layers], limits.y, limits.x)

    def digest(self) -> str:
        """Return what voxels depend on.

        Returns
        -------
        str
            SHA-256.
        """
        ends = [[low.tolist(), high.tolist()] for low, high in self.ends]
        return files.digest([ends, self.y.tolist(), self.x.tolist()])

    def in_8_bit(self, voxels: Voxels, layers: slice, box: Box, step_px: int) -> Voxels:
        """Show some layers of an area.

        Parameters
        ----------
        voxels
            (n, h, w) uint16.
        layers
            Of the slab, from 0 on.
        box
            The area, world px.
        step_px
            World px per voxel.

        Returns
        -------
        Voxels
            (n, h, w) uint8.
        """
        _, high, wide = voxels.shape
        y, x = box.y0 + step_px * np.arange(float(high)), box.x0 + step_px * np.arange(float(wide))
        return to_8_bit(voxels, self.ends[layers], (linear(self.y, y), linear(self.x, x)))


def to_8_bit(
    voxels: Voxels, ends: Sequence[tuple[Array, Array]], yx: tuple[Array, Array]
) -> Voxels:
    """Show grey values of 16 bit in 8.

    Parameters
    ----------
    voxels
        (n, h, w) uint16; 0 is no data.
    ends
        Low and high of each layer, (gy, gx) each.
    yx
        Weights of the cells, (h, gy) and (w, gx), as `linear` gives them.

    Returns
    -------
    Voxels
        (n, h, w) uint8; 0 is no data, 1 to 255 grey values.
    """
    out = np.empty(voxels.shape, np.uint8)
    for plane, (low, high), shown in zip(voxels, ends, out, strict=True):
        start, end = (_spread(each, *yx) for each in (low, high))
        kernels.to_8_bit(plane, start, 254 / (end - start), shown)
    return out


def _spread(cells: Array, of_y: Array, of_x: Array) -> Array:
    """Spread values of cells over pixels; (1, 1) stays so: one value for all."""
    return cells if cells.size == 1 else np.asarray(of_y @ cells @ of_x.T)
