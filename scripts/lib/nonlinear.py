"""Nonlinear: maps of lenses and of warped tiles, with the data strings of mpicbg and render.

Published mathematics: thin plate splines (Bookstein 1989, doi:10.1109/34.24792), moving least
squares (Schaefer et al. 2006, doi:10.1145/1179352.1141920), the lens correction of Kaynig et al.
2010 (doi:10.1016/j.jsb.2010.04.001). p = (x, y); all of them map raw pixels to where they belong.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from scripts.lib.arrays import Array
from scripts.lib.plane import Smooth

_AT_ONCE = 1 << 20  # numbers of an intermediate array: 8 MB
MAX_NUMBERS = 1 << 17  # of a data string; a spline of 128 x 128 landmarks has 65,536
_LENS_UNIT = 100.0  # the last feature of a lens correction


class _ByParts(Smooth):
    """A map whose intermediate arrays have a row of `_width` numbers for each point."""

    @property
    def _width(self) -> int:
        """Return the numbers of a point."""
        raise NotImplementedError

    def _moved(self, xy: Array) -> Array:
        """Map a few points."""
        raise NotImplementedError

    def apply(self, xy: Array) -> Array:
        """Map points forward, from the tile to the world.

        Parameters
        ----------
        xy
            (n, 2) points x, y, px.

        Returns
        -------
        Array
            (n, 2).
        """
        points = np.asarray(xy, float)
        count = max(1, _AT_ONCE // max(1, self._width))
        parts = [points[i : i + count] for i in range(0, len(points), count)]
        return np.concatenate([self._moved(part) for part in parts]) if parts else points


@dataclass(frozen=True, eq=False)
class Polynomial(_ByParts):
    """Dot products with 1, x, y, x^2, xy, y^2, ... by degree."""

    weights: Array  # (2, n)

    @property
    def _width(self) -> int:
        """Return the numbers of a point."""
        return int(self.weights.shape[1])

    def _moved(self, xy: Array) -> Array:
        """Map a few points."""
        return np.asarray(_powers(xy, self._width) @ self.weights.T)


@dataclass(frozen=True, eq=False)
class Lens(_ByParts):
    """Kaynig's lens correction: normalised powers and a constant, without a term for identity."""

    weights: Array  # (2, n)
    mean: Array  # (n - 1,)
    deviation: Array  # (n - 1,)

    @property
    def _width(self) -> int:
        """Return the numbers of a point."""
        return int(self.weights.shape[1])

    def _moved(self, xy: Array) -> Array:
        """Map a few points."""
        powers = (_powers(xy, self._width)[:, 1:] - self.mean) / self.deviation
        return np.asarray(powers @ self.weights[:, :-1].T + _LENS_UNIT * self.weights[:, -1])


def _powers(xy: Array, count: int) -> Array:
    """Return (n, count) of 1, x, y, x^2, xy, y^2, ..."""
    x, y = np.asarray(xy, float).T
    out, degree = np.empty((len(x), count)), 0
    out[:, 0] = 1.0
    first = 1
    while first < count:
        degree += 1
        for j in range(min(degree + 1, count - first)):
            out[:, first + j] = x ** (degree - j) * y**j
        first += degree + 1
    return out


@dataclass(frozen=True, eq=False)
class ThinPlateSpline(_ByParts):
    """p + sum of weights times r^2 ln r, r the distance to a landmark, and an affine on top."""

    landmarks: Array  # (n, 2) x, y
    weights: Array  # (n, 2)
    affine: Array | None = None  # (2, 3), added to p; None: nothing

    @property
    def _width(self) -> int:
        """Return the numbers of a point."""
        return len(self.landmarks)

    def _moved(self, xy: Array) -> Array:
        """Map a few points."""
        squared = np.zeros((len(xy), self._width))
        for axis in (0, 1):
            squared += np.subtract.outer(xy[:, axis], self.landmarks[:, axis]) ** 2
        # r^2 ln r, 0 at the landmark itself
        kernel = squared * (0.5 * np.log(np.maximum(squared, 1e-300)))
        out = xy + kernel @ self.weights
        if self.affine is not None:
            out += xy @ self.affine[:, :2].T + self.affine[:, 2]
        return np.asarray(out)


