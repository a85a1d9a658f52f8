"""One tile as the dense matcher wants it, band-passed, halved, and transformed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import cv2
import numpy as np

from scripts.lib.arrays import Array, Bool, Float32
from scripts.lib.numerics import correlation
from scripts.lib.numerics.correlation import Field, Spectra
from scripts.lib.numerics.reduction import halved, halved_mask


class Picture(Protocol):
    """What is matched: ``pixels`` (h, w) float32 0..255 and ``mask`` (h, w), False = no data."""

    @property
    def pixels(self) -> Float32:
        """Return the values.

        Returns
        -------
        ndarray
            (h, w) float32, 0..255.
        """

    @property
    def mask(self) -> Bool:
        """Return the validity.

        Returns
        -------
        ndarray
            (h, w) bool, False = no data.
        """


@dataclass(frozen=True)
class BlockParams:
    """How tiles are compared. Lengths in canvas px unless the name says otherwise."""

    broad_px: tuple[float, float] = (1.0, 8.0)  # band that finds: sd of blur, of the local mean
    sharp_px: tuple[float, float] = (0.6, 1.8)  # band that measures
    whole_side_px: int = (
        200  # the first correlation is of a level of at most this area, as side of a square
    )
    middle_side_px: int = 512  # the same for the level that is correlated by blocks
    search_px: float | None = None  # reach around the predicted place, full scale; None = any
    min_overlap_pct: float = 10.0  # of the smaller tile, least overlap the first step considers
    block_px: int = 32  # side of a block
    broad_reach_px: tuple[int, ...] = (8,)  # of the lags, for each round of blocks in that band
    margin_px: int = 2  # of a canvas' border, where the sharp band does not know what lies beyond
    sharp_reach_px: tuple[int, ...] = (5,)  # blocks correlated in the sharp band
    fine_px: int | None = None  # side of the blocks of the refinement, instead of those
    fine_band_px: tuple[float, float] = (0.6, 1.3)  # of the refinement
    fine_area_mpx: float = 4.0  # that the refinement looks at on a level, Mpx of that level
    tolerance_px: float = 3.0  # a block agrees with the model within this, full scale
    max_chance: float = 1e-6  # that unrelated tiles pass
    block_chance: float = 0.02  # that an unrelated block takes part
    min_blocks: int = 3  # that agree in the end
    min_agreeing_pct: float = 25.0  # of the blocks in the overlap
    min_share: float = 0.5  # of a block that must be valid in both
    model: str = "AFFINE"  # of what blocks agree on
    max_rotation_deg: float = 2.0
    max_strain: float = 0.03  # scale - 1 and shear


class BlockFeatures:
    """What the matcher needs of one tile, computed when first asked for.

    Memory: 5 bytes per canvas px, 5 per px of the level for blocks (at most `middle_side_px`
    squared), and 48 per px of the small level (at most `whole_side_px` squared).

    Parameters
    ----------
    picture
        The canvas and its mask.
    params
        Bands, sides and limits.
    scale
        Canvas px / full-scale px.
    origin
        (2,) x, y of canvas pixel 0 in the matching frame, full-scale px; None: 0.
    """

    def __init__(
        self,
        picture: Picture,
        params: BlockParams,
        *,
        scale: float = 1.0,
        origin: Array | None = None,
    ) -> None:
        self.scale = scale
        self.origin = np.zeros(2) if origin is None else np.asarray(origin, float)
        self.params = params
        valid = _usable(picture)
        self.empty = not valid.any()
        self.valid = valid if not valid.all() else None
        self._spectra: Spectra | None = None
        level = _Level(np.asarray(picture.pixels, np.float32), valid)
        self.shape = level.shape
        self._measuring = [level]  # the canvas, and its halves, until `sharp` is made of them
        while level.too_large(params.middle_side_px):
            level = level.halved()
            if level.too_large(params.middle_side_px) and params.fine_px is not None:
                self._measuring.append(level)
        self.broad, self.broad_step = level.field(params.broad_px), level.step
        self.small = self.broad
        while level.too_large(params.whole_side_px):
            level = level.halved()
        self.small_step = level.step
        if level.step > self.broad_step:
            self.small = level.field(params.broad_px)
        self._held = sum(one.nbytes for one in self._measuring)

    @cached_property
    def sharp(self) -> list[Field]:
        """Return the fields of the canvas and its halves that measure.

        Half of the work of a tile, made when a partner is found: many tiles have none.

        Returns
        -------
        list of Field
            The canvas first.
        """
        levels, self._measuring = self._measuring, []
        if self.params.fine_px is not None:
            return [level.field(self.params.fine_band_px) for level in levels]
        return [_inner(levels[0].field(self.params.sharp_px), self.params.margin_px)]

    def spectra(self, padded: tuple[int, int]) -> Spectra:
        """Return the transforms of the small field; the last ones are kept.

        Parameters
        ----------
        padded
            Rows, columns of the transforms.

        Returns
        -------
        Spectra
            Of the small field.
        """
        if self._spectra is None or self._spectra.padded != padded:
            self._spectra = correlation.spectra(self.small, padded)
        return self._spectra

    @property
    def nbytes(self) -> int:
        """Return the most memory held: fields, and transforms of the small one at twice its size.

        Returns
        -------
        int
            Bytes.
        """
        fields = {id(field): field for field in (self.broad, self.small)}.values()
        found = sum(f.values.nbytes + (0 if f.valid is None else f.valid.nbytes) for f in fields)
        return self._held + found + 48 * self.small.values.size

    def to_full(self, xy: Array) -> Array:
        """Take canvas px to full-scale px of the matching frame.

        Parameters
        ----------
        xy
            (n, 2) canvas px.

        Returns
        -------
        ndarray
            (n, 2) float64 full-scale px.
        """
        return np.asarray(xy / self.scale + self.origin)


@dataclass(frozen=True, eq=False)
class _Level:
    """A canvas, or what halving it leaves."""

    image: Float32
    valid: Bool
    step: int = 1  # canvas px

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def nbytes(self) -> int:
        """Return the memory of the image and, where some are not, of the valid pixels."""
        return self.image.nbytes + (0 if self.valid.all() else self.valid.nbytes)

    def too_large(self, side: int) -> bool:
        """Tell whether the area exceeds that of a square of `side`, and can be halved."""
        return self.image.size > side**2 and min(self.image.shape) >= 32

    def halved(self) -> _Level:
        """Return the level of half the size."""
        return _Level(halved(self.image), halved_mask(self.valid), 2 * self.step)

    def field(self, band_px: tuple[float, float]) -> Field:
        """Return the band-passed level."""
        return _field(self.image, None if self.valid.all() else self.valid, band_px)


def _inner(field: Field, margin: int) -> Field:
    """Make a border of `margin` px invalid."""
    if margin == 0:
        return field
    valid = np.zeros(field.shape, bool)
    inside = slice(margin, -margin), slice(margin, -margin)
    valid[inside] = True if field.valid is None else field.valid[inside]
    return Field(np.where(valid, field.values, np.float32(0)), valid)


def _usable(picture: Picture) -> Bool:
    """Where there is data that is not saturated over an area."""
    mask = np.asarray(picture.mask, bool)
    sound = cv2.inRange(np.asarray(picture.pixels, np.float32), 0.5 + 1e-3, 254.5 - 1e-3)
    share = cv2.blur(sound, (5, 5))
    _, flat = cv2.threshold(share, 101, 1, cv2.THRESH_BINARY_INV)  # less than 40 % sound
    if not cv2.countNonZero(flat):
        return mask
    return np.asarray(mask & (cv2.dilate(flat, np.ones((5, 5), np.uint8)) == 0))


def _field(image: Float32, valid: Bool | None, band_px: tuple[float, float]) -> Field:
    """Band-pass, then even out contrast: areas of little contrast stay weak, they hold noise."""
    values = correlation.band_pass(image, valid, *band_px)
    side = 4 * math.ceil(band_px[1]) + 1
    variance = np.asarray(cv2.blur(values * values, (side, side)), np.float32)
    if valid is not None:
        share = np.asarray(cv2.blur(valid.astype(np.float32), (side, side)), np.float32)
        variance = np.asarray(variance / np.maximum(share, np.float32(1e-3)), np.float32)
    inside = variance.ravel() if valid is None else variance[valid]
    typical = np.float32(np.median(inside[::31]) if inside.size else 1) + np.float32(1e-6)
    return Field(values / np.sqrt(variance + typical), valid)
