"""Inference: known thickness comes back; missing, bad and odd layers do no harm."""

import numpy as np
import pytest

from scripts.zcorr import inference
from scripts.zcorr.inference import Options, infer

REFERENCE = Options(scaling_factor_regularizer=1.0, iterations=600)


def uneven(n, seed=0, sd=0.2):
    """Coordinates of n layers of uneven thickness, ends on 0 and n - 1."""
    steps = np.clip(1 + sd * np.random.default_rng(seed).standard_normal(n - 1), 0.3, 2)
    z = np.concatenate([[0], np.cumsum(steps)])
    return z * (n - 1) / z[-1]


def correlations(z, reach=6, length=4.0, gain=None):
    """(n, R) correlations that fall exponentially with true distance, times layer gains."""
    n = len(z)
    gain = np.ones(n) if gain is None else gain
    corr = np.full((n, reach), np.nan)
    for k in range(1, min(reach, n - 1) + 1):
        corr[: n - k, k - 1] = np.exp(-(z[k:] - z[:-k]) / length) * gain[k:] * gain[:-k]
    return corr


def run(corr, options=REFERENCE, present=None, weights=None):
    present = np.ones(len(corr), bool) if present is None else present
    return infer(corr, present, options, np.ones_like(corr) if weights is None else weights)


def rms(a, b):
    return float(np.sqrt(np.mean((a - b) ** 2)))


def test_known_uneven_thickness_is_recovered():
    true = uneven(120)
    found = run(correlations(true)).z
    assert rms(found, true) < 0.15 * rms(np.arange(120), true)
    assert np.corrcoef(np.diff(found), np.diff(true))[0, 1] > 0.98


def test_even_thickness_stays_even():
    found = run(correlations(np.arange(60.0))).z
    assert np.abs(found - np.arange(60)).max() < 1e-3


def test_noisy_layers_are_corrected_by_quality_factors():
    true = uneven(100, seed=3)
    gain = np.random.default_rng(4).uniform(0.85, 1.0, 100)
    corr = correlations(true, gain=gain)
    without = run(corr, REFERENCE)
    with_factors = run(corr, Options(scaling_factor_regularizer=0.1, iterations=600))
    assert rms(with_factors.z, true) < 0.5 * rms(without.z, true)
    # a noisy layer's factor is large: what it lost is put back
    assert np.corrcoef(with_factors.quality, 1 / gain)[0, 1] > 0.9


def test_what_all_layers_lose_alike_stays_with_the_curve():
    """Curve and factors leave a common factor free: the factors' mean is 1, and they settle."""
    corr = correlations(uneven(100, seed=3), gain=np.random.default_rng(4).uniform(0.85, 1.0, 100))
    found = run(corr, Options(scaling_factor_regularizer=0.1, iterations=600))
    assert np.log(found.quality[6:-6]).mean() == pytest.approx(0, abs=0.01)  # ends fade to 1
    assert found.iterations < 50


def test_a_missing_layer_keeps_the_true_z_of_those_behind_it():
    true = uneven(80, seed=5)
    corr = correlations(true)
    present = np.ones(80, bool)
    for i in (20, 21, 50):
        present[i] = False
        corr[i] = np.nan
        for k in range(corr.shape[1]):
            if i - k - 1 >= 0:
                corr[i - k - 1, k] = np.nan
    found = run(corr, present=present).z
    assert rms(found[present], true[present]) < 0.2 * rms(np.arange(80), true)
    assert (np.diff(found) > 0).all()


def test_a_lost_slice_is_found():
    true = np.arange(60.0)
    true[30:] += 1
    true *= 59 / true[-1]
    found = run(correlations(true)).z
    steps = np.diff(found)
    assert np.argmax(steps) == 29
    assert steps[29] > 1.7 * np.median(steps)


def test_a_damaged_layer_does_not_move_its_neighbours():
    true = np.arange(60.0)
    gain = np.ones(60)
    gain[25] = 0.4
    found = run(correlations(true, gain=gain))
    assert found.weight[25] < 0.2
    others = np.arange(60) != 25
    assert np.abs(found.z - true)[others].max() < 0.15


def test_the_regularizer_keeps_coordinates_near_nominal():
    corr = correlations(uneven(80, seed=6))
    free, kept = run(corr), run(corr, Options(1.0, coordinate_regularizer=0.5))
    pinned = run(corr, Options(1.0, coordinate_regularizer=1.0))
    assert rms(kept.z, np.arange(80)) < rms(free.z, np.arange(80))
    assert np.abs(pinned.z - np.arange(80)).max() < 1e-9


