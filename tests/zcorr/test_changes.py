"""Changes of thickness: the banded model is the dense one, and its chances are chances."""

from dataclasses import replace

import numpy as np
import pytest

from scripts.zcorr import changes
from scripts.zcorr.changes import Process, StepError, posterior

N = 24


def error(n=N, freedom=40.0, tissue=0.1):
    """Error of layers whose tissue grows out of resin."""
    sizes = tissue * np.linspace(2, 1, n)
    others = (Process(0.03**2, 5.0), Process(0.05**2, 3.0))
    return StepError(sizes, np.full(n, 0.05), Process(0.4, 4.0), others, 0.02, freedom)


def covariance(process, n=N):
    apart = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    return process.variance * np.exp(-apart / process.scale_layers)


def dense(of, n=N):
    """Covariance of the error."""
    tissue = covariance(of.shared, n) * np.outer(of.tissue, of.tissue)
    return tissue + sum(covariance(one, n) for one in of.others) + np.diag(of.independent)


def drawn(of, count, n=N, seed=0):
    rng = np.random.default_rng(seed)
    size = np.sqrt(of.freedom / rng.chisquare(of.freedom, count))
    own = replace(of, others=(), noise=0.0)
    parts = np.linalg.cholesky(dense(own, n)) @ rng.standard_normal((n, count)) * size
    rest = sum(covariance(one, n) for one in of.others)
    return parts + np.linalg.cholesky(rest + 1e-12 * np.eye(n)) @ rng.standard_normal((n, count))


@pytest.mark.parametrize("gaps", [[], [0, 7, 8]])
def test_the_banded_model_is_the_dense_one(gaps):
    of, change = error(), Process(0.2**2, 2.0)
    known = ~np.isin(np.arange(N), gaps)
    values = np.random.default_rng(1).standard_normal(N) * known
    inverse = np.linalg.inv((dense(of) + covariance(change))[np.ix_(known, known)])
    ones = inverse.sum(axis=0)
    mean = ones @ values[known] / ones.sum()
    kept = covariance(change)[:, known] @ inverse @ (values[known] - mean)
    model = changes._Gaussian.of(known, of, change)
    assert model.change(values[:, None])[:, 0] == pytest.approx(kept, abs=1e-9)
    square = (values[known] - mean) @ inverse @ (values[known] - mean)
    wanted = -0.5 * (square - np.linalg.slogdet(inverse)[1] + np.log(ones.sum()))
    assert model.log_likelihood(values[:, None])[0] == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("gaps", [[], [0, 7, 8]])
def test_ratios_of_many_stacks_are_those_of_one(gaps):
    of, known = error(), ~np.isin(np.arange(N), gaps)
    values = drawn(of, 5) * known[:, None]
    many = changes._ratios(values, known, of)
    for one, found in zip(values.T[:, :, None], many, strict=True):
        base = changes._Gaussian.of(known, of, None).log_likelihood(one)[0]
        assert changes._most_likely(one, known, of, base)[1] == pytest.approx(found, abs=1e-6)


def test_chances_of_even_stacks_are_evenly_spread():
    """A chance below p comes about in p of the stacks, with errors known from few samples too."""
    for freedom in (3.0, 100.0):  # of the error's size
        of = error(freedom=freedom)
        found = [posterior(one, np.ones(N, bool), of)[1].chance for one in drawn(of, 60).T]
        for p in (0.1, 0.3):  # within three standard deviations of a binomial
            most = 3 * np.sqrt(p * (1 - p) / 60)
            assert np.mean(np.array(found) <= p) == pytest.approx(p, abs=most)


def test_even_stacks_stay_even_and_changes_come_back():
    of, known = error(60), np.ones(60, bool)
    kept, model = posterior(drawn(of, 1, 60)[:, 0], known, of)
    assert not kept.any()
    assert model.strength == 0
    assert model.significance < 9.2
    true = np.linalg.cholesky(covariance(Process(0.5**2, 3.0), 60)) @ np.random.default_rng(
        2
    ).standard_normal(60)
    kept, model = posterior(true + drawn(of, 1, 60)[:, 0], known, of)
    assert model.significance > 9.2
    assert np.corrcoef(kept, true)[0, 1] > 0.9
    assert np.std(kept) < np.std(true)


@pytest.mark.parametrize("n", [200, 900])
def test_changes_beyond_all_doubt_have_a_finite_significance(n):
    """Drawn or asymptotic, a chance is no less than float64 can tell."""
    sure = replace(error(n, freedom=1e9), tissue=np.full(n, 1e-3), others=())
    _, model = posterior(2.0 * (-1.0) ** np.arange(n), np.ones(n, bool), sure)
    assert 1000 < model.significance < np.inf


