"""Robust statistics, held against SciPy."""

import numpy as np
import pytest
from scipy import optimize, stats

from scripts.lib.numerics import robust

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("centre", [None, 0.0])
def test_the_deviation_is_the_one_scipy_makes_consistent_with_normal_values(centre):
    values = RNG.normal(3, 2, 101)
    middle = np.median if centre is None else lambda x, axis: 0.0
    want = stats.median_abs_deviation(values, center=middle, scale="normal")
    assert robust.deviation(values, centre) == pytest.approx(want, rel=2e-6)


def test_the_deviation_of_normal_values_is_their_standard_deviation():
    assert robust.deviation(RNG.normal(5, 2, 100_000)) == pytest.approx(2, rel=0.02)


def test_usual_values_lie_near_the_median_and_rounding_is_no_outlier():
    values = np.array([10.0, 10.1, 9.9, 10.05, 9.95, 12.0])
    np.testing.assert_array_equal(robust.usual(values, 4.0, 1e-3), [1, 1, 1, 1, 1, 0])
    np.testing.assert_array_equal(robust.usual(values, 4.0, 1.0), np.ones(6))
    assert robust.usual(np.array([-1.0, 1.0, -1.0, 1.0]), 4.0, 1e-3).all()
    almost = np.array([1.0, 1.0, 1.0, 1.0 + 1e-9])
    assert robust.usual(almost, 4.0, 1e-6).all()
    assert robust.usual(np.zeros(0), 4.0, 1.0).shape == (0,)


@pytest.mark.parametrize(
    ("weight", "derivative"),
    [  # of the losses, at x > 0
        (robust.huber, lambda x: np.minimum(x, 1)),
        (robust.cauchy, lambda x: x / (1 + x * x)),
        (robust.geman_mcclure, lambda x: x / (1 + x * x) ** 2),
        (robust.tukey, lambda x: np.where(x < 1, x * (1 - x * x) ** 2, 0)),
    ],
)
def test_weights_are_the_slope_of_the_loss_over_the_residual(weight, derivative):
    x = np.linspace(0.01, 5, 50)
    np.testing.assert_allclose(weight(x), derivative(x) / x, atol=1e-15)
    assert weight(np.zeros(1)) == 1


def line_with_outliers():
    x = np.linspace(-1, 1, 60)
    y = 2 * x + 1 + RNG.normal(0, 0.1, 60)
    y[::7] += 5
    return np.column_stack([x, np.ones(60)]), y


def fitting(design, y):
    def solve(weight):
        root = np.sqrt(weight)[:, None]
        fit = np.linalg.lstsq(design * root, y * root[:, 0], rcond=None)[0]
        return fit, np.abs(y - design @ fit)

    return solve


@pytest.mark.parametrize(("function", "loss"), [("huber", "huber"), ("cauchy", "cauchy")])
def test_many_rounds_end_at_the_minimum_of_the_loss_that_scipy_finds(function, loss):
    design, y = line_with_outliers()
    rounds = [(getattr(robust, function), 0.3)] * 60
    found = robust.reweighted(fitting(design, y), lambda _: 1.0, rounds, np.ones(60))
    want = optimize.least_squares(
        lambda f: y - design @ f, np.array([2.0, 1.0]), loss=loss, f_scale=0.3, xtol=1e-12
    )
    np.testing.assert_allclose(found.fit, want.x, atol=1e-5)


def test_weights_returned_are_those_of_the_last_residuals_in_their_scale():
    design, y = line_with_outliers()
    solve = fitting(design, y)
    rounds = [(robust.huber, 1.0), (robust.cauchy, 2.0)]
    found = robust.reweighted(solve, robust.deviation, rounds, np.ones(60))
    left = np.abs(y - design @ found.fit)
    assert found.scale == robust.deviation(left)
    np.testing.assert_array_equal(found.weight, robust.cauchy(left / (2.0 * found.scale)))


@pytest.mark.parametrize("option", [{"least_scale": 1e-9}, {"least_step": 1e-4}])
def test_a_fit_that_stands_still_or_leaves_nothing_ends_the_rounds(option):
    calls = []

    def solve(weight):
        calls.append(weight)
        return np.array([1.0]), np.zeros(3)

    scale = (lambda _: 0.0) if "least_scale" in option else (lambda _: 1.0)
    robust.reweighted(solve, scale, [(robust.huber, 1.0)] * 9, np.ones(3), **option)
    assert len(calls) == (1 if "least_scale" in option else 2)
