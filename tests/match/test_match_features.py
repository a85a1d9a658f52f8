"""Features, filters and coverage of canvases."""

import cv2
import numpy as np
import pytest

from scripts.lib.drawing.compose import Picture
from scripts.match import coverage, filters, sift
from scripts.match.sift import Extraction, Features


def picture(specimen, mask=None):
    image = specimen.image
    return Picture(image, np.ones(image.shape, bool) if mask is None else mask)


def test_features_avoid_the_mask_and_its_edge_makes_none(specimen):
    mask = np.ones(specimen.image.shape, bool)
    mask[:, :100] = False
    flat = Picture(np.where(mask, np.float32(128), np.float32(0)), mask)
    assert len(sift.extract(flat, Extraction(max_scale=2.0)).xy) == 0
    found = sift.extract(picture(specimen, mask), Extraction(0.125, 2.0, 5))
    assert len(found.xy) > 100
    assert found.xy[:, 0].min() >= 99.5


def test_octaves_follow_the_scale_limits(specimen):
    def count(low, high):
        return len(sift.extract(picture(specimen), Extraction(low, high, 3)).xy)

    assert count(0.125, 2.0) > count(0.125, 1.0) > count(0.125, 0.5) > 0
    # minOctaveSize = trunc(minScale * shorter side - 1), and a side may miss it by one
    used = sift._used_octaves(np.array([-1, 0, 1, 2, 3]), (420, 560), Extraction(0.25, 1.0))
    assert used.tolist() == [False, True, True, True, False]


@pytest.mark.parametrize("highest", [0.5, 1.0, 2.0])
def test_features_are_those_of_one_pass_over_all_octaves_to_the_bit(specimen, highest):
    how = Extraction(0.125, highest, 3)
    detector = cv2.SIFT.create(
        nOctaveLayers=3,
        contrastThreshold=how.contrast * (2 ** (1 / 3) - 1) * 3,
        edgeThreshold=sift._EDGE_RATIO,
        sigma=how.sigma,
        enable_precise_upscale=True,
    )
    image = sift.byte_image(picture(specimen), 0)
    points, descriptors = detector.detectAndCompute(image, None)
    octaves = np.array([sift._octave(point.octave) for point in points])
    keep = sift._used_octaves(octaves, image.shape, how)
    found = sift.extract(picture(specimen), how)
    assert keep.any()
    assert np.array_equal(found.xy, np.array([point.pt for point in points])[keep])
    assert np.array_equal(found.descriptors, descriptors[keep])


def test_a_lower_contrast_limit_gives_more_features(specimen):
    few, many = (
        len(sift.extract(picture(specimen), Extraction(0.125, 1.0, 5, contrast=c)).xy)
        for c in (0.1, 0.02)
    )
    assert many > few


def test_a_tiny_or_fully_masked_canvas_has_no_features():
    assert (
        len(
            sift.extract(
                Picture(np.zeros((4, 90), np.float32), np.ones((4, 90), bool)), Extraction()
            ).xy
        )
        == 0
    )
    assert (
        len(
            sift.extract(
                Picture(np.zeros((90, 90), np.float32), np.zeros((90, 90), bool)), Extraction()
            ).xy
        )
        == 0
    )


def features(descriptors, xy=None):
    descriptors = np.asarray(descriptors, np.uint8)
    n = len(descriptors)
    places = (
        np.column_stack([np.arange(n), np.arange(n)]).astype(float)
        if xy is None
        else np.array(xy, float)
    )
    return Features(places, descriptors)


def vector(*values):
    out = np.zeros(128, np.uint8)
    out[: len(values)] = values
    return out


def test_the_ratio_of_distances_decides_strictly_and_one_way():
    q = features([vector(0), vector(100)])
    p = features([vector(40), vector(48), vector(90)])  # ratios 40/60, 48/52, 10/90
    assert sift.candidates(p, q, 0.92).tolist() == [[0, 0], [2, 1]]
    assert sift.candidates(p, q, 0.93).tolist() == [[2, 1]]  # 0 and 1 both claim q 0


