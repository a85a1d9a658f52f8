"""Residuals with known medians: which pairs are noisy, which are wrong, and what joins parts."""

import dataclasses

import numpy as np
import pytest

from scripts.lib.numerics.robust import MAD_TO_SD, cauchy, geman_mcclure, huber
from scripts.solve import residuals, robust
from scripts.solve.graph import Weighting, graph_of, tiles_of
from scripts.solve.moments import of_matches
from scripts.solve.solver import Options, solve
from tests.solve import synthetic

N = 41  # pairs of a class, enough for a median of their own
SPREAD = np.linspace(0.8, 1.2, N)  # median 1, median absolute deviation 0.1


def two_classes(low=1.0, high=2.0):
    """Give residuals and distances of two classes of known medians."""
    return np.concatenate([low * SPREAD, high * SPREAD]), np.repeat([1, 2], N)


def test_the_typical_residual_is_the_median_at_each_distance():
    residual, dz = two_classes()
    np.testing.assert_allclose(robust.scales(residual, dz), np.repeat([1.0, 2.0], N))


def test_a_small_class_has_the_median_of_all_pairs():
    residual, dz = np.append(SPREAD, [9.0] * 3), np.append(np.ones(N), [5] * 3)
    want = np.median(residual)
    np.testing.assert_allclose(robust.scales(residual, dz)[-3:], want)


def test_a_class_differs_from_all_pairs_by_a_limited_factor():
    residual, dz = np.repeat([1.0, 100.0], [3 * N, N]), np.repeat([1, 2], [3 * N, N])
    np.testing.assert_allclose(robust.scales(residual, dz)[-1], 4.0)
    residual[-N:] = 1e-3
    np.testing.assert_allclose(robust.scales(residual, dz)[-1], 1 / 4.0)


def test_rounding_is_not_disagreement():
    residual, dz = np.full(N, 1e-9), np.ones(N)
    np.testing.assert_array_equal(robust.scales(residual, dz), robust.FLOOR_PX)
    assert robust.scales(np.zeros(0), np.zeros(0)).shape == (0,)


@pytest.mark.parametrize(
    ("kind", "function"),
    [("huber", huber), ("cauchy", cauchy), ("geman_mcclure", geman_mcclure)],
)
def test_a_weight_is_of_the_residual_in_cutoffs_of_its_class(kind, function):
    residual, dz = two_classes()
    got = robust.weights(kind, residual, dz, cutoff=3.0)
    np.testing.assert_allclose(got, function(residual / (3.0 * np.repeat([1.0, 2.0], N))))
    assert np.all(robust.weights("none", residual, dz, cutoff=3.0) == 1)


def with_one(value, cutoff):
    """Tell whether one pair of this residual is wrong among a hundred that spread as known."""
    # 201 pairs: the median stays 1, its absolute deviation 0.1
    residual = np.append(np.linspace(0.8, 1.2, 201), value)
    return robust.wrong(residual, np.ones(len(residual)), cutoff=cutoff)[-1]


def test_a_pair_is_wrong_beyond_eight_deviations_of_its_class():
    limit = 1 + robust.WRONG_SD * MAD_TO_SD * 0.1
    assert 2.1 < limit < 2.2
    # the cutoff of 1.5 lies below, twice the cutoff beyond
    assert not with_one(limit - 0.05, cutoff=1.5)
    assert with_one(limit + 0.05, cutoff=1.5)


def test_no_pair_below_the_cutoff_is_wrong():
    assert not with_one(2.95, cutoff=3.0)
    assert with_one(3.1, cutoff=3.0)


def test_each_pair_beyond_twice_the_cutoff_is_wrong_however_wide_the_class_spreads():
    residual = np.append(np.linspace(0.0, 2.0, 201), [2.3, 2.5])
    got = robust.wrong(residual, np.ones(len(residual)), cutoff=1.2)
    # median 1, eight deviations lie at 6.9; twice the cutoff at 2.4
    np.testing.assert_array_equal(got[-2:], [False, True])


def test_the_spread_is_that_of_the_pairs_own_class():
    narrow, wide = np.linspace(0.98, 1.02, 201), np.linspace(0.0, 2.0, 201)
    residual, dz = np.concatenate([narrow, wide, [1.9, 1.9]]), np.repeat([1, 2], 201)
    got = robust.wrong(residual, np.append(dz, [1, 2]), cutoff=1.5)
    np.testing.assert_array_equal(got[-2:], [True, False])
    assert got.sum() == 1


@pytest.mark.parametrize("scale", [0.5, 4.0])
def test_cutoffs_are_multiples_of_the_typical_residual(scale):
    """The same pairs in other units: what is wrong stays the same."""
    narrow = scale * np.append(np.linspace(0.98, 1.02, 201), [1.4, 1.6])
    got = robust.wrong(narrow, np.ones(len(narrow)), cutoff=1.5)  # eight deviations lie at 1.12
    np.testing.assert_array_equal(got[-2:], [False, True])
    wide = scale * np.append(np.linspace(0.0, 2.0, 201), [2.9, 3.1])
    got = robust.wrong(wide, np.ones(len(wide)), cutoff=1.5)  # eight deviations lie at 6.9
    np.testing.assert_array_equal(got[-2:], [False, True])


def pairs_of(layers, reach):
    """Give the layers of one pair at each distance up to `reach`."""
    low, high = np.triu_indices(layers, 1)
    near = high - low <= reach
    return low[near], high[near]