@pytest.mark.parametrize(
    ("even", "kept"), [(None, True), (0.005, True), (0.09, True), (0.11, False)]
)
def test_changes_are_kept_where_one_test_is_sure_and_the_other_is_not_against_it(even, kept):
    of = error(60)
    changed = posterior(0.5 * np.sin(np.arange(60)), np.ones(60, bool), of, even=even)
    assert bool(changed[0].any()) is kept
    assert (changed[1].correction_significance > 9.2) is kept
    calm, model = posterior(np.zeros(60), np.ones(60, bool), of, even=0.001)
    assert not calm.any()
    assert model.correction_significance < 9.2
    assert model.significance > 9.2


def test_the_correction_is_held_back_where_the_error_is_great():
    of = replace(error(60), tissue=np.where(np.arange(60) < 20, 1.0, 0.05))
    true = 0.4 * np.sin(np.arange(60))
    kept, _ = posterior(true, np.ones(60, bool), of)
    assert np.std(kept[:17]) < 0.2 * np.std(kept[23:])


def test_an_error_that_few_samples_tell_makes_the_same_changes_less_sure():
    values = 0.4 * np.sin(np.arange(N))
    chances = [
        posterior(values, np.ones(N, bool), error(freedom=freedom))[1].chance
        for freedom in (2.0, 200.0)
    ]
    assert chances[0] > 5 * chances[1]


def off(thickness):
    return float(changes._off(thickness)[0])


def test_slow_waves_are_held_back_first():
    """What is left beside them is kept whole: it is as sure as without them."""
    thickness = 1 + 0.2 * np.sin(np.arange(N)) + 0.2 * np.cos(np.pi * (np.arange(N) + 0.5) / N)
    found = list(changes._candidates(thickness))
    assert np.allclose(found[0], thickness / thickness.mean())
    slow = np.cos(np.pi * (np.arange(N) + 0.5) / N)
    fast = np.sin(np.arange(N))
    kept = [[abs(one @ wave) / abs(thickness @ wave) for wave in (slow, fast)] for one in found]
    assert any(held < 0.05 and whole > 0.9 for held, whole in kept)
    assert all(one.min() > 0 and one.mean() == pytest.approx(1, abs=0.02) for one in found)


def test_a_correction_that_may_do_harm_is_scaled_down():
    """Slow changes in an error as slow: the posterior mean alone does harm too often."""
    of, change = replace(error(tissue=0.12, freedom=1000.0), others=()), Process(0.12**2, 8.0)
    known, model = np.ones(N, bool), changes._Gaussian.of(np.ones(N, bool), of, change)
    rng = np.random.default_rng(5)
    trues = np.linalg.cholesky(covariance(change)) @ rng.standard_normal((N, 60))
    seen = trues + np.linalg.cholesky(dense(of)) @ rng.standard_normal((N, 60))
    plain, held = [], []
    for true, one in zip(trues.T[:, :, None], seen.T[:, :, None], strict=True):
        kept = changes._without_harm(model, one, known, of, change, changes.Limits())[:, None]
        nominal = 1.05 * off(np.exp(true))
        plain.append(off(np.exp(true) - np.exp(model.change(one))) > nominal)
        held.append(off(np.exp(true) - np.exp(kept)) > nominal)
        assert np.std(kept) <= 1.01 * np.std(model.change(one))
    assert np.mean(plain) > 0.1
    assert np.mean(held) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)


def test_long_stacks_are_held_back_from_harm_too():
    n = 1000
    of = replace(error(n, tissue=0.12, freedom=1000.0), others=(), shared=Process(0.9, 60.0))
    of, change = replace(of, tissue=np.full(n, 0.2)), Process(0.12**2, 60.0)
    known, model = np.ones(n, bool), changes._Gaussian.of(np.ones(n, bool), of, change)
    seen = np.linalg.cholesky(covariance(change, n) + dense(of, n)) @ np.random.default_rng(
        8
    ).standard_normal((n, 1))
    kept = changes._without_harm(model, seen, known, of, change, changes.Limits())
    assert np.std(kept) < 0.9 * np.std(model.change(seen))


def test_steps_that_are_unknown_count_for_nothing():
    of, known = error(60), np.arange(60) % 7 > 0
    values = 0.5 * np.sin(np.arange(60) / 2)
    plain, wild = (
        posterior(np.where(known, values, unknown), known, of)[0] for unknown in (0.0, 9.0)
    )
    assert np.array_equal(plain, wild)
    assert not posterior(values, np.arange(60) < 2, of)[0].any()
