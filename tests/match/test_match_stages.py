"""One pair through its stages: places recovered, reasons given, stop rule, masks, clips, cache."""

from dataclasses import replace

import numpy as np
import pytest

from scripts.lib import geometry
from scripts.lib.drawing.compose import Picture
from scripts.lib.numerics.models import fit_affine
from scripts.match import descriptors, pairs, stages
from scripts.match.canvases import Canvases
from scripts.match.descriptors import Blobs, Neighborhood
from scripts.match.pairs import Pair, Rules
from scripts.match.presets import Clip, Descriptors, Rendering, Stage
from scripts.match.ransac import Consensus
from scripts.match.sift import Extraction

STAGE = Stage(
    "pass1",
    render=Rendering(1.0, with_filter=False, without_mask=False),
    extraction=Extraction(0.125, 1.0, 5),
    consensus=Consensus("RIGID", 4.0, 1000, 12, max_trust=4.0),
    coverage_radius_px=60.0,
    max_points=100_000,  # all
)


def canvases(specimen, budget_mb=100):
    return Canvases(specimen.tiles, budget_mb=budget_mb, source=specimen.source)


def pair_of(p, q, dz, p_position="", q_position=""):
    p_group, q_group = (f"{int(i.split('.')[1])}.0" for i in (p, q))
    return Pair(p_group, p, q_group, q, dz, p_position, q_position)


def cross(specimen, **how):
    p = specimen.cut(1, 0, 0)
    q = specimen.cut(2, 0, 0, error=(6.3, -4.6), angle=0.01, **how)
    return pair_of(p, q, 1)


def error(specimen, attempt):
    out = attempt.outcome
    truth = geometry.apply(specimen.map(attempt.pair.p_id, attempt.pair.q_id), out.p)
    return np.abs((out.q - truth).mean(axis=0)).max()


@pytest.mark.parametrize("scale", [1.0, 0.7, 0.5])
def test_a_known_motion_is_recovered_at_full_scale_for_every_scale(specimen, scale):
    pair = cross(specimen)
    stage = replace(STAGE, render=replace(STAGE.render, scale=scale))
    attempt = stages.match_pair(pair, [stage], canvases(specimen))
    assert attempt.matches is not None
    assert attempt.reason == ""
    assert error(specimen, attempt) < 0.15
    assert attempt.outcome.rms_px < 1.0
    assert attempt.outcome.coverage_pct > 80


def test_blank_tiles_are_not_matched_and_the_reason_says_why(specimen):
    pair = cross(specimen, blank=True)
    attempt = stages.match_pair(pair, [STAGE, replace(STAGE, name="pass2")], canvases(specimen))
    assert attempt.matches is None
    assert attempt.stage == "pass2"
    first, second = attempt.reason.split("; ")
    assert first.startswith("pass1:few_inliers(")
    assert second.startswith("pass2:few_inliers(")


def test_a_pair_goes_on_until_a_stage_saves_it(specimen):
    pair = cross(specimen)
    hard = replace(STAGE, name="hard", consensus=replace(STAGE.consensus, min_inliers=5000))
    attempt = stages.match_pair(pair, [hard, STAGE], canvases(specimen))
    assert attempt.stage == "pass1"
    assert attempt.matches is not None
    assert attempt.reason.startswith("hard:few_inliers(")


def test_a_distant_pair_stops_and_is_not_tried_by_later_stages(specimen):
    pair = replace(cross(specimen), dz=4)
    hard = replace(STAGE, consensus=replace(STAGE.consensus, min_inliers=5000))
    table = [
        replace(hard, name="one", max_neighbor_distance=6),
        replace(STAGE, name="two", max_neighbor_distance=3),
        replace(STAGE, name="three", max_neighbor_distance=3),
    ]
    attempt = stages.match_pair(pair, table, canvases(specimen))
    assert attempt.matches is None
    assert attempt.stage == "one"
    assert attempt.reason.endswith("two:beyond_distance(4>3)")


def test_low_coverage_declines(specimen):
    pair = cross(specimen)
    stage = replace(STAGE, coverage_radius_px=2.0, min_coverage=70.0)
    attempt = stages.match_pair(pair, [stage], canvases(specimen))
    assert attempt.matches is None
    assert "low_coverage" in attempt.reason


GEOMETRIC = Descriptors(
    STAGE.render,
    Blobs(sigma=3.0, dark=True, bright=True, apart_px=4.0),
    Neighborhood(3, 1, 1.5),
    Consensus("RIGID", 4.0, 1000, 10),
    weight=0.4,
)
FEW = replace(STAGE, consensus=replace(STAGE.consensus, min_inliers=5000))  # SIFT finds nothing


