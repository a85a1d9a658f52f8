"""Every pixel of an overlap, compared under a model that is nearly right.

q is drawn into p by the model, and each block of pixels says which further step would lay the two
on each other (Lucas and Kanade 1981; both pictures' gradients, Baker and Matthews 2004,
doi:10.1023/B:VISI.0000011205.11775.fd). The tensor of a block is the product of p's and q's
gradients: their noise is independent, so that, unlike that of one picture, it holds structure only.

How far to believe a block has two sides: noise, which its tensor tells (Cramer-Rao), and the
specimen's own motion from layer to layer, which is the same for a block of many membranes as for
one of few. Its variance comes from the scatter of the blocks themselves. Where it is small, as in
one layer, blocks count by their structure; where it is large, as over several, alike.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import cv2
import numpy as np

from scripts.lib import geometry
from scripts.lib.arrays import Array, Bool, Float32
from scripts.lib.numerics.correlation import Field

# of fourth order: at periods of 6 px the plain difference is 16 % too small, this one 3 %
_DIFFERENCE = np.array([1, -8, 0, 8, -1], np.float32) / np.float32(12)
_HALFWAY = np.array([3, -25, 150, 150, -25, 3], np.float32) / np.float32(256)
_ONE = np.ones(1, np.float32)
_EDGE_PX = 4  # that interpolation and the difference see beyond a pixel
_HALO_PX = 2  # the difference alone
_GROUP = 4  # blocks along a side that are compared at once: what a processor's cache holds
_LEAST_PX = 8  # of a side of what is compared
_MEDIAN_OF_SQUARE = 0.455  # of a standard normal variable
_FAR_SQUARED = 28.0  # of a block that counts half, in variances: 5 sd
_ROUNDS = 6

Slices = tuple[slice, slice]


class Pieces(NamedTuple):
    """Blocks along an axis, side by side."""

    number: int
    length: int  # px
    first: int  # px

    @property
    def extent(self) -> int:
        """Return the length of all.

        Returns
        -------
        int
            Px.
        """
        return self.number * self.length

    @property
    def middles(self) -> Array:
        """Return the middle of each.

        Returns
        -------
        ndarray
            (number,) px.
        """
        steps = self.length * np.arange(self.number)
        return np.asarray(self.first + steps + (self.length - 1) / 2, float)

    def slice(self, more: int) -> slice:
        """Return all of them with `more` px on either side.

        Parameters
        ----------
        more
            Px.

        Returns
        -------
        slice
            Px.
        """
        return slice(self.first - more, self.first + self.extent + more)


@dataclass(frozen=True, eq=False)
class Blocks:
    """What n blocks say; px of p's canvas."""

    places: Array  # (n, 2) middles
    tensor: Array  # (n, 2, 2) sum of products of the gradients
    push: Array  # (n, 2) sum of difference times gradient: tensor @ step = push
    rho: Array  # (n,) correlation as they lie
    difference: Array  # (n,) sum of squares of the difference
    pixels: Array  # (n,) valid px


def window(p: Field, q: Field, affine: Array) -> Slices | None:
    """Return rows, columns of p that q covers, as far as interpolation looks, or None.

    Parameters
    ----------
    p, q
        The fields.
    affine
        (2, 3), p's px to q's.

    Returns
    -------
    tuple of slice or None
        Rows, columns; None when less than 8 px are shared.
    """
    h, w = q.shape
    reach = _EDGE_PX + 1
    seen = geometry.corners(w - 1 - 2 * reach, h - 1 - 2 * reach) + reach
    back = geometry.apply(geometry.invert(affine), seen)
    # the box inside the turned one: of four corners the second and third values bound it
    (x, y) = np.sort(back, axis=0).T
    left, top = (max(math.ceil(v[1]), _EDGE_PX) for v in (x, y))
    right = min(math.floor(x[2]) + 1, p.shape[1] - _EDGE_PX)
    bottom = min(math.floor(y[2]) + 1, p.shape[0] - _EDGE_PX)
    if min(right - left, bottom - top) < _LEAST_PX:
        return None
    return slice(top, bottom), slice(left, right)


