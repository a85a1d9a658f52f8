"""The dense matcher: what it recovers, what it leaves out, and when it declines."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from scripts.lib import geometry
from scripts.lib.drawing.compose import Picture
from scripts.lib.numerics import correlation, models
from scripts.match import pairs, refinement, stages
from scripts.match.block import match_block
from scripts.match.canvases import Canvases
from scripts.match.levels import BlockFeatures, BlockParams
from scripts.match.presets import Rendering, Stage
from tests.match.conftest import texture

HOW = BlockParams(block_px=40)
SPECIMEN = texture((700, 700), seed=3)
OTHER = texture((700, 700), seed=4)
PLACE = 200  # of p's first pixel in the specimen


def cut(image, affine=None, shape=(240, 240), noise=6.0, seed=0):
    """Picture of the specimen; `affine` maps the place in p to that in this picture."""
    back = geometry.identity() if affine is None else geometry.invert(affine)
    there = geometry.compose(geometry.translation(PLACE, PLACE), back)
    flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    seen = cv2.warpAffine(image, there, shape[::-1], flags=flags)
    rng = np.random.default_rng(seed)
    return np.clip(seen + noise * rng.standard_normal(shape), 1, 254).astype(np.float32)


def features(pixels, mask=None, how=HOW, **where):
    mask = np.ones(pixels.shape, bool) if mask is None else mask
    return BlockFeatures(Picture(pixels, mask), how, **where)


def matched(q, *, p=None, p_mask=None, q_mask=None, how=HOW, predicted=None):
    p = cut(SPECIMEN, seed=1) if p is None else p
    one, other = features(p, p_mask, how), features(q, q_mask, how)
    return match_block(one, other, predicted=predicted)


def rotation(degrees, scale=1.0, shift=(0.0, 0.0)):
    c, s = scale * np.cos(np.deg2rad(degrees)), scale * np.sin(np.deg2rad(degrees))
    linear = np.array([[c, -s], [s, c]])
    middle = np.full(2, 119.5)
    return np.column_stack([linear, middle + shift - linear @ middle])


def errors(found, truth):
    assert found.reason is None
    return found.q - geometry.apply(truth, found.p)


@pytest.mark.parametrize("shift", [(0, 0), (7, -12), (13.25, 4.5), (-31.5, 22.75)])
def test_a_known_shift_is_recovered_to_a_fiftieth_px(shift):
    truth = geometry.translation(*shift)
    left = errors(matched(cut(SPECIMEN, truth)), truth)
    assert np.abs(left.mean(axis=0)).max() < 0.02
    assert np.hypot(*left.T).max() < 0.3


@pytest.mark.parametrize("angle", [0.2, -0.6, 1.0])
def test_a_known_affine_is_recovered_to_a_twentieth_px(angle):
    truth = rotation(angle, 1.004, (9.3, -6.1))
    found = matched(cut(SPECIMEN, truth))
    fitted = models.fit_affine(found.p, found.q, found.weights)
    grid = geometry.corners(240, 240)
    assert np.abs(geometry.apply(fitted, grid) - geometry.apply(truth, grid)).max() < 0.1
    assert np.abs(errors(found, truth).mean(axis=0)).max() < 0.05
    assert found.coverage_pct > 80


@pytest.mark.parametrize("angle", [3.0, -5.0, 20.0])
def test_beyond_its_reach_it_declines_or_is_right(angle):
    truth = rotation(angle)
    found = matched(cut(SPECIMEN, truth))
    assert found.reason is not None
    assert found.p is None
    assert found.reason.startswith(("beyond_reach(", "not_distinct(", "few_blocks("))


def test_too_large_a_scale_declines_with_its_size():
    found = matched(cut(SPECIMEN, rotation(0, 1.05)))
    assert found.reason is not None


@pytest.mark.parametrize("seed", range(6))
def test_unrelated_tissue_is_not_matched(seed):
    found = matched(cut(texture((700, 700), seed=50 + seed)))
    assert found.reason.startswith("not_distinct(")
    assert found.log10_chance > -4


def test_resin_is_not_matched_though_both_tiles_have_shading_and_streaks():
    rng = np.random.default_rng(0)
    shading = np.linspace(100, 150, 240)[None]
    blanks = []
    for _ in range(2):
        streaks = 3 * cv2.GaussianBlur(rng.standard_normal((1, 240)), (0, 0), 1.5)
        blanks.append((shading + streaks + 8 * rng.standard_normal((240, 240))).astype(np.float32))
    found = matched(blanks[1], p=blanks[0])
    assert found.reason.startswith("not_distinct(")


def test_blocks_of_resin_take_no_part():
    truth = geometry.translation(8.5, -3.25)
    p, q = cut(SPECIMEN, seed=1), cut(SPECIMEN, truth)
    rng = np.random.default_rng(5)
    for image, edge in ((p, 120), (q, 128)):
        image[:, edge:] = 128 + 6 * rng.standard_normal((240, 240 - edge))
    found = matched(q, p=p)
    left = errors(found, truth)
    assert found.p[:, 0].max() < 140  # a block that straddles the border may measure
    assert found.coverage_pct < 70
    assert np.abs(left.mean(axis=0)).max() < 0.15


def test_a_decoy_that_moves_differently_is_left_out():
    truth = geometry.translation(4.5, 2.25)
    p, q = cut(SPECIMEN, seed=1), cut(SPECIMEN, truth)
    q[150:230, 150:230] = cut(SPECIMEN, geometry.translation(-3.5, 8.25))[150:230, 150:230]
    left = errors(matched(q, p=p), truth)
    assert np.hypot(*left.T).max() < 2
    assert np.abs(left.mean(axis=0)).max() < 0.1


def test_a_shared_pattern_under_the_masks_does_not_count():
    truth = geometry.translation(15.5, -6.5)
    p, q = cut(SPECIMEN, seed=1), cut(SPECIMEN, truth)
    mask = np.ones((240, 240), bool)
    mask[60:180, 60:180] = False
    loud = 128 + 100 * np.sign(np.random.default_rng(1).standard_normal((120, 120)))
    for image in (p, q):
        image[60:180, 60:180] = loud
    left = errors(matched(q, p=p, p_mask=mask, q_mask=mask), truth)
    assert np.abs(left.mean(axis=0)).max() < 0.05


def test_saturated_areas_do_not_count_even_when_both_tiles_share_them():
    truth = geometry.translation(15.5, -6.5)
    p, q = cut(SPECIMEN, seed=1), cut(SPECIMEN, truth)
    for image in (p, q):
        image[40:110, 50:190] = 255
        image[150:200, 30:90] = 0
    found = matched(q, p=p)
    left = errors(found, truth)
    assert np.abs(left.mean(axis=0)).max() < 0.05
    assert features(p).valid is not None


def test_a_tile_without_any_usable_pixel_says_so():
    blank = np.full((240, 240), 255, np.float32)
    assert matched(blank).reason == "no_usable_pixels"
    assert matched(cut(SPECIMEN), p_mask=np.zeros((240, 240), bool)).reason == "no_usable_pixels"


def test_gain_shading_and_bright_blobs_do_not_shift_the_result():
    truth = geometry.translation(5.75, 9.5)
    q = 0.7 * cut(SPECIMEN, truth) + np.linspace(0, 70, 240)[None]
    y, x = np.mgrid[:240, :240]
    q = np.clip(q + 80 * np.exp(-((x - 80) ** 2 + (y - 150) ** 2) / 800), 0, 254)
    left = errors(matched(q.astype(np.float32)), truth)
    assert np.abs(left.mean(axis=0)).max() < 0.05


@pytest.mark.parametrize("width", [20, 24, 36])
@pytest.mark.parametrize("across", [False, True])
def test_a_narrow_strip_is_matched_near_its_predicted_place(width, across):
    step = (0.0, 120.0 - width) if across else (120.0 - width, 0.0)
    truth = geometry.translation(-step[0] - 3.25, -step[1] + 2.5)
    how = replace(HOW, block_px=32, search_px=20, min_overlap_pct=4, model="TRANSLATION")
    shape = (120, 120)
    found = matched(
        cut(SPECIMEN, truth, shape, noise=10),
        p=cut(SPECIMEN, None, shape, noise=10, seed=1),
        how=how,
        predicted=-np.array(step),
    )
    assert np.hypot(*errors(found, truth).mean(axis=0)) < 0.15


@pytest.mark.parametrize("width", [28, 40])
def test_along_a_narrow_seam_the_matches_follow_a_distortion_that_varies(width):
    """q is moved along x by a sine of y: one shift for the seam would leave 1 px rms."""
    y, x = np.mgrid[:480, :120].astype(np.float32)
    wave = 1.5 * np.sin(2 * np.pi * y / 480)
    rng = np.random.default_rng(9)
    p = SPECIMEN[100:580, 100:220] + 6 * rng.standard_normal((480, 120))
    step = 120 - width
    q = cv2.remap(SPECIMEN, x + 100 + step + wave, y + 100, cv2.INTER_CUBIC)
    q = q + 6 * rng.standard_normal(q.shape)
    how = replace(HOW, block_px=32, search_px=20, min_overlap_pct=4, model="TRANSLATION")
    one, other = (
        features(p.astype(np.float32), None, how),
        features(q.astype(np.float32), None, how),
    )
    found = match_block(one, other, predicted=np.array([-float(step), 0.0]))
    assert found.reason is None
    moved = -step - 1.5 * np.sin(2 * np.pi * found.p[:, 1] / 480)
    left = found.q - found.p - np.column_stack([moved, np.zeros(len(moved))])
    assert np.ptp(found.p[:, 1]) > 350
    assert np.sqrt((left**2).mean()) < 0.25


SMALL = replace(HOW, block_px=48, search_px=60, tolerance_px=4.0, model="TRANSLATION")


@pytest.mark.parametrize("how", [HOW, SMALL])
def test_another_pixel_size_that_the_stage_tells_is_where_the_search_begins(how):
    truth = rotation(0.0, 1.06, (6.0, -3.0))
    found = match_block(
        features(cut(SPECIMEN, seed=1), None, how), features(cut(SPECIMEN, truth), None, how),
        linear=truth[:, :2],
    )  # fmt: skip
    fitted = models.fit_affine(found.p, found.q, found.weights)
    grid = geometry.corners(240, 240)
    assert np.abs(geometry.apply(fitted, grid) - geometry.apply(truth, grid)).max() < 0.3
    assert found.coverage_pct > 80


@pytest.mark.parametrize("seed", range(8))
def test_a_narrow_strip_of_unrelated_tissue_is_not_matched(seed):
    how = replace(HOW, block_px=32, search_px=20, min_overlap_pct=4, model="TRANSLATION")
    shape = (120, 120)
    found = matched(
        cut(texture((700, 700), seed=80 + seed), None, shape),
        p=cut(SPECIMEN, None, shape, seed=1),
        how=how,
        predicted=np.array([-96.0, 0.0]),
    )
    assert found.reason is not None


def test_points_are_full_scale_px_of_each_matching_frame():
    truth = geometry.translation(6.0, -4.0)
    p, q = cut(SPECIMEN, noise=2), cut(SPECIMEN, truth, noise=2, seed=1)
    one = features(p, scale=0.25, origin=np.array([40.0, 8.0]))
    other = features(q, scale=0.25, origin=np.array([-16.0, 12.0]))
    found = match_block(one, other, predicted=np.array([-30.0, -10.0]))
    step = (found.q - found.p).mean(axis=0)
    assert step == pytest.approx([6 * 4 - 56, -4 * 4 + 4], abs=0.1)


def test_the_result_repeats_and_does_not_depend_on_the_pairs_before():
    truth = rotation(0.3)
    p, q, r = features(cut(SPECIMEN, seed=1)), features(cut(SPECIMEN, truth)), features(cut(OTHER))
    first = match_block(p, q)
    match_block(p, r)
    again = match_block(p, q)
    assert np.array_equal(first.q, again.q)
    assert np.array_equal(first.weights, again.weights)


def test_chance_of_unrelated_tiles_is_what_the_null_says():
    """Of 40 unrelated pairs the least chance is about 1 / 40, not far below."""
    tiles = [features(cut(texture((700, 700), seed=100 + k))) for k in range(10)]
    chances = [match_block(a, b).log10_chance for i, a in enumerate(tiles) for b in tiles[:i]]
    assert len(chances) == 45
    assert -4 < min(chances) < -0.3


def test_a_peak_between_px_is_found_without_a_pull_to_whole_px():
    y, x = np.mgrid[-5:6, -5:6]
    for shift in np.linspace(-0.5, 0.5, 9):
        rho = np.exp(-((x - shift) ** 2 + (y + shift / 2) ** 2) / 3).astype(np.float32)[None]
        peak = correlation.find_peaks(rho, 4.0)
        assert peak.lag[0] == pytest.approx([shift, -shift / 2], abs=0.006)
        assert peak.height[0] == pytest.approx(1, abs=0.003)


def test_a_ridge_has_no_curvature_along_it():
    _, x = np.mgrid[-5:6, -5:6]
    rho = np.exp(-(x**2) / 3).astype(np.float32)[None]
    assert correlation.find_peaks(rho, 4.0).curvature[0] < 0.01


# ---------------------------------------------------------------------------------------------
# pixels compared under the model
# ---------------------------------------------------------------------------------------------

FINE = replace(HOW, fine_px=40, middle_side_px=130)


@pytest.mark.parametrize("shift", [(7, -12), (13.25, 4.5), (-9.5, 2.75), (0.3, 0.1)])
def test_comparing_pixels_finds_a_shift_to_a_fiftieth_px_wherever_between_px(shift):
    truth = geometry.translation(*shift)
    p, q = cut(SPECIMEN, seed=1), cut(SPECIMEN, truth)
    found = matched(q, p=p, how=FINE)
    fitted = models.fit_affine(found.p, found.q, found.weights)
    middle = np.array([[120.0, 120.0]])
    left = geometry.apply(fitted, middle) - geometry.apply(truth, middle)
    assert np.hypot(*left[0]) < 0.02


@pytest.mark.parametrize("angle", [0.2, -0.6, 1.0])
def test_comparing_pixels_finds_an_affine_to_a_twentieth_px_in_the_corners(angle):
    truth = rotation(angle, 1.004, (9.3, -6.1))
    found = matched(cut(SPECIMEN, truth), how=FINE)
    fitted = models.fit_affine(found.p, found.q, found.weights)
    grid = geometry.corners(240, 240)
    assert np.abs(geometry.apply(fitted, grid) - geometry.apply(truth, grid)).max() < 0.05


def test_comparing_parts_of_the_pixels_finds_the_affine_too():
    truth = rotation(0.6, 1.004, (9.3, -6.1))
    how = replace(FINE, fine_px=20, fine_area_mpx=0.02)
    found = matched(cut(SPECIMEN, truth), how=how)
    fitted = models.fit_affine(found.p, found.q, found.weights)
    grid = geometry.corners(240, 240)
    assert 20 < len(found.p) < 80  # of 144 blocks
    assert np.abs(geometry.apply(fitted, grid) - geometry.apply(truth, grid)).max() < 0.1


def test_comparing_pixels_leaves_out_masks_and_resin():
    truth = geometry.translation(5.5, -3.25)
    p, q = cut(SPECIMEN, seed=1), cut(SPECIMEN, truth)
    rng = np.random.default_rng(5)
    for image, edge in ((p, 160), (q, 166)):
        image[:, edge:] = 128 + 6 * rng.standard_normal((240, 240 - edge))
    mask = np.ones((240, 240), bool)
    mask[:60] = False
    p[:60] = q[:60] = 128 + 80 * np.sign(rng.standard_normal((60, 240)))
    found = matched(q, p=p, p_mask=mask, q_mask=mask, how=FINE)
    left = errors(found, truth)
    assert found.p[:, 0].max() < 180  # a block that straddles the border may measure
    assert found.p[:, 1].min() > 60
    assert np.abs(np.average(left, axis=0, weights=found.weights)).max() < 0.05


@pytest.mark.parametrize("seed", range(4))
def test_unrelated_tissue_or_a_large_turn_is_declined_before_or_in_the_comparison(seed):
    assert matched(cut(texture((700, 700), seed=60 + seed)), how=FINE).reason is not None
    assert matched(cut(SPECIMEN, rotation(4 + seed)), how=FINE).reason is not None


def test_motion_of_the_specimen_itself_makes_its_blocks_count_alike():
    """Steps with a scatter of their own, tensors of 100 times different strength."""
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 1000, (200, 2))
    strength = np.where(np.arange(200) % 2, 1.0, 100.0)
    for scatter in (0.0, 0.5):
        steps = [0.2, -0.1] + scatter * rng.standard_normal((200, 2))
        steps += 0.1 * rng.standard_normal((200, 2)) / np.sqrt(strength)[:, None]
        tensor = strength[:, None, None] * np.eye(2)
        blocks = refinement.Blocks(
            places,
            tensor,
            np.einsum("nij,nj->ni", tensor, steps),
            np.ones(200),
            np.full(200, 0.01 * 4096),
            np.full(200, 4096.0),
        )
        found = refinement.agree(blocks, np.ones(200, bool), 1.0, "TRANSLATION")
        ratio = found.weights[::2].mean() / found.weights[1::2].mean()
        assert found.common[:, 2] == pytest.approx([0.2, -0.1], abs=0.01 + 0.15 * scatter)
        assert (ratio < 1.3) if scatter else (ratio > 20)
        assert found.motion_px == pytest.approx(scatter, abs=0.1)


# ---------------------------------------------------------------------------------------------
# as a stage
# ---------------------------------------------------------------------------------------------

STAGE = Stage(
    "pass0",
    method="block",
    render=Rendering(1.0, with_filter=False, without_mask=False),
    block=replace(HOW, search_px=40, min_overlap_pct=8),
)


def test_the_stage_looks_where_the_stage_positions_predict(specimen):
    p = specimen.cut(1, 0, 0)
    q = specimen.cut(1, 0, 1, error=(2.2, 1.4))
    pair = pairs.Pair("1.0", p, "1.0", q, 0, "LEFT", "RIGHT")
    found = stages.match_pair(
        pair, [STAGE], Canvases(specimen.tiles, budget_mb=50, source=specimen.source)
    )
    out = found.outcome
    assert found.reason == ""
    left = out.q - geometry.apply(specimen.map(p, q), out.p)
    assert np.hypot(*left.mean(axis=0)) < 0.15
    assert found.matches.w.max() == 1
    assert found.matches.w.min() > 0


def test_what_it_declines_goes_on_to_the_next_stage(specimen):
    p = specimen.cut(1, 0, 0)
    q = specimen.cut(2, 0, 0, angle=np.deg2rad(6))
    pair = pairs.Pair("1.0", p, "2.0", q, 1)
    sift = replace(STAGE, name="pass1", method="sift")
    canvases = Canvases(specimen.tiles, budget_mb=50, source=specimen.source)
    found = stages.match_pair(pair, [STAGE, sift], canvases)
    assert found.stage == "pass1"
    assert found.matches is not None
    assert found.reason.startswith("pass0:")


def test_features_of_a_tile_are_made_once(specimen):
    ids = [specimen.cut(z, 0, 0, error=(z, 0)) for z in (1, 2, 3)]
    canvases = Canvases(specimen.tiles, budget_mb=50, source=specimen.source)
    for i, p in enumerate(ids):
        for q in ids[i + 1 :]:
            pair = pairs.Pair(f"{i + 1}.0", p, "9.0", q, 1)
            assert stages.match_pair(pair, [STAGE], canvases).reason == ""
    assert canvases.computed == 3