@dataclass(frozen=True, eq=False)
class MovingLeastSquares(_ByParts):
    """At each place the model that fits the pairs of points best, near ones counting more."""

    source: Array  # (n, 2)
    target: Array  # (n, 2)
    weights: Array  # (n,)
    alpha: float  # weights fall with distance to the power 2 alpha
    fit: Callable[[Array, Array, Array, Array], Array]

    @property
    def _width(self) -> int:
        """Return the numbers of a point."""
        return 2 * len(self.source)

    def _moved(self, xy: Array) -> Array:
        """Map a few points."""
        offsets = self.source[None] - xy[:, None]
        squared = (offsets**2).sum(axis=2)
        near = self.weights / np.maximum(squared, 1e-12) ** self.alpha
        near /= near.sum(axis=1, keepdims=True)
        p, q = near @ self.source, near @ self.target
        moved = self.fit(
            self.source[None] - p[:, None], self.target[None] - q[:, None], near, xy - p
        )
        at, landmark = np.nonzero(squared == 0)
        out = moved + q
        out[at] = self.target[landmark]
        return np.asarray(out)


def _fit_translation(p: Array, q: Array, near: Array, xy: Array) -> Array:
    del p, q, near
    return xy


def _fit_affine(p: Array, q: Array, near: Array, xy: Array) -> Array:
    moments = np.einsum("nm,nmi,nmj->nij", near, p, p)
    cross = np.einsum("nm,nmi,nmj->nij", near, q, p)
    return np.asarray((cross @ np.linalg.solve(moments, xy[..., None]))[..., 0])


def _fit_similarity(p: Array, q: Array, near: Array, xy: Array) -> Array:
    c, s = _turn(p, q, near)
    size = np.einsum("nm,nmi->n", near, p**2)
    return _turned(c / size, s / size, xy)


def _fit_rigid(p: Array, q: Array, near: Array, xy: Array) -> Array:
    c, s = _turn(p, q, near)
    length = np.hypot(c, s)
    return _turned(c / length, s / length, xy)


def _turn(p: Array, q: Array, near: Array) -> tuple[Array, Array]:
    c = np.einsum("nm,nmi->n", near, p * q)
    s = (near * (p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0])).sum(axis=1)
    return np.asarray(c), np.asarray(s)


def _turned(c: Array, s: Array, xy: Array) -> Array:
    x, y = xy.T
    return np.column_stack([c * x - s * y, s * x + c * y])


_FITS = {
    "translation": _fit_translation,
    "rigid": _fit_rigid,
    "similarity": _fit_similarity,
    "affine": _fit_affine,
}


@dataclass(frozen=True, eq=False)
class WarpField(Smooth):
    """Affines on a grid of cells, interpolated between the cells' centres, applied to p itself."""

    origin: Array  # (2,)
    cell: Array  # (2,) width, height
    affines: Array  # (rows, columns, 2, 3)
    nearest: bool = False

    def apply(self, xy: Array) -> Array:
        """Map points forward, from the tile to the world.

        Parameters
        ----------
        xy
            (n, 2) points x, y, px.

        Returns
        -------
        Array
            (n, 2).
        """
        points = np.asarray(xy, float)
        rows, columns = self.affines.shape[:2]
        place = (points - self.origin) / self.cell - 0.5
        place = np.clip(np.rint(place) if self.nearest else place, 0, [columns - 1, rows - 1])
        low = np.minimum(place.astype(int), np.maximum([columns - 2, rows - 2], 0))
        (x, y), (fx, fy) = low.T, (place - low).T[..., None, None]
        right, below = np.minimum(x + 1, columns - 1), np.minimum(y + 1, rows - 1)
        upper = self.affines[y, x] * (1 - fx) + self.affines[y, right] * fx
        lower = self.affines[below, x] * (1 - fx) + self.affines[below, right] * fx
        matrix = upper * (1 - fy) + lower * fy
        return np.asarray(np.einsum("nij,nj->ni", matrix[..., :2], points) + matrix[..., 2])


