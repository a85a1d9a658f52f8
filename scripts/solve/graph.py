"""Tiles and pairs as arrays, in coordinates centred and scaled per tile.

A tile's *placement* is (2, 3): world x and y = ``placement @ (u, v, 1)`` with u, v = (matching
frame point - tile centre) / scale. All three columns are then in px and of like influence, which
keeps the normal equations well conditioned; the third column is the world position of the tile
centre.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from scripts.lib.arrays import Array, Bool, Int64
from scripts.lib.geometry import to_wire
from scripts.lib.job import UserError
from scripts.lib.service.records import TileSet, TileSpec
from scripts.lib.transforms import Affine
from scripts.solve.moments import Moments

NAMED = 5  # tiles named in a message


@dataclass(frozen=True, eq=False)
class Tiles:
    """n tiles, sorted by z, row, column and id.

    ``centre`` (n, 2) and ``extent`` (n, 2) of the tile in its matching frame, px; ``scale`` px per
    unit of u and v, the same for all tiles; ``stage`` (n, 2, 3) placements by the stage;
    ``image_z`` (n,) the layer whose image the tile shows: of a patch that of its source.
    """

    ids: NDArray[np.str_]
    z: Array
    row: Int64
    column: Int64
    centre: Array
    extent: Array
    scale: float
    stage: Array
    image_z: Array

    def __len__(self) -> int:
        """Return the number of tiles."""
        return len(self.ids)

    @property
    def area(self) -> Array:
        """Return the mean of the squared coordinates over the area of each tile.

        Returns
        -------
        Array
            (n, 2) means of u * u and v * v.
        """
        return np.asarray((self.extent / self.scale) ** 2 / 12)

    def affines(self, placement: Array) -> Array:
        """Convert placements to affines.

        Parameters
        ----------
        placement
            (n, 2, 3) placements.

        Returns
        -------
        Array
            (n, 2, 3), matching frame to world, px.
        """
        linear = placement[:, :, :2] / self.scale
        offset = placement[:, :, 2] - np.einsum("nij,nj->ni", linear, self.centre)
        return np.concatenate([linear, offset[:, :, None]], axis=2)

    def placements(self, affines: Array) -> Array:
        """Convert affines to placements: the inverse of `affines`.

        Parameters
        ----------
        affines
            (n, 2, 3), matching frame to world, px.

        Returns
        -------
        Array
            (n, 2, 3) placements.
        """
        linear = affines[:, :, :2]
        offset = affines[:, :, 2] + np.einsum("nij,nj->ni", linear, self.centre)
        return np.concatenate([linear * self.scale, offset[:, :, None]], axis=2)


@dataclass(frozen=True, eq=False)
class Graph:
    """m pairs between n tiles, each pair of tiles once, sorted by p and q.

    ``p``, ``q`` (m,) tile positions; ``dz`` (m,) layers; ``apart`` (m,) layers between the images,
    which are others than dz where a tile is a patch; ``count`` (m,) points; ``weight`` (m,) base
    weight; ``point_weight`` (m,) the same without regard to distance; ``copied`` (m,) whether both
    tiles show one image, as a patch and its source do: they match without noise. Of the points,
    scaled and relative to the tile centre: ``mp``, ``mq`` (2, m) weighted means of u, v of p and q;
    ``spp``, ``sqq``, ``spq`` (2, 2, m) weighted means of the outer products about them. The long
    axis is the last one: all arithmetic on pairs runs along it.
    """

    p: Int64
    q: Int64
    dz: Array
    apart: Array
    count: Int64
    weight: Array
    point_weight: Array
    mp: Array
    mq: Array
    spp: Array
    sqq: Array
    spq: Array
    copied: Bool

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.p)


@dataclass(frozen=True)
class Weighting:
    """How much pairs weigh before any residual is known."""

    dz_exponent: float = 4.0  # a cross pair weighs dz to minus this power
    montage_weight: float = 3.0  # a pair within a layer
    saturation_points: float = (
        100.0  # n points weigh n / (1 + n / this): errors of a pair correlate
    )

    def of(self, moments: Moments, apart: Array) -> Array:
        """Compute the base weights of pairs.

        Parameters
        ----------
        moments
            Of m pairs.
        apart
            (m,) layers between the images of each pair.

        Returns
        -------
        Array
            (m,) weights by points, kind and distance.
        """
        distance = np.maximum(apart, 1.0) ** -self.dz_exponent
        kind = np.where(moments.dz == 0, self.montage_weight, distance)
        return np.asarray(self.by_points(moments) * kind)

    def by_points(self, moments: Moments) -> Array:
        """Compute the weights of pairs by their points alone, whatever their distance.

        Parameters
        ----------
        moments
            Of m pairs.

        Returns
        -------
        Array
            (m,) saturated number of points times their mean weight.
        """
        points = moments.count / (1 + moments.count / self.saturation_points)
        return np.asarray(points * moments.weight / np.maximum(moments.count, 1))


def tiles_of(parts: Iterable[TileSet]) -> Tiles:
    """Lay tiles out as arrays.

    Parameters
    ----------
    parts
        Tiles whose last transforms are the stage positions, some layers at a time, z ascending.

    Returns
    -------
    Tiles
        Sorted by z, row, column and id.

    Raises
    ------
    UserError
        When there is no tile, or the last transform of a tile is no finite affine.
    """
    found = [_laid_out(part) for part in parts if part.tiles]
    if not found:
        raise UserError("the trimmed stack holds no tile: review.exclude took out everything")
    one = _LaidOut(*map(np.concatenate, zip(*found, strict=True)))
    centre, extent = one.boxes.mean(axis=1), np.diff(one.boxes, axis=1)[:, 0]
    scale = float(np.median(extent)) / 2
    image_z, stage = _image_z(one), np.zeros((len(one.ids), 2, 3))
    tiles = Tiles(one.ids, one.z, one.row, one.column, centre, extent, scale, stage, image_z)
    stage[:] = tiles.placements(one.affines)
    return tiles


class _LaidOut(NamedTuple):
    """Tiles as arrays: boxes (k, 2, 2) and affines (k, 2, 3) px, the images, which are copies."""

    ids: NDArray[np.str_]
    z: Array
    row: Int64
    column: Int64
    boxes: Array
    affines: Array
    image: NDArray[np.bytes_]  # a quarter of the memory of text
    is_copy: Bool


def _laid_out(tile_set: TileSet) -> _LaidOut:
    specs = sorted(tile_set.tiles, key=lambda t: (t.z, t.row, t.column, t.tile_id))
    return _LaidOut(
        ids=np.array([spec.tile_id for spec in specs], dtype=np.str_),
        z=np.array([spec.z for spec in specs]),
        row=np.array([spec.row for spec in specs], np.int64),
        column=np.array([spec.column for spec in specs], np.int64),
        boxes=np.array([_matching_box(tile_set, spec) for spec in specs]),
        affines=np.array([_last_affine(tile_set, spec) for spec in specs]),
        image=np.array([spec.image_url.encode() for spec in specs], dtype=np.bytes_),
        is_copy=np.array([spec.is_copy for spec in specs], bool),
    )


def _image_z(tiles: _LaidOut) -> Array:
    """(n,) z of the tile whose image each tile shows; its own where that tile is not there."""
    out, copies = tiles.z.copy(), np.flatnonzero(tiles.is_copy)
    sources = np.flatnonzero(~tiles.is_copy & np.isin(tiles.image, tiles.image[copies]))
    at = dict(zip(tiles.image[sources].tolist(), tiles.z[sources].tolist(), strict=True))
    for i in copies.tolist():
        out[i] = at.get(tiles.image[i], tiles.z[i])
    return out


def _matching_box(tile_set: TileSet, spec: TileSpec) -> Array:
    """Return [[x0, y0], [x1, y1]] of the tile's corners in its matching frame."""
    w, h = spec.width - 1, spec.height - 1
    border = np.array([[0, 0], [w, 0], [0, h], [w, h]], float)
    moved = tile_set.scan_chain(spec).apply(border)
    return np.array([moved.min(axis=0), moved.max(axis=0)])