def with_limits(inliers, coverage, **other):
    return replace(GEOMETRIC, min_combined_inliers=inliers, min_combined_coverage=coverage, **other)


@pytest.mark.parametrize(
    ("stage", "limits", "words"),
    [
        (STAGE, with_limits(10, 50.0), ""),  # SIFT is enough
        (STAGE, with_limits(10, 101.0), "low_coverage"),
        (STAGE, with_limits(5000, 0.0), "few_inliers"),
        (STAGE, with_limits(5000, 0.0, regardless_of_sift=True), "few_inliers"),
        (FEW, GEOMETRIC, ""),  # no limits: descriptors run whatever SIFT found
        (FEW, replace(GEOMETRIC, blobs=Blobs(sigma=3.0, dark=True, threshold=0.9)), "no_desc"),
        (FEW, with_limits(20, 0.0), "few_inliers"),
    ],
)
def test_sift_and_descriptors_decide_together(specimen, stage, limits, words):
    pair = cross(specimen)
    attempt = stages.match_pair(pair, [replace(stage, descriptors=limits)], canvases(specimen))
    assert attempt.reason.startswith(f"pass1:{words}") if words else attempt.reason == ""
    assert (attempt.matches is not None) == (words == "")
    if attempt.matches is not None:
        assert error(specimen, attempt) < (0.1 if stage is STAGE else 0.5)
        assert set(attempt.matches.w) == ({1.0} if stage is STAGE else {0.4})


def test_descriptors_add_to_sift_where_it_is_not_enough_and_keep_their_weight(specimen):
    pair = cross(specimen)
    sift_alone = stages.match_pair(pair, [STAGE], canvases(specimen))
    p = sift_alone.outcome.p
    # limits that SIFT alone cannot meet: more points than it has
    limits = with_limits(len(p) + 5, 0.0, regardless_of_sift=True, block_radius_px=6.0)
    attempt = stages.match_pair(pair, [replace(STAGE, descriptors=limits)], canvases(specimen))
    weights = attempt.matches.w
    assert set(weights) == {1.0, 0.4}
    own = attempt.outcome.p[weights == 0.4]
    assert np.hypot(*(own[:, None] - p).transpose(2, 0, 1)).min() > 5.5
    assert error(specimen, attempt) < 0.3


@pytest.mark.parametrize("same", [True, False])
def test_neighborhoods_match_through_noise_strays_and_a_turn_when_told_so(same):
    rng = np.random.default_rng(4)
    p = rng.uniform(0, 1000, (150, 2))
    angle = 0.0 if same else 0.5
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    order = rng.permutation(150)
    q = (p @ turn.T + [40, -30] + 0.2 * rng.standard_normal(p.shape))[order]
    q = np.concatenate([q, rng.uniform(0, 1000, (15, 2))])
    how = Neighborhood(3, 1, 2.0, same_orientation=same)
    found = descriptors.candidates(p, q, how)
    right = found[:, 1] < 150
    right[right] = order[found[right, 1]] == found[right, 0]
    assert len(found) > 75
    assert right.mean() > 0.95
    other = descriptors.candidates(p, q, replace(how, same_orientation=not same))
    assert same or len(other) < 0.4 * len(found)


def test_blobs_are_found_between_pixels_dark_or_bright_apart_and_off_the_mask():
    y, x = np.mgrid[:120, :160]
    places = [(30.3, 40.6, -60), (90.2, 50.4, -80), (96.0, 58.0, -50), (120.7, 80.1, 70)]
    image = 128.0 + sum(
        height * np.exp(-((x - a) ** 2 + (y - b) ** 2) / 18) for a, b, height in places
    )
    picture = Picture(image.astype(np.float32), np.ones(image.shape, bool))
    how = Blobs(sigma=3.0, threshold=0.02, dark=True)
    found = descriptors.peaks(picture, how)
    for place in ((30.3, 40.6), (90.2, 50.4)):
        assert np.hypot(*(found - place).T).min() < 0.3
    assert len(found) == 3
    assert len(descriptors.peaks(picture, replace(how, apart_px=15))) == 2
    bright = descriptors.peaks(picture, replace(how, dark=False, bright=True))
    assert np.hypot(*(bright - (120.7, 80.1)).T).min() < 0.3
    picture.mask[38:43, 28:33] = False
    assert len(descriptors.peaks(picture, how)) == 2


def montage(specimen):
    p = specimen.cut(1, 0, 0)
    q = specimen.cut(1, 0, 1, error=(2.2, 1.4))
    return pair_of(p, q, 0, "LEFT", "RIGHT")


