"""The parts of the inference, each against the same written as a loop over pairs."""

import numpy as np
import pytest

from scripts.zcorr import inference
from scripts.zcorr.inference import Options

N, REACH = 9, 4
CURVE = np.array([1.0, 0.8, 0.55, 0.5, 0.2])


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def pairs():
    """Lower layer, upper layer and column of every pair inside the stack."""
    return [(i, i + k + 1, k) for i in range(N) for k in range(REACH) if i + k + 1 < N]


def test_values_of_upper_layers_and_sums_over_them_follow_the_pairs(rng):
    values, table = rng.uniform(1, 2, N), rng.uniform(1, 2, (N, REACH))
    upper, apart = inference._at_upper(values, REACH, 7.0), inference._apart(values, REACH)
    want, away, total = np.full((N, REACH), 7.0), np.zeros((N, REACH)), np.zeros(N)
    for i, j, k in pairs():
        want[i, k], away[i, k] = values[j], values[j] - values[i]
        total[j] += table[i, k]
    assert np.array_equal(upper, want)
    assert np.allclose(apart, away, atol=1e-15)
    assert np.allclose(inference._to_upper(table), total)


def test_half_the_usual_share_of_a_picture_is_full_trust():
    share = np.array([[0.0, 0.1], [0.2, 0.4], [0.4, 0.9]])  # the median of those above 0 is 0.4
    assert np.allclose(inference.trust(share), [[0, 0.5], [1, 1], [1, 1]])
    assert not inference.trust(np.zeros((2, 2))).any()


def test_a_layer_is_weighed_by_how_its_two_neighbours_fit_each_other(rng):
    corr = rng.uniform(0.5, 0.9, (N, REACH))
    ratio = np.array(
        [(corr[i - 1, 0] + corr[i, 0]) / (2 * corr[i - 1, 1]) for i in range(1, N - 1)]
    )
    want = [1, *np.minimum(ratio / np.median(ratio), 1) ** 16, 1]
    assert np.allclose(inference.layer_weights(corr), want)
    corr[3, 1] = np.nan  # the neighbours of layer 4 have not been compared
    assert inference.layer_weights(corr)[4] == 1
    assert inference.layer_weights(corr[:2]).tolist() == [1, 1]
    assert inference.layer_weights(corr[:, :1]).tolist() == [1] * N


def test_a_curve_of_lines_is_found_and_carried_on_where_nothing_is_known(rng):
    apart, trust = rng.uniform(0, REACH, 60), rng.uniform(0.1, 1, 60)
    corr = np.interp(apart, np.arange(REACH + 1), CURVE)
    assert np.allclose(inference._curve(apart, corr, trust, REACH), CURVE)
    near = apart < 2
    found = inference._curve(apart[near], corr[near], trust[near], REACH)
    assert np.allclose(found, [1, 0.8, 0.55, 0.55, 0.55])
    # one of two that contradict each other counts thrice
    both = inference._curve(np.ones(2), np.array([0.4, 0.8]), np.array([3.0, 1.0]), REACH)
    assert np.allclose(both, [1, 0.5, 0.5, 0.5, 0.5])


def test_a_window_has_the_curve_of_the_layers_in_it(rng):
    given = inference._Pairs(rng.uniform(0.2, 0.9, (N, REACH)), rng.uniform(0.1, 1, (N, REACH)))
    apart = rng.uniform(0.5, REACH + 1, (N, REACH))
    assert inference._window_centres(N, 1).tolist() == [4]
    centres = inference._window_centres(N, 3)
    assert centres.tolist() == [0, 4, 8]
    found = inference._estimate_curve(given, apart, centres)
    for row, centre in zip(found, centres, strict=True):
        inside = (np.abs(np.arange(N) - centre) <= N / 3)[:, None] & (apart < REACH)
        values = (each[inside] for each in (apart, given.corr, given.trust))
        assert np.allclose(row, inference._curve(*values, REACH))
    layers = inference._at_layers(found, centres, N)
    assert np.allclose(layers[2], (found[0] + found[1]) / 2)
    assert np.allclose(layers[7], 0.25 * found[1] + 0.75 * found[2])


