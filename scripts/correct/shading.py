"""Shading: subtract a smooth polynomial of the place in the stack, fitted or given.

A model is a polynomial over the stack's bounds scaled to [-1, 1], quadratic or of fourth order
(`grey_values.POWERS`), of zero mean over that square, so that the mean brightness stays. Between
the z of two models they are mixed linearly; before the first and after the last they stay. Each
tile gets the model of its layer as a polynomial of its own coordinates.

Automatic fit: some layers of each range of z are drawn small. Where the picture is smooth (bare
resin, cytoplasm) grey values follow the shading; the polynomial and one level for each layer are
fitted to these pixels by reweighted least squares (Tukey's biweight, 4.685 sd), so that structures
that stand out do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import ndimage

from scripts.correct.evidence import Evidence, Found
from scripts.lib.arrays import Array, Bool, Int64
from scripts.lib.drawing import boxes, compose, filters, grey_values
from scripts.lib.drawing.compose import Picture
from scripts.lib.geometry import Box
from scripts.lib.numerics import robust, signal
from scripts.lib.service.records import TileSet, TileSpec

Json = dict[str, Any]
COUNTS = {"none": 0, "quadratic": 6, "fourthOrder": 9}
# means of the basis over [-1, 1] x [-1, 1]: odd powers have none
_MEANS = np.array(
    [0.0 if px % 2 or py % 2 else 1 / ((px + 1) * (py + 1)) for px, py in grey_values.POWERS]
)
_SAMPLES = 5  # a tile's model is refitted to 5 x 5 points, as in the reference
_BIWEIGHT = 4.685  # of sd: 95 % efficient on normal noise
_ROUNDS = 20
_TEXTURE_PX = 5  # side of the window in which texture is judged, px of the small picture
_LEAST_PIXELS = 200  # a model is not fitted to fewer


def estimate(tiles: TileSet, settings: Mapping[str, Any], evidence: Evidence) -> Found:
    """Find the models: as configured, or fitted to sample layers of each range of z.

    Parameters
    ----------
    tiles
        Of the stack before the step.
    settings
        Section ``correct.shading``.
    evidence
        Not used.

    Returns
    -------
    Found
        ``models``: z, modelType, coefficients (grey values); of fitted ones also ``range_grey``,
        from darkest to brightest, ``pixels`` and ``residual_grey``. ``bounds``: the square, px.
    """
    box = Box.around(tile.box for tile in tiles.tiles)
    bounds = [box.x0, box.y0, box.x1, box.y1]
    if settings["given"]:
        return Found({"bounds": bounds, "models": [_given(model) for model in settings["given"]]})
    placed = compose.place_layers(tiles)
    scale = boxes.fit_scale(box, settings["picture_px"])
    seen = boxes.whole(box, scale)

    def _draw(z: int) -> Picture:
        return compose.render(placed[z], seen, scale=scale)

    models = [
        fit_range(z, _draw, settings)
        for z in _ranges(list(placed), settings["range_layers"], settings["sample_layers"])
    ]
    return Found({"bounds": bounds, "models": models})


def apply(tiles: TileSet, found: Found) -> TileSet:
    """Append to each tile the model of its layer as a filter; a model of zeros adds none.

    Parameters
    ----------
    tiles
        Of the stack before the step.
    found
        Of `estimate`.

    Returns
    -------
    TileSet
        Of the next stack.
    """
    box, models = Box(*found.parameters["bounds"]), found.parameters["models"]

    def _shaded(tile: TileSpec) -> TileSpec:
        model = at_z(models, tile.z)
        if not model.any():
            return tile
        return filters.appended(tile, filters.shading(in_tile(tiles, tile, model, box).tolist()))

    return replace(tiles, tiles=tuple(_shaded(tile) for tile in tiles.tiles))


def _ranges(z: Sequence[int], range_layers: int, count: int) -> list[list[int]]:
    """Cut the layers into ranges and give `count` evenly spaced ones of each."""
    parts = max(1, round((z[-1] - z[0] + 1) / range_layers))
    out = []
    for part in np.array_split(np.array(sorted(z)), parts):
        at = np.unique(np.linspace(0, len(part) - 1, min(count, len(part))).round().astype(int))
        out.append([int(value) for value in part[at]])
    return [part for part in out if part]


# ---------------------------------------------------------------------------------------------
# models
# ---------------------------------------------------------------------------------------------


def zero_mean(coefficients: Array) -> Array:
    """Take the mean over [-1, 1] x [-1, 1] out of the constant of a model.

    Parameters
    ----------
    coefficients
        (k,) of `basis`.

    Returns
    -------
    Array
        (k,).
    """
    out = np.array(coefficients, float)
    out[0] -= out @ _MEANS[: len(out)]
    return out


def at_z(models: Sequence[Mapping[str, Any]], z: float) -> Array:
    """Mix models linearly at a z; constant beyond the ends.

    Parameters
    ----------
    models
        With z and coefficients.
    z
        Of a layer.

    Returns
    -------
    Array
        (9,) coefficients, grey values.
    """
    ordered = sorted(models, key=lambda model: float(model["z"]))
    at = [float(model["z"]) for model in ordered]
    table = np.array([_nine(model["coefficients"]) for model in ordered])
    return np.array([np.interp(z, at, column) for column in table.T])


def in_tile(tiles: TileSet, tile: TileSpec, model: Array, box: Box) -> Array:
    """Refit a model of the stack in coordinates of a tile scaled to [-1, 1].

    Parameters
    ----------
    tiles
        The set that `tile` belongs to.
    tile
        The tile.
    model
        (9,) coefficients over the box.
    box
        Bounds of the stack, world px.

    Returns
    -------
    Array
        (9,) coefficients over the tile.
    """
    line = np.linspace(0, 1, _SAMPLES)
    u, v = (axis.ravel() for axis in np.meshgrid(line * (tile.width - 1), line * (tile.height - 1)))
    world = tiles.chain(tile).apply(np.column_stack([u, v]))
    x = 2 * (world[:, 0] - box.x0) / box.width - 1
    y = 2 * (world[:, 1] - box.y0) / box.height - 1
    own = basis(2 * u / tile.width - 1, 2 * v / tile.height - 1)
    return np.asarray(np.linalg.lstsq(own, basis(x, y) @ model, rcond=None)[0])


def basis(x: Array, y: Array, count: int = 9) -> Array:
    """Compute the values of the basis.

    Parameters
    ----------
    x, y
        (n,) places, -1..1.
    count
        Number of terms.

    Returns
    -------
    Array
        (n, count).
    """
    return np.column_stack([x**px * y**py for px, py in grey_values.POWERS[:count]])


def _nine(coefficients: Sequence[float]) -> list[float]:
    return [*coefficients, *[0.0] * (9 - len(coefficients))]


def _given(model: Mapping[str, Any]) -> Json:
    """Check a configured model; its mean is taken out.

    Raises
    ------
    ValueError
        When the number of coefficients does not fit the type.
    """
    count = COUNTS[model["modelType"]]
    found = [float(value) for value in model.get("coefficients") or []]
    if len(found) != count:
        raise ValueError(
            f"correct.shading.given: the {model['modelType']} model at z {model['z']} takes {count}"
            f" coefficients, found {len(found)}"
        )
    values = zero_mean(np.array(found)).tolist() if found else []
    return {"z": model["z"], "modelType": model["modelType"], "coefficients": values}


# ---------------------------------------------------------------------------------------------
# automatic fit
# ---------------------------------------------------------------------------------------------


def fit_range(
    layers: Sequence[int], draw: Callable[[int], Picture], settings: Mapping[str, Any]
) -> Json:
    """Fit one model to the sample layers of a range.

    Parameters
    ----------
    layers
        Their z.
    draw
        Draws the layer of a z.
    settings
        Section ``correct.shading``.

    Returns
    -------
    dict
        A model of `estimate`; its z is the middle of the range.
    """
    kind = settings["model"]
    xs, ys, values, which = [], [], [], []
    for number, z in enumerate(layers):
        picture = draw(z)
        rows, columns = np.nonzero(smooth(picture, settings["smooth_share"]))
        h, w = picture.mask.shape
        xs.append(2 * columns / w - 1)
        ys.append(2 * rows / h - 1)
        values.append(picture.pixels[rows, columns].astype(float))
        which.append(np.full(len(rows), number))
    x, y, grey, layer = (np.concatenate(part) for part in (xs, ys, values, which))
    middle = (layers[0] + layers[-1]) / 2
    if len(grey) < _LEAST_PIXELS:
        return {"z": middle, "modelType": "none", "coefficients": [], "pixels": len(grey)}
    coefficients, residual = fit(basis(x, y, COUNTS[kind])[:, 1:], grey, layer)
    model = zero_mean(np.array([0.0, *coefficients]))
    line = np.linspace(-1, 1, 33)
    field = grey_values.polynomial(model.tolist(), line, line)
    return {
        "z": middle,
        "modelType": kind,
        "coefficients": model.tolist(),
        "range_grey": float(field.max() - field.min()),
        "residual_grey": residual,
        "pixels": len(grey),
    }


def smooth(picture: Picture, share: float) -> Bool:
    """Choose the pixels around which there is least texture.

    Parameters
    ----------
    picture
        Grey values (h, w).
    share
        Of the pixels.

    Returns
    -------
    Bool
        (h, w).
    """
    size = _TEXTURE_PX
    inside = ndimage.binary_erosion(picture.mask, np.ones((size, size)), border_value=0)
    if not inside.any():
        return np.zeros(picture.mask.shape, bool)
    pixels = picture.pixels.astype(float)
    mean = ndimage.uniform_filter(pixels, size)
    spread = ndimage.uniform_filter(pixels**2, size) - mean**2
    inside &= ~signal.absent(picture.pixels)
    if not inside.any():
        return np.asarray(inside)
    return np.asarray(inside & (spread <= np.quantile(spread[inside], share)))


def fit(terms: Array, grey: Array, layer: Int64) -> tuple[Array, float]:
    """Fit terms and a level for each layer to grey values, robustly (Tukey's biweight).

    Parameters
    ----------
    terms
        (n, k) values of the terms at n pixels.
    grey
        (n,) grey values.
    layer
        (n,) number of the layer of each pixel.

    Returns
    -------
    coefficients : Array
        (k,) grey values.
    residual : float
        Robust sd of what is left, grey values.

    References
    ----------
    Beaton, Tukey 1974, doi:10.1080/00401706.1974.10489171
    """

    def _solve(weight: Array) -> tuple[Array, Array]:
        own_terms, own_grey = _centred(terms, layer, weight), _centred(grey, layer, weight)
        normal = (own_terms * weight[:, None]).T @ own_terms
        normal += np.eye(len(normal)) * 1e-9 * max(1.0, float(np.trace(normal)))
        found = np.asarray(np.linalg.solve(normal, own_terms.T @ (weight * own_grey)), np.float64)
        return found, own_grey - own_terms @ found

    fitted = robust.reweighted(
        _solve,
        robust.deviation,
        [(robust.tukey, _BIWEIGHT)] * _ROUNDS,
        np.ones(len(grey)),
        least_scale=1e-9,
        least_step=1e-4,
    )
    return fitted.fit, float(fitted.scale)


def _centred(values: Array, layer: Int64, weight: Array) -> Array:
    """Take the weighted mean of each layer out of (n,) or (n, k) values."""
    total = np.maximum(np.bincount(layer, weight), 1e-12)
    columns = values[:, None] if values.ndim == 1 else values
    means = np.column_stack([np.bincount(layer, weight * column) / total for column in columns.T])
    out: Array = columns - means[layer]
    return out[:, 0] if values.ndim == 1 else out
