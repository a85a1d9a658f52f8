"""One pair through its stages: places recovered, reasons given, stop rule, masks, clips, cache."""

from dataclasses import replace

import numpy as np
import pytest

from scripts.lib import geometry
from scripts.match import pairs, stages
from scripts.match.canvases import Canvases
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


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Descriptors(10, 50.0), ""),
        (Descriptors(10, 99.99), "descriptors_not_available"),
        (Descriptors(5000, 0.0), "few_inliers"),
        (Descriptors(5000, 0.0, regardless_of_sift=True), "descriptors_not_available"),
        (Descriptors(), "descriptors_not_available"),
    ],
)
def test_a_stage_with_descriptors_saves_what_sift_alone_satisfies(specimen, limits, words):
    stage = replace(
        STAGE, descriptors=limits, coverage_radius_px=20.0 if "99" in str(limits) else 60.0
    )
    attempt = stages.match_pair(cross(specimen), [stage], canvases(specimen))
    assert words in attempt.reason
    assert (attempt.matches is not None) == (words == "")


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