def test_correlations_that_only_fell_count_from_either_layer(rng):
    corr = rng.choice([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], (N, REACH))
    want = np.zeros((N, REACH))
    for i in range(N):
        for k in range(REACH):
            nearer = [v for v in corr[i, :k] if v > 0]
            want[i, k] += 0.5 * (corr[i, k] < min(nearer, default=1.0))
    for i, j, k in pairs():
        nearer = [corr[j - m - 1, m] for m in range(k) if corr[j - m - 1, m] > 0]
        want[i, k] += 0.5 * (corr[i, k] < min(nearer, default=1.0))
    assert np.array_equal(inference._falling(corr), want)


def test_one_curve_and_the_same_for_every_layer_give_the_same_values(rng):
    distance = rng.uniform(0, REACH, (N, REACH))
    distance[:3, 0] = 0, REACH, REACH + 0.1
    every = np.repeat(CURVE[None], N, axis=0)
    want = np.interp(distance, np.arange(REACH + 1), CURVE, right=np.nan)
    for curves in (CURVE[None], every):
        value = inference._value(curves, distance)
        assert np.allclose(value, want, equal_nan=True)
        inside = np.isfinite(value)
        assert np.allclose(inference._distance(curves, value)[inside], distance[inside])
        outside = inference._distance(curves, np.full((N, 2), [1.01, 0.19]))
        assert np.isnan(outside).all()


def test_where_a_curve_rises_a_value_is_met_before_the_rise():
    risen = np.array([[1.0, 0.5, 0.7, 0.3]])
    for curves in (risen, np.repeat(risen, 2, axis=0)):
        found = inference._distance(curves, np.full((len(curves), 1), 0.4))
        assert np.allclose(found, 2.5)


def test_layers_that_overtake_others_are_put_in_order():
    z = np.array([0.0, 2.0, 1.0, 3.0])
    apart = Options(minimum_section_thickness=0.25)
    assert inference._ordered(z, apart).tolist() == [0, 2, 2.25, 3]
    assert inference._ordered(z, Options(reorder=True)).tolist() == [0, 1, 2, 3]


def test_coordinates_go_the_given_part_of_the_way(rng):
    index = np.arange(N, dtype=float)
    corr = np.clip(1 - 0.2 * np.arange(1, REACH + 1) + rng.normal(0, 0.02, (N, REACH)), 0.01, 1)
    full, half = (
        inference.infer(
            corr,
            np.ones(N, bool),
            Options(regularization="NONE", iterations=1, shift_proportion=share),
            np.ones((N, REACH)),
        ).z
        for share in (0.6, 0.3)
    )
    assert np.abs(full - index).max() > 0.01
    assert np.allclose(full - index, 2 * (half - index), atol=1e-9)


def test_scale_and_offset_are_those_of_nominal_z():
    index, present = np.arange(N, dtype=float), np.array([1, 2, 4, 7])
    z, bumpy = 3 + 0.5 * index, 3 + 0.5 * index + np.sin(index)
    least, ends, none = (Options(regularization=how) for how in ("IDENTITY", "BORDER", "NONE"))
    assert np.allclose(inference.bounded(z, present, least), index)
    assert np.allclose(inference.bounded(z, present, ends), index)
    assert inference.bounded(z, present, none) is z
    assert inference.bounded(z, present[:1], ends) is z
    assert np.allclose(inference.bounded(bumpy, present[:2], ends)[[1, 2]], [1, 2])
    found = inference.bounded(bumpy, present, ends)
    assert np.allclose(found[[1, 7]], [1, 7])
    slope, shift = np.polyfit(bumpy, index, 1)
    assert np.allclose(inference.bounded(bumpy, present, least), slope * bumpy + shift)


def test_only_odd_thicknesses_near_the_ends_become_one():
    steps = np.ones(20)
    steps[[0, 2, 10, 18]] = 0.5, 1.15, 1.6, 1.5
    z = np.concatenate([[3.0], 3 + np.cumsum(steps)])
    found = inference.normalise_edges(z, 4)
    assert (found[0], found[-1]) == pytest.approx((z[0], z[-1]))
    want = steps.copy()
    want[[0, 18]] = 1
    assert np.allclose(np.diff(found), want * (z[-1] - z[0]) / want.sum())
    assert inference.normalise_edges(z, 0) is z
    assert inference.normalise_edges(z, 7) is z
