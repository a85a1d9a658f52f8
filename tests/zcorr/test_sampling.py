"""The error of a thickness follows from how many independent samples its tissue has."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from scripts.zcorr import changes, methods, sampling, thickness
from tests.zcorr.synthetic import cut, measured, specimen
from tests.zcorr.test_zcorr_jobs import ZCORR


def small(side, n, seed, shape=None, noise=6.0):
    """Layers of even thickness, of a specimen of their own."""
    volume = specimen((n + 8, *(shape or (side, side))), seed=seed)
    return cut(volume, 3.0 + np.arange(n), noise=noise, seed=seed)


def seen(layers, monkeypatch):
    """Return what was measured of the steps, and the error that it is given."""
    kept = {}

    def _keep(step, known, error, limits, cells):
        kept.update(step=step, known=known, error=error)
        return np.ones(len(step)), np.zeros(len(step), bool), changes.ChangeModel(0, 1, 1, 1, 0)

    with monkeypatch.context() as patch:
        patch.setattr(thickness, "posterior", _keep)
        methods.isotropic(measured(layers), ZCORR | {"isotropy_error": 0.0})
    return kept["step"], kept["error"]


@pytest.mark.parametrize("side", [80, 128])
def test_the_error_is_as_large_as_it_is_said_to_be(side, monkeypatch):
    actual, said = [], []
    for seed in range(6):
        step, error = seen(list(small(side, 20, seed)), monkeypatch)
        log = np.log(np.maximum(step, error.least))
        actual.append(log.var())
        said.append(np.median(error.sd**2))
    # four samples, as of 80 px, are little, so that more is said than is (Student)
    assert 0.4 < np.sqrt(np.mean(actual) / np.mean(said)) < 1.3


def test_a_layer_of_little_tissue_errs_more(monkeypatch):
    layers = small(128, 24, 0)
    y, x = np.mgrid[:128, :128] - 64
    for z in range(12):  # resin around a disc in the first half
        layers[z] = np.where(np.hypot(y, x) < 32, layers[z], 0)
    _, error = seen(list(layers), monkeypatch)
    assert np.median(error.tissue[:9]) > 1.5 * np.median(error.tissue[15:])


def test_tissue_in_a_single_cell_is_no_certainty(monkeypatch):
    """With one sample nothing scatters: that must not look like no error."""
    found = measured(list(small(80, 12, 0)))
    share = np.zeros_like(found.cell_share)
    share[:, 0] = 1
    nothing = {name: np.zeros_like(getattr(found, name)) for name in CELLS_OF}
    alone = replace(found, cell_share=share, **nothing)
    assert methods.isotropic(alone, ZCORR).figures["thickness_error_sd"] >= 1


CELLS_OF = ("cell_band", "cell_inplane", "cell_variance")


def test_what_cells_add_is_nothing_in_all(monkeypatch):
    found = measured(list(small(96, 6, 3)))
    for name, axis in (("cell_band", 2), ("cell_inplane", 1), ("cell_variance", 1)):
        values = getattr(found, name)
        assert np.abs(values.sum(axis=axis)).max() < 1e-4 * np.abs(values).max()
    assert found.cell_share.sum(axis=1) == pytest.approx(np.ones(6), abs=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_a_small_even_stack_stays_even(seed):
    """12 layers of 72 x 80 px have hardly a grain to tell thickness by."""
    result = methods.isotropic(measured(list(small(0, 12, seed, shape=(72, 80)))), ZCORR)
    assert np.abs(result.z - np.arange(12)).max() < 0.1
    assert result.figures["significance"] < 9.2


def test_chances_of_small_even_stacks_are_evenly_spread():
    """Not all near 1, as of an error that is taken for greater than it is."""
    stacks = (small(0, 12, seed, shape=(72, 80)) for seed in range(12))
    found = [
        methods.isotropic(measured(list(one)), ZCORR).figures["thickness_chance"] for one in stacks
    ]
    assert stats.kstest(found, "uniform").pvalue > 0.01


def test_a_layer_that_is_thick_by_error_is_no_surer_for_it():
    """Of little tissue, as where it emerges from resin: it would decide how all are spaced."""
    n, reach, cells = 20, 3, 16
    z = np.cumsum(np.where(np.arange(n) == 10, 3.0, 1.0))
    distance = np.full((n, reach), np.nan)
    for k in range(reach):
        distance[: n - k - 1, k] = z[k + 1 :] - z[: n - k - 1]
    fit = thickness.positions(distance, np.ones((n, reach)))
    own = 0.1 * np.random.default_rng(0).standard_normal((n, reach, cells)) / cells
    each = sampling.Influence(own, np.zeros((n, cells)), np.full(n, float(cells)))
    error = sampling.step_error(each, fit, np.zeros(n), np.ones(n), (0.0, 3.0))
    assert np.diff(fit.z)[9] > 2
    assert error.tissue[9] > 0.9 * np.median(error.tissue)


def test_a_pair_of_great_error_counts_less():
    distance = np.array([[1.0, 2.0], [1.0, np.nan], [np.nan, np.nan]])
    distance[0, 1] = 3.0  # denied by the two steps
    even = np.ones((3, 2))
    sure = thickness.positions(distance, even, np.array([[1.0, 1e-1], [1.0, 1.0], [1.0, 1.0]]))
    unsure = thickness.positions(distance, even, np.array([[1.0, 1e3], [1.0, 1.0], [1.0, 1.0]]))
    assert np.isfinite(sure.z).all()
    assert unsure.weight[0, 1] < 0.05 * sure.weight[0, 1]


def test_the_response_is_that_of_the_fit():
    rng = np.random.default_rng(0)
    distance = np.abs(np.arange(1, 4) + 0.1 * rng.standard_normal((20, 3)))
    for k in range(3):
        distance[20 - k - 1 :, k] = np.nan
    found = thickness.positions(distance, np.ones((20, 3)))
    change = 1e-3 * rng.standard_normal((20, 3))
    moved = thickness.fit(np.nan_to_num((distance + change) / found.scale), found.weight)
    plain = thickness.fit(np.nan_to_num(distance / found.scale), found.weight)
    assert found.response(change) == pytest.approx(moved - plain, abs=1e-9)


def test_a_process_is_told_from_a_damaged_layer():
    rng = np.random.default_rng(0)
    values = np.convolve(rng.standard_normal(400), np.ones(9) / 3, "same")
    variance, scale = sampling._process(values)
    assert variance == pytest.approx(values.var(), rel=0.05)
    assert 2 < scale < 9
    values[100] = 50
    assert sampling._process(values)[0] < 1.3 * variance
    assert sampling._process(np.full(9, np.nan)) == (0.0, 1.0)


def test_the_variance_of_a_layer_is_that_of_its_area_and_of_its_samples():
    """Thrice the variance in half the layers, for they have a third of the tissue."""
    area = np.where(np.arange(200) < 100, 1.0, 1 / 3)
    samples = np.full(200, 5.0)
    found = sampling._per_area(0.8 * 0.01 / area, area, samples)
    assert found == pytest.approx(0.01 / area)  # 5 samples scatter by 4 / 5 of their variance
    samples[100:] = 1.0  # the tissue of these lies in one cell, which says nothing
    assert sampling._per_area(0.008 / area**0, area, samples) == pytest.approx(0.01 / area)
    assert np.isnan(sampling._per_area(np.zeros(3), np.ones(3), np.ones(3))).all()


def test_a_variance_that_few_samples_tell_counts_more():
    found = sampling._student(np.array([1.0, 4.0, 5.0, 16.0]))
    assert found == pytest.approx([5.0, 3.0, 2.0, 15 / 13])
    short, long = (sampling._freedom(np.full(n, 9.0), np.ones(n)) for n in (10, 160))
    assert (short, long) == (pytest.approx(8), pytest.approx(80))