# ---------------------------------------------------------------------------------------------
# reading data strings
# ---------------------------------------------------------------------------------------------


def numbers(fields: Sequence[str], *, single: bool = False) -> Array:
    """Read finite numbers.

    Parameters
    ----------
    fields
        Texts of numbers.
    single
        At the precision of 32 bits, as some of the Java classes do.

    Returns
    -------
    Array
        (n,).

    Raises
    ------
    ValueError
        When one is no number, or not finite.
    """
    try:
        out = np.array([float(each) for each in fields], float)
    except ValueError as error:
        raise ValueError(f"{' '.join(fields)[:80]!r} holds something that is no number") from error
    if single:
        with np.errstate(over="ignore"):
            out = out.astype(np.float32).astype(float)
    if not np.isfinite(out).all():
        raise ValueError(f"{' '.join(fields)[:80]!r} holds a number that is not finite")
    return out


def _whole(text: str, what: str) -> int:
    if not text.isdecimal() or not 0 < int(text[:10]) <= MAX_NUMBERS:
        raise ValueError(f"{what} must be a number of 1 to {MAX_NUMBERS}, found {text[:80]!r}")
    return int(text[:10])


def _counted(fields: Sequence[str], count: int) -> None:
    if len(fields) != count:
        raise ValueError(f"expected {count} fields, found {len(fields)}")


def _polynomial(fields: Sequence[str]) -> Smooth:
    if not fields or len(fields) % 2:
        raise ValueError(f"expected as many numbers for y as for x, found {len(fields)} in all")
    return Polynomial(numbers(fields).reshape(2, -1))


def _lens(fields: Sequence[str]) -> Smooth:
    if len(fields) < 2:
        raise ValueError(f"expected dimension, length and more, found {len(fields)} fields")
    _whole(fields[0], "its dimension")
    length = _whole(fields[1], "its length")
    _counted(fields, 4 + 4 * length)
    values = numbers(fields[2:-2])
    weights, mean, deviation = np.split(values, [2 * length, 3 * length])
    if not deviation[:-1].all():
        raise ValueError("one of its deviations is 0")
    return Lens(weights.reshape(-1, 2).T, mean[:-1], deviation[:-1])


def _thin_plate(fields: Sequence[str]) -> Smooth:
    _counted(fields, 5)
    if fields[1] != "2":
        raise ValueError(f"a tile has 2 dimensions, found {fields[1][:80]!r}")
    count = _whole(fields[2], "its count of landmarks")
    affine = None
    if fields[3] != "null":
        values = unpacked(fields[3], 6)
        affine = np.column_stack([values[:4].reshape(2, 2), values[4:]])
    values = unpacked(fields[4], 4 * count)
    landmarks = values[: 2 * count].reshape(count, 2)
    return ThinPlateSpline(landmarks, values[2 * count :].reshape(2, count).T, affine)


def thin_plate_data(spline: ThinPlateSpline) -> str:
    """Return the data string of a thin plate spline.

    Parameters
    ----------
    spline
        Landmarks, weights and affine.

    Returns
    -------
    str
        Of mpicbg's ThinPlateSplineTransform, exact.
    """
    affine = "null"
    if spline.affine is not None:
        matrix, shift = spline.affine[:, :2], spline.affine[:, 2]
        affine = packed(np.concatenate([matrix.ravel(), shift]))
    points = packed(np.concatenate([spline.landmarks.ravel(), spline.weights.T.ravel()]))
    return f"ThinPlateSplineR2LogR 2 {len(spline.landmarks)} {affine} {points}"


def packed(values: Array) -> str:
    """Return numbers as mpicbg packs them.

    Parameters
    ----------
    values
        (n,).

    Returns
    -------
    str
        Big-endian doubles, deflated where that is shorter (else after an ``@``), in base64.
    """
    data = np.asarray(values, ">f8").tobytes()
    short = zlib.compress(data)
    if len(short) < len(data):
        return base64.b64encode(short).decode()
    return "@" + base64.b64encode(data).decode()