@pytest.mark.parametrize("clip", [Clip(), Clip(width=70), Clip(overlap_margin=10)])
def test_a_seam_is_recovered_with_and_without_clips(specimen, clip):
    stage = replace(STAGE, clip=clip, consensus=replace(STAGE.consensus, model="TRANSLATION"))
    attempt = stages.match_pair(montage(specimen), [stage], canvases(specimen))
    assert error(specimen, attempt) < 0.2
    limit = {70: 130, None: 0}.get(clip.width, 0)
    assert attempt.outcome.p[:, 0].min() >= limit


def test_a_clip_wider_than_the_tile_changes_nothing(specimen):
    pair = montage(specimen)
    wide = replace(STAGE, clip=Clip(width=5000, height=5000))
    one = stages.match_pair(pair, [STAGE], canvases(specimen))
    other = stages.match_pair(pair, [wide], canvases(specimen))
    assert np.array_equal(one.outcome.p, other.outcome.p)


def test_a_search_radius_keeps_matches_near_the_predicted_place(specimen):
    pair = cross(specimen)
    near = stages.match_pair(pair, [replace(STAGE, search_radius_px=15.0)], canvases(specimen))
    assert error(specimen, near) < 0.15
    far = stages.match_pair(pair, [replace(STAGE, search_radius_px=3.0)], canvases(specimen))
    assert far.matches is None


def test_masked_and_stage_masked_bands_hold_no_features(specimen):
    p = specimen.cut(1, 0, 0)
    url = "mask://outside-box?minX=60&minY=0&maxX=200&maxY=160&width=200&height=160"
    specimen.specs[0] = replace(specimen.specs[0], mask_url=url)
    for render, limit in (
        (STAGE.render, 60),
        (replace(STAGE.render, mask_min_x=90.0), 90),
        (replace(STAGE.render, without_mask=True), 0),
    ):
        canvas = canvases(specimen).get(p, replace(STAGE, render=render))
        low = canvas.to_full(canvas.features.xy)[:, 0].min()
        assert low >= limit - 0.5
        assert low < limit + 30
        assert canvas.mask.sum() == 160 * (200 - limit)


def test_the_filter_helps_and_repeats(specimen):
    pair = cross(specimen)
    stage = replace(STAGE, render=replace(STAGE.render, with_filter=True))
    one, again = (stages.match_pair(pair, [stage], canvases(specimen)) for _ in range(2))
    assert error(specimen, one) < 0.2
    assert np.array_equal(one.outcome.p, again.outcome.p)


def test_start_positions_give_four_matches_at_low_weight(specimen):
    stage = Stage("start", method="start_position", start_position_weight=0.001)
    attempt = stages.match_pair(montage(specimen), [stage], canvases(specimen))
    record = attempt.matches
    assert len(record.w) == 4
    assert np.allclose(record.w, 0.001)
    assert np.allclose(record.p - record.q, [150, 0])


def test_features_are_computed_once_and_results_do_not_depend_on_the_cache_or_order(specimen):
    for z in range(1, 6):
        specimen.cut(z, 0, 0, error=(z, -z))
    plan = pairs.derive(
        specimen.tiles.tiles, Rules(0.1, z_distance=3, exclude_same_layer=True), 1, 5
    )
    large, small = canvases(specimen), canvases(specimen, budget_mb=0.001)
    one = list(stages.match_all(plan, [STAGE], large))
    other = list(stages.match_all(plan[::-1], [STAGE], small))[::-1]
    assert large.computed == 5
    assert small.computed > 5
    for a, b in zip(one, other, strict=True):
        assert a.pair == b.pair
        assert np.array_equal(a.outcome.p, b.outcome.p)
        assert np.array_equal(a.outcome.q, b.outcome.q)


def test_a_hundred_points_are_kept_and_found_ones_decide(specimen):
    pair = cross(specimen)
    every = stages.match_pair(pair, [STAGE], canvases(specimen))
    count = len(every.matches.w)
    assert count > 40
    strict = replace(STAGE, consensus=replace(STAGE.consensus, min_inliers=count - 5))
    few = stages.match_pair(pair, [replace(strict, max_points=30)], canvases(specimen))
    assert len(few.matches.w) == 30  # though the stage asks for more
    assert few.outcome.coverage_pct == every.outcome.coverage_pct
    fits = [fit_affine(one.matches.p, one.matches.q, one.matches.w) for one in (every, few)]
    assert np.abs(fits[0] - fits[1]).max() < 1e-3