def test_q_locations_claimed_twice_are_dropped():
    q = features(
        [vector(0), vector(0, 0, 9), vector(200), vector(0, 200)], [(1, 1), (1, 1), (5, 5), (6, 6)]
    )
    p = features([vector(0), vector(0, 0, 9), vector(199), vector(0, 199)])
    assert sift.candidates(p, q, 0.9).tolist() == [[2, 2], [3, 3]]


def test_places_out_of_reach_are_no_candidates():
    q = features([vector(0), vector(100), vector(200)])
    p = features([vector(1)])
    near = np.array([[False, True, True]])
    assert sift.candidates(p, q, 0.92, near).tolist() == [[0, 1]]
    assert len(sift.candidates(p, q, 0.92, np.array([[True, False, False]]))) == 0


def test_few_features_give_no_candidates():
    one = features([vector(1)])
    assert len(sift.candidates(one, one, 0.92)) == 0
    assert len(sift.candidates(features(np.zeros((0, 128))), one, 0.92)) == 0


def test_noise_replaces_dead_pixels_and_repeats():
    image = np.full((60, 60), 100, np.uint8)
    image[:20], image[20:30] = 0, 255
    one, again = (filters.built_in(image, 0, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(one, again)
    assert one[:30].std() > 10


def test_local_contrast_centers_and_stretches_each_neighborhood():
    rng = np.random.default_rng(0)
    ramp = np.linspace(20, 200, 300)[None] + 5 * rng.standard_normal((300, 300))
    out = filters.local_contrast(ramp.astype(np.float32), 15)
    assert abs(out[:, 20:280].mean() - 127.5) < 2
    assert np.ptp(out[:, 20:280].mean(axis=0)) < 15
    # values three deviations out reach the ends of the range
    whole = filters.local_contrast(rng.normal(100, 10, (80, 80)).astype(np.float32), 500)
    assert whole.std() == pytest.approx(255 / 6, rel=0.03)


def test_coverage_of_a_corner_is_low_and_of_spread_points_high():
    mask = np.ones((100, 200), bool)
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 20, (30, 2))
    spread = rng.uniform(0, [200, 100], (200, 2))
    assert coverage.percentage(corner, corner, mask, mask, 25) < 15
    assert coverage.percentage(spread, spread, mask, mask, 25) > 95


def test_coverage_counts_the_overlap_and_the_masks_only():
    mask = np.ones((100, 200), bool)
    rng = np.random.default_rng(0)
    strip = rng.uniform([150, 0], [200, 100], (200, 2))
    assert coverage.percentage(strip, strip - [150, 0], mask, mask, 15) > 95
    half = mask.copy()
    half[:, :100] = False
    right = rng.uniform([100, 0], [200, 100], (300, 2))
    assert coverage.percentage(right, right, half, mask, 15) > 95
    assert coverage.percentage(right, right, mask, mask, 15) < 65


def test_coverage_agrees_with_every_distance_worked_out():
    mask = np.ones((60, 80), bool)
    points = np.array([[10.0, 10], [30, 12], [60, 50], [20, 40]])
    y, x = np.mgrid[:60, :80]
    reach = np.hypot(x[..., None] - points[:, 0], y[..., None] - points[:, 1]).min(axis=2) <= 14
    found = coverage.percentage(points, points, mask, mask, 14)
    assert found == pytest.approx(100 * reach.mean(), abs=0.01)


def test_coverage_without_matches_is_zero_and_on_a_line_undefined():
    mask = np.ones((10, 10), bool)
    assert coverage.percentage(np.zeros((0, 2)), np.zeros((0, 2)), mask, mask, 5) == 0
    line = np.column_stack([np.arange(5.0), np.arange(5.0)])
    assert np.isnan(coverage.percentage(line, line, mask, mask, 5))