def test_reversing_the_stack_reverses_the_result():
    true = uneven(50, seed=7)
    forward = run(correlations(true)).z
    backward = run(correlations(49 - true[::-1])).z
    assert np.allclose(forward, 49 - backward[::-1], atol=0.02)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_stacks_of_one_to_three_layers_keep_their_ends(n):
    found = run(correlations(np.arange(float(n)))).z
    assert found[0] == 0
    assert found[-1] == pytest.approx(n - 1)


@pytest.mark.parametrize("n", [4, 5, 6])
def test_the_farthest_pair_of_a_short_stack_counts_too(n):
    corr = correlations(uneven(n, sd=0.4), n)
    without = corr.copy()
    without[:, n - 2] = np.nan
    assert rms(run(corr).z, run(without).z) > 1e-6


def test_no_correlation_at_all_leaves_nominal_z():
    found = run(np.full((10, 3), np.nan)).z
    assert np.array_equal(found, np.arange(10.0))


def test_local_curves_follow_a_change_of_tissue():
    true = uneven(200, seed=8)
    length = np.where(np.arange(200) < 100, 3.0, 9.0)
    corr = correlations(true)
    for k in range(corr.shape[1]):
        d = true[k + 1 :] - true[: 199 - k]
        corr[: 199 - k, k] = np.exp(-d / length[: 199 - k])
    one = run(corr)
    two = run(corr, Options(1.0, local_estimates=4))
    assert rms(two.z, true) < rms(one.z, true)
    assert two.curve.shape == (4, 7)


def test_layers_stay_in_order_and_ends_are_pinned():
    rng = np.random.default_rng(9)
    corr = np.clip(correlations(uneven(60)) + 0.1 * rng.standard_normal((60, 6)), 0.01, 1)
    for options in (REFERENCE, Options(), Options(force_monotonicity=True), Options(reorder=True)):
        found = run(corr, options).z
        assert (np.diff(found) >= 0).all()
        assert found[0] == pytest.approx(0, abs=1e-9)
        assert found[-1] == pytest.approx(59)


def test_pairs_without_trust_do_not_count():
    true = uneven(60, seed=10)
    corr = correlations(true)
    wrong, weights = corr.copy(), np.ones_like(corr)
    wrong[::4, 0] = 0.4
    weights[::4, 0] = 0
    local_error = [np.std(np.diff(run(wrong, weights=w).z - true)) for w in (None, weights)]
    assert local_error[1] < 0.03
    assert local_error[0] > 0.06


def test_edges_are_normalised_only_in_long_stacks():
    z = np.arange(100.0)
    z[1:] += 0.5
    edged = inference.normalise_edges(z, 30)
    steps = np.diff(edged)
    assert steps[0] == pytest.approx(steps[1])
    assert edged[-1] == pytest.approx(z[-1])
    assert np.array_equal(inference.normalise_edges(z[:60], 30), z[:60])


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="correlations"):
        infer(np.ones((3, 2)), np.ones(4, bool), Options(), np.ones((3, 2)))


def test_the_pull_to_nominal_z_is_that_of_mixing_it_in_at_each_step():
    """Of one pair that is two layers apart, by hand; a layer without a pair asks for nothing."""
    scaled = inference._Pairs(
        np.array([[0.4, 0], [0, 0], [0, 0]]), np.array([[1, 0], [0, 0.0], [0, 0]])
    )
    curves = np.array([[1.0, 0.7, 0.4]])
    start = np.arange(3.0)
    for mixed, proportion in ((0.3, 0.6), (0.5, 0.25)):
        options = Options(coordinate_regularizer=mixed, shift_proportion=proportion)
        pull = mixed / ((1 - mixed) * proportion)
        z = inference._requested(scaled, curves, start, options)
        assert z[1] - z[0] == pytest.approx((2 + pull / 2) / (1 + pull / 2), abs=1e-3)
        assert z[:2].sum() == pytest.approx(1, abs=1e-3)
        assert np.isnan(z[2])


def test_slots_that_are_missing_or_unasked_lie_between_their_neighbours():
    z = np.array([0.5, np.nan, 7.0, 3.9, np.nan])  # slot 2 has no layer: its value has no meaning
    found = inference._filled(z, np.array([0, 1, 3, 4]))
    offset = [0.5, 0.5 + 0.4 / 3, 0.5 + 0.8 / 3, 0.9, 0.9]
    assert found == pytest.approx(np.arange(5) + offset)
    nothing = np.full(3, np.nan)
    assert inference._filled(nothing, np.arange(3)).tolist() == [0, 1, 2]


def test_no_iteration_leaves_nominal_z_and_says_so():
    found = run(correlations(uneven(20)), Options(1.0, iterations=0))
    assert np.array_equal(found.z, np.arange(20.0))
    assert found.iterations == 0
    one = run(correlations(uneven(20)), Options(1.0, iterations=1))
    assert one.iterations == 1
    assert not np.array_equal(one.z, found.z)
    assert np.array_equal(one.quality, np.ones(20))
