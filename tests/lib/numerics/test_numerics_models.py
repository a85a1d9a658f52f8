"""Models: weighted fits, held against scikit-image."""

import numpy as np
import pytest
from skimage import transform

from scripts.lib import geometry as g
from scripts.lib.numerics import models

POINTS = np.array([[0.0, 0.0], [100.0, 3.0], [7.0, 80.0], [60.0, 55.0]])
TRUTH = {
    "TRANSLATION": g.translation(3, -4),
    "RIGID": np.array([[0.8, -0.6, 3], [0.6, 0.8, -4]]),
    "SIMILARITY": 1.1 * np.array([[0.8, -0.6, 3], [0.6, 0.8, -4]]),
    "AFFINE": np.array([[1.1, 0.2, 3], [-0.1, 0.9, -4]]),
}


@pytest.mark.parametrize("name", TRUTH)
def test_each_model_recovers_a_transform_of_its_own_kind(name):
    found = models.MODELS[name].fit(POINTS, g.apply(TRUTH[name], POINTS), None)
    np.testing.assert_allclose(found, TRUTH[name], atol=1e-10)


@pytest.mark.parametrize(
    ("fit", "peer"),
    [
        (models.fit_rigid, transform.EuclideanTransform),
        (models.fit_similarity, transform.SimilarityTransform),
    ],
)
def test_noisy_points_give_what_scikit_image_gives(fit, peer):
    rng = np.random.default_rng(1)
    p = rng.uniform(0, 1000, (30, 2))
    q = g.apply(TRUTH["SIMILARITY"], p) + rng.normal(0, 5, p.shape)
    want = peer.from_estimate(p, q).params[:2]
    np.testing.assert_allclose(fit(p, q), want, rtol=1e-9, atol=1e-9)


def test_the_affine_of_noisy_points_is_that_of_least_squares():
    rng = np.random.default_rng(2)
    p = rng.uniform(0, 1000, (30, 2))
    q = g.apply(TRUTH["AFFINE"], p) + rng.normal(0, 5, p.shape)
    want = np.linalg.lstsq(np.column_stack([p, np.ones(30)]), q, rcond=None)[0].T
    np.testing.assert_allclose(models.fit_affine(p, q), want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", TRUTH)
def test_a_weight_of_two_counts_a_point_twice(name):
    rng = np.random.default_rng(3)
    p = rng.uniform(0, 1000, (12, 2))
    q = g.apply(TRUTH[name], p) + rng.normal(0, 5, p.shape)
    count = rng.integers(1, 4, 12)
    fit = models.MODELS[name].fit
    twice = fit(np.repeat(p, count, axis=0), np.repeat(q, count, axis=0), None)
    np.testing.assert_allclose(fit(p, q, count.astype(float)), twice, rtol=1e-9, atol=1e-9)


def test_a_point_of_weight_zero_does_not_count():
    moved = POINTS + [5.0, 6.0]
    moved[0] += 1000
    found = models.fit_rigid(POINTS, moved, np.array([0.0, 1, 1, 1]))
    np.testing.assert_allclose(found, g.translation(5, 6), atol=1e-10)


def test_an_affine_through_points_on_a_line_is_refused():
    line = np.array([[0.0, 0], [1, 1], [2, 2]])
    with pytest.raises(ValueError, match="line"):
        models.fit_affine(line, line)


@pytest.mark.parametrize("fit", [models.fit_rigid, models.fit_similarity])
def test_points_in_one_place_give_a_translation(fit):
    p = np.full((3, 2), 7.0)
    np.testing.assert_array_equal(fit(p, p + [1.0, 2.0]), g.translation(1, 2))
