"""While a volume grows: what a new look at all layers changes, and what of it can be seen.

Where layers lie, across and along z, is found from all of them at once, so a wave of new layers
changes a little everywhere. Most of it is a slow drift: a common translation, a tilt, a wave of
hundreds of layers, which the prior of the stage and the nominal scale of z set anew. From one layer
to the next nobody sees it. So what is published follows the drift: as long as the change of a layer
differs by less than a tolerance from that of the last layer that stayed, the layer stays where it
was, and what comes after it is moved by that change. Differences of neighbouring layers are those
of the newest look, within the tolerance, at any time; the slow drift waits until imaging has ended,
when nothing is kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.lib import files
from scripts.lib.arrays import Array, Bool

Bounds = tuple[float, float, float, float]
BOX = Path("solve/kept/box.json")  # written with the align stack; no declared output
_STEP = 0.9  # tolerances, of what is taken back from one layer to the next
OUTSIDE = 0.05  # share of a side that newer layers may reach beyond the box that pictures show


def followed(
    change: Array, tolerance: float | Array, *, taken_back: float = 1
) -> tuple[Array, Bool]:
    """Return what is taken off the new values of each layer, and which layers stay.

    Parameters
    ----------
    change
        (n, m) new less published values of the layers, in order of z; NaN where nothing is
        published yet.
    tolerance
        Largest difference of the changes of two neighbouring layers, in the unit of the values,
        that is not worth making them again; (n,) one for each layer. 0 keeps nothing.
    taken_back
        Up to so many tolerances a layer's change that is worth it is taken back in those behind it,
        by less than the tolerance from one to the next, so that the others stay. 1 takes none back:
        all behind it is moved.

    Returns
    -------
    drift : Array
        (n, m) what new values are to be moved back by. Of layers that stay it is their change.
    stays : Bool
        (n,) layers that keep what is published.
    """
    known = np.asarray(np.isfinite(change).all(axis=1), dtype=bool)
    drift, stays = np.zeros_like(change, dtype=float), np.zeros(len(change), dtype=bool)
    most = np.broadcast_to(tolerance, len(change))
    if (most <= 0).any() or not known.any():
        return drift, stays
    now = _start(change[known], most[known])
    begun = False
    for k, one in enumerate(change):
        off = float(np.linalg.norm(one - now)) if known[k] else np.inf
        stays[k] = off < most[k]
        if stays[k]:
            now = one
        elif begun and off < taken_back * most[k]:
            now = now + _STEP * most[k] / off * (one - now)
        begun |= bool(stays[k])
        drift[k] = now
    return drift, stays


def error_of_thickness(figures: Mapping[str, Any]) -> float:
    """Return by how much the thickness of a layer, as it was inferred, still errs.

    Parameters
    ----------
    figures
        Those of ``zcorr/qc.json``: ``thickness_sd`` of true changes and ``thickness_error_sd`` of
        what was measured, both of the log of thickness.

    Returns
    -------
    float
        Standard deviation, share of the thickness: that of the posterior of a Gaussian. 0 where
        nothing is known, or all layers are at nominal, where error moves none.
    """
    true, error = (figures.get(name) or 0.0 for name in ("thickness_sd", "thickness_error_sd"))
    both = math.hypot(true, error)
    return float(true * error / both) if both else 0.0


def box_of_pictures(bounds: Sequence[float], before: Sequence[float] | None) -> Bounds:
    """Return the box in which layers are compared: that of before, while it shows nearly all.

    What is measured in pictures of a box is made again when the box changes, and before it is
    straightened a stack drifts with every layer. Pictures may lack a border that a volume must not.

    Parameters
    ----------
    bounds
        x0, y0, x1, y1 of all tiles, world px.
    before
        The box of before, if there is one.

    Returns
    -------
    tuple of float
        x0, y0, x1, y1, world px.
    """
    x0, y0, x1, y1 = bounds
    if before is not None:
        most = OUTSIDE * np.array([x1 - x0, y1 - y0] * 2)
        if (np.abs(np.array(bounds) - np.array(before)) <= most).all():
            x0, y0, x1, y1 = before
    return x0, y0, x1, y1


def publish_box(bounds: Bounds | None) -> None:
    """Write the box in which layers are compared.

    Parameters
    ----------
    bounds
        Of all tiles, world px; None = nothing is kept, and pictures show all.
    """
    if bounds is None:
        BOX.unlink(missing_ok=True)
    else:
        files.write_json(BOX, {"bounds": box_of_pictures(bounds, published_box())})


def published_box() -> Bounds | None:
    """Read the box in which layers are compared.

    Returns
    -------
    tuple of float, or None
        x0, y0, x1, y1, world px; None where pictures show all.
    """
    if not BOX.is_file():
        return None
    x0, y0, x1, y1 = files.read_json(BOX)["bounds"]
    return x0, y0, x1, y1


def box_of(receipt: str | Path) -> Bounds | None:
    """Return the box in which the layers of a stack are compared.

    Parameters
    ----------
    receipt
        Of the align stack.

    Returns
    -------
    tuple of float, or None
        x0, y0, x1, y1, world px: that of `published_box`, or all; None where there is no stack.
    """
    if not Path(receipt).is_file():
        return None
    x0, y0, x1, y1 = published_box() or files.read_json(receipt)["bounds"]
    return x0, y0, x1, y1


def _start(change: Array, most: Array) -> Array:
    """Return the change of the first layer that the next one shares: one alone may have moved."""
    alike = np.linalg.norm(np.diff(change, axis=0), axis=1) < most[1:]
    return np.asarray(change[int(np.argmax(alike)) if alike.any() else 0])
