"""While a volume grows, tiles that a new solve hardly moves keep the transform they had.

A solve is global: each new layer moves all tiles a little, and whatever was made of a moved tile
would be made anew. Layers move alike over hundreds of layers, by the common translation and by the
long waves that the stage rules (its wavelength over 2 pi says how far they reach); that drift is
followed (`growing`). A tile all of whose corners then lie within a tolerance of where the new solve
puts them keeps its transform. The comparison is always with the newest solve, so differences do not
add up; and once imaging has ended nothing is kept, so that the last volume is that of one run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from scripts.lib import geometry, growing
from scripts.lib.arrays import Array

Affines = Mapping[str, Sequence[float]]
Sizes = Mapping[str, tuple[float, float]]
Layers = Mapping[str, float]


def kept(
    solved: Affines, published: Affines, sizes: Sizes, layers: Layers, keep_px: float
) -> tuple[dict[str, list[float]], float]:
    """Return the published transform of tiles that moved little, and the solved one of others.

    Solved ones are moved by the drift that puts the layers of before where they were.

    Parameters
    ----------
    solved
        m00, m10, m01, m11, m02, m12 by tile id, matching frame to world px.
    published
        Of the time before, in the same form; may lack tiles, and have others.
    sizes
        Width and height of each tile of `solved`, px.
    layers
        z of each tile of `solved`.
    keep_px
        Most that a corner of a tile may lie from where it was solved to be, px, and the drift of a
        layer from that of the layer before. 0 keeps nothing.

    Returns
    -------
    transforms : dict of str to list of float
        One for each tile of `solved`.
    drift_px : float
        How far the drift has moved the last layer, beyond what it has moved the first, px.
    """
    number = {z: k for k, z in enumerate(sorted(set(layers.values())))}
    row = {tile: number[layers[tile]] for tile in solved}
    drift, _ = growing.followed(_change(solved, published, sizes, row), keep_px)
    x, y = drift.T.tolist()
    out = {t: [*each[:4], each[4] - x[row[t]], each[5] - y[row[t]]] for t, each in solved.items()}
    for tile in solved.keys() & published.keys():
        if moved_px(out[tile], published[tile], sizes[tile]) < keep_px:
            out[tile] = list(published[tile])
    return out, float(np.linalg.norm(drift[-1] - drift[0]))


def _change(solved: Affines, published: Affines, sizes: Sizes, row: Mapping[str, int]) -> Array:
    """Return how far each layer moved, (n, 2) px: the median of its tiles; NaN without any."""
    moves: dict[int, list[Array]] = {}
    for tile in solved.keys() & published.keys():
        ends = (_middle(each[tile], sizes[tile]) for each in (solved, published))
        moves.setdefault(row[tile], []).append(np.subtract(*ends))
    out = np.full((max(row.values(), default=-1) + 1, 2), np.nan)
    for k, each in moves.items():
        out[k] = np.median(each, axis=0)
    return out


def _middle(affine: Sequence[float], size: tuple[float, float]) -> Array:
    matrix = geometry.from_wire(affine)
    return np.asarray(matrix[:, :2] @ (np.array(size) / 2) + matrix[:, 2])


def moved_px(one: Sequence[float], two: Sequence[float], size: tuple[float, float]) -> float:
    """Return how far the corners of a tile lie apart under two transforms.

    Parameters
    ----------
    one, two
        m00, m10, m01, m11, m02, m12.
    size
        Width and height, px.

    Returns
    -------
    float
        The largest distance of a corner, world px.
    """
    width, height = size
    corners: Array = np.array([(0, 0), (width, 0), (0, height), (width, height)], float)
    difference = geometry.from_wire(one) - geometry.from_wire(two)
    apart = corners @ difference[:, :2].T + difference[:, 2]
    return float(np.hypot(*apart.T).max())
