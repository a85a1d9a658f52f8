"""Proposal: find the streaks of a sample of tiles in their mean spectrum, and what takes them out.

The power of the tiles (windowed, averaged) is compared with what is usual at its frequency, the
median over all directions. Streaks stand out in one direction; how wide the excess is across that
direction gives the band, where along it the excess begins gives the cutoff.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft

from scripts.lib.arrays import Array, Bool, Image, Int64

LEAST_EXCESS = 2.0  # power along the streaks' direction over the usual; below there are none
_HIGHEST = 0.3  # cycles per px; above is noise
_LOWEST_BINS = 3.0  # the window blurs the spectrum by two bins
_COARSE_DEG, _FINE_DEG = 1.0, 0.1
_WINDOW_BINS = 0.87  # sd of the power of a Hann window
_WIDEST_BINS = 24  # the band is looked for within so many bins
_AROUND = (3.0, 8.0)  # the usual power beside the band, in widths of it


@dataclass(frozen=True)
class Proposal:
    """Filter parameters in full-scale pixels, and how far the streaks stand out."""

    angle_deg: float
    cutoff_cycles_per_px: float
    band_cycles_per_px: float
    excess: float  # power in the band over the usual beside it

    @property
    def found(self) -> bool:
        """Tell whether there are streaks at all.

        Returns
        -------
        bool
            Whether the excess is at least `LEAST_EXCESS`.
        """
        return self.excess >= LEAST_EXCESS


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Mean power of some tiles: ``power`` (h, w) with frequencies ``x``, ``y`` in cycles per px."""

    power: Array
    x: Array
    y: Array

    def turned(self, angle_deg: float) -> tuple[Array, Array]:
        """Turn the frequencies.

        Parameters
        ----------
        angle_deg
            Direction of the band.

        Returns
        -------
        along : Array
            (h, w) frequency along the band, cycles per px.
        across : Array
            (h, w) frequency across it.
        """
        cos, sin = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
        return self.x * cos - self.y * sin, self.x * sin + self.y * cos


def mean_spectrum(images: Sequence[Image]) -> Spectrum:
    """Average the power of tiles, cut to the size that all have, under a Hann window.

    Parameters
    ----------
    images
        (h, w) grey values each.

    Returns
    -------
    Spectrum
        Of the smallest height and width.
    """
    h, w = (min(image.shape[axis] for image in images) for axis in (0, 1))
    window = np.outer(np.hanning(h), np.hanning(w)).astype(np.float32)
    total = np.zeros((h, w))
    for image in images:
        cut = image[:h, :w].astype(np.float32)
        total += np.abs(fft.fft2((cut - cut.mean()) * window)) ** 2
    y, x = np.meshgrid(fft.fftfreq(h), fft.fftfreq(w), indexing="ij")
    return Spectrum(total / len(images), x, y)


def propose(spectrum: Spectrum) -> Proposal:
    """Find direction, width and lowest frequency of the streaks.

    Parameters
    ----------
    spectrum
        Mean power of some tiles.

    Returns
    -------
    Proposal
        In full-scale pixels.
    """
    bin_px = 1 / min(spectrum.power.shape)
    radius = np.hypot(spectrum.x, spectrum.y)
    ring = (radius / bin_px).astype(int)
    usual = np.array([np.median(v) if len(v) else 1.0 for v in _grouped(spectrum.power, ring)])
    white = spectrum.power / np.maximum(usual[ring], 1e-12)
    inside = (radius > _LOWEST_BINS * bin_px) & (radius < _HIGHEST)
    angle = _direction(spectrum, white, inside)
    along, across = spectrum.turned(angle)
    band = _width(white, across, inside & (np.abs(along) > 2 * np.abs(across)), bin_px)
    cutoff = _begin(spectrum.power, np.abs(along), np.abs(across), band, bin_px)
    return Proposal(angle, cutoff, band, excess(spectrum, angle, cutoff, band))


def excess(spectrum: Spectrum, angle_deg: float, cutoff: float, band: float) -> float:
    """Compare the power in a band with the power beside it, above the cutoff.

    Parameters
    ----------
    spectrum
        Mean power of some tiles.
    angle_deg
        Direction of the band.
    cutoff, band
        Lowest frequency and width (sd) of the band, cycles per px.

    Returns
    -------
    float
        Their ratio; 1 = nothing stands out.
    """
    along, across = spectrum.turned(angle_deg)
    bin_px = 1 / min(spectrum.power.shape)
    far = (np.abs(along) > 2 * cutoff) & (np.abs(along) < _HIGHEST)
    near = far & (np.abs(across) < _seen(band, bin_px))
    beside = far & _beside(across, band, bin_px)
    if not near.any() or not beside.any():
        return 1.0
    # the power falls with frequency: compare at each frequency along the band, then average
    steps = (np.abs(along) * min(spectrum.power.shape)).astype(int)
    count = int(steps.max()) + 1
    inner = _means(spectrum.power, steps, near, count)
    outer = _means(spectrum.power, steps, beside, count)
    both = np.isfinite(inner) & np.isfinite(outer) & (outer > 0)
    return float(np.mean(inner[both] / outer[both])) if both.any() else 1.0