def parts(
    window: Slices, side: int, most_px: float, before: Blocks | None = None
) -> list[tuple[Pieces, Pieces]]:
    """Cut the `window` into blocks of about `side` px, in groups; choose groups if it is too large.

    The groups are spread evenly: of so many that lie beside each other one is taken, that in which
    the blocks `before` tell most in the direction that they know less well.

    Parameters
    ----------
    window
        Rows, columns.
    side
        Of a block, px.
    most_px
        Area to be compared, px.
    before
        Blocks of a coarser level, places in px of this one; None: nothing is known.

    Returns
    -------
    list of tuple
        Rows, columns of blocks of each group.
    """
    rows, columns = (_groups(_pieces(one, side)) for one in window)
    times = math.prod(one.stop - one.start for one in window) / most_px
    high = max(round(math.sqrt(times)), 1)
    wide = max(math.ceil(times / high), 1)
    told = _told(rows, columns, before)
    out = []
    for top in range(0, len(rows), high):
        for left in range(0, len(columns), wide):
            near = told[top : top + high, left : left + wide]
            y, x = np.unravel_index(int(near.argmax()), near.shape)
            out.append((rows[top + int(y)], columns[left + int(x)]))
    return out


def _told(rows: list[Pieces], columns: list[Pieces], before: Blocks | None) -> Array:
    """Return what the blocks `before` say in each group: the sum of their smaller eigenvalues."""
    total = np.zeros((len(rows), len(columns)))
    if before is None:
        return total
    known = np.maximum(np.linalg.eigvalsh(before.tensor)[:, 0], 0)
    y, x = (
        np.searchsorted([one.first for one in pieces[1:]], before.places[:, axis], side="right")
        for pieces, axis in ((rows, 1), (columns, 0))
    )
    np.add.at(total, (y, x), known)
    return total


def compare(p: Field, q: Field, affine: Array, groups: Sequence[tuple[Pieces, Pieces]]) -> Blocks:
    """Draw q into parts of p and sum up their blocks.

    Parameters
    ----------
    p, q
        The fields.
    affine
        (2, 3), p's px to q's.
    groups
        Of `parts`.

    Returns
    -------
    Blocks
        Group by group, row by row.
    """
    found = [_compared(p, q, affine, rows, columns) for rows, columns in groups]
    return Blocks(
        *(np.concatenate([getattr(one, f.name) for one in found]) for f in fields(Blocks))
    )


def _compared(p: Field, q: Field, affine: Array, rows: Pieces, columns: Pieces) -> Blocks:
    size = (columns.extent + 2 * _HALO_PX, rows.extent + 2 * _HALO_PX)  # w, h
    origin = np.array([columns.first, rows.first], float) - _HALO_PX
    moved = geometry.compose(affine, geometry.translation(*origin))
    here = rows.slice(_HALO_PX), columns.slice(_HALO_PX)
    one, other = p.values[here], _interpolated(q.values, moved, size)
    inner = (slice(_HALO_PX, -_HALO_PX),) * 2
    px, py, qx, qy = (g[inner] for g in (*_gradients(one), *_gradients(other)))
    one, other = one[inner], other[inner]
    valid = _valid(p, q, moved, here, size)
    if valid is not None:
        valid = valid[inner]
        one, other = one * valid, other * valid
        px, py, qx, qy = (g * valid for g in (px, py, qx, qy))
    left, x, y = one - other, px + qx, py + qy
    shape = rows.number, rows.length, columns.number, columns.length

    def summed(a: Float32, b: Float32) -> Array:  # numpydoc ignore=GL08
        cut = [m.reshape(shape) for m in (a, b)]
        return np.asarray(np.einsum("aibj,aibj->ab", *cut).ravel(), float)

    xy = (summed(px, qy) + summed(py, qx)) / 2
    tensor = np.stack([summed(px, qx), xy, xy, summed(py, qy)], axis=1).reshape(-1, 2, 2)
    power = summed(one, one), summed(other, other), summed(one, other)
    middle = np.stack(np.meshgrid(columns.middles, rows.middles), axis=-1)
    pixels = np.full(len(tensor), float(rows.length * columns.length))
    if valid is not None:
        pixels = summed(valid, valid)
    return Blocks(
        middle.reshape(-1, 2),
        tensor,
        np.stack([summed(left, x), summed(left, y)], axis=1) / 2,
        power[2] / np.sqrt(np.maximum(power[0] * power[1], 1e-12)),
        power[0] + power[1] - 2 * power[2],
        pixels,
    )