def test_pairs_across_each_boundary_are_added_up_whatever_way_they_point():
    p, q = np.array([0, 3, 1]), np.array([2, 1, 2])
    some = np.array([True, True, False])
    np.testing.assert_array_equal(robust.crossings(some, p, q, 5), [0, 1, 2, 1, 0])
    np.testing.assert_array_equal(robust.crossing(some, p, q, 5), [0, 1, 2 / 3, 1, 0])
    weight = np.array([0.25, 4.0, 100.0])
    np.testing.assert_array_equal(robust.crossings(some, p, q, 5, weight), [0, 0.25, 4.25, 4, 0])


def test_where_no_pair_is_left_the_sum_of_weights_is_zero_not_rounding():
    p, q = np.array([0, 0, 0, 4, 4]), np.array([1, 2, 3, 5, 6])
    for weight in np.random.default_rng(0).uniform(0.1, 1, (20, 5)) * [1e6, 1, 1, 1, 1e-3]:
        got = robust.crossings(np.ones(5, bool), p, q, 7, weight)
        np.testing.assert_array_equal(got[[0, 4]], 0.0)
        np.testing.assert_allclose(got[1:4], [weight[:3].sum(), weight[1:3].sum(), weight[2]])
    # as many layers away that what is left of the rounding is above zero
    one = np.array([0.1, 0.2, 0.3])
    got = robust.crossings(np.ones(3, bool), np.zeros(3, int), np.array([1, 2, 3]), 6, one)
    np.testing.assert_array_equal(got[4:], 0.0)


@pytest.mark.parametrize("reach", [1, 2, 3])
def test_a_step_is_the_layer_that_no_right_pair_joins_to_those_before(reach):
    p, q = pairs_of(12, reach)
    across = (p < 7) & (q >= 7)
    np.testing.assert_array_equal(robust.torn(across, p, q, 12), [7])
    np.testing.assert_array_equal(robust.torn(across, q, p, 12), [7])
    assert robust.torn(np.zeros(len(p), bool), p, q, 12).size == 0


def with_two_steps(first, second, *, layers=14, reach=3):
    """Pairs wrong across two layers, but for one across the second that is right."""
    p, q = pairs_of(layers, reach)
    across = ((p < first) & (q >= first)) | ((p < second) & (q >= second))
    across[np.flatnonzero((p == second - 1) & (q == second))] = False  # 5 of 6 stay wrong
    return across, p, q


@pytest.mark.parametrize("apart", [1, 2, 3, 4, 5])
def test_two_steps_are_two_where_no_pair_reaches_across_both(apart):
    across, p, q = with_two_steps(4, 4 + apart)
    want = [4, 4 + apart] if apart > 3 else [4]
    np.testing.assert_array_equal(robust.torn(across, p, q, 14), want)
    mirrored = np.subtract(14, want)[::-1]
    np.testing.assert_array_equal(robust.torn(across, 13 - p, 13 - q, 14), mirrored)


def test_a_boundary_is_torn_where_more_than_three_quarters_of_its_pairs_are_wrong():
    p, q = np.repeat([[0, 1]], 4, axis=0).T
    bad = np.arange(4) < 3
    assert robust.torn(bad, p, q, 2).size == 0
    p, q = np.repeat([[0, 1]], 5, axis=0).T
    np.testing.assert_array_equal(robust.torn(np.arange(5) < 4, p, q, 2), [1])


def test_bridges_join_what_good_pairs_do_not_whatever_way_the_pairs_point():
    p, q = np.array([1, 1, 3, 0, 2]), np.array([0, 2, 4, 2, 3])
    good = np.array([True, True, True, False, False])
    # tiles 0, 1, 2 and 3, 4 are two parts; pair 0-2 lies within one, 2-3 between both
    np.testing.assert_array_equal(robust.bridges(good, 5, p, q), [False] * 4 + [True])


def parted(seed=3):
    """Twelve layers and their pairs; of those from z 6 to 7 the nearest alone, as it is given."""
    tiles = synthetic.grid(range(1, 13), 1, 1)
    stage, rng = synthetic.stage_of(tiles), np.random.default_rng(seed)
    pairs = synthetic.matches(tiles, stage, rng, reach=3, noise=0.3)
    ends = {id(one): sorted(float(name[8:]) for name in (one.p_id, one.q_id)) for one in pairs}
    (bridge,) = [one for one in pairs if ends[id(one)] == [6, 7]]
    kept = [one for one in pairs if not ends[id(one)][0] < 7 <= ends[id(one)][1]]
    arrays = tiles_of([tiles])

    def solved(alone):
        graph = graph_of(arrays, of_matches([*kept, alone]), Weighting())
        return arrays, graph, solve(arrays, graph, Options())

    return bridge, solved


def test_a_pair_that_alone_joins_two_parts_and_misses_by_far_is_named():
    bridge, solved = parted()
    off = np.random.default_rng(4).normal(0, 6, bridge.q.shape)
    assert residuals.strained(*solved(bridge), Options().robust_cutoff) == []
    (row,) = residuals.strained(
        *solved(dataclasses.replace(bridge, q=bridge.q + off)), Options().robust_cutoff
    )
    assert (row["p_z"], row["q_z"]) == (6, 7)
    assert row["rms_px"] > 5 > 1 > row["typical_px"]


def test_a_single_wrong_pair_between_two_parts_is_no_step():
    bridge, solved = parted()
    off = np.random.default_rng(4).normal(0, 3, bridge.q.shape)
    bent = (bridge.q - 119.5) @ np.array([[1.05, -0.07], [-0.02, 1.02]]).T + 119.5 + off
    found = solved(dataclasses.replace(bridge, q=bent))[2]
    assert len(found.reference.linear) == 1
    assert np.abs(found.placement[:, :, :2] / 119.5 - np.eye(2)).max() < 0.01
