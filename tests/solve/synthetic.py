"""Graphs with known truth: tiles, true affines, and matches with noise and gross errors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scripts.lib import geometry, transforms
from scripts.lib.numerics import models
from scripts.lib.service.records import CanvasMatches, Leaf, TileSet, TileSpec

Truth = dict[str, np.ndarray]


def tile(z, row, column, *, size=(240, 240), stage=(0.0, 0.0), scan=None) -> TileSpec:
    last = Leaf(transforms.AFFINE, transforms.affine_data(geometry.translation(*stage)))
    first = () if scan is None else (Leaf(transforms.SEM_DISTORTION_A, scan),)
    return TileSpec(
        tile_id=f"t_0-{row}-{column}.{float(z):.1f}",
        z=float(z),
        width=size[1],
        height=size[0],
        image_url="file:///none",
        transforms=(*first, last),
        row=row,
        column=column,
    )


def grid(z_values, rows, columns, *, size=(240, 240), overlap=0.2) -> TileSet:
    step = [s * (1 - overlap) for s in size]
    return TileSet(
        tuple(
            tile(z, r, c, size=size, stage=(c * step[1], r * step[0]))
            for z in z_values
            for r in range(rows)
            for c in range(columns)
        )
    )


def stage_of(tiles: TileSet) -> Truth:
    return {
        t.tile_id: np.array(tiles.chain(t).parts[-1].matrix)  # type: ignore[attr-defined]
        for t in tiles.tiles
    }


def shaken(tiles: TileSet, rng, *, drift=1.0, jitter=0.5, linear=1e-3) -> Truth:
    """True affines: random walk and jitter of the layers, jitter and small shape of the tiles."""
    z_values = sorted({t.z for t in tiles.tiles})
    walk = drift * np.cumsum(rng.standard_normal((len(z_values), 2)), axis=0)
    layer = dict(zip(z_values, walk - walk.mean(axis=0), strict=True))
    out = {}
    for t in tiles.tiles:
        stage = np.array(tiles.chain(t).parts[-1].matrix)  # type: ignore[attr-defined]
        shape = np.eye(2) + linear * rng.standard_normal((2, 2))
        middle = np.array([t.width - 1, t.height - 1]) / 2
        offset = stage[:, 2] + layer[t.z] + jitter * rng.standard_normal(2)
        out[t.tile_id] = np.column_stack([shape, offset + middle - shape @ middle])
    return out


def matches(
    tiles: TileSet,
    truth: Truth,
    rng,
    *,
    reach=6,
    points=20,
    noise: float | Callable[[float], float] = 0.3,
    wrong=0.0,
    lost=0.0,
) -> list[CanvasMatches]:
    """Matches of montage neighbours and of the same cell up to `reach` layers on."""
    by_cell: dict[tuple, TileSpec] = {(t.z, t.row, t.column): t for t in tiles.tiles}
    z_values = sorted({t.z for t in tiles.tiles})
    out = []
    for (z, r, c), a in by_cell.items():
        others = [(z, r, c + 1), (z, r + 1, c)]
        others += [(w, r, c) for w in z_values if 0 < w - z <= reach]
        for key in others:
            if key in by_cell and rng.random() >= lost:
                sigma = noise(key[0] - z) if callable(noise) else noise
                pair = _pair(a, by_cell[key], truth, rng, points, sigma)
                if rng.random() < wrong:
                    size = 5 * 100 ** rng.random()
                    angle = rng.uniform(0, 2 * np.pi)
                    pair.q[:] += size * np.array([np.cos(angle), np.sin(angle)])
                out.append(pair.ordered())
    return out


def _pair(a, b, truth, rng, points, noise) -> CanvasMatches:
    forward, back = truth[a.tile_id], geometry.invert(truth[b.tile_id])
    size = np.array([a.width - 1, a.height - 1])
    many = 3 if a.cell == b.cell else 30  # neighbors share a fifth of their area
    p = rng.uniform(0, 1, (many * points, 2)) * size
    q = geometry.apply(back, geometry.apply(forward, p))
    inside = ((q >= 0) & (q <= size)).all(axis=1)
    p, q = p[inside][:points], q[inside][:points]
    q = q + noise * rng.standard_normal(q.shape)
    return CanvasMatches(a.section_id, a.tile_id, b.section_id, b.tile_id, p, q, np.ones(len(p)))


def deviation(tiles: TileSet, got: dict, truth: Truth) -> np.ndarray:
    """(n, 4, 2) difference at the tile corners after the best rigid move of the whole."""
    mine, wanted = [], []
    for t in tiles.tiles:
        corners = geometry.corners(t.width, t.height)
        mine.append(geometry.apply(geometry.from_wire(got[t.tile_id]), corners))
        wanted.append(geometry.apply(truth[t.tile_id], corners))
    a, b = np.concatenate(mine), np.concatenate(wanted)
    move = models.fit_rigid(a, b)
    return (geometry.apply(move, a) - b).reshape(-1, 4, 2)


def rms(deviations: np.ndarray) -> float:
    return float(np.sqrt((deviations**2).sum(axis=-1).mean()))
