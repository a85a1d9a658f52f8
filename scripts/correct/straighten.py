"""Straighten: move whole layers back so that the stack stands upright; one shift for each layer.

``linear`` takes the tilt out by one shear: the centre of the bounding box goes from its place in
the first layer to its place in the last; layer z moves back by its linear share of that, and
curvature stays (as render's StackStraighteningClient does).

``smooth`` takes out the whole slow drift: the path of the layers, followed from layer to layer by
the grid cells that both have (a tile that is missing moves nothing), smoothed with a penalty on its
second difference (Whittaker 1923, doi:10.1017/S0013091500077853). Waves shorter than `smooth_um`
stay: they are the specimen's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.linalg import solveh_banded

from scripts.correct.evidence import Arrays, Evidence, Found
from scripts.lib import geometry, growing, transforms
from scripts.lib.arrays import Array
from scripts.lib.geometry import Box
from scripts.lib.service.records import Leaf, TileSet, TileSpec


def estimate(tiles: TileSet, settings: Mapping[str, Any], evidence: Evidence) -> Found:
    """Measure the drift of the layers.

    Parameters
    ----------
    tiles
        Of the stack before the step, of at least two layers.
    settings
        Section ``correct.straighten``.
    evidence
        Distance of layers.

    Returns
    -------
    Found
        ``z_first``, ``z_last`` and ``tilt_px`` (x, y; first to last layer); with the
        curve also ``sway_px``, the greatest distance of the curve from the straight line, and
        arrays ``z`` (n,) and ``shift_px`` (n, 2), by which each layer moves.

    Raises
    ------
    ValueError
        When there are not two layers.
    """
    layers = _layers(tiles)
    if len(layers) < 2:
        raise ValueError(f"straighten needs two layers, found {len(layers)}")
    z = np.array(list(layers))
    ends = [_centre(layers[z[0]]), _centre(layers[z[-1]])]
    out: dict[str, Any] = {"curve": settings["curve"], "z_first": z[0], "z_last": z[-1]}
    if settings["curve"] == "linear":
        tilt = ends[1] - ends[0]
        shift = -np.outer((z - z[0]) / (z[-1] - z[0]), tilt)
        return Found(out | {"tilt_px": tilt.tolist()}, {"z": z, "shift_px": shift})
    drift = smoothed(z, _path(layers), settings["smooth_um"] * 1000 / evidence.z_nm)
    tilt = drift[-1] - drift[0]
    line = drift[0] + np.outer((z - z[0]) / (z[-1] - z[0]), tilt)
    sway = float(np.hypot(*(drift - line).T).max())
    out |= {"tilt_px": tilt.tolist(), "sway_px": sway}
    return Found(out, {"z": z, "shift_px": drift[0] - drift})


def held(found: Found, published: Arrays, tolerance_px: float, *, room_px: float = np.inf) -> Found:
    """Let layers stay where they were put before, while a volume grows.

    The line through the whole, which the newest layers tell, turns with every wave. It is no
    measurement of a layer but a choice for all of them, so layers that were drawn keep the line
    that was taken off them, and new ones follow the newest line from the last of those. Layers are
    put on the newest line together once one of them lies too far off it to stay in the frame. A
    smooth curve follows the layers themselves: of it those stay whose steps hardly change.

    Parameters
    ----------
    found
        Of `estimate`.
    published
        Its arrays of the time before; may lack layers, and have others.
    tolerance_px
        Most that the shifts of neighbouring layers on a smooth curve may differ from what was
        found, px (`growing.followed`). 0 keeps nothing.
    room_px
        Most that a layer may lie off the newest line, px (`room`).

    Returns
    -------
    Found
        The same parameters, with the shifts of before and new layers after them.
    """
    before = dict(zip(published["z"].tolist(), published["shift_px"], strict=True))
    z, now = found.arrays["z"], found.arrays["shift_px"]
    old = np.array([before.get(one, np.full(2, np.nan)) for one in z.tolist()])
    if found.parameters["curve"] == "linear":
        # neighbours on two lines differ by one and the same shear
        drift, stays = growing.followed(now - old, np.inf if tolerance_px > 0 else 0)
        if float(np.abs(drift).max()) > room_px:
            return found
    else:
        drift, stays = growing.followed(now - old, tolerance_px)
    return Found(found.parameters, {"z": z, "shift_px": np.where(stays[:, None], old, now - drift)})


def room(tiles: TileSet) -> float:
    """Return how far a layer may lie off the newest line while a volume grows.

    Parameters
    ----------
    tiles
        Of the stack before the step.

    Returns
    -------
    float
        px; the share of the smallest side of a layer that pictures of it may lack, too.
    """
    boxes = [Box.around(tile.box for tile in layer) for layer in _layers(tiles).values()]
    sides = np.array([[box.x1 - box.x0, box.y1 - box.y0] for box in boxes])
    return growing.OUTSIDE * float(np.median(sides, axis=0).min())


def apply(tiles: TileSet, found: Found) -> TileSet:
    """Move the tiles as `estimate` found, bounds included.

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

    Raises
    ------
    TypeError
        When a tile's last transform is not affine.
    """
    shift = dict(zip(found.arrays["z"].tolist(), found.arrays["shift_px"], strict=True))
    moved = tuple(_moved(tiles, tile, shift[tile.z]) for tile in tiles.tiles)
    return replace(tiles, tiles=moved).with_bounds()


def _path(layers: Mapping[float, list[TileSpec]]) -> Array:
    """Follow the layers: (n, 2) x, y px, from the centre of the first.

    A step is the median movement of the centres of the cells that both layers have, or of the
    layers' centres when they have none in common.
    """
    at = [_centre(next(iter(layers.values())))]
    each = list(layers.values())
    for before, after in zip(each[:-1], each[1:], strict=True):
        old, new = _centres(before), _centres(after)
        common = sorted(old.keys() & new.keys())
        moves = [new[cell] - old[cell] for cell in common] or [_centre(after) - _centre(before)]
        at.append(at[-1] + np.median(moves, axis=0))
    return np.array(at)


def smoothed(z: Array, values: Array, wave_layers: float) -> Array:
    """Smooth values along z with a penalty on their second difference.

    Minimises ``sum w (y - x)**2 + lambda sum (second difference of x)**2`` on every whole z, w = 0
    where there is no layer. The factor of a wave of frequency f (radians) is 1 / (1 + lambda f**4).

    Parameters
    ----------
    z
        (n,) ascending, whole.
    values
        (n, m) at these z.
    wave_layers
        Waves of this length keep half their height.

    Returns
    -------
    Array
        (n, m).
    """
    index = np.rint(z - z[0]).astype(int)
    n = int(index[-1]) + 1
    weak = (wave_layers / (2 * np.pi)) ** 4
    weight, right = np.zeros(n), np.zeros((n, values.shape[1]))
    weight[index], right[index] = 1.0, values
    if n < 3:
        return np.asarray(values, float)
    bands = np.zeros((3, n))  # upper form: rows of the second, first and main diagonal
    for offset, factor in ((0, 1.0), (1, -2.0), (2, 1.0)):
        bands[2, offset : n - 2 + offset] += weak * factor**2
    bands[2] += weight
    bands[1, 1:-1] += weak * -2.0
    bands[1, 2:] += weak * -2.0
    bands[0, 2:] += weak * 1.0
    return np.asarray(solveh_banded(bands, right)[index])


def _layers(tiles: TileSet) -> dict[float, list[TileSpec]]:
    out: dict[float, list[TileSpec]] = {}
    for tile in sorted(tiles.tiles, key=lambda tile: tile.z):
        out.setdefault(tile.z, []).append(tile)
    return out


def _centre(layer: list[TileSpec]) -> Array:
    """Centre x, y of the bounding box of a layer, world px."""
    box = Box.around(tile.box for tile in layer)
    return np.array([(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2])


def _centres(layer: list[TileSpec]) -> dict[tuple[int, int], Array]:
    return {tile.cell: _centre([tile]) for tile in layer}


def _moved(tiles: TileSet, tile: TileSpec, shift: Array) -> TileSpec:
    """Put a translation after the last affine (PRE_CONCATENATE_LAST), kept as one affine."""
    last = tiles.chain(tile).parts[-1]
    if not isinstance(last, transforms.Affine):
        raise TypeError(f"tile {tile.tile_id}: its last transform is not affine")
    matrix = geometry.compose(geometry.translation(*shift), last.matrix)
    return tile.with_last(Leaf(transforms.AFFINE, transforms.affine_data(matrix)))
