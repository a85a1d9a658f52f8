"""Transforms: the transform classes of a FIB-SEM tile spec and their mathematics.

Each class maps (n, 2) points forward (tile to world) and, where the renderer needs it, backward.
Class names and data strings are those of render's transform specs; p = (x, y).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from scripts.lib import geometry
from scripts.lib.arrays import Array

AFFINE = "mpicbg.trakem2.transform.AffineModel2D"
SEM_DISTORTION_A = "org.janelia.alignment.transform.SEMDistortionTransformA"


class Transform(ABC):
    """A map of the plane."""

    @abstractmethod
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

    @abstractmethod
    def invert(self, xy: Array) -> Array:
        """Map points backward, from the world to the tile.

        Parameters
        ----------
        xy
            (n, 2) points x, y, px.

        Returns
        -------
        Array
            (n, 2).
        """


@dataclass(frozen=True)
class Affine(Transform):
    """A (2, 3) affine, also for translation, rigid and similarity."""

    matrix: Array

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
        return geometry.apply(self.matrix, xy)

    def invert(self, xy: Array) -> Array:
        """Map points backward, from the world to the tile.

        Parameters
        ----------
        xy
            (n, 2) points x, y, px.

        Returns
        -------
        Array
            (n, 2).
        """
        return geometry.apply(geometry.invert(self.matrix), xy)


@dataclass(frozen=True)
class AxisOffset(Transform):
    """One coordinate `axis` (0 = x, 1 = y) moves by a smooth function of itself."""

    offset: Callable[[Array], Array]
    axis: int

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
        out = np.array(xy, float)
        out[:, self.axis] += self.offset(out[:, self.axis])
        return out

    def invert(self, xy: Array) -> Array:
        """Map points backward: Newton steps on v + f(v) = target, to 1e-9 px.

        Parameters
        ----------
        xy
            (n, 2) points x, y, px.

        Returns
        -------
        Array
            (n, 2).
        """
        out = np.array(xy, float)
        target = out[:, self.axis]
        value = target - self.offset(target)
        for _ in range(50):
            # one Newton step with a numeric slope: f is smooth and |f'| < 1 wherever no fold is
            slope = 1 + (self.offset(value + 1e-4) - self.offset(value - 1e-4)) / 2e-4
            step = (value + self.offset(value) - target) / np.maximum(slope, 1e-2)
            value = value - step
            if np.abs(step).max(initial=0.0) < 1e-9:
                break
        out[:, self.axis] = value
        return out


@dataclass(frozen=True)
class Chain(Transform):
    """Transforms applied first to last."""

    parts: tuple[Transform, ...]

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
        out = np.asarray(xy, float)
        for part in self.parts:
            out = part.apply(out)
        return out

    def invert(self, xy: Array) -> Array:
        """Map points backward, from the world to the tile.

        Parameters
        ----------
        xy
            (n, 2) points x, y, px.

        Returns
        -------
        Array
            (n, 2).
        """
        out = np.asarray(xy, float)
        for part in reversed(self.parts):
            out = part.invert(out)
        return out

    def as_affine(self) -> Array | None:
        """Return the product as one affine.

        Returns
        -------
        Array or None
            (2, 3); None when a part is not affine.
        """
        product = geometry.identity()
        for part in self.parts:
            if not isinstance(part, Affine):
                return None
            product = geometry.compose(part.matrix, product)
        return product


# ---------------------------------------------------------------------------------------------
# reading class name + data string
# ---------------------------------------------------------------------------------------------


def _affine(v: Sequence[float]) -> Transform:
    return Affine(geometry.from_wire(v))


def _translation(v: Sequence[float]) -> Transform:
    return Affine(geometry.translation(*v))


def _rigid(v: Sequence[float]) -> Transform:
    c, s = math.cos(v[0]), math.sin(v[0])
    return Affine(np.array([[c, -s, v[1]], [s, c, v[2]]]))


def _similarity(v: Sequence[float]) -> Transform:
    return Affine(np.array([[v[0], -v[1], v[2]], [v[1], v[0], v[3]]]))


def _exponential(v: Sequence[float]) -> Transform:
    a, b, c, dim = v
    return AxisOffset(lambda x: -(a * np.exp(-b * x) + c), _axis(dim))


def _recovery(v: Sequence[float]) -> Transform:
    a, b, c, dim = v
    return AxisOffset(lambda x: -(a * (1 - np.exp(-b * x)) + c), _axis(dim))


def _sem_distortion(v: Sequence[float]) -> Transform:
    a, b, c, d, dim = v
    if b == 0 or d == 0:
        raise ValueError("a decay length of a SEM distortion must not be 0")
    return AxisOffset(lambda x: a * np.exp(-x / b) + c * np.exp(-x / d), _axis(dim))


def _axis(value: float) -> int:
    if value not in (0, 1):
        raise ValueError(f"dimension must be 0 (x) or 1 (y), found {value:g}")
    return int(value)


@dataclass(frozen=True)
class _Class:
    count: int
    make: Callable[[Sequence[float]], Transform]
    single: bool = False  # numbers are parsed at 32-bit precision, as the Java class does


_MPICBG = "mpicbg.trakem2.transform."
_JANELIA = "org.janelia.alignment.transform."
CLASSES = {
    AFFINE: _Class(6, _affine),
    _MPICBG + "TranslationModel2D": _Class(2, _translation, single=True),
    _MPICBG + "RigidModel2D": _Class(3, _rigid, single=True),
    _MPICBG + "SimilarityModel2D": _Class(4, _similarity, single=True),
    _JANELIA + "ExponentialFunctionOffsetTransform": _Class(4, _exponential),
    _JANELIA + "ExponentialRecoveryOffsetTransform": _Class(4, _recovery),
    SEM_DISTORTION_A: _Class(5, _sem_distortion),
}


def parse(class_name: str, data: str) -> Transform:
    """Read a transform from its class name and data string.

    Parameters
    ----------
    class_name
        Java class of render or mpicbg.
    data
        Numbers, separated by blanks or commas.

    Returns
    -------
    Transform
        From the tile to the world.

    Raises
    ------
    ValueError
        For an unknown class, a wrong count of numbers, or text that is not a number.
    """
    kind = CLASSES.get(class_name)
    if kind is None:
        known = ", ".join(sorted(name.rsplit(".", 1)[1] for name in CLASSES))
        raise ValueError(f"transform class {class_name!r} is not known (known: {known})")
    fields = data.replace(",", " ").split()
    if len(fields) != kind.count:
        raise ValueError(
            f"{class_name} takes {kind.count} numbers, found {len(fields)} in {data!r}"
        )
    try:
        values = [float(f) for f in fields]
        if kind.single:
            with np.errstate(over="ignore"):
                values = [float(np.float32(v)) for v in values]
    except ValueError as error:
        raise ValueError(f"{class_name}: {data!r} holds something that is no number") from error
    if not all(map(math.isfinite, values)):
        raise ValueError(f"{class_name}: {data!r} holds a number that is not finite")
    return kind.make(values)


def affine_data(affine: Array) -> str:
    """Return the data string of an affine.

    Parameters
    ----------
    affine
        (2, 3) affine.

    Returns
    -------
    str
        ``m00 m10 m01 m11 m02 m12``, exact.
    """
    return " ".join(repr(v) for v in geometry.to_wire(affine))
