"""Transforms: the transform classes of a tile spec, read from class name and data string.

Class names and data strings are those of render's transform specs; the mathematics is in `plane`
and `nonlinear`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from scripts.lib import geometry, nonlinear
from scripts.lib.arrays import Array
from scripts.lib.plane import Affine, AxisOffset, Chain, Projective, Smooth, Transform

__all__ = [
    "AFFINE",
    "CLASSES",
    "SEM_DISTORTION_A",
    "Affine",
    "AxisOffset",
    "Chain",
    "Projective",
    "Smooth",
    "Transform",
    "affine_data",
    "parse",
]

AFFINE = "mpicbg.trakem2.transform.AffineModel2D"
SEM_DISTORTION_A = "org.janelia.alignment.transform.SEMDistortionTransformA"


def _affine(v: Sequence[float]) -> Transform:
    return Affine(geometry.from_wire(v))


def _translation(v: Sequence[float]) -> Transform:
    return Affine(geometry.translation(*v))


def _rigid(v: Sequence[float]) -> Transform:
    c, s = math.cos(v[0]), math.sin(v[0])
    return Affine(np.array([[c, -s, v[1]], [s, c, v[2]]]))


def _similarity(v: Sequence[float]) -> Transform:
    return Affine(np.array([[v[0], -v[1], v[2]], [v[1], v[0], v[3]]]))


def _homography(v: Sequence[float]) -> Transform:
    matrix = np.array(v).reshape(3, 3)
    if not np.linalg.det(matrix):
        raise ValueError("a homography must have a determinant other than 0")
    return Projective(matrix)


def _affine_3d(v: Sequence[float]) -> Transform:
    return Affine(np.array(v).reshape(3, 4)[:2, [0, 1, 3]])  # of the plane z = 0


def _translation_3d(v: Sequence[float]) -> Transform:
    return Affine(geometry.translation(*v[:2]))


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
    _MPICBG + "HomographyModel2D": _Class(9, _homography),
    _MPICBG + "AffineModel3D": _Class(12, _affine_3d),
    _MPICBG + "TranslationModel3D": _Class(3, _translation_3d),
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
        Numbers, separated by blanks or commas; nonlinear classes: see `nonlinear`.

    Returns
    -------
    Transform
        From the tile to the world.

    Raises
    ------
    ValueError
        For an unknown class, a wrong count of numbers, or text that is not a number.
    """
    if class_name in nonlinear.READERS:
        return nonlinear.parse(class_name, data)
    kind = CLASSES.get(class_name)
    if kind is None:
        names = [*CLASSES, *nonlinear.READERS]
        known = ", ".join(sorted(name.rsplit(".", 1)[1] for name in names))
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