def unpacked(text: str, count: int) -> Array:
    """Return the numbers that `packed` made a text of.

    Parameters
    ----------
    text
        Base64.
    count
        How many there are.

    Returns
    -------
    Array
        (count,).

    Raises
    ------
    ValueError
        When it holds others, or fewer or more.
    """
    try:
        data = base64.b64decode(text.removeprefix("@"), validate=True)
        if not text.startswith("@"):
            data = zlib.decompressobj().decompress(data, 8 * count + 1)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"{text[:40]!r} are no packed numbers: {error}") from error
    if len(data) != 8 * count:
        raise ValueError(f"expected {count} packed numbers, found {len(data) / 8:g}")
    out = np.frombuffer(data, ">f8").astype(float)
    if not np.isfinite(out).all():
        raise ValueError("a packed number is not finite")
    return out


def _moving(fields: Sequence[str]) -> Smooth:
    if len(fields) < 3 or fields[0] not in _FITS or fields[1] != "2":
        known = ", ".join(_FITS)
        raise ValueError(
            f"expected a model ({known}), 2 and alpha, found {' '.join(fields)[:80]!r}"
        )
    if len(fields) < 8 or len(fields) % 5 != 3:
        raise ValueError(f"expected 5 numbers for each point, found {len(fields) - 3}")
    rows = numbers(fields[3:], single=True).reshape(-1, 5)
    (alpha,) = numbers(fields[2:3], single=True)
    if not (rows[:, 4] > 0).all() or not 0 < alpha <= 8:
        raise ValueError("weights must be above 0, and alpha above 0 and at most 8")
    return MovingLeastSquares(rows[:, :2], rows[:, 2:4], rows[:, 4], alpha, _FITS[fields[0]])


def _warp_field(fields: Sequence[str]) -> Smooth:
    if len(fields) < 9:
        raise ValueError(f"expected at least 9 fields, found {len(fields)}")
    place = numbers(fields[:4])
    rows, columns = _whole(fields[4], "its rows"), _whole(fields[5], "its columns")
    count = 6 * rows * columns
    if count > MAX_NUMBERS or not (place[2:] > 0).all():
        raise ValueError("expected sides above 0 and fewer cells")
    if fields[7] == "base64":
        _counted(fields, 9)
        values = unpacked(fields[8], count)
    else:
        _counted(fields, 8 + count)
        values = numbers(fields[8:])
    m00, m10, m01, m11, m02, m12 = values.reshape(6, rows, columns)
    affines = np.stack([np.stack([m00, m01, m02], -1), np.stack([m10, m11, m12], -1)], -2)
    cell = place[2:] / [columns, rows]
    return WarpField(place[:2], cell, affines, "NearestNeighbor" in fields[6])


_MPICBG = "mpicbg.trakem2.transform."
READERS: dict[str, Callable[[Sequence[str]], Smooth]] = {
    _MPICBG + "PolynomialTransform2D": _polynomial,
    _MPICBG + "NonLinearCoordinateTransform": _lens,
    "lenscorrection.NonLinearTransform": _lens,
    _MPICBG + "ThinPlateSplineTransform": _thin_plate,
    _MPICBG + "MovingLeastSquaresTransform2": _moving,
    "org.janelia.alignment.transform.AffineWarpFieldTransform": _warp_field,
}


def parse(class_name: str, data: str) -> Smooth:
    """Read one of `READERS`.

    Parameters
    ----------
    class_name
        Java class of render or mpicbg.
    data
        Its data string: fields between blanks.

    Returns
    -------
    Smooth
        From the tile to the world.

    Raises
    ------
    ValueError
        When the data string is wrong or too long.
    """
    fields = data.split()
    if len(fields) > MAX_NUMBERS:
        raise ValueError(f"{class_name} with more than {MAX_NUMBERS} numbers")
    try:
        return READERS[class_name](fields)
    except ValueError as error:
        raise ValueError(f"{class_name}: {error}") from error
