"""Isotropic inference: uneven thickness from pixels; gaps, noise and damage do no harm."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from scripts.lib.drawing.compose import Picture
from scripts.lib.geometry import Box
from scripts.lib.job import UserError
from scripts.zcorr import (
    correlation,
    decay,
    infer_z,
    isotropy,
    methods,
    misalignment,
    qc,
    regions,
    thickness,
    windows,
)
from scripts.zcorr.changes import Process, StepError
from scripts.zcorr.measured import Measured
from tests.zcorr.synthetic import cut, measured, seen, specimen, whole
from tests.zcorr.test_zcorr_jobs import ZCORR

N = 56


def steps(seed=0, sd=0.2, n=N):
    rng = np.random.default_rng(seed)
    slow = np.convolve(rng.standard_normal(n + 8), np.ones(3) / np.sqrt(3), "same")[4:-4]
    return np.clip(1 + sd * slow[: n - 1], 0.4, 1.8)


def coordinates(each):
    return 3 + np.concatenate([[0], np.cumsum(each)])


@pytest.fixture(scope="module")
def volume():
    return specimen((84, 112, 128))


@pytest.fixture(scope="module")
def uneven(volume):
    """True z of a stack with a lost slice before layer 30, and its measurements."""
    each = steps()
    each[29] *= 2
    true = coordinates(each)
    return true, measured(list(cut(volume, true, noise=6)))


def solve(found, **changes):
    return methods.isotropic(found, ZCORR | changes)


def score(z, true):
    slope, shift = np.polyfit(z, true, 1)
    return float(np.sqrt(np.mean((slope * z + shift - true) ** 2)))


def test_known_uneven_thickness_comes_back_from_pixels(uneven):
    true, found = uneven
    z = solve(found).z
    assert score(z, true) < 0.55 * score(np.arange(N), true)
    assert np.corrcoef(np.diff(z), np.diff(true))[0, 1] > 0.9


def test_a_lost_slice_is_found_and_nothing_else(uneven):
    _, found = uneven
    assert np.flatnonzero(solve(found).lost).tolist() == [30]


def test_the_measured_thickness_is_that_of_the_specimen(uneven):
    true, found = uneven
    reported = solve(found).figures["measured_thickness"]
    assert reported == pytest.approx(np.median(np.diff(true)), rel=0.12)


def test_even_thickness_stays_even_to_the_last_digit(volume):
    result = solve(measured(list(cut(volume, coordinates(np.ones(N - 1)), noise=6))))
    assert np.allclose(result.z, np.arange(N), atol=1e-9)
    assert result.figures["thickness_sd"] == 0
    assert not result.lost.any()


def test_reversing_the_stack_reverses_the_result(volume):
    layers = list(cut(volume, coordinates(steps(3)), noise=6))
    forward, backward = (solve(measured(one)).z for one in (layers, layers[::-1]))
    assert np.allclose(forward, N - 1 - backward[::-1], atol=0.02)


def test_gain_and_offset_of_a_layer_change_nothing(volume):
    layers = cut(volume, coordinates(steps(4)), noise=6)
    rng = np.random.default_rng(0)
    gain, offset = rng.uniform(0.6, 0.9, (N, 1, 1)), rng.uniform(10, 25, (N, 1, 1))  # in range
    plain, changed = (solve(measured(list(one))).z for one in (layers, gain * layers + offset))
    assert np.abs(plain - changed).max() < 0.03


def test_curtains_and_row_noise_are_no_thickness(volume):
    layers = cut(volume, coordinates(steps(5)), noise=6)
    rng = np.random.default_rng(0)
    striped = layers + 8 * rng.standard_normal((N, 1, layers.shape[2]))
    striped += 8 * rng.standard_normal((N, layers.shape[1], 1))
    plain, changed = (solve(measured(list(one))).z for one in (layers, striped))
    assert np.abs(plain - changed).max() < 0.1


def test_a_missing_layer_keeps_the_true_z_of_those_behind_it(volume):
    true = coordinates(steps(6))
    layers = list(cut(volume, true, noise=6))
    layers[20] = layers[21] = None
    result = solve(measured(layers))
    there = np.array([one is not None for one in layers])
    assert score(result.z[there], true[there]) < 0.8 * score(np.flatnonzero(there), true[there])
    assert result.z[-1] == pytest.approx(N - 1)
    assert (np.diff(result.z) > 0).all()


def test_lost_slices_and_problems_are_found_beside_gaps_and_patches(volume):
    """A lost slice, a declared gap of two layers, a layer of patches alone, and a damaged one."""
    each = steps()
    each[29] *= 2
    true = coordinates(each)
    layers = list(cut(volume, true, noise=6))
    layers[44] = np.random.default_rng(3).uniform(60, 200, layers[0].shape)
    layers[12] = layers[13] = layers[36] = None  # what is patched takes no part
    present = np.array([one is not None for one in layers])
    present[36] = True
    found = replace(measured(layers), present=present)
    result = solve(found)
    assert np.flatnonzero(result.lost).tolist() == [30]
    report = infer_z.report_of(found, result, ZCORR)
    assert report["figures"]["lost_slices"] == [31]
    said = {row["z"]: row["problem"] for row in report["layers"] if row["problem"] is not None}
    assert [z for z, problem in said.items() if problem == "no image"] == [13, 14]
    assert {30, 45} <= set(said) <= {13, 14, 30, 44, 45}  # 30: the lost slice behind it
    proposed = qc.proposals(report["layers"], found.regional, (1, 1), ZCORR["problem_deviations"])
    assert {(one["z_first"], one["z_last"]) for one in proposed} == {(45, 45)}
    shown = np.flatnonzero([one is not None for one in layers])
    assert score(result.z[shown], true[shown]) < 0.8 * score(shown, true[shown])
    assert result.z[-1] == pytest.approx(N - 1)


def test_a_damaged_layer_does_not_move_its_neighbours(volume):
    true = coordinates(np.ones(N - 1))
    layers = cut(volume, true, noise=6)
    layers[25] = 0.3 * layers[25] + 0.7 * np.random.default_rng(3).uniform(60, 200, layers[0].shape)
    result = solve(measured(list(layers)))
    assert result.weight[25] < 0.2
    assert np.abs(result.z - np.arange(N)).max() < 0.1


@pytest.mark.parametrize("n", [1, 2, 3])
def test_stacks_of_one_to_three_layers_keep_their_ends(volume, n):
    result = solve(measured(list(cut(volume, coordinates(np.ones(n - 1))))))
    assert result.z[0] == 0
    assert result.z[-1] == pytest.approx(n - 1)


def test_layers_without_anything_to_compare_stay_at_nominal_z(volume):
    flat = [np.full((60, 60), 9.0)] * 5
    assert np.allclose(solve(measured(flat)).z, np.arange(5.0))


def test_chunks_join_to_the_same_whatever_their_number(volume):
    layers = list(cut(volume, coordinates(steps(7, n=12)), noise=6))
    together = measured(layers)
    parts = []
    for first, last in ((0, 5), (5, 12)):
        part = measured(layers[first : last + 3], first=1 + first)
        parts.append({k: np.asarray(v)[: last - first] for k, v in vars(part).items()})
        parts[-1]["pixel_layers"] = np.array(part.pixel_layers)
    joined = Measured.joined(parts[::-1])
    for name in ("z", "corr", "band", "inplane", "variance", "regional"):
        assert np.array_equal(getattr(joined, name), getattr(together, name), equal_nan=True), name
    with pytest.raises(ValueError, match="from z 5 to z 7"):
        Measured.joined([parts[0], {k: v[1:] for k, v in parts[1].items()}])


def test_numbers_that_are_none_are_refused_by_layer(volume):
    found = measured(list(cut(volume, coordinates(np.ones(5)))))
    for name, value in (("corr", np.inf), ("band", 1.5), ("share", np.nan)):
        part = {k: np.array(v) for k, v in vars(found).items()}
        part[name][2, 1] = value
        with pytest.raises(ValueError, match="z 3 with z 5"):
            Measured.joined([part])


def test_correlations_of_an_older_version_are_told(volume):
    part = dict(vars(measured(list(cut(volume, coordinates(np.ones(5)))))))
    del part["cell_band"]
    with pytest.raises(UserError, match="cell_band.*forcerun correlate_layers"):
        Measured.joined([part])


def test_missing_layers_at_the_ends_are_cut_off(volume):
    layers = list(cut(volume, coordinates(np.ones(3))))
    padded = measured([None, *layers, None])
    assert padded.trimmed().z.tolist() == [2, 3, 4, 5]


def test_pixels_of_another_shape_give_the_same_thickness(volume):
    """Every second column left out: x pixels of two layers, y pixels of one."""
    true = coordinates(steps(8, sd=0.35))
    layers = cut(volume, true, noise=3)
    found = replace(measured(list(layers[:, :, ::2])), pixel_layers=(2.0, 1.0))
    z = solve(found).z
    assert np.corrcoef(np.diff(z), np.diff(true))[0, 1] > 0.85


def test_masked_pixels_count_for_nothing(volume):
    a, b = cut(volume, np.array([5.0, 6.0]))
    mask = np.ones(a.shape, bool)
    mask[:, :50] = False
    junk = whole(np.where(mask, a, 250))
    half = isotropy.band_texture([Picture(whole(a[:, 50:]), mask[:, 50:])])
    masked = isotropy.band_texture([Picture(junk, mask)])
    assert np.abs(masked.inplane - half.inplane).max() < 0.02 * half.inplane.max()
    found = isotropy.similarity(masked, seen(b).texture)
    wanted = isotropy.similarity(seen(a).texture, seen(b).texture)
    assert found.value == pytest.approx(wanted.value, abs=0.05)
    assert found.shift == pytest.approx(wanted.shift, abs=0.1)
    assert found.share < 0.62


def shifted(layer, x, y):
    return ndimage.shift(layer, (y, x), order=3, mode="mirror")


def test_the_shift_at_which_layers_are_most_alike_is_found(volume):
    a, b = cut(volume, np.array([5.0, 6.0]))
    found = isotropy.similarity(seen(a).texture, seen(shifted(b, 0.6, -0.4)).texture)
    straight = isotropy.similarity(seen(a).texture, seen(b).texture)
    moved = np.array(found.shift) - straight.shift  # pixels of the band are two of the picture
    assert np.abs(moved) == pytest.approx([0.3, 0.2], rel=0.25)  # slopes over two pixels are flat
    assert found.value < straight.value


def test_misalignment_is_no_distance_and_oblique_tissue_is_none_of_it(volume):
    z = 5.0 + np.arange(12)
    layers = cut(volume, z)
    rng = np.random.default_rng(0)
    jitter = rng.normal(0, 0.3, (12, 2))
    slant = 0.3 * np.arange(12)[:, None] * [1.0, 0.0]
    bands = {}
    for name, moves in (("straight", 0 * slant), ("jitter", jitter), ("oblique", slant)):
        found = measured([shifted(layer, *move) for layer, move in zip(layers, moves, strict=True)])
        bands[name] = found.band[:11, 0]
        bands[f"{name}, taken off"] = misalignment.compensated(
            found.band, found.shift, found.curvature, 4.0
        )[:11, 0]
    lost = bands["straight, taken off"] - bands["jitter"]
    left = bands["straight, taken off"] - bands["jitter, taken off"]
    assert lost.mean() > 0.01
    assert np.abs(left).mean() < 0.35 * np.abs(lost).mean()
    # a shift that goes on is the tissue's: what is taken off is what it is without one
    slow = bands["oblique, taken off"] - bands["oblique"]
    assert np.abs(slow[3:8]).max() < 0.35 * (bands["straight"] - bands["oblique"])[3:8].min()


def test_regions_are_the_pearson_correlation_of_their_own_pixels(volume):
    a, b = cut(volume, np.array([5.0, 8.0]))
    b[:56, 64:] = np.random.default_rng(0).uniform(60, 200, (56, 64))
    mask = np.ones(a.shape, bool)
    mask[56:, :64] = False
    a, b = whole(a) * mask, whole(b) * mask
    found = regions.correlate(a, b, 64)
    assert found.shape == (2, 2)
    for row, column in ((0, 0), (0, 1), (1, 1)):
        part = np.s_[56 * row : 56 * (row + 1), 64 * column : 64 * (column + 1)]
        wanted = np.corrcoef(a[part].ravel(), b[part].ravel())[0, 1]
        assert found[row, column] == pytest.approx(wanted, abs=1e-5)
    assert np.isnan(found[1, 0])


def test_the_curve_of_a_gaussian_field_is_the_one_of_theory():
    """Covariance exp(-r² / 2 w²) in the plane: the band falls as the same Gaussian of distance."""
    width = 4.6
    lag = np.hypot(*isotropy.LAGS_PX.T)
    inplane = 900 * np.exp(-(lag**2) / (2 * width**2))[None]
    found = decay.decay(inplane, np.array([1.0]), (1.0, 1.0), 3)
    wanted = np.exp(-(found.nodes**2) / (2 * width**2))
    near = found.nodes < 5
    assert np.abs(found.curves[0] - wanted)[near].max() < 0.01
    band = np.exp(-(np.array([[1.0, 2.0, 3.0]]) ** 2) / (2 * width**2))
    one = replace(found, signal=np.ones(2), curves=np.repeat(found.curves, 2, axis=0))
    assert decay.distances(np.repeat(band, 2, axis=0), one)[0, 0] == pytest.approx(1, abs=0.05)


def even_error(n, noise, floor=(0.05, 4.0)):
    """Error of steps that much tissue tells, but for a least error."""
    nothing = Process(0.0, 1.0)
    return StepError(
        np.zeros(n), np.full(n, 0.05), nothing, (Process(floor[0] ** 2, floor[1]),), noise, 1000.0
    )


def test_only_changes_that_stand_out_of_the_error_are_believed():
    rng = np.random.default_rng(0)
    known, known_error = np.ones(399, bool), even_error(399, 0.05)
    error = 0.05 * rng.standard_normal(399)
    kept, _, model = thickness.posterior(np.exp(error), known, known_error)
    assert model.strength == 0
    assert np.array_equal(kept, np.ones(399))
    true = 0.3 * rng.standard_normal(399)
    kept, _, model = thickness.posterior(np.exp(true + error), known, known_error)
    assert model.strength == pytest.approx(0.3, rel=0.2)
    assert np.corrcoef(np.log(kept), true)[0, 1] > 0.95


def test_a_gap_of_two_layers_is_a_lost_slice_and_a_thick_layer_is_none():
    """However uneven the stack: thickness of sd 20 % and a gap of 2.1 layers among it, or none."""
    rng = np.random.default_rng(2)
    log, known = np.clip(0.2 * rng.standard_normal(300), -0.5, 0.5), np.ones(300, bool)
    error = even_error(300, 0.03, (0.08, 3.0))
    assert not thickness.posterior(np.exp(log), known, error)[1].any()
    log[[60, 200]] = np.log([2.1, 1.9])
    assert np.flatnonzero(thickness.posterior(np.exp(log), known, error)[1]).tolist() == [60, 200]
    # the same gaps are none where the error is as large, or known from three samples
    for worse in ({"tissue": np.full(300, 0.5)}, {"freedom": 2.0, "tissue": np.full(300, 0.25)}):
        assert not thickness.posterior(np.exp(log), known, replace(error, **worse))[1].any()


def test_layers_that_are_all_alike_say_nothing():
    distance = np.zeros((6, 2))
    assert thickness.positions(distance, np.ones((6, 2))).z == pytest.approx(np.arange(6.0))


def test_windows_are_spread_over_a_large_layer_and_a_small_one_is_seen_whole():
    box = Box(-100, 0, 7900, 4000)
    boxes = windows.spread(box, 512, 16)
    assert len(boxes) <= 16
    assert len(set(boxes)) == len(boxes)
    assert all(b.x0 >= box.x0 and b.x1 <= box.x1 and b.y1 <= box.y1 for b in boxes)
    assert windows.spread(Box(0, 0, 1000, 900), 512, 16) == (Box(0, 0, 1000, 900),)


@pytest.mark.parametrize(("pixel", "scale"), [(1, 1), (2, 1), (0.5, 0.5), (0.3, 0.25)])
def test_texture_is_measured_where_a_pixel_is_about_a_layer(pixel, scale):
    assert windows.texture_scale(pixel) == scale


def test_pairs_are_at_true_distances_when_a_layer_is_missing(volume):
    layers = list(cut(volume, coordinates(np.ones(4))))
    layers[2] = None
    found = measured(layers)
    assert np.isnan(found.corr[2]).all()
    assert np.isnan(found.corr[1, 0])
    assert found.corr[1, 1] == pytest.approx(
        np.corrcoef(whole(layers[1]).ravel(), whole(layers[3]).ravel())[0, 1], abs=2e-6
    )
    assert correlation.pearson(*(seen(layers[k]).field for k in (1, 3)))[0] == found.corr[1, 1]