def _last_affine(tile_set: TileSet, spec: TileSpec) -> Array:
    try:
        parts = tile_set.chain(spec).parts
    except ValueError:  # a number that is none
        parts = ()
    last = parts[-1] if parts else None
    if not isinstance(last, Affine) or not np.isfinite(last.matrix).all():
        raise UserError(
            f"tile {spec.tile_id}: expected a finite affine as last transform (its stage position),"
            f" found {spec.transforms[-1:] or 'no transform'}"
        )
    return last.matrix


def graph_of(tiles: Tiles, moments: Moments, weighting: Weighting) -> Graph:
    """Lay the pairs between tiles out as arrays.

    Parameters
    ----------
    tiles
        The n tiles.
    moments
        Of pairs; those with another tile, of weight zero, or given before are left out, and those
        of a patch that its source has as well: the same points would count twice.
    weighting
        Base weights.

    Returns
    -------
    Graph
        The m pairs, sorted by p and q.

    Raises
    ------
    UserError
        When a moment is not finite; the message names the pair.
    """
    order = np.argsort(tiles.ids)
    ids = tiles.ids[order]
    where = [
        np.minimum(np.searchsorted(ids, side), len(ids) - 1)
        for side in (moments.p_id, moments.q_id)
    ]
    known = (ids[where[0]] == moments.p_id) & (ids[where[1]] == moments.q_id)
    p, q = (order[side] for side in where)
    apart = _apart(tiles, p, q, moments.dz)
    weight = weighting.of(moments, apart)
    use = np.flatnonzero(known & (weight != 0))  # NaN stays, to be named
    use = use[_first_of_each(np.minimum(p, q)[use], np.maximum(p, q)[use])]
    use = use[~_repeated(tiles, p[use], q[use])]
    kept, p, q = _numbers(moments, use), p[use], q[use]
    _check_finite(moments, kept, weight[use], use)
    square = tiles.scale**2
    return Graph(
        p=p,
        q=q,
        dz=kept.dz,
        apart=apart[use],
        count=kept.count,
        weight=weight[use],
        point_weight=weighting.by_points(kept),
        mp=np.ascontiguousarray(((kept.p - tiles.centre[p]) / tiles.scale).T),
        mq=np.ascontiguousarray(((kept.q - tiles.centre[q]) / tiles.scale).T),
        spp=_long(kept.pp) / square,
        sqq=_long(kept.qq) / square,
        spq=_long(kept.pq) / square,
        copied=_sources(tiles)[p] == _sources(tiles)[q],
    )


