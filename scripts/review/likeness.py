"""Likeness: how every part of a tile resembles the same cell of the layers around it.

A face of the specimen lies between the one before and the one after it. So where those two
resemble each other, a face that resembles neither is damaged there, whatever damaged it: a band
without signal, rows that the beam scanned displaced, a file that ends early, lines that were lost.
Where the neighbors do not resemble each other (resin, thick or lost slices) nothing is said.
Coordinates are pixels of the level that was read, in the raw frame of the tile: tiles of one cell
have the same scan distortion, and a shift between them is measured.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from scripts.lib.arrays import Array, Bool, Float32, Image
from scripts.lib.numerics.peaks import parabola
from scripts.lib.numerics.smoothing import gaussian, masked_mean

FINE_PX, COARSE_PX = 1.0, 6.0  # band: below it pixel noise, above it shading and charging clouds
GRID = 8  # blocks along a side
REACH = 0.35  # largest shift between layers, share of the side: restarts, and jumps of the stage
CLIP = 3.0  # sd at which the band is cut, so that a bright edge does not outvote the tissue
LEAST_LIKE = 0.35  # neighbors that correlate less say nothing: n_eff of a block is about 60
BANDS = 7  # bands of rows, each a quarter of the height
BAND_REACH = 0.12  # how far a band is looked for, share of the shorter side
BAND_SIDE_PX = 192  # the shorter side keeps at least at the scale at which bands are looked for
ALIKE_PX = 1.5  # neighbors say the same of a band
LESS, LESS_AT_ENDS = 0.5, 0.25  # of what neighbors have in common: less is unlike
VALLEY = 2.0  # times the highest peak: the side lobes of tissue reach a third of its peak
NEIGHBORS = (-2, -1, 1, 2)


@dataclass(frozen=True, eq=False)
class Look:
    """A tile made ready to compare: ``band`` (h, w), unit sd, 0 outside of ``valid`` (h, w).

    What all comparisons of the tile need is made once: ``spectrum``, the Fourier transform of the
    band with room for shifts of `REACH` beyond it, and ``small``, the band as bands of rows are
    looked for in it.
    """

    band: Float32
    valid: Bool

    @functools.cached_property
    def spectrum(self) -> NDArray[np.complex64]:
        """The Fourier transform, computed once.

        Returns
        -------
        ndarray
            (ny, nx // 2 + 1) complex64.
        """
        return _spectrum(self.band)

    @functools.cached_property
    def small(self) -> Float32:
        """The band at the scale at which bands of rows are looked for, computed once.

        Returns
        -------
        ndarray
            (h // n, w // n) float32, means of n x n px, n from `BAND_SIDE_PX`.
        """
        n = max(1, min(self.band.shape) // BAND_SIDE_PX)
        h, w = (side // n for side in self.band.shape)
        return _small(self.band[: h * n, : w * n], (w, h)) if n > 1 else self.band


@dataclass(frozen=True, eq=False)
class Likeness:
    """Two tiles a and b: ``shift`` x, y of b's content against a, px; local correlations (G, G).

    ``of_a`` is on the grid of a, ``of_b`` on that of b; NaN where the other tile has no data.
    ``opposite``: correlation of a with the negative of b where that is what b looks like, else 0.
    """

    shift: tuple[float, float]
    of_a: Array
    of_b: Array
    block: tuple[float, float]  # height, width of a block, px
    opposite: float = 0.0

    def turned(self) -> Likeness:
        """Return the same seen from b.

        Returns
        -------
        Likeness
            With a and b exchanged.
        """
        return replace(self, shift=(-self.shift[0], -self.shift[1]), of_a=self.of_b, of_b=self.of_a)


def look(image: Image, valid: Bool) -> Look:
    """Band-pass an image, so that two tiles can be compared.

    Parameters
    ----------
    image
        (h, w) grey levels.
    valid
        (h, w) bool; pixels outside do not count.

    Returns
    -------
    Look
        The band between `FINE_PX` and `COARSE_PX`, in units of its spread (from the quartiles).
    """
    pixels = np.asarray(image, np.float32)
    band = np.where(valid, _smooth(pixels, valid, FINE_PX) - _smooth(pixels, valid, COARSE_PX), 0)
    inside = band[valid]
    # the quartiles: a saturated band must not set the scale
    low, high = np.quantile(inside, [0.25, 0.75]) if inside.size else (0.0, 0.0)
    spread = float(high - low) / 1.349
    if spread <= 1e-3:
        return Look(np.zeros(pixels.shape, np.float32), valid)
    return Look(np.clip(band / spread, -CLIP, CLIP).astype(np.float32), valid)


def _smooth(pixels: Float32, valid: Bool, sigma: float) -> Float32:
    smooth = functools.partial(gaussian, sigma_px=sigma, reach_px=round(3 * sigma))
    if valid.all():  # as most tiles are, and then twice as fast
        return masked_mean(pixels, None, smooth)
    inside = np.where(valid, pixels, 0).astype(np.float32)
    return masked_mean(inside, valid.astype(np.float32), smooth)


def _small(image: Image, size: tuple[int, int]) -> Float32:
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)


def compare(a: Look, b: Look) -> Likeness:
    """Measure the shift between two tiles of a cell, and how alike they are block by block.

    Parameters
    ----------
    a, b
        The tiles, of equal size.

    Returns
    -------
    Likeness
        Seen from a.
    """
    near = _cross_correlation(a, b)
    x, y = _peak(near)
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float32)
    h, w = a.band.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(b.band, matrix, (w, h), flags=flags)
    there = cv2.warpAffine(b.valid.astype(np.float32), matrix, (w, h), flags=flags) > 0.999
    ys, xs = (_centres(n) for n in (h, w))
    seen = np.asarray(moved, np.float32), a.valid & there
    of_a, of_b = _local_correlations(a.band, *seen, [(ys, xs), (ys - y, xs - x)])
    return Likeness((x, y), of_a, of_b, (h / GRID, w / GRID), _opposite(near, a, b))


def shift_between(a: Look, b: Look) -> tuple[float, float]:
    """Return the shift of one tile's content against another's, from their cross-correlation.

    Parameters
    ----------
    a, b
        The tiles.

    Returns
    -------
    tuple of float
        x, y in px, sub-pixel, such that ``a(u, v)`` shows what ``b(u + x, v + y)`` does; at most
        `REACH` of the sides.
    """
    return _peak(_cross_correlation(a, b))


def _cross_correlation(a: Look, b: Look) -> Array:
    """Return the cross-correlation by shift, y and x from minus to plus `REACH` of the sides."""
    h, w = (min(m, n) for m, n in zip(a.band.shape, b.band.shape, strict=True))
    both = [
        one.spectrum if one.band.shape == (h, w) else _spectrum(one.band[:h, :w]) for one in (a, b)
    ]
    (_, reach_y), (size_x, reach_x) = (_padded(n) for n in (h, w))
    columns = fft.ifft(np.conj(both[0]) * both[1], axis=0)
    # rows of shifts that are not asked for stay untransformed
    rows = fft.irfft(_around_zero(columns, reach_y), size_x, axis=1)
    return np.asarray(_around_zero(rows.T, reach_x).T)


def _padded(n: int) -> tuple[int, int]:
    """Return the length of the transform of a side, and the reach of shifts that it has room for.

    Beyond the side by the reach no shift within it meets what wraps around.
    """
    reach = max(1, int(REACH * n))
    return fft.next_fast_len(n + reach, real=True), reach


def _spectrum(band: Float32) -> NDArray[np.complex64]:
    return np.asarray(fft.rfft2(band, [_padded(n)[0] for n in band.shape]))


def _around_zero(values: NDArray[np.generic], reach: int) -> NDArray[np.generic]:
    """Return the rows at -`reach` .. `reach` of a periodic array."""
    return np.concatenate([values[-reach:], values[: reach + 1]])


def _peak(near: Array) -> tuple[float, float]:
    """Return the shift x, y in px at which a cross-correlation is highest."""
    i, j = np.unravel_index(int(near.argmax()), near.shape)
    reach_y, reach_x = (n // 2 for n in near.shape)
    return (
        float(j) - reach_x + parabola(near[i, :], int(j)),
        float(i) - reach_y + parabola(near[:, j], int(i)),
    )


def _opposite(near: Array, a: Look, b: Look) -> float:
    """Return how deep the deepest valley is, 0..1, where no peak is half as high as it."""
    valley, peak = -float(near.min()), float(near.max())
    if valley <= VALLEY * max(peak, 0.0):
        return 0.0
    norm = float(np.sqrt((a.band.astype(float) ** 2).sum() * (b.band.astype(float) ** 2).sum()))
    return valley / norm if norm > 0 else 0.0


def band_shifts(a: Look, b: Look, shift: tuple[float, float]) -> Array:
    """Return what bands of rows of a tile are displaced by in another, against the whole.

    A beam that jumps in mid frame displaces all rows after it. They are looked for at a scale
    of their own: a share of the side is asked for, of which `BAND_SIDE_PX` is a fine enough ruler.

    Parameters
    ----------
    a, b
        The tiles.
    shift
        x, y of the whole tile, px (`shift_between`).

    Returns
    -------
    ndarray
        (`BANDS`, 2) float64, x, y in px; NaN where a band is not found again (correlation below
        `LEAST_LIKE`).
    """
    one, other = a.small, b.small
    scale = a.band.shape[0] / one.shape[0]
    h, w = one.shape
    reach = max(4, round(BAND_REACH * min(h, w)))
    out = np.full((BANDS, 2), np.nan)
    x, y = (round(away / scale) for away in shift)
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    there = cv2.warpAffine(other, np.array([[1, 0, x], [0, 1, y]], np.float32), (w, h), flags=flags)
    padded = cv2.copyMakeBorder(there, reach, reach, 0, 0, cv2.BORDER_CONSTANT, value=0)
    tall = h // 4
    for k in range(BANDS):
        top = round(k * (h - tall) / (BANDS - 1))
        template = one[top : top + tall, reach : w - reach]
        window = padded[top : top + tall + 2 * reach]
        if template.std() < 0.1 or window.std() < 0.1:
            continue
        field = cv2.matchTemplate(window, np.ascontiguousarray(template), cv2.TM_CCOEFF_NORMED)
        i, j = np.unravel_index(int(field.argmax()), field.shape)
        if field[i, j] >= LEAST_LIKE:
            out[k, 0] = scale * (j - reach + parabola(field[i, :], int(j)))
            out[k, 1] = scale * (i - reach + parabola(field[:, j], int(i)))
    return out


def displaced(shifts: Mapping[int, Array]) -> tuple[float, float]:
    """Return how far the rows of a tile are displaced among themselves, and from where.

    It counts what most of the neighbors, and two at least, say alike: a neighbor that is displaced
    itself stands alone. Where the layers of one side show the rows in place, charge or tissue
    changed from the other side on, which all layers there say alike, and no rows moved.

    Parameters
    ----------
    shifts
        Distance in layers -> (`BANDS`, 2) `band_shifts` against that neighbor.

    Returns
    -------
    far : float
        px.
    where : float
        0..1 of the height.
    """
    if len(shifts) < 2:
        return 0.0, 0.0
    stack = np.stack(list(shifts.values()))  # (neighbors, bands, 2)
    before = np.array(list(shifts)) < 0
    pairs = [
        (_agreed(stack[:, j] - stack[:, k], before), k, j)
        for k, j in itertools.combinations(range(BANDS), 2)
    ]
    most = max(far for far, _, _ in pairs)
    if most <= ALIKE_PX / 3:
        return 0.0, 0.0
    # of bands alike far apart the nearest two tell where the rows part
    parted = [pair for pair in pairs if pair[0] >= most - ALIKE_PX / 3]
    far, k, j = min(parted, key=lambda pair: (pair[2] - pair[1], -pair[0]))
    return far, (k + j) / 2 / (BANDS - 1) * 0.75 + 0.125


def _agreed(away: Array, before: Bool) -> float:
    """Return the length in px that most of some (n, 2) vectors share, and 0 where they do not.

    Also 0 where those of one side (`before` or not) are all nearer to none than to what is shared.
    """
    known = np.isfinite(away).all(axis=1)
    away, before = away[known], before[known]
    if len(away) < 2:
        return 0.0
    middle = np.median(away, axis=0)
    apart = np.hypot(*(away - middle).T)
    in_place = np.hypot(*away.T) < apart
    denied = any(in_place[side].all() for side in (before, ~before) if side.any())
    alike = int((apart <= ALIKE_PX).sum())
    return float(np.hypot(*middle)) if alike > len(away) / 2 and not denied else 0.0


def _local_correlations(
    a: Float32, b: Float32, valid: Bool, grids: Sequence[tuple[Array, Array]]
) -> list[Array]:
    """Return the correlations of two pictures in windows of 1/8 of the side.

    Each of `grids` has the rows and columns at whose crossings windows are centred. NaN where the
    centre is outside or less than half of the window is valid; 0 where a picture is flat.
    """
    if not valid.all():
        a, b = np.where(valid, a, 0), np.where(valid, b, 0)
    fields = [valid.astype(np.float32), a, b, a * a, b * b, a * b]
    # all rows of windows in one product, which goes through the pictures once
    weights = np.concatenate([_window_means(a.shape[0], ys) for ys, _ in grids])
    bands = [np.split(weights @ each, len(grids)) for each in fields]
    out = []
    for k, (ys, xs) in enumerate(grids):
        across = _window_means(a.shape[1], xs).T
        out.append(_correlation(*((each[k] @ across).astype(float) for each in bands)))
        outside = ~_inside(a.shape[0], ys)[:, None] | ~_inside(a.shape[1], xs)
        out[k][outside] = np.nan
    return out


def _window_means(n: int, centres: Array) -> Float32:
    """Return weights (len(centres), n) that take means in windows of 1/8 of a side of n px.

    Beyond the ends the picture goes on mirrored about its outermost pixels.
    """
    size = max(9, n // GRID)
    at = np.clip(np.rint(centres).astype(int), 0, n - 1)[:, None] - size // 2 + np.arange(size)
    at = np.abs(at)
    at = np.clip(np.where(at > n - 1, 2 * (n - 1) - at, at), 0, n - 1)
    out = np.zeros((len(centres), n), np.float32)
    np.add.at(out, (np.arange(len(centres))[:, None], at), np.float32(1 / size))
    return out


def _inside(n: int, centres: Array) -> Bool:
    at = np.rint(centres)
    return np.asarray((at >= 0) & (at < n))


def _correlation(
    share: Array, mean_a: Array, mean_b: Array, aa: Array, bb: Array, ab: Array
) -> Array:
    """Return the correlations that means of windows give; those of values are over all pixels."""
    there = np.maximum(share, 1e-6)
    mean_a, mean_b = mean_a / there, mean_b / there
    var_a, var_b = aa / there - mean_a**2, bb / there - mean_b**2
    product = ab / there - mean_a * mean_b
    # unit sd is tissue: a hundredth of its variance is flat
    flat = np.minimum(var_a, var_b) < 0.01
    found = np.where(flat, 0, product / np.sqrt(np.maximum(var_a * var_b, 1e-12)))
    return np.where(share < 0.5, np.nan, found)


def _centres(n: int) -> Array:
    return (np.arange(GRID) + 0.5) * n / GRID - 0.5


@dataclass(frozen=True)
class Judged:
    """What the neighbors say of a tile.

    ``like``: median correlation with the likest neighbor, 0 when there is none; ``unlike``: share
    of the blocks that resemble no neighbor although the neighbors resemble each other, ``blocks``
    how many could be judged; ``rows``: first and last block row of the unlike ones, 0..1 of the
    height.
    """

    like: float
    unlike: float
    blocks: int
    rows: tuple[float, float]


def judge(own: Mapping[int, Likeness], around: Mapping[tuple[int, int], Likeness]) -> Judged:
    """Judge a tile by its neighbors.

    Parameters
    ----------
    own
        The tile (a) compared with the neighbor (b) at each distance in layers.
    around
        Neighbors compared with each other, keys (distance of a, distance of b) in layers.

    Returns
    -------
    Judged
        All 0 for a tile without neighbors.
    """
    if not own:
        return Judged(0.0, 0.0, 0, (0.0, 0.0))
    # only pairs that have the tile between them bound its likeness; beside it, where the stack
    # ends, a thick slice may part it from the others, so there it takes more
    across = {pair: one for pair, one in around.items() if pair[0] < 0 < pair[1]}
    share = LESS if across else LESS_AT_ENDS
    with np.errstate(invalid="ignore"):
        found = _most([one.of_a for one in own.values()])
        expected = _most([_seen(own, pair, one) for pair, one in (across or around).items()])
    known = np.isfinite(found) & np.isfinite(expected) & (expected >= LEAST_LIKE)
    bad = known & (found < share * expected)
    at = np.flatnonzero(bad.any(axis=1))
    rows = (at[0] / GRID, (at[-1] + 1) / GRID) if len(at) else (0.0, 0.0)
    blocks = int(known.sum())
    finite = found[np.isfinite(found)]
    like = float(np.median(finite)) if finite.size else 0.0
    return Judged(like, float(bad.sum()) / max(blocks, 1), blocks, rows)


def _most(fields: list[Array]) -> Array:
    """Return the largest of some (G, G) fields; NaN where none has a value."""
    if not fields:
        return np.full((GRID, GRID), np.nan)
    stack = np.stack(fields)
    filled = np.where(np.isnan(stack), -np.inf, stack).max(axis=0)
    return np.where(np.isneginf(filled), np.nan, filled)


def _seen(own: Mapping[int, Likeness], pair: tuple[int, int], one: Likeness) -> Array:
    """Bring the likeness of two neighbors to the tile's own grid, to whole blocks."""
    if pair[0] not in own:
        return one.of_a
    x, y = own[pair[0]].shift
    height, width = own[pair[0]].block
    i = np.arange(GRID) + round(y / height)
    j = np.arange(GRID) + round(x / width)
    inside = ((i >= 0) & (i < GRID))[:, None] & ((j >= 0) & (j < GRID))
    at = np.ix_(np.clip(i, 0, GRID - 1), np.clip(j, 0, GRID - 1))
    return np.where(inside, one.of_a[at], np.nan)
