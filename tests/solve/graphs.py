"""Large graphs with known truth as arrays: tiles and moments without one object per pair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scripts.solve.graph import Tiles
from scripts.solve.moments import Moments

SIDE = 4000  # px
OVERLAP = 0.08
CHUNK = 50_000  # pairs whose points are in memory together


@dataclass(frozen=True, eq=False)
class Case:
    """Tiles, moments, true affines (n, 2, 3), and which pairs are wrong (m,)."""

    tiles: Tiles
    moments: Moments
    truth: np.ndarray
    wrong: np.ndarray
    pairs: tuple[np.ndarray, np.ndarray]  # positions of p and q in the tiles


def names(z, row, column):
    ids = [f"21-08-19_194752_0-{r}-{c}.{k}.0" for k, r, c in zip(z, row, column, strict=True)]
    return np.array(ids, dtype=np.str_)


def grid(layers, rows, columns):
    """Tiles of a regular grid at their stage positions."""
    z, row, column = (
        one.ravel() for one in np.mgrid[1 : layers + 1, 0:rows, 0:columns].astype(np.int64)
    )
    n = len(z)
    extent = np.full((n, 2), SIDE - 1.0)
    stage = np.zeros((n, 2, 3))
    scale = (SIDE - 1) / 2
    stage[:, :, :2] = scale * np.eye(2)
    stage[:, :, 2] = np.stack([column, row], axis=1) * SIDE * (1 - OVERLAP) + scale
    return Tiles(
        names(z, row, column),
        *(z.astype(float), row, column, extent / 2, extent, scale, stage),
        image_z=z.astype(float),
    )


def truth_of(tiles, rng, *, drift=0.3, jitter=0.5, linear=3e-4):
    """True affines: a walk and jitter of the layers, jitter and small shape of the tiles, px."""
    z, layer = np.unique(tiles.z, return_inverse=True)
    walk = drift * np.cumsum(rng.standard_normal((len(z), 2)), axis=0)
    walk += jitter * rng.standard_normal(walk.shape)
    placement = tiles.stage.copy()
    n = len(tiles)
    placement[:, :, :2] += tiles.scale * linear * rng.standard_normal((n, 2, 2))
    placement[:, :, 2] += (walk - walk.mean(axis=0))[layer]
    placement[:, :, 2] += jitter * rng.standard_normal((n, 2))
    return tiles.affines(placement)


def neighbors(tiles, reach):
    """Positions p, q of all pairs: neighbours in a layer, the same cell up to `reach` layers on."""
    rows, columns = tiles.row.max() + 1, tiles.column.max() + 1
    number = np.arange(len(tiles)).reshape(-1, rows, columns)
    pairs = [(number[:, :, :-1], number[:, :, 1:]), (number[:, :-1], number[:, 1:])]
    pairs += [(number[:-dz], number[dz:]) for dz in range(1, reach + 1) if dz < len(number)]
    p, q = (np.concatenate([pair[side].ravel() for pair in pairs]) for side in (0, 1))
    order = np.lexsort((q, p))
    return p[order], q[order]


def case(layers, rows, columns, *, seed=0, reach=6, points=20, noise=0.5, wrong=0.0, **motion):
    """Make the graph of a volume, with a share of `wrong` pairs off by 5 to 500 px."""
    rng = np.random.default_rng(seed)
    tiles = grid(layers, rows, columns)
    truth = truth_of(tiles, rng, **motion)
    return of_truth(tiles, truth, rng, reach=reach, points=points, noise=noise, wrong=wrong)


def of_truth(tiles, truth, rng, *, reach=6, points=20, noise=0.5, wrong=0.0, bent=0.0):
    """Make the graph of tiles with these true affines; wrong pairs are `bent` by so much."""
    p, q = neighbors(tiles, reach)
    bad = rng.random(len(p)) < wrong
    parts = [
        _moments(
            tiles, truth, *(one[i : i + CHUNK] for one in (p, q, bad)), rng, points, noise, bent
        )
        for i in range(0, len(p), CHUNK)
    ]
    joined = [np.concatenate([part[k] for part in parts]) for k in range(5)]
    m = len(p)
    moments = Moments(
        p_id=tiles.ids[p],
        q_id=tiles.ids[q],
        dz=np.abs(tiles.z[p] - tiles.z[q]),
        count=np.full(m, points, np.int64),
        weight=np.full(m, float(points)),
        **dict(zip(("p", "q", "pp", "qq", "pq"), joined, strict=True)),
    )
    return Case(tiles, moments, truth, bad, (p, q))


def points_of(tiles, truth, p, q, bad, rng, count, noise):
    """(m, count, 2) matched points of pairs p - q in the frames of both tiles."""
    apart = (tiles.stage[q] - tiles.stage[p])[:, :, 2][:, None]
    low, high = np.maximum(apart, 0), np.minimum(apart, 0) + SIDE - 1  # p's part of the overlap
    x = low + (high - low) * rng.uniform(0, 1, (len(p), count, 2))
    world = x @ truth[p][:, :, :2].transpose(0, 2, 1) + truth[p][:, None, :, 2]
    back = np.linalg.inv(truth[q][:, :, :2])
    y = (world - truth[q][:, None, :, 2]) @ back.transpose(0, 2, 1)
    y += noise * rng.standard_normal(y.shape)
    size, angle = 5 * 100 ** rng.random(len(p)), rng.uniform(0, 2 * np.pi, len(p))
    y += (bad * size * np.stack([np.cos(angle), np.sin(angle)])).T[:, None]
    return x, y


def _moments(tiles, truth, p, q, bad, rng, count, noise, bent):
    x, y = points_of(tiles, truth, p, q, bad, rng, count, noise)
    a, b = x.mean(axis=1), y.mean(axis=1)
    dx, dy = x - a[:, None], y - b[:, None]
    if bent:
        bend = np.eye(2) + bent * bad[:, None, None] * rng.standard_normal((len(p), 2, 2))
        dy = dy @ bend.transpose(0, 2, 1)
    second = [one.transpose(0, 2, 1) @ two / count for one, two in ((dx, dx), (dy, dy), (dx, dy))]
    return [a, b, *second]