def _pieces(window: slice, side: int) -> Pieces:
    """Return equal pieces that fill the window but a few px."""
    extent = window.stop - window.start
    number = max(1, round(extent / side))
    length = extent // number
    return Pieces(number, length, window.start + (extent - number * length) // 2)


def _groups(pieces: Pieces) -> list[Pieces]:
    """Return the pieces in groups of at most `_GROUP`, none much smaller than the others."""
    count = -(-pieces.number // _GROUP)
    ends = np.linspace(0, pieces.number, count + 1).round().astype(int).tolist()
    return [
        Pieces(last - first, pieces.length, pieces.first + first * pieces.length)
        for first, last in itertools.pairwise(ends)
    ]


def _interpolated(image: Float32, affine: Array, size: tuple[int, int]) -> Float32:
    """Draw part of an image by way of one of twice its size.

    OpenCV's cubic kernel alone shifts what it draws by up to 0.04 px, depending on the place
    between pixels; the linear one, at half the pixel, by 0.004.
    """
    image, affine = _seen(image, affine, size)
    right = cv2.sepFilter2D(image, -1, _HALFWAY, _ONE, anchor=(2, 0))
    low = cv2.sepFilter2D(image, -1, _ONE, _HALFWAY, anchor=(0, 2))
    both = cv2.sepFilter2D(right, -1, _ONE, _HALFWAY, anchor=(0, 2))
    h, w = image.shape
    rows = [cv2.merge(pair).reshape(h, 2 * w) for pair in ((image, right), (low, both))]
    fine = np.stack(rows, axis=1).reshape(2 * h, 2 * w)
    return _drawn(np.asarray(fine, np.float32), 2 * affine, size, cv2.INTER_LINEAR)


def _seen(image: Float32, affine: Array, size: tuple[int, int]) -> tuple[Float32, Array]:
    """Return the part of an image that drawing it looks at, and the affine into that part."""
    corners = geometry.apply(affine, geometry.corners(*size))
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int) - _EDGE_PX, 0)
    high = np.ceil(corners.max(axis=0)).astype(int) + _EDGE_PX + 1
    part = image[low[1] : max(high[1], low[1] + 1), low[0] : max(high[0], low[0] + 1)]
    return part, geometry.compose(geometry.translation(*-low), affine)


def _drawn(image: Float32, affine: Array, size: tuple[int, int], how: int) -> Float32:
    drawn = cv2.warpAffine(image, affine, size, flags=how | cv2.WARP_INVERSE_MAP)
    return np.asarray(drawn, np.float32)


def _valid(
    p: Field, q: Field, affine: Array, here: Slices, size: tuple[int, int]
) -> Float32 | None:
    """1 where p and q have data as far as interpolation looks, else 0; None: everywhere."""
    if p.valid is None and q.valid is None:
        return None
    part, inside = _seen(q.weights, affine, size)
    seen = _drawn(_shrunk(part), inside, size, cv2.INTER_NEAREST)
    rows, columns = here
    around = p.weights[
        max(rows.start - _EDGE_PX, 0) : rows.stop + _EDGE_PX,
        max(columns.start - _EDGE_PX, 0) : columns.stop + _EDGE_PX,
    ]
    top, left = min(rows.start, _EDGE_PX), min(columns.start, _EDGE_PX)
    own = _shrunk(around)[top : top + size[1], left : left + size[0]]
    return np.asarray(seen * own, np.float32)


def _shrunk(weights: Float32) -> Float32:
    """Return weights that are 0 within reach of invalid pixels, too."""
    kernel = np.ones((2 * _EDGE_PX + 1,) * 2, np.uint8)
    return np.asarray(cv2.erode(weights, kernel), np.float32)


def _gradients(image: Float32) -> tuple[Float32, Float32]:
    x = cv2.sepFilter2D(image, -1, _DIFFERENCE, _ONE)
    y = cv2.sepFilter2D(image, -1, _ONE, _DIFFERENCE)
    return np.asarray(x, np.float32), np.asarray(y, np.float32)


# ---------------------------------------------------------------------------------------------
# what the blocks say together
# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Steps:
    """The step of each block, and that of their model; px of p's canvas."""

    common: Array  # (2, 3) affine step: place to step
    own: Array  # (n, 2) step of each block, drawn to the common one as far as noise explains it
    weights: Array  # (n,) 1 / variance, px^-2
    error: Array  # (n,) distance of the block's step from the common one
    motion_px: float  # sd of what noise does not explain


