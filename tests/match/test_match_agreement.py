"""Pixels agree under the true model and not under a false one."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from skimage.measure import pearson_corr_coeff

from scripts.lib import geometry
from scripts.match import agreement, stages
from scripts.match.canvases import Canvases
from scripts.match.pairs import Pair
from scripts.match.presets import Rendering, Stage
from scripts.match.ransac import Consensus
from scripts.match.sift import Extraction

ALL = np.ones((160, 200), bool)


@pytest.fixture
def two(specimen):
    ids = specimen.cut(1, 0, 0), specimen.cut(1, 0, 1, error=(2.3, 1.4), angle=0.01)
    return [specimen.images[i] for i in ids], specimen.map(*ids)


def test_the_true_model_correlates_and_a_shifted_one_does_not(two):
    (p, q), true = two
    assert agreement.correlation(p, q, ALL, ALL, true) > 0.9
    wrong = geometry.compose(geometry.translation(14, 0), true)
    assert agreement.correlation(p, q, ALL, ALL, wrong) < 0.6


def test_the_correlation_is_that_of_scikit_image(two):
    (p, q), _ = two
    mask = np.random.default_rng(0).random(p.shape) > 0.4
    found = agreement.correlation(p, q, mask, ALL, geometry.identity())
    assert found == pytest.approx(pearson_corr_coeff(p, q, mask)[0], abs=1e-6)


def test_masked_pixels_do_not_count(two):
    (p, q), true = two
    spoiled, mask = p.copy(), ALL.copy()
    spoiled[:80], mask[:80] = 0, False
    assert agreement.correlation(spoiled, q, mask, ALL, true) > 0.9


def test_tiny_and_flat_overlaps_say_nothing(two):
    (p, q), _ = two
    far = geometry.translation(-199.5, 0)
    assert math.isnan(agreement.correlation(p, q, ALL, ALL, far))
    flat = np.full_like(p, 9)
    assert math.isnan(agreement.correlation(flat, q, ALL, ALL, geometry.identity()))


@pytest.mark.parametrize(("limit", "saved"), [(0.8, True), (0.9999, False)])
def test_a_stage_declines_what_does_not_look_alike(specimen, limit, saved):
    p, q = specimen.cut(1, 0, 0), specimen.cut(1, 0, 1)
    stage = Stage(
        "pass1",
        render=Rendering(1.0, with_filter=False),
        extraction=Extraction(0.125, 1.0, 5),
        consensus=Consensus("TRANSLATION", 3.0, 1000, 8, max_trust=4.0),
        min_correlation=limit,
    )
    canvases = Canvases(specimen.tiles, budget_mb=50, source=specimen.source)
    attempt = stages.match_pair(Pair("1.0", p, "1.0", q, 0, "LEFT", "RIGHT"), [stage], canvases)
    assert (attempt.matches is not None) == saved
    assert ("low_correlation" in attempt.reason) != saved
    plain = canvases.get(p, replace(stage, min_correlation=None))
    assert plain.image is None
    assert cv2.mean(canvases.get(p, stage).image)[0] > 50
