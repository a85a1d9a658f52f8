"""While a volume grows, tiles that a new solve hardly moves keep the transform they had.

A solve is global: each new layer moves all tiles a little, and whatever was made of a moved tile
would be made anew. Most of that is one common translation, which the matches do not tell (the mean
of the stage positions sets it): it is taken off, so that the volume stays where it is. A tile all
of whose corners then lie within a tolerance of where the new solve puts them keeps its transform.
The comparison is always with the newest solve, so differences do not add up; and once imaging has
ended nothing is kept, so that the last volume is that of one run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from scripts.lib import geometry
from scripts.lib.arrays import Array

Affines = Mapping[str, Sequence[float]]
Sizes = Mapping[str, tuple[float, float]]


def kept(
    solved: Affines, published: Affines, sizes: Sizes, keep_px: float
) -> dict[str, list[float]]:
    """Return the published transform of tiles that moved little, and the solved one of others.

    Solved ones are moved by the common translation that puts the tiles of before where they were.

    Parameters
    ----------
    solved
        m00, m10, m01, m11, m02, m12 by tile id, matching frame to world px.
    published
        Of the time before, in the same form; may lack tiles, and have others.
    sizes
        Width and height of each tile of `solved`, px.
    keep_px
        Most that a corner of a tile may lie from where it was solved to be, px. 0 keeps nothing.

    Returns
    -------
    dict of str to list of float
        A transform for each tile of `solved`.
    """
    common = sorted(solved.keys() & published.keys()) if keep_px > 0 else []
    if not common:
        return {tile: list(each) for tile, each in solved.items()}
    middles = [_middle(solved[t], sizes[t]) - _middle(published[t], sizes[t]) for t in common]
    x, y = np.median(middles, axis=0).tolist()
    out = {tile: [*each[:4], each[4] - x, each[5] - y] for tile, each in solved.items()}
    for tile in common:
        if moved_px(out[tile], published[tile], sizes[tile]) < keep_px:
            out[tile] = list(published[tile])
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