def agree(blocks: Blocks, used: Bool, noise_area: float, model: str) -> Steps:
    """Weigh the `used` blocks and fit their common step.

    Parameters
    ----------
    blocks
        What they say.
    used
        (n,) which take part in the fit.
    noise_area
        Pixels that count as one sample of noise.
    model
        TRANSLATION, RIGID or AFFINE.

    Returns
    -------
    Steps
        For every block, used or not.
    """
    values, axes = np.linalg.eigh(blocks.tensor)
    floor = 1e-3 * max(float(np.median(values[used, 1])), 1e-12)
    spread = blocks.difference[used].sum() / max(float(blocks.pixels[used].sum()), 1.0)
    noise = noise_area * spread / np.maximum(values, floor)  # variance along each axis
    along = np.einsum("nij,ni->nj", axes, blocks.push) / np.maximum(values, floor)
    motion, common, own, trust = 0.0, np.zeros((2, 3)), along, used.astype(float)
    fitting = _Fitting(blocks.places, axes, model)
    for _ in range(_ROUNDS):
        common, expected = fitting.solve(along, trust[:, None] / (noise + motion))
        own = along - expected
        # the better known axis tells of the specimen's motion, with few outliers that the median
        # passes over
        excess = np.median(own[used, 1] ** 2) / _MEDIAN_OF_SQUARE - np.median(noise[used, 1])
        motion = max(float(excess), 1e-8)
        trust = used / (1 + (own**2 / (noise + motion)).sum(axis=1) / _FAR_SQUARED)
    kept = own * motion / (noise + motion) + expected
    return Steps(
        common,
        np.einsum("nij,nj->ni", axes, kept),
        2 * trust / (noise + motion).sum(axis=1),
        np.sqrt(((own * motion / (noise + motion)) ** 2).sum(axis=1)),
        float(np.sqrt(motion)),
    )


def fit(places: Array, steps: Array, weights: Array, model: str) -> Array:
    """Fit a model (2, 3) to steps (n, 2) at places (n, 2) by weighted least squares.

    Parameters
    ----------
    places
        (n, 2) px.
    steps
        (n, 2) px.
    weights
        (n,).
    model
        TRANSLATION, RIGID or AFFINE.

    Returns
    -------
    ndarray
        (2, 3) affine, place to step.
    """
    axes = np.broadcast_to(np.eye(2), (len(places), 2, 2))
    return _Fitting(places, axes, model).solve(steps, np.repeat(weights[:, None], 2, axis=1))[0]


class _Fitting:
    """Least squares of a step field to steps known along the axes (n, 2, 2) of each block."""

    def __init__(self, places: Array, axes: Array, model: str) -> None:
        self.middle = places.mean(axis=0)
        self.extent = max(float(np.abs(places - self.middle).max()), 1.0)
        basis = _basis((places - self.middle) / self.extent, model)  # (n, xy, k)
        self.design = (axes.transpose(0, 2, 1) @ basis).reshape(-1, basis.shape[2])
        self.model = model

    def solve(self, along: Array, weights: Array) -> tuple[Array, Array]:
        """Return the affine step (2, 3), and what it is along the axes (n, 2)."""
        weighted = self.design * weights.reshape(-1, 1)
        right = weighted.T @ along.ravel()
        found = np.linalg.lstsq(weighted.T @ self.design, right, rcond=1e-9)[0]
        unit = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        at = _basis((unit - self.middle) / self.extent, self.model) @ found
        step = np.column_stack([at[1] - at[0], at[2] - at[0], at[0]])
        return step, (self.design @ found).reshape(-1, 2)


def _basis(places: Array, model: str) -> Array:
    """Return the steps (n, 2, k) of the k parameters of a model at (n, 2) places."""
    x, y = places.T
    one, zero = np.ones(len(places)), np.zeros(len(places))
    terms = [(one, zero), (zero, one)]
    if model == "RIGID":
        terms += [(-y, x)]
    elif model == "AFFINE":
        terms += [(x, zero), (y, zero), (zero, x), (zero, y)]
    return np.stack([np.stack(term, axis=1) for term in terms], axis=2)