def _seen(band: float, bin_px: float) -> float:
    """Width of a band as the window shows it."""
    return math.hypot(band, _WINDOW_BINS * bin_px)


def _beside(across: Array, band: float, bin_px: float) -> Bool:
    wide = _seen(band, bin_px)
    return (np.abs(across) > _AROUND[0] * wide) & (np.abs(across) < _AROUND[1] * wide)


def _grouped(values: Array, group: Int64) -> list[Array]:
    order = np.argsort(group.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(group.ravel()))[:-1]
    return list(np.split(values.ravel()[order], ends))


def _means(values: Array, group: Int64, where: Bool, count: int) -> Array:
    total = np.bincount(group[where], values[where], count)
    number = np.bincount(group[where], minlength=count)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _direction(spectrum: Spectrum, white: Array, inside: Bool) -> float:
    """Angle in (-90, 90] at which the whitened power is greatest, to a tenth of a degree."""
    degrees = np.rad2deg(np.arctan2(-spectrum.y[inside], spectrum.x[inside]))
    degrees = np.mod(degrees + 90, 180) - 90
    power = np.minimum(white[inside], 1e3)
    best = 0.0
    for step, reach in ((_COARSE_DEG, 90.0), (_FINE_DEG, 2.0)):
        off = np.mod(degrees - best + 90, 180) - 90
        use = np.abs(off) <= reach
        number = np.rint(off[use] / step).astype(int)
        number -= number.min()
        score = np.bincount(number, power[use]) / np.maximum(np.bincount(number), 3)
        start = float(np.rint(off[use] / step).min())
        # the middle of all steps that are about as good
        good = np.flatnonzero(score >= 0.8 * score.max())
        good = good[np.abs(good - score.argmax()) <= 2]
        best += (start + float(np.average(good, weights=score[good]))) * step
    best = _straightened(spectrum, white, inside, best)
    return round(90.0 if abs(best + 90) < _FINE_DEG / 2 else best, 1)


def _straightened(spectrum: Spectrum, white: Array, inside: Bool, angle: float) -> float:
    """Turn the direction to the line through the middle that fits the excess near it best."""
    bin_px = 1 / min(spectrum.power.shape)
    for _ in range(3):
        along, across = spectrum.turned(angle)
        near = inside & (np.abs(across) < 4 * bin_px)
        weight = np.clip(white[near] - LEAST_EXCESS, 0, 1e3)
        total = float((weight * along[near] ** 2).sum())
        if total <= 0:
            break
        # the band is where v = 0: turning by +d moves v by u d
        angle -= math.degrees(float((weight * along[near] * across[near]).sum()) / total)
    return float(np.mod(angle + 90, 180)) - 90


def _width(white: Array, across: Array, use: Bool, bin_px: float) -> float:
    """Sd of the band: that of the excess across it less the window's, at least half a bin.

    Half a bin keeps a streak as long as the tile, and takes nothing that bends within it.
    """
    number = np.rint(np.abs(across[use]) / bin_px).astype(int)
    power = np.minimum(white[use], 1e3)
    profile = np.bincount(number, power) / np.maximum(np.bincount(number), 1)
    profile = profile[:_WIDEST_BINS]
    over = np.maximum(profile - np.median(profile[len(profile) // 2 :]), 0)
    end = int(np.argmax(over < 0.1 * over[0])) if (over < 0.1 * over[0]).any() else len(over)
    k = np.arange(max(end, 1))
    variance = float((over[: len(k)] * k**2).sum()) / max(float(over[: len(k)].sum()), 1e-12)
    return bin_px * max(0.5, math.sqrt(max(variance - _WINDOW_BINS**2, 0.0)))


def _begin(power: Array, along: Array, across: Array, band: float, bin_px: float) -> float:
    """Half of the lowest frequency from which on the band stands out."""
    steps = (along / bin_px).astype(int)
    count = int(_HIGHEST / bin_px)
    low = (steps < count).astype(bool)
    inner = _means(power, steps, low & (across < 0.6 * bin_px), count)
    outer = _means(power, steps, low & _beside(across, band, bin_px), count)
    ratio = np.nan_to_num(inner / outer, nan=1.0, posinf=1.0)
    smooth = np.convolve(ratio, np.ones(3) / 3, "same")
    # below, the band holds the tile's own slow changes: the window spreads them over some bins
    first = int(_LOWEST_BINS)
    over = np.flatnonzero(smooth[first:] > LEAST_EXCESS)
    begin = first + (int(over[0]) if len(over) else first)
    return 0.5 * begin * bin_px
