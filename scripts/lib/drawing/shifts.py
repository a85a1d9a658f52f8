"""What shift is left between two drawings of a place, with its error.

Windows of the two are correlated (`windows`), and what they share is fitted (`window_fit`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from scripts.lib.arrays import Array
from scripts.lib.drawing import bare, windows
from scripts.lib.drawing.windows import Draw, Settings
from scripts.lib.geometry import Box
from scripts.lib.numerics.window_fit import LEAST_AFFINE, LEAST_USED, fitted

SMALLER_PX = 64  # windows where fewer than `LEAST_AFFINE` of the usual side fit
TISSUE_MOVES_PX = 0.75  # from layer to layer at most: 0.1 to 0.5 px (FIB-25, C. elegans)
MOSTLY = 0.5  # share of a place that is tissue, where most windows are
TISSUE_PX = (96, 64, 48)  # windows that are tried where bare places take part
# further looks where the first finds nothing: scale, side of a window and reach, px of the picture
FURTHER = ((1.0, 160, 40), (0.25, 96, 16), (0.0625, 96, 16))


@dataclass(frozen=True, eq=False)
class Shift:
    """What is left between two pictures of a place, full-resolution px; NaN = not measured."""

    shift_xy: Array  # (2,) place in the second less place in the first, mean over the place
    square_px2: float  # mean square over the place, less what noise adds to it
    error_px: float  # standard error of the mean shift
    used: int  # windows that tell
    tried: int
    scale: float  # of the pictures
    rms_error_px: float = math.nan  # standard error of the root of `square_px2`
    # (2, 2) change of x, y (rows) over the width and the height (columns) of the place
    across: Array = field(default_factory=lambda: np.full((2, 2), np.nan))
    corner_error_px: float = math.nan  # standard error of the shift at a corner
    noise_px2: float = math.nan  # what was taken off `square_px2`
    # (tried, 3) centre x, y of each window, world px, and how alike it is, -1 to 1; NaN = no peak
    alike: Array = field(default_factory=lambda: np.empty((0, 3)))
    window_px: int = 0  # longest side of the windows that was asked for, px of the picture
    scatter_px: float = math.nan  # sd in which a window differs from the affine of all

    @property
    def px(self) -> float:  # numpydoc ignore=RT01
        """Return the length of the mean shift."""
        return float(np.hypot(*self.shift_xy))

    @property
    def measured(self) -> bool:  # numpydoc ignore=RT01
        """Tell whether enough windows speak for the place."""
        return enough(self.used, self.tried)


def enough(used: int, tried: int) -> bool:
    """Tell whether so many windows speak for a place: three and a quarter of those tried, or all.

    Parameters
    ----------
    used, tried
        Windows with a peak, and all.

    Returns
    -------
    bool
        False where none was tried.
    """
    return 0 < used >= min(tried, max(LEAST_USED, tried / 4))


def compare(
    first: Draw,
    second: Draw,
    place: Box,
    settings: Settings,
    looks: Sequence[tuple[float, int, int]] = FURTHER,
) -> Shift:
    """Measure what is left between two drawings of a place, at the finest scale that can tell.

    Parameters
    ----------
    first, second
        Draw the two pictures; the first need not have data beyond `place`.
    place
        World px.
    settings
        How pictures are compared.
    looks
        Scale, side of a window and reach of further looks, px of the picture, in their order.

    Returns
    -------
    Shift
        Of the first look that is measured; of full resolution with small windows when none is.
    """
    first_look = _compare_at(first, second, place, 1.0, settings)
    if first_look.measured:
        found = _surer(first_look, first, second, place, settings)
        return _of_tissue(found, first, second, place, settings)
    for scale, side, reach in looks:
        look = replace(settings, window_px=side, reach_px=reach)
        found = _compare_at(first, second, place, scale, look)
        if found.measured and found.used >= LEAST_USED:
            return found
    return first_look


def _surer(found: Shift, first: Draw, second: Draw, place: Box, settings: Settings) -> Shift:
    """Look with smaller windows too where few fit, and return what is known better.

    The scatter of four windows says little of the place and of its own error. So the errors at the
    corners are compared, which regard how few they are. How alike the layers are is told by the
    usual windows: each small one finds a place of its own that fits, and tells less.
    """
    if found.tried >= LEAST_AFFINE or settings.window_px <= SMALLER_PX:
        return found
    more = _compare_at(first, second, place, 1.0, replace(settings, window_px=SMALLER_PX))
    better = more.used >= LEAST_AFFINE and not more.corner_error_px >= found.corner_error_px
    if not (more.measured and better):
        return found
    return replace(more, alike=found.alike, window_px=found.window_px)


def _of_tissue(found: Shift, first: Draw, second: Draw, place: Box, settings: Settings) -> Shift:
    """Look at tissue alone where windows are off by more than tissue moves, or do not agree.

    A border of resin moves from layer to layer where tissue does not (`bare`). So where it may be
    what windows show, and tissue tells the shift alone or nothing, no turn or stretch is known.
    """
    moved = math.sqrt(max(found.square_px2, 0.0))
    if not max(moved, found.scatter_px) > TISSUE_MOVES_PX:
        return found
    shown = bare.shown(first, second, place)
    if shown is None:
        return found
    within, share = shown
    for side in TISSUE_PX:
        look = replace(settings, window_px=min(side, settings.window_px))
        more = _compare_at(bare.tissue(first), bare.tissue(second), place, 1.0, look, within)
        if _stands(more, found, share):
            turned = math.isfinite(more.corner_error_px)
            more = more if turned else _shift_alone(more, found)
            return replace(more, alike=found.alike, window_px=found.window_px)
    return found if share >= MOSTLY else _shift_alone(found, found)


def _shift_alone(found: Shift, stretched: Shift) -> Shift:
    """Return the shift of a look, of a place that is as unknown as `stretched` changes over it."""
    own = found.error_px**2
    change = max(stretched.square_px2 - stretched.px**2, 0.0)
    error = max(math.sqrt(own + change), stretched.error_px)
    return replace(
        found, across=np.full((2, 2), np.nan), corner_error_px=math.nan, noise_px2=own,
        square_px2=found.px**2 - own, error_px=error, rms_error_px=max(error, found.rms_error_px),
    )  # fmt: skip


def _stands(more: Shift, found: Shift, share: float) -> bool:
    """Tell whether a look at tissue alone, a share of the place, is worth more than the first.

    Where it fills most of the place it has to know shift and corners better.
    """
    if not (more.measured and more.used >= LEAST_USED and more.scatter_px <= TISSUE_MOVES_PX):
        return False
    better = more.error_px <= found.error_px and more.corner_error_px <= found.corner_error_px
    return share < MOSTLY or better


def _compare_at(
    first: Draw,
    second: Draw,
    place: Box,
    scale: float,
    settings: Settings,
    within: Box | None = None,
) -> Shift:
    """Correlate the windows of a place at one scale, or those `within` a part of it."""
    part = within or place
    reach, size = settings.reach_px, windows.window_size(part, scale, settings)
    if size is None:
        return nothing(0, scale)
    centres = windows.window_centres(part, (size[0] / scale, size[1] / scale), settings.windows)
    peaks = windows.window_peaks(first, second, place, centres, size, reach, scale)
    used = np.isfinite(peaks[:, 0])
    alike = np.column_stack([centres, peaks[:, 2]])
    if not used.any():
        return replace(nothing(len(centres), scale), alike=alike)
    world = size[0] / scale, size[1] / scale
    fit = fitted(centres[used], peaks[used, :2] / scale, world, len(centres), place, scale)
    return Shift(
        fit.mean_xy, fit.square_px2, fit.error_px, fit.used, len(centres), scale,
        fit.rms_error_px, fit.across, fit.corner_error_px, fit.noise_px2, alike, settings.window_px,
        fit.scatter_px,
    )  # fmt: skip


def nothing(tried: int, scale: float) -> Shift:
    """Return the shift of a place at which nothing was found.

    Parameters
    ----------
    tried
        Windows.
    scale
        Of the pictures.

    Returns
    -------
    Shift
        Not measured.
    """
    return Shift(np.full(2, np.nan), math.nan, math.nan, 0, tried, scale)