def _apart(tiles: Tiles, p: Int64, q: Int64, dz: Array) -> Array:
    """(m,) layers between the images of each pair: a patch matches as its source would.

    0 within a layer alone; a patch and its own source count as adjacent.
    """
    away = np.maximum(np.abs(tiles.image_z[p] - tiles.image_z[q]), 1.0)
    return np.where(dz == 0, 0.0, away)


def _first_of_each(low: Int64, high: Int64) -> Int64:
    """Return positions of the pairs by tile numbers, the first of those that are given twice."""
    order = np.lexsort((high, low))
    low, high = low[order], high[order]
    again = (np.diff(low) == 0) & (np.diff(high) == 0)
    return np.asarray(order[np.concatenate([np.ones(min(1, len(low)), bool), ~again])])


def _repeated(tiles: Tiles, p: Int64, q: Int64) -> Bool:
    """(m,) whether a pair of a patch says once more what a pair of its source says.

    A patch hangs on its source by a pair of their own; the others are matches of one image.
    """
    source, n = _sources(tiles), len(tiles)
    a, b = source[p], source[q]
    copied = (a != p) | (b != q)
    if not copied.any():
        return np.asarray(copied, bool)
    held = source == np.arange(n)
    for side, other in ((p, q), (q, p)):
        held[side[source[side] == other]] = True
    key = np.minimum(a, b) * n + np.maximum(a, b)
    return np.asarray(copied & held[p] & held[q] & (a != b) & np.isin(key, key[~copied]))


