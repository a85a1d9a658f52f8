"""Consensus: models recovered, outliers dropped, decoys refused, repeatable."""

import math
from dataclasses import replace

import numpy as np
import pytest

from scripts.lib import geometry
from scripts.lib.numerics import models
from scripts.match import ransac
from scripts.match.ransac import Consensus

TRUE = {
    "TRANSLATION": geometry.translation(7.5, -3.25),
    "RIGID": np.array([[math.cos(0.1), -math.sin(0.1), 5], [math.sin(0.1), math.cos(0.1), 9]]),
    "SIMILARITY": np.array([[1.02, -0.05, 4], [0.05, 1.02, -8]]),
    "AFFINE": np.array([[1.03, 0.04, 12], [-0.02, 0.97, 3]]),
}


def scene(model, *, good=60, bad=40, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.uniform(0, 400, (good + bad, 2))
    q = geometry.apply(TRUE[model], p) + rng.normal(0, noise, p.shape)
    q[good:] = rng.uniform(0, 400, (bad, 2))
    return p, q, rng


@pytest.mark.parametrize("model", TRUE)
def test_every_model_is_recovered_among_outliers(model):
    p, q, rng = scene(model)
    how = Consensus(model=model, epsilon_px=2.0, min_inliers=20, max_trust=4.0)
    (inliers,) = ransac.single_set(p, q, how, rng).sets
    assert set(inliers) <= set(range(60)) | {
        k for k in inliers if k >= 60 and _near(model, p, q, k)
    }
    assert len(inliers) >= 55
    moved = geometry.apply(ransac.fit(how, p[inliers], q[inliers]), p[:60])
    assert np.abs(moved - geometry.apply(TRUE[model], p[:60])).max() < 0.25


def _near(model, p, q, k):
    return np.hypot(*(geometry.apply(TRUE[model], p[k]) - q[k])) < 4


@pytest.mark.parametrize("model", TRUE)
def test_fit_from_sums_is_the_least_squares_fit(model):
    p, q, _ = scene(model, bad=0)
    want = models.MODELS[model].fit(p, q, None)
    assert np.allclose(ransac.fit(Consensus(model=model), p, q), want, atol=1e-9)


def test_an_interpolated_model_lies_between_its_two():
    p, q, _ = scene("AFFINE", bad=0)
    how = Consensus(model="AFFINE", regularizer="TRANSLATION", regularizer_lambda=0.25)
    mixed = ransac.fit(how, p, q)
    free, shift = models.fit_affine(p, q), models.fit_translation(p, q)
    assert np.allclose(mixed[:, :2], 0.75 * free[:, :2] + 0.25 * shift[:, :2], atol=1e-9)


@pytest.mark.parametrize("model", TRUE)
def test_random_candidates_give_no_model(model):
    rng = np.random.default_rng(3)
    how = Consensus(model=model, epsilon_px=5.0, min_inliers=12)
    for _ in range(5):
        p, q = rng.uniform(0, 240, (2, 100, 2))
        found = ransac.single_set(p, q, how, rng)
        assert found.sets == ()
        assert 0 < found.most < 12


def test_the_trust_filter_drops_what_errs_far_more_than_the_rest():
    p, q, rng = scene("TRANSLATION", bad=0, noise=0.1)
    q[0] += [4.0, 0.0]
    how = Consensus(model="TRANSLATION", epsilon_px=6.0, min_inliers=10, max_trust=4.0)
    (inliers,) = ransac.single_set(p, q, how, rng).sets
    assert 0 not in inliers
    assert len(inliers) > 55


def test_sets_are_found_one_after_another_and_aggregated():
    rng = np.random.default_rng(5)
    p = rng.uniform(0, 400, (80, 2))
    q = p + np.where(np.arange(80)[:, None] < 50, [10.0, 0.0], [-40.0, 5.0])
    how = Consensus(model="TRANSLATION", epsilon_px=2.0, min_inliers=10)
    first, second = ransac.consensus_sets(p, q, how, rng).sets
    assert set(first) == set(range(50))
    assert set(second) == set(range(50, 80))
    (both,) = ransac.aggregated_sets(p, q, how, rng).sets
    assert len(both) == 80


def test_limits_of_number_and_ratio_hold():
    p, q, rng = scene("RIGID", good=30, bad=70)
    how = Consensus(model="RIGID", epsilon_px=2.0, min_inliers=10)
    assert ransac.single_set(p, q, replace(how, min_inlier_ratio=0.5), rng).sets == ()
    (few,) = ransac.single_set(p, q, replace(how, max_inliers=12), rng).sets
    assert len(few) == 12
    assert ransac.single_set(p[:1], q[:1], how, rng).sets == ()
    assert len(ransac.no_filter(p, q, how, rng).sets[0]) == 100


def test_points_on_a_line_determine_no_affine():
    p = np.column_stack([np.arange(30.0), 2 * np.arange(30.0)])
    how = Consensus(model="AFFINE", epsilon_px=2.0, min_inliers=5)
    assert ransac.single_set(p, p + 1, how, np.random.default_rng(0)).sets == ()


def test_the_stream_belongs_to_the_names_alone():
    one, again = (ransac.generator("p", "q", "more").random(4) for _ in range(2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, ransac.generator("p", "qmo", "re").random(4))


def test_samples_are_distinct_and_uniform():
    rows = ransac._samples(5, 3, 20000, np.random.default_rng(0))
    assert all(len(set(row)) == 3 for row in rows[:500])
    share = np.bincount(rows.ravel(), minlength=5) / rows.size
    assert np.abs(share - 0.2).max() < 0.01
