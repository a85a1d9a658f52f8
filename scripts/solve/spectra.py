"""Spectra: what bends tiles, what tissue moves, told apart by how they go on from layer to layer.

A displacement between a layer and the next is ``u(z + 1) - u(z) + f(z)``. u is what the tiles are
bent by: it comes and goes within a few layers, so steps of it cancel, and their autocovariance over
layers is negative somewhere. f is what tissue moves: it goes on in one direction, and its
autocovariance is nowhere negative. So the autocovariance of each band of smooth modes of a tile
(from those of an affine to ones that bend within a cell) is fitted by a sum of both kinds, none of
them below zero. It is taken to be tissue as far as that explains it: what u is granted costs
`EVIDENCE`, and only where something remains it is fitted without.

From the two spectra follows what a field that is held by a prior would leave (the error of a Wiener
filter), for each prior that is tried: the best is taken, or none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg, optimize

from scripts.lib.arrays import Array
from scripts.solve.displacements import Displacements, windows_of
from scripts.solve.lattice import Lattice, energies

LAGS = 9  # layers, 0 to 8: what comes and goes within a few layers has done so by then
EVIDENCE = 0.1  # share of a band's variance that the fit must miss by, for what bends to be granted
LEAST_LAYERS = 2 * LAGS  # fewer say nothing of autocovariances
LEAST_GAIN = 0.02  # of the error from layer to layer: less is not worth a field
LEAST_PX = (
    0.1  # from layer to layer: below, the noise of pictures that pairs share looks like bends
)
_WHOLE = 0.8  # share of its windows that a layer must show
_BANDS = (0, 3, 6, 10)  # first modes: affine, second and third order, finer
_PERSISTENT = (0.3, 0.5, 0.7, 0.85, 0.95)  # correlations from layer to layer
_SMOOTH = (1.0, 1.5, 2.5, 4.0)  # layers, sd of Gaussian autocovariances
_BENDS = (0.0, 0.7, 1.2, 2.0)  # layers, sd of the Gaussian that what bends is smooth over
BENDING = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
RIDGE = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
_FREQUENCIES = (np.arange(256) + 0.5) * np.pi / 256
_STEP = 2 - 2 * np.cos(_FREQUENCIES)  # what a difference of neighbours does to power


@dataclass(frozen=True)
class Prior:
    """How fields are held: per window and px^2, in units of the windows' own weight."""

    bending: float
    ridge: float  # of the size: a wave of n layers is held as (2 pi / n)^2 of it

    def kept(self, bend: float) -> Array:
        """Return which share of a mode a field takes up.

        Parameters
        ----------
        bend
            Bending energy of the mode.

        Returns
        -------
        Array
            (256,) for frequencies over layers, 0 to 1.
        """
        return np.asarray(_STEP / (_STEP + self.bending * bend + self.ridge))


@dataclass(frozen=True, eq=False)
class Choice:
    """The prior, None where no field is worth it, and what it rests on."""

    prior: Prior | None
    error_px: float  # of a field, what tissue makes of it, rms over the tile
    figures: Mapping[str, Any]


def chosen(
    parts: Sequence[Displacements], cells: Mapping[str, str], lattice: Lattice, side: int
) -> Choice:
    """Choose how fields are held.

    Parameters
    ----------
    parts
        Displacements of runs of layers.
    cells
        Cell by tile id, of those that count.
    lattice
        Of the tiles.
    side
        Of their windows, px.

    Returns
    -------
    Choice
        With figures for a page and for machines.
    """
    at, shape = windows_of(lattice, side)
    series = [one for part in parts for one in _series(part, cells, len(at))]
    figures: dict[str, Any] = {"layers": max((one.shape[1] for one in series), default=0)}
    figures |= {"places": sum(map(len, parts)), "windows": len(at)}
    if figures["layers"] < LEAST_LAYERS:
        return Choice(None, np.nan, figures | {"reason": f"fewer than {LEAST_LAYERS} layers"})
    figures |= _measured(series, shape, side, lattice)
    bends, modes = _modes(lattice, at)
    lags = _autocovariances([one @ modes / np.sqrt(len(at)) for one in series])
    numbers = 2 * sum(int(np.isfinite(one[0, :, 0]).sum()) for one in series)
    granted = _evident(lags[: _BANDS[-1]], numbers)
    bands = [_Band.of(lags[k], bends[k], granted) for k in _bands(len(bends))]
    figures["bands"] = [band.figures() for band in bands]
    return _best(bands, figures)


# ---------------------------------------------------------------------------------------------
# series of modes
# ---------------------------------------------------------------------------------------------