def _sources(tiles: Tiles) -> Int64:
    """(n,) position of the tile whose image each one shows: of a patch the source, else itself."""
    out = np.arange(len(tiles))
    copies = np.flatnonzero(tiles.image_z != tiles.z)
    if len(copies):
        places = zip(tiles.z.tolist(), tiles.row.tolist(), tiles.column.tolist(), strict=True)
        at = {place: i for i, place in enumerate(places)}
        for i in copies.tolist():
            place = float(tiles.image_z[i]), int(tiles.row[i]), int(tiles.column[i])
            out[i] = at.get(place, i)
    return out


def _long(matrices: Array) -> Array:
    """(m, 2, 2) to (2, 2, m), contiguous."""
    return np.ascontiguousarray(matrices.transpose(1, 2, 0))


def _numbers(moments: Moments, use: Int64) -> Moments:
    """Return some pairs without the ids of their tiles, which take most of the memory of pairs."""
    numbers = {
        f.name: getattr(moments, f.name)[use]
        for f in fields(moments)
        if f.name not in ("p_id", "q_id")
    }
    return replace(moments, p_id=moments.p_id[:0], q_id=moments.q_id[:0], **numbers)


def _check_finite(moments: Moments, kept: Moments, weight: Array, use: Int64) -> None:
    fine = np.isfinite(weight)
    for part in (kept.p, kept.q, kept.pp, kept.qq, kept.pq):
        fine &= np.isfinite(part).all(axis=tuple(range(1, part.ndim)))
    bad = use[~fine]
    if len(bad):
        names = ", ".join(f"{moments.p_id[k]} - {moments.q_id[k]}" for k in bad[:NAMED])
        raise UserError(f"{len(bad)} pairs hold matches that are not finite numbers: {names}")


def require_connected(tiles: Tiles, graph: Graph) -> None:
    """Stop unless the pairs join all tiles into one piece.

    Parameters
    ----------
    tiles
        The n tiles.
    graph
        The pairs between them.

    Raises
    ------
    UserError
        Naming the tiles outside the largest piece.
    """
    link = coo_array((np.ones(len(graph)), (graph.p, graph.q)), shape=(len(tiles), len(tiles)))
    pieces, label = connected_components(link, directed=False)
    if pieces == 1:
        return
    largest = np.bincount(label).argmax()
    outside = tiles.ids[label != largest]
    names = ", ".join(outside[:NAMED]) + (", ..." if len(outside) > NAMED else "")
    raise UserError(
        f"the matches do not join all {len(tiles)} tiles: expected one piece, found {pieces};"
        f" {len(outside)} tiles are outside the largest: {names}. Take them out with"
        " review.exclude, or set review.auto: true"
    )


def solution(tiles: Tiles, placement: Array) -> Mapping[str, Sequence[float]]:
    """Convert placements to the form of ``solve/transforms.json.gz``.

    Parameters
    ----------
    tiles
        The n tiles.
    placement
        (n, 2, 3) placements.

    Returns
    -------
    Mapping
        ``{tile id: [m00, m10, m01, m11, m02, m12]}``, matching frame to world, in the order of the
        tiles.
    """
    affines = tiles.affines(placement)
    return {str(name): to_wire(one) for name, one in zip(tiles.ids, affines, strict=True)}
