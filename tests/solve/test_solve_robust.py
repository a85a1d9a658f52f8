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
    np.testing.assert_allclose(robust.scales(residual, dz)[-1], robust.SPREAD)
    residual[-N:] = 1e-3
    np.testing.assert_allclose(robust.scales(residual, dz)[-1], 1 / robust.SPREAD)


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
