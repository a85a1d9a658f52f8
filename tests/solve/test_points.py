"""Wrong points among the right ones of a pair."""

import numpy as np
import pytest

from scripts.lib import geometry
from scripts.solve import points

TRUE = np.array([[1.001, 0.002, 30.0], [-0.001, 0.999, -20.0]])


def pair(n, rng, *, noise=0.2, wrong=0, by=50.0):
    p = rng.uniform(0, 1000, (n, 2)) + 3e4
    q = geometry.apply(TRUE, p) + noise * rng.standard_normal((n, 2))
    q[:wrong] += by * rng.choice([-1, 1], (wrong, 2))
    return p, q


def judged(*pairs):
    p, q = (np.concatenate([one[side] for one in pairs]) for side in (0, 1))
    size = np.array([len(one[0]) for one in pairs])
    got = points.factors(p, q, np.ones(len(p)), size)
    return np.split(got, np.cumsum(size)[:-1])


@pytest.mark.parametrize("by", [5.0, 50.0, 500.0])
def test_wrong_points_lose_their_say_and_right_ones_keep_it(by):
    rng = np.random.default_rng(0)
    first, second = judged(pair(20, rng, wrong=3, by=by), pair(31, rng))
    assert first[:3].max() < 0.25 if by < 10 else first[:3].max() < 0.05
    assert first[3:].min() > 0.75
    assert second.min() > 0.75


def test_noise_alone_keeps_nearly_all_its_weight():
    rng = np.random.default_rng(1)
    got = np.concatenate(judged(*[pair(20, rng, noise=0.7) for _ in range(50)]))
    assert got.mean() > 0.96


def test_a_few_points_have_no_opinion_on_one_another():
    (got,) = judged(pair(points.ENOUGH - 1, np.random.default_rng(2), wrong=2))
    assert (got == 1).all()


def test_points_on_a_line_are_judged_as_well():
    rng = np.random.default_rng(3)
    p = np.column_stack([np.linspace(0, 900, 20), np.full(20, 7.0)])
    q = p + 4 + 0.1 * rng.standard_normal(p.shape)
    q[9] += 60
    (got,) = judged((p, q))
    assert got[9] < 0.1
    assert np.delete(got, 9).min() > 0.7


def test_no_pairs_no_factors():
    none = np.zeros((0, 2))
    assert len(points.factors(none, none, np.zeros(0), np.zeros(0, np.int64))) == 0
