"""Field solve: the fields of all tiles of some layers at once, from displacements.

Minimised are the squares of what windows miss each other by, each with a weight that falls with its
residual (Cauchy), with bending energy and size of every field times those of a `Prior`. The size
holds long waves over layers where the affines have put them. What a place of the tiles does on the
mean of many layers is the tissue's trend and is taken off before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import linalg

from scripts.lib import geometry
from scripts.lib.arrays import Array, Bool, Index
from scripts.lib.nonlinear import ThinPlateSpline
from scripts.lib.numerics.robust import cauchy
from scripts.solve.displacements import Displacements
from scripts.solve.lattice import Lattice, energies, spline_through
from scripts.solve.spectra import Prior

TREND_LAYERS = 16  # sd of the Gaussian whose mean over layers is the trend of a place
MARGIN = 3 * TREND_LAYERS  # layers on both sides that what is solved for depends on
_CUTOFF = 3.0  # medians of the residuals, at which a window loses half of its weight
_ROUNDS = 6


@dataclass(frozen=True)
class TileLattice:
    """A tile with its lattice."""

    tile_id: str
    cell: str
    lattice: Lattice


@dataclass(frozen=True, eq=False)
class FieldOf:
    """The field of a tile: (terms, 2) world px."""

    lattice: Lattice
    terms: Array
    times_error: float = np.inf  # what it spares its windows, over what noise would have it spare

    @property
    def px(self) -> float:  # numpydoc ignore=RT01
        """Return its root mean square over the tile, px."""
        _, size = energies(self.lattice.cells)
        square = np.einsum("ik,ij,jk->", self.terms, size, self.terms)
        return float(np.sqrt(max(square, 0.0) / np.prod(self.lattice.cells)))

    def spline(self, affine: Array) -> ThinPlateSpline:
        """Return the field as a transform of the matching frame.

        Parameters
        ----------
        affine
            (2, 3) of the tile, which follows it.

        Returns
        -------
        ThinPlateSpline
            Through what the field moves the nodes of its lattice by.
        """
        nodes = self.lattice.nodes()
        world = self.lattice.design(nodes) @ self.terms
        back = geometry.invert(affine)[:, :2]
        return spline_through(nodes, world @ back.T)


def solve(
    tiles: Sequence[TileLattice],
    found: Displacements,
    prior: Prior,
    *,
    seam_weight: float = 1.0,
    windows_per_px: float = 1.0,
) -> dict[str, FieldOf]:
    """Solve the fields of tiles.

    Parameters
    ----------
    tiles
        All tiles of the layers.
    found
        Their displacements; those with other tiles are left out.
    prior
        How fields are held.
    seam_weight
        Of a window in an overlap, relative to one from layer to layer.
    windows_per_px
        Windows that share a pixel: their noise is one.

    Returns
    -------
    dict
        Fields by tile id.
    """
    number = {one.tile_id: k for k, one in enumerate(tiles)}
    ends: Index = np.array(
        [[number.get(i, -1) for i in ids] for ids in (found.p_id, found.q_id)], np.intp
    )
    known: Bool = np.all(ends[:, found.pair] >= 0, axis=0)
    starts = np.cumsum([0, *(one.lattice.terms for one in tiles)])
    design = _design(tiles, found, known, ends, starts)
    shift = (found.shift - _trends(found, [one.cell for one in tiles], ends))[known]
    seam = (found.z == found.other_z)[found.pair[known]]
    held = _held(tiles, known, found, prior)
    terms, weights = _robust(design, shift, seam, held, seam_weight)
    noise = _noise(design @ terms - shift, weights) * windows_per_px
    normal = (design.T @ design.multiply(weights[:, None])).tocsr()
    out = {}
    for one, a, b in zip(tiles, starts, starts[1:], strict=False):
        blocks = normal[a:b, a:b].toarray(), held[a:b, a:b].toarray()
        out[one.tile_id] = FieldOf(
            one.lattice, terms[a:b], _times_error(terms[a:b], *blocks, noise)
        )
    return out


def _noise(left: Array, weights: Array) -> float:
    """Return the variance of a window of weight one, along an axis, px^2."""
    if not len(left):
        return 0.0
    return float((weights[:, None] * left**2).sum() / (2 * np.count_nonzero(weights)))


def _times_error(terms: Array, normal: Array, held: Array, noise: float) -> float:
    """Return how many times its own error a field is, its neighbours being what they are.

    By the squares that its windows would miss by without it, over those that it would spare them of
    pure noise: as many as it has free terms.
    """
    free = 2 * float(np.trace(np.linalg.solve(normal + held, normal)))
    spared = float(np.einsum("ik,ij,jk->", terms, normal, terms))
    return math.sqrt(spared / max(free * noise, 1e-12))


def _design(
    tiles: Sequence[TileLattice], found: Displacements, known: Bool, ends: Index, starts: Index
) -> sparse.csr_matrix:
    """Return (windows, terms): where p moves a window less where q does."""
    rows, columns, values = [], [], []
    kept = np.flatnonzero(known)  # in the order of pairs
    cuts = np.searchsorted(found.pair[kept], np.arange(ends.shape[1] + 1))
    for k in np.flatnonzero(np.diff(cuts)):
        row = np.arange(cuts[k], cuts[k + 1])
        own = kept[row]
        for sign, end, xy in ((1.0, ends[0, k], found.p_xy), (-1.0, ends[1, k], found.q_xy)):
            part = tiles[end].lattice.design(xy[own]).tocoo()
            rows.append(row[part.row])
            columns.append(starts[end] + part.col)
            values.append(sign * part.data)
    shape = (int(known.sum()), int(starts[-1]))
    if not rows:
        return sparse.csr_matrix(shape)
    places = np.concatenate(rows), np.concatenate(columns)
    return sparse.csr_matrix((np.concatenate(values), places), shape)


def _held(
    tiles: Sequence[TileLattice], known: Bool, found: Displacements, prior: Prior
) -> sparse.csc_matrix:
    """Return the prior of all fields: times the windows of a cell of the lattice."""
    steps = known & (found.window >= 0)
    pairs = np.maximum(np.unique(found.pair[steps]).size, 1)
    windows = max(float(steps.sum()) / pairs, 1.0)
    blocks = []
    for one in tiles:
        bending, size = energies(one.lattice.cells)
        held = prior.bending * bending + prior.ridge * size
        blocks.append(sparse.csc_matrix(windows / np.prod(one.lattice.cells) * held))
    return sparse.block_diag(blocks, format="csc")


def _trends(found: Displacements, cells: Sequence[str], ends: Index) -> Array:
    """Return (m, 2) the mean over layers around, of each place of each cell of tiles; seams: 0."""
    out = np.zeros((len(found), 2))
    cell = np.array([*cells, ""])[ends[0]] if len(found.p_id) else np.zeros(0, str)
    steps = np.flatnonzero(found.window >= 0)
    order = np.lexsort((found.z[found.pair[steps]], found.window[steps], cell[found.pair[steps]]))
    steps = steps[order]
    key = np.array([f"{cell[found.pair[i]]}/{found.window[i]}" for i in steps], dtype=np.str_)
    for part in np.split(steps, np.flatnonzero(key[1:] != key[:-1]) + 1):
        if not len(part):
            continue
        z = found.z[found.pair[part]] - found.z[found.pair[part[0]]]
        values, count = np.zeros((z[-1] + 1, 2)), np.zeros((z[-1] + 1, 1))
        np.add.at(values, z, found.shift[part])
        np.add.at(count, z, 1.0)
        smooth = [
            ndimage.gaussian_filter1d(each, TREND_LAYERS, axis=0, mode="constant", truncate=3.0)
            for each in (values, count)
        ]
        out[part] = (smooth[0] / np.maximum(smooth[1], 1e-12))[z]
    return out


def _robust(
    design: sparse.csr_matrix,
    shift: Array,
    seam: Bool,
    held: sparse.csc_matrix,
    seam_weight: float,
) -> tuple[Array, Array]:
    """Return (terms, 2) of the re-weighted least squares, and the weights of the windows."""
    weights = np.where(seam, seam_weight, 1.0)
    base, terms = weights, np.zeros((design.shape[1], 2))
    for _ in range(_ROUNDS):
        normal = (design.T @ design.multiply(weights[:, None]) + held).tocsc()
        factor = linalg.splu(normal, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
        terms = factor.solve(design.T @ (weights[:, None] * shift))
        left = np.hypot(*(design @ terms - shift).T)
        unit = np.ones(len(left))
        for kind in (seam, ~seam):
            if kind.any():
                unit[kind] = max(float(np.median(left[kind])), 1e-6)
        weights = base * cauchy(left / (_CUTOFF * unit))
    return terms, weights


def splines(
    solved: Mapping[str, FieldOf], affines: Mapping[str, Array], deviations: float
) -> dict[str, ThinPlateSpline]:
    """Return the splines of the tiles whose fields stand out of their error.

    Parameters
    ----------
    solved
        Fields by tile id.
    affines
        (2, 3) of the tiles whose splines are wanted, by tile id.
    deviations
        Times its own error that a field must be; else the tile keeps its affine alone.

    Returns
    -------
    dict
        Splines by tile id.
    """
    return {
        tile_id: solved[tile_id].spline(affine)
        for tile_id, affine in affines.items()
        if tile_id in solved and solved[tile_id].times_error > deviations
    }
