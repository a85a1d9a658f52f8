"""Models: translation, rigid, similarity and affine maps fitted to weighted points.

Each fit takes points p to q in the sense of weighted least squares and has a closed form: the
rotation of Umeyama (1991, doi:10.1109/34.88573; mpicbg's RigidModel2D and SimilarityModel2D), and
the normal equations about the centroids for the affine (mpicbg's AffineModel2D).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scripts.lib.arrays import Array
from scripts.lib.geometry import translation

Fit = Callable[[Array, Array, Array | None], Array]
_COLLINEAR = 1e12  # condition number of the points' second moments


def _centred(p: Array, q: Array, w: Array | None) -> tuple[Array, Array, Array, Array, Array]:
    """Return weights, both centroids, and both sets of points about them."""
    weights = np.ones(len(p)) if w is None else np.asarray(w, float)
    total = weights.sum()
    pc, qc = weights @ p / total, weights @ q / total
    return weights, pc, qc, p - pc, q - qc


def fit_translation(p: Array, q: Array, w: Array | None = None) -> Array:
    """Fit a translation.

    Parameters
    ----------
    p, q
        (n, 2) matched points x, y, n >= 1.
    w
        (n,) weights; None counts all alike.

    Returns
    -------
    Array
        (2, 3) affine that maps p to q.
    """
    _, pc, qc, _, _ = _centred(p, q, w)
    return translation(*(qc - pc))


def _fit_rotation(p: Array, q: Array, w: Array | None, *, scaled: bool) -> Array:
    weights, pc, qc, dp, dq = _centred(p, q, w)
    c = weights @ (dp * dq).sum(axis=1)
    s = weights @ (dp[:, 0] * dq[:, 1] - dp[:, 1] * dq[:, 0])
    norm = weights @ (dp * dp).sum(axis=1) if scaled else math.hypot(c, s)
    if norm == 0:
        return fit_translation(p, q, w)
    c, s = c / norm, s / norm
    linear = np.array([[c, -s], [s, c]])
    return np.column_stack([linear, qc - linear @ pc])


def fit_rigid(p: Array, q: Array, w: Array | None = None) -> Array:
    """Fit a rotation and a translation.

    Parameters
    ----------
    p, q
        (n, 2) matched points x, y, n >= 2.
    w
        (n,) weights; None counts all alike.

    Returns
    -------
    Array
        (2, 3) affine that maps p to q; a translation where all points are one.

    References
    ----------
    Umeyama 1991, doi:10.1109/34.88573.
    """
    return _fit_rotation(p, q, w, scaled=False)


def fit_similarity(p: Array, q: Array, w: Array | None = None) -> Array:
    """Fit a rotation, one scale and a translation.

    Parameters
    ----------
    p, q
        (n, 2) matched points x, y, n >= 2.
    w
        (n,) weights; None counts all alike.

    Returns
    -------
    Array
        (2, 3) affine that maps p to q; a translation where all points are one.

    References
    ----------
    Umeyama 1991, doi:10.1109/34.88573.
    """
    return _fit_rotation(p, q, w, scaled=True)


def fit_affine(p: Array, q: Array, w: Array | None = None) -> Array:
    """Fit a free affine.

    Parameters
    ----------
    p, q
        (n, 2) matched points x, y, n >= 3.
    w
        (n,) weights; None counts all alike.

    Returns
    -------
    Array
        (2, 3) affine that maps p to q.

    Raises
    ------
    ValueError
        When the points lie on a line.
    """
    weights, pc, qc, dp, dq = _centred(p, q, w)
    moment = (dp * weights[:, None]).T @ dp
    if np.linalg.cond(moment) > _COLLINEAR:
        raise ValueError("the points lie on a line: an affine is not determined")
    linear = np.linalg.solve(moment, (dp * weights[:, None]).T @ dq).T
    return np.column_stack([linear, qc - linear @ pc])


@dataclass(frozen=True)
class Model:
    """A transformation model: its name, the fewest points that determine it, and its fit."""

    name: str
    minimum: int
    fit: Fit


MODELS = {
    model.name: model
    for model in (
        Model("TRANSLATION", 1, fit_translation),
        Model("RIGID", 2, fit_rigid),
        Model("SIMILARITY", 2, fit_similarity),
        Model("AFFINE", 3, fit_affine),
    )
}