def _series(found: Displacements, cells: Mapping[str, str], windows: int) -> list[Array]:
    """Return for each cell (2, layers, windows) displacements less their mean; NaN: not whole."""
    out = []
    step = found.other_z - found.z == 1
    names = np.array([cells.get(tile_id, "") for tile_id in found.p_id], dtype=np.str_)
    for cell in sorted(set(names.tolist()) - {""}):
        own = step & (names == cell)
        use = own[found.pair] & (found.window >= 0) & (found.window < windows)
        if not use.any():
            continue
        z = found.z[found.pair[use]]
        values = np.full((int(np.ptp(z)) + 1, windows, 2), np.nan)
        values[z - z.min(), found.window[use]] = found.shift[use]
        known = np.isfinite(values)
        count = np.maximum(known.sum(axis=0), 1)
        values -= np.where(known, values, 0).sum(axis=0) / count
        whole = known[..., 0].mean(axis=1) >= _WHOLE
        values[~known] = 0.0
        values[~whole] = np.nan
        out.append(np.moveaxis(values, -1, 0))
    return out


def _modes(lattice: Lattice, at: Array) -> tuple[Array, Array]:
    """Return bending energies (m,) and modes (windows, m) of unit length, the smoothest first."""
    design = lattice.design(at).toarray()
    per_cell = len(at) / np.prod(lattice.cells)
    bending, size = energies(lattice.cells)
    gram = design.T @ design / per_cell + 1e-4 * size
    bends, shapes = linalg.eigh(bending, gram)
    keep = max(_BANDS[1], min(len(bends), 3 * len(at) // 4))
    modes = design @ shapes[:, :keep]
    return np.maximum(bends[:keep], 0.0), modes / np.linalg.norm(modes, axis=0)


def _bands(count: int) -> list[slice]:
    ends = [*_BANDS[1:], count]
    return [slice(a, min(b, count)) for a, b in zip(_BANDS, ends, strict=True) if a < count]


def _autocovariances(series: Sequence[Array]) -> Array:
    """Return (modes, LAGS) of (2, layers, modes): over cells, axes and layers."""
    total = np.zeros((series[0].shape[2], LAGS))
    count = np.zeros(LAGS)
    for one in series:
        for lag in range(min(LAGS, one.shape[1])):
            product = one[:, : one.shape[1] - lag] * one[:, lag:]
            known = np.isfinite(product[..., 0])
            total[:, lag] += np.where(known[..., None], product, 0).sum(axis=(0, 1))
            count[lag] += known.sum()
    return total / np.maximum(count, 1)


# ---------------------------------------------------------------------------------------------
# bands
# ---------------------------------------------------------------------------------------------


def _gauss(layers: Array, sd: float) -> Array:
    """Return the autocovariance of white noise that is smoothed with a Gaussian of this sd."""
    return np.exp(-(layers**2) / (4 * sd**2)) if sd else np.asarray(layers == 0, float)


def _terms() -> tuple[Array, Array, Array, Array]:
    """Return autocovariances (LAGS, n) and power (256, n) of what tissue does, and of bends.

    The autocovariances of bends are those of their steps.
    """
    lags, wide = np.arange(LAGS, dtype=float), np.arange(-40.0, 41.0)
    waves = np.cos(np.outer(_FREQUENCIES, wide))
    ever = np.zeros(len(_FREQUENCIES))  # what is the same in all layers has no frequency
    flow = np.column_stack([_tissue(lags), np.ones(LAGS)])
    flow_power = np.column_stack([np.maximum(waves @ _tissue(wide), 0), ever])
    steps = [2 * _gauss(lags, s) - _gauss(lags - 1, s) - _gauss(lags + 1, s) for s in _BENDS]
    power = [waves @ _gauss(wide, s) for s in _BENDS]
    return flow, flow_power, np.column_stack(steps), np.column_stack(power)


def _tissue(lags: Array) -> Array:
    """Return (lags, n) autocovariances that are nowhere negative, and that of white noise."""
    falling = [np.asarray(r ** np.abs(lags)) for r in _PERSISTENT]
    smooth = [np.exp(-(lags**2) / (2 * s**2)) for s in _SMOOTH]
    return np.column_stack([*falling, *smooth, np.asarray(lags == 0, float)])


_FLOW, _FLOW_POWER, _BEND, _BEND_POWER = _terms()


def _evident(lags: Array, numbers: int) -> bool:
    """Tell whether the coarse modes together show that something bends.

    Their correlations over layers are known as well as so many numbers of each mode let them be
    (Bartlett 1946, doi:10.2307/2983611): what is within a standard error of tissue is tissue.
    """
    power = np.maximum(lags[:, 0], 0.0)
    if not power.any():
        return False
    mean = lags.sum(axis=0) / power.sum()
    modes = power.sum() ** 2 / (power**2).sum()  # that as many of equal power would be
    error = np.sqrt((1 + 2 * (mean[1:] ** 2).sum()) / (numbers * modes))
    return bool(_fit(mean, EVIDENCE + float(error))[1].any())


@dataclass(frozen=True, eq=False)
class _Band:
    """Modes that are alike, and what they are made of."""

    lags: Array  # (LAGS,) mean of the modes, px^2
    bends: Array  # (m,) bending energies
    flow: Array  # (256,) power of a mode's tissue and noise
    bent: Array  # (256,) power of a mode's bends
    share: float  # of the variance of steps that bends have

    @staticmethod
    def of(lags: Array, bends: Array, granted: bool) -> _Band:
        """Tell apart what (m, LAGS) autocovariances are made of: tissue alone if not `granted`."""
        mean = lags.mean(axis=0)
        flow, bent = _fit(mean, EVIDENCE if granted else np.inf)
        if bent.any():
            flow, bent = _fit(mean, 0.0)
        share = float(bent @ _BEND[0] / mean[0]) if mean[0] > 0 else 0.0
        return _Band(mean, bends, _FLOW_POWER @ flow, _BEND_POWER @ bent, share)

    def left(self, prior: Prior | None) -> float:
        """Return the mean square that is left from layer to layer, px^2, one axis."""
        total = 0.0
        for bend in self.bends:
            kept = np.zeros(len(_STEP)) if prior is None else prior.kept(float(bend))
            total += float(np.mean(_STEP * (1 - kept) ** 2 * self.bent + kept**2 * self.flow))
        return total

    def noise(self, prior: Prior) -> float:
        """Return the mean square of a field that tissue and noise make, px^2, one axis."""
        return sum(
            float(np.mean(prior.kept(float(bend)) ** 2 * self.flow / _STEP)) for bend in self.bends
        )

    def figures(self) -> dict[str, Any]:
        """Return what a page shows of it."""
        scale = max(self.lags[0], 1e-12)
        return {
            "modes": len(self.bends),
            "px": float(np.sqrt(2 * len(self.bends) * max(self.lags[0], 0))),
            "over_layers": [round(float(v), 3) for v in self.lags[1:] / scale],
            "bent_share": round(self.share, 3),
        }


def _fit(lags: Array, evidence: float) -> tuple[Array, Array]:
    """Fit autocovariances by terms that are not negative; bends cost `evidence` of the variance."""
    evidence = min(evidence, 1e3)
    terms = np.hstack([_FLOW, _BEND])
    cost = np.concatenate([np.zeros(_FLOW.shape[1]), evidence * max(lags[0], 0.0) * _BEND[0]])
    normal = terms.T @ terms + 1e-6 * np.eye(terms.shape[1])
    root = linalg.cholesky(normal, lower=True)
    right = linalg.solve_triangular(root, terms.T @ lags - cost, lower=True)
    found, _ = optimize.nnls(root.T, right)
    return found[: _FLOW.shape[1]], found[_FLOW.shape[1] :]


def _best(bands: Sequence[_Band], figures: dict[str, Any]) -> Choice:
    """Return the prior with the least error from layer to layer."""
    none = sum(band.left(None) for band in bands)
    priors = [Prior(bending, ridge) for bending in BENDING for ridge in RIDGE]
    left = [sum(band.left(prior) for band in bands) for prior in priors]
    best = int(np.argmin(left))
    figures["bent_px"] = float(np.sqrt(2 * none))
    if left[best] > (1 - LEAST_GAIN) ** 2 * none or none <= 0:
        return Choice(None, np.nan, figures | {"reason": "what tissue does explains what is left"})
    if figures["bent_px"] < LEAST_PX:
        return Choice(None, np.nan, figures | {"reason": f"bends are below {LEAST_PX:g} px"})
    error = float(np.sqrt(2 * sum(band.noise(priors[best]) for band in bands)))
    figures |= {"left_px": float(np.sqrt(2 * left[best])), "error_px": error}
    return Choice(priors[best], error, figures)


# ---------------------------------------------------------------------------------------------
# figures
# ---------------------------------------------------------------------------------------------


def _measured(
    series: Sequence[Array], shape: tuple[int, int], side: int, lattice: Lattice
) -> dict[str, Any]:
    """Return how large displacements are, and how alike over place."""
    values = np.concatenate([np.moveaxis(one, 0, -1) for one in series])
    values = values[np.isfinite(values[:, 0, 0])].reshape(-1, *shape, 2)
    mean = float((values**2).mean())
    apart = (lattice.box.width - side) / max(shape[1] - 1, 1)
    place = [
        round(float((values[:, :, :-k] * values[:, :, k:]).mean() / max(mean, 1e-12)), 3)
        for k in range(1, min(5, shape[1]))
    ]
    return {"px": float(np.sqrt(2 * mean)), "apart_px": apart, "over_place": place}
