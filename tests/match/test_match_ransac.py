"""Consensus: models recovered, outliers dropped, decoys refused, repeatable."""

import math
from dataclasses import replace

import cv2
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
        assert found.most < 12


def test_the_trust_filter_drops_what_errs_far_more_than_the_rest():
    p, q, rng = scene("TRANSLATION", bad=0, noise=0.1)
    q[0] += [4.0, 0.0]
    how = Consensus(model="TRANSLATION", epsilon_px=6.0, min_inliers=10, max_trust=4.0)
    (inliers,) = ransac.single_set(p, q, how, rng).sets
    assert 0 not in inliers
    assert len(inliers) > 55


def test_what_trust_leaves_still_has_to_reach_the_number():
    p, q, rng = scene("TRANSLATION", bad=0, noise=0.1)
    q[0] += [4.0, 0.0]
    how = Consensus(model="TRANSLATION", epsilon_px=6.0, min_inliers=60, max_trust=4.0)
    found = ransac.single_set(p, q, how, rng)
    assert (found.sets, found.most) == ((), 60)


def test_what_a_stage_table_leaves_out_has_the_value_of_the_known_client():
    # MatchDerivationParameters of render: tables in use rely on them
    assert Consensus() == Consensus(
        model="AFFINE",
        epsilon_px=5.0,
        iterations=1000,
        min_inliers=4,
        min_inlier_ratio=0.0,
        max_inliers=None,
        max_trust=3.0,
        regularizer=None,
        regularizer_lambda=0.0,
    )


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


@pytest.mark.parametrize("trust", [1.5, 100.0])
def test_consensus_sets_are_judged_with_the_trust_of_the_library_not_of_the_stage(trust):
    p, q, rng = scene("TRANSLATION", bad=0, noise=0.1)
    q[0] += [1.5, 0.0]  # more than 4, less than 100 times the median error
    how = Consensus(model="TRANSLATION", epsilon_px=6.0, min_inliers=10, max_trust=trust)
    first = ransac.consensus_sets(p, q, how, rng).sets[0]
    (want,) = ransac.single_set(p, q, replace(how, max_trust=4.0), rng).sets
    assert np.array_equal(first, want)
    assert 0 not in first
    assert len(first) == 59


@pytest.mark.parametrize("model", TRUE)
@pytest.mark.parametrize(("good", "bad"), [(15, 135), (20, 280)])
def test_a_small_share_of_right_candidates_suffices(model, good, bad):
    p, q, rng = scene(model, good=good, bad=bad)
    how = Consensus(model=model, epsilon_px=3.0, min_inliers=8, max_trust=4.0)
    (inliers,) = ransac.single_set(p, q, how, rng).sets
    assert len(set(inliers) & set(range(good))) >= 0.8 * good


def test_a_crowd_that_a_similarity_shrinks_to_a_point_does_not_hide_a_rigid_model():
    p, q, rng = scene("RIGID", good=40, bad=60)
    q[45:] = 200 + rng.uniform(-3, 3, (55, 2))
    how = Consensus(model="RIGID", epsilon_px=5.0, min_inliers=20, max_trust=4.0)
    (inliers,) = ransac.single_set(p, q, how, rng).sets
    assert set(range(40)) <= set(inliers)


def test_a_similarity_whose_inliers_stay_for_the_rigid_model_is_not_sought_again(monkeypatch):
    p, q, rng = scene("RIGID", good=58, bad=60, noise=0)
    asked, estimate = [], ransac._ESTIMATE["RIGID"]

    def counted(p, q, **options):
        asked.append(len(p))
        return estimate(p, q, **options)

    monkeypatch.setitem(ransac._ESTIMATE, "RIGID", counted)
    how = Consensus(model="RIGID", epsilon_px=0.5, min_inliers=20)
    (inliers,) = ransac.single_set(p, q, how, rng).sets
    assert inliers.tolist() == list(range(58))
    assert asked == [118]


@pytest.mark.parametrize("model", TRUE)
def test_the_inliers_do_not_depend_on_threads_nor_on_what_was_searched_before(model):
    p, q, rng = scene(model, good=20, bad=180)
    how = Consensus(model=model, epsilon_px=3.0, min_inliers=5)
    before = cv2.getNumThreads()
    found = []
    for threads in (1, 4):
        cv2.setNumThreads(threads)
        cv2.setRNGSeed(threads)
        found += ransac.single_set(p, q, how, rng).sets
        ransac.single_set(q, p, how, rng)
    cv2.setNumThreads(before)
    assert len(found) == 2
    assert np.array_equal(*found)


def test_limits_of_number_and_ratio_hold():
    p, q, rng = scene("RIGID", good=30, bad=70)
    how = Consensus(model="RIGID", epsilon_px=2.0, min_inliers=10)
    assert ransac.single_set(p, q, replace(how, min_inlier_ratio=0.5), rng).sets == ()
    most = ransac.single_set(p, q, how, rng).most
    assert ransac.single_set(p, q, replace(how, min_inlier_ratio=most / 100), rng).sets == ()
    assert ransac.single_set(p, q, replace(how, min_inlier_ratio=most / 100 - 1e-9), rng).sets
    assert ransac.single_set(p, q, replace(how, min_inliers=most, max_trust=1e3), rng).sets
    assert ransac.single_set(p, q, replace(how, min_inliers=most + 1), rng).sets == ()
    (few,) = ransac.single_set(p, q, replace(how, max_inliers=12), rng).sets
    assert len(few) == 12
    assert ransac.single_set(p[:1], q[:1], how, rng).sets == ()
    assert len(ransac.no_filter(p, q, how, rng).sets[0]) == 100


@pytest.mark.parametrize("model", TRUE)
def test_any_number_of_candidates_is_searched(model):
    rng = np.random.default_rng(7)
    how = Consensus(model=model, epsilon_px=1.0, min_inliers=4)
    for n in range(8):
        for _ in range(30):
            p, q = rng.uniform(0, 400, (2, n, 2))
            assert ransac.single_set(p, q, how, rng).most <= n
            assert ransac.aggregated_sets(p, q, how, rng).most <= n


def test_points_on_a_line_determine_no_affine():
    p = np.column_stack([np.arange(30.0), 2 * np.arange(30.0)])
    how = Consensus(model="AFFINE", epsilon_px=2.0, min_inliers=5)
    assert ransac.single_set(p, p + 1, how, np.random.default_rng(0)).sets == ()
    undetermined = ransac.fit(how, p[:1], p[:1] + 1)
    assert undetermined.shape == (2, 3)
    assert np.isnan(undetermined).all()


def test_the_stream_belongs_to_the_names_alone():
    one, again = (ransac.generator("p", "q", "more").random(4) for _ in range(2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, ransac.generator("p", "qmo", "re").random(4))
