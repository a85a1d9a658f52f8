"""Changes of thickness that stand out of the error: significance, and what is left of them.

The log of each measured step is a mean, plus a true change, plus error. The true change is a
process whose correlation falls exponentially along z (AR(1)); the error is the sum of three such
processes, one of which is stronger in layers of little tissue (`StepError`), and of independent
noise. All of it is Gaussian, so the posterior mean of the true change is linear in what was
measured: it keeps much of it where the error is small, and nothing where nothing is known. Strength
and scale of the changes are those of greatest likelihood (empirical Bayes), the mean being free
(REML).

How likely so great a likelihood ratio is without any change is found by drawing stacks of even
thickness with just this error. The error itself is known from few samples where there is little
tissue: each draw has another true size of it (chi square of its degrees of freedom), so that a
small stack must differ by more than a large one to be taken as real.

Even the posterior mean may bring layers farther from where they are than nominal z does, mostly by
slow waves, of which a stack has few. How likely that is follows from the same model: true changes
are drawn given what was measured, and the correction is scaled down until it is unlikely.

Everything is banded: time and memory grow with the number of layers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import fft
from scipy.linalg import cho_solve_banded, cholesky_banded, eigh, null_space

from scripts.lib.arrays import Array, Bool
from scripts.zcorr.recursion import decayed

_LEAST_CHANCE = 1e-300  # float64 has hardly less, and its log must be a number
_SCALES = (0.5, 1.0, 2.0, 4.0, 8.0)  # layers, tried for true changes
_STRENGTHS = np.exp(np.linspace(np.log(0.02), np.log(1.0), 14))  # sd of log thickness, tried
_DRAWS = 250  # stacks, twice; the chance of one in a hundred is then known to half of it
_SIMULATED = 400  # steps; in longer stacks the asymptotic distribution of the chance holds
_MOST_DRAWN = 2_000_000  # steps of all draws of harm: 16 MB for each array of them
_LEAST_DRAWS = 50  # stacks, twice; a chance of harm of 0.05 is then known to 0.02
_PARTS = tuple(np.linspace(1, 0.1, 10).tolist())  # of all waves, tried
_SLOW = (0.0, 0.01, 0.02, 0.03, 0.05, 0.1)  # share of all waves, from the slowest on, ...
_HELD = (0.75, 0.5, 0.25, 0.0)  # ... and what is kept of these
_TINY = 1e-6  # variance of the log of thickness; no step is known better


@dataclass(frozen=True)
class Limits:
    """When changes are taken as real, and how much of them (section ``zcorr`` of the config)."""

    change_chance: float = 0.01  # that an even stack shows such changes, by one of two tests
    even_chance: float = 0.1  # the same, by the other
    harm_ratio: float = 1.05  # rms of z over that of nominal z: what ends above it is harmed
    harm_chance: float = 0.05  # of that, which is taken
    lost_slice_ratio: float = 1.5  # of the layers around; one lost slice makes 2
    lost_slice_share: float = 0.01  # of layers that follow a lost slice


LIMITS = Limits()


@dataclass(frozen=True)
class Process:
    """Gaussian process along z whose correlation falls as exp(-distance / scale)."""

    variance: float  # of the log of thickness
    scale_layers: float


@dataclass(frozen=True, eq=False)
class StepError:
    """Error of the log of n steps from layer to layer."""

    tissue: Array  # (n,) sd of what the few structures of a layer's tissue err by
    least: Array  # (n,) layers; thinner than this a step is not known to be
    shared: Process  # along z, of the tissue's error at unit variance: how much of it goes on
    others: tuple[Process, ...]  # errors that are the same however much tissue there is
    noise: float  # least sd of the part that is independent from step to step
    freedom: float  # degrees of freedom with which `tissue` is known

    @property
    def independent(self) -> Array:
        """Variance of what is independent from step to step.

        Returns
        -------
        Array
            (n,).
        """
        apart = self.tissue**2 * (1 - self.shared.variance)
        return np.maximum(np.maximum(apart, self.noise**2), _TINY)

    @property
    def sd(self) -> Array:
        """Standard deviation of all error.

        Returns
        -------
        Array
            (n,) of the log of thickness.
        """
        total = self.independent + self.tissue**2 * self.shared.variance
        return np.asarray(np.sqrt(total + self.common_variance))

    @property
    def common_variance(self) -> float:
        """Variance of what is the same however much tissue there is.

        Returns
        -------
        float
            Of the log of thickness.
        """
        return sum(one.variance for one in self.others)


@dataclass(frozen=True)
class ChangeModel:
    """The process of true changes of thickness that is most likely, and its significance."""

    strength: float  # sd of the log of thickness that is taken as true; 0: none is taken as real
    scale_layers: float  # its correlation length
    chance: float  # that an even stack looks as uneven (`evenness`)
    error_chance: float  # of so great a likelihood ratio in an even stack of this error
    error: float  # sd of the error, of the log of thickness; median over layers

    @property
    def significance(self) -> float:
        """Twice the negative log of the chance: 9.2 is one in a hundred.

        Returns
        -------
        float
            At least 0.
        """
        return -2 * math.log(self.chance) + 0.0

    @property
    def correction_significance(self) -> float:
        """Significance by the surer of both tests where changes were kept, else by the other.

        Returns
        -------
        float
            At least 0.
        """
        both = self.chance, self.error_chance
        return -2 * math.log(min(both) if self.strength > 0 else max(both)) + 0.0


def posterior(
    log: Array,
    known: Bool,
    error: StepError,
    limits: Limits = LIMITS,
    even: float | None = None,
) -> tuple[Array, ChangeModel]:
    """Estimate the true changes of thickness.

    Parameters
    ----------
    log
        (n,) log of measured steps from layer to layer.
    known
        (n,) False where nothing was measured; the value there has no meaning.
    error
        Their error.
    limits
        When changes are taken as real.
    even
        Chance that an even stack looks as uneven, known without any size of the error; None: that
        of this error alone decides.

    Returns
    -------
    kept : Array
        (n,) posterior mean of the log of thickness; 0 throughout when the changes are not
        significant.
    model : ChangeModel
        The process that was found.
    """
    usual = float(np.median(error.sd[known])) if known.any() else 0.0
    if np.count_nonzero(known) < 3:
        return np.zeros_like(log), ChangeModel(0.0, 1.0, 1.0, 1.0, usual)
    values = np.where(known, log, 0.0)[:, None]
    none = _Gaussian.of(known, error, None)
    base = none.log_likelihood(values)[0]
    best, ratio = _most_likely(values, known, error, base)
    of_error = max(_chance(ratio, known, error), _LEAST_CHANCE)
    chance = of_error if even is None else even
    lesser, greater = sorted((chance, of_error))
    if lesser >= limits.change_chance or greater >= max(limits.even_chance, limits.change_chance):
        return np.zeros_like(log), ChangeModel(0.0, best.scale_layers, chance, of_error, usual)
    model = _Gaussian.of(known, error, best)
    kept = _without_harm(model, values, known, error, best, limits)
    strength = math.sqrt(best.variance)
    return kept, ChangeModel(strength, best.scale_layers, chance, of_error, usual)


def _without_harm(
    model: _Gaussian, values: Array, known: Bool, error: StepError, change: Process, limits: Limits
) -> Array:
    """(n,) what of the posterior mean brings layers nearest, and hardly ever harms.

    Slow waves add up to most of the shift and are least known. So of all ways to hold the slowest
    waves of thickness back and scale the rest down that hardly ever do harm, it is the one that
    leaves least.
    """
    kept = model.change(values)
    draws = max(_LEAST_DRAWS, min(_DRAWS, _MOST_DRAWN // (2 * len(known))))
    # drawn given the data: what another stack is off its own posterior mean (Matheron's rule)
    other, seen = _draw(error, change, draws)
    true = np.exp(kept + other - model.change(seen * known[:, None]))
    true /= true.mean(axis=0)
    nominal = _off(true)
    best, least = np.ones(len(known)), 1.0
    for thickness in _candidates(np.exp(kept[:, 0])):
        left = _off(true - thickness[:, None]) / nominal
        square = float(np.mean(left**2))
        if square < least and np.mean(left > limits.harm_ratio) <= limits.harm_chance:
            best, least = thickness, square
    return np.log(best)


def _candidates(thickness: Array) -> Iterator[Array]:
    """Yield (n,) thicknesses, their slowest waves held back and the rest scaled down."""
    mean, n = float(thickness.mean()), len(thickness)
    waves = fft.dct(thickness / mean - 1, norm="ortho")
    for slowest in sorted({round(n * share) for share in _SLOW}):
        for held, part in itertools.product(_HELD if slowest else (1.0,), _PARTS):
            some = part * waves
            some[1 : 1 + slowest] *= held
            yield np.maximum(1 + fft.idct(some, norm="ortho"), thickness.min() / mean)


def _off(thickness: Array) -> Array:
    """(k,) rms of z from the best line, of (n, k) thicknesses, or of what they are off."""
    z = np.vstack([np.zeros(thickness.shape[1]), np.cumsum(thickness, axis=0)])
    at = np.arange(len(z)) - (len(z) - 1) / 2
    z -= z.mean(axis=0) + np.outer(at, at @ z / (at @ at))
    return np.asarray(np.sqrt(np.mean(z**2, axis=0)))


def _tried() -> list[Process]:
    return [Process(float(sd) ** 2, scale) for scale in _SCALES for sd in _STRENGTHS]


def _most_likely(
    values: Array, known: Bool, error: StepError, base: float
) -> tuple[Process, float]:
    """Return the process, and twice the log of its likelihood ratio."""
    found = [_Gaussian.of(known, error, one).log_likelihood(values)[0] for one in _tried()]
    best = int(np.argmax(found))
    return _tried()[best], max(0.0, 2 * (found[best] - base))


def _chance(ratio: float, known: Bool, error: StepError) -> float:
    """Share of even stacks whose likelihood ratio is as great, by drawing them."""
    if ratio == 0:
        return 1.0
    if len(known) > _SIMULATED:
        return math.exp(-ratio / 2)  # chi square, two parameters
    drawn = _ratios(_draw(error, Process(0.0, 1.0))[1], known, error)
    above = int(np.count_nonzero(drawn >= ratio))
    if above > 0:
        return (1 + above) / (1 + len(drawn))
    # beyond all draws the chance falls on as that of a variance which is known so well
    most = float(drawn.max())
    fall = (error.freedom + most) / (error.freedom + ratio)
    return float(fall ** (error.freedom / 2)) / (1 + len(drawn))


def _ratios(values: Array, known: Bool, error: StepError) -> Array:
    """(k,) twice the log of the greatest likelihood ratio of each of (n, k) values.

    The same as `_most_likely` for many stacks of few steps: dense, in the coordinates in which
    error and change are both independent, and without the mean.
    """
    at = np.flatnonzero(known)
    apart = np.abs(np.subtract.outer(at, at))
    free = null_space(np.ones((1, len(at))))
    tissue = error.tissue[at]
    noise = _covariance(error.shared, apart) * np.outer(tissue, tissue)
    noise += sum(_covariance(one, apart) for one in error.others)
    noise += np.diag(error.independent[at])
    most = np.zeros(values.shape[1])
    for scale in _SCALES:
        change = free.T @ _covariance(Process(1.0, scale), apart) @ free
        size, axes = eigh(change, free.T @ noise @ free)
        square = (axes.T @ (free.T @ values[at])) ** 2
        for sd in _STRENGTHS.tolist():
            grown = sd**2 * np.maximum(size, 0.0)
            gain = (grown / (1 + grown)) @ square - np.log1p(grown).sum()
            most = np.maximum(most, gain)
    return most


def _covariance(process: Process, apart: Array) -> Array:
    return np.asarray(process.variance * np.exp(-apart / process.scale_layers))


def _draw(error: StepError, change: Process, draws: int = _DRAWS) -> tuple[Array, Array]:
    """(n, 2 draws) true changes, and the logs of thickness as measured.

    Half of them are drawn from behind, so that a stack turned round gets the same ones, turned.
    """
    halves = []
    for way in (1, -1):
        rng = np.random.default_rng(len(error.tissue))
        true = _walk(rng, len(error.tissue), change, draws)
        halves.append((true[::way], (true + _errors(rng, error, way, draws))[::way]))
    true, seen = (np.hstack(both) for both in zip(*halves, strict=True))
    return true, seen


def _errors(rng: np.random.Generator, error: StepError, way: int, draws: int) -> Array:
    n = len(error.tissue)
    size = np.sqrt(error.freedom / rng.chisquare(error.freedom, draws))
    tissue = error.tissue[::way, None] * _walk(rng, n, error.shared, draws)
    apart = np.sqrt(error.independent)[::way, None] * rng.standard_normal((n, draws))
    rest = sum(_walk(rng, n, one, draws) for one in error.others)
    return np.asarray((tissue + apart) * size + rest)


def _walk(rng: np.random.Generator, n: int, process: Process, draws: int) -> Array:
    step = math.exp(-1 / process.scale_layers)
    white = rng.standard_normal((n, draws)) * math.sqrt(process.variance * (1 - step**2))
    white[0] /= math.sqrt(1 - step**2)
    return np.asarray(decayed(white, 1.0, step))


@dataclass(frozen=True, eq=False)
class _Gaussian:
    """Measured logs as a Gaussian: components along z, and independent noise.

    The components of a step lie beside each other, so that the precision of all is banded.
    """

    factor: Array  # Cholesky factor of the precision of all components given the data
    load: Array  # (n, c) what each component counts in a step
    inverse: Array  # (n,) 1 / variance of the independent part; 0 = unknown
    determinant: float  # log, of the covariance of what is known

    @staticmethod
    def of(known: Bool, error: StepError, change: Process | None) -> _Gaussian:
        """Build it; the first component is the true change, where there is any."""
        parts = [error.shared, *error.others] + ([] if change is None else [change])
        load = np.stack([np.full(len(known), math.sqrt(one.variance)) for one in parts], axis=1)
        load[:, 0] *= error.tissue
        load = load[:, ::-1]  # the true change first
        inverse = known / error.independent
        n, c = load.shape
        band = np.zeros((c + 1, n * c))
        prior = 0.0
        for k, one in enumerate(parts[::-1]):
            step = math.exp(-1 / one.scale_layers)
            rest = 1 - step**2
            diagonal = np.full(n, (1 + step**2) / rest)
            diagonal[[0, -1]] = 1 / rest
            band[0, k::c] = diagonal
            band[c, k : (n - 1) * c : c] = -step / rest
            prior -= (n - 1) * math.log(rest)
            for j in range(k, c):
                band[j - k, k::c] += load[:, k] * load[:, j] * inverse
        factor = cholesky_banded(band, lower=True, check_finite=False)
        determinant = 2 * float(np.log(factor[0]).sum()) - prior
        return _Gaussian(factor, load, inverse, determinant - float(np.log(inverse[known]).sum()))

    def _solved(self, values: Array) -> Array:
        """(n, c, k) posterior means of the components for (n, k) values."""
        n, c = self.load.shape
        right = (self.load * self.inverse[:, None])[:, :, None] * values[:, None, :]
        found = cho_solve_banded((self.factor, True), right.reshape(n * c, -1), check_finite=False)
        return np.asarray(found.reshape(n, c, -1))

    def _whitened(self, values: Array) -> Array:
        """Inverse of the covariance times (n, k) values."""
        seen = np.einsum("nc,nck->nk", self.load, self._solved(values))
        return np.asarray(self.inverse[:, None] * (values - seen))

    def _ones(self) -> Array:
        """(n,) inverse of the covariance times a mean of 1 where it is known."""
        return self._whitened((self.inverse > 0).astype(float)[:, None])[:, 0]

    def log_likelihood(self, values: Array) -> Array:
        """(k,) of (n, k) values, the mean being free."""
        ones = self._ones()
        square = (values * self._whitened(values)).sum(axis=0) - (ones @ values) ** 2 / ones.sum()
        return np.asarray(-0.5 * (square + self.determinant + math.log(ones.sum())))

    def change(self, values: Array) -> Array:
        """(n, k) posterior mean of the true change, the first component."""
        ones = self._ones()
        centred = (values - (ones @ values) / ones.sum()) * (self.inverse > 0)[:, None]
        return np.asarray(self._solved(centred)[:, 0] * self.load[:, :1])
