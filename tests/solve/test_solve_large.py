"""The solve on longer chains, as arrays: wrong pairs, restarts, scale and shape in the long run."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from scripts.solve.forces import Sums, residuals
from scripts.solve.graph import Weighting, graph_of
from scripts.solve.solver import Options, solve
from scripts.solve.system import layout_of
from tests.solve import graphs

FREE = Options(stage_wavelength_layers=1e5)  # the truth drifts and the stage does not know


def solved(case, options=FREE, restarts=()):
    graph = graph_of(case.tiles, case.moments, options.weighting)
    return solve(case.tiles, graph, options, restarts)


def errors(case, placement):
    """(n, 2, 3) error of the placements, px, after the best move of the whole."""
    error = placement - case.tiles.placements(case.truth)
    error[:, :, 2] -= error[:, :, 2].mean(axis=0)
    return error


def jitter(case, placement):
    """Rms change of the error from a layer to the next, px, at the centres of the tiles."""
    error = errors(case, placement)[:, :, 2].reshape(len(np.unique(case.tiles.z)), -1, 2)
    return float(np.sqrt((np.diff(error, axis=0) ** 2).sum(axis=-1).mean()))


def rms(values):
    return float(np.sqrt((values**2).mean()))


def without(case, wrong):
    return replace(case, moments=case.moments.take(~wrong))


def test_a_chain_of_four_tiles_is_recovered_far_better_than_the_stage_knew():
    case = graphs.case(300, 2, 2, noise=0.3)
    got = errors(case, solved(case).placement)
    start = errors(case, case.tiles.stage)
    assert jitter(case, solved(case).placement) < 0.16
    assert rms(got) < 0.1 * rms(start)


@pytest.mark.parametrize("seed", [3, 17])
def test_wrong_pairs_of_any_size_change_the_transforms_by_a_twentieth_at_most(seed):
    case = graphs.case(150, 1, 5, wrong=0.05, seed=seed)
    clean = without(case, case.wrong)
    got, best = solved(case), solved(clean)
    for error in (errors, lambda c, p: np.diff(errors(c, p).reshape(150, -1), axis=0)):
        assert rms(error(case, got.placement)) < 1.05 * rms(error(case, best.placement))
    # of the pairs 5 to 500 px off, those within the noise of their distance may stay
    found = got.factor[np.flatnonzero(case.wrong)] < 0.1
    assert found.mean() > 0.97


def long_waves(values, layers):
    """(n,) values with waves shorter than `layers` taken out."""
    spectrum = np.fft.rfft(np.concatenate([values, values[::-1]]))  # no step at the ends
    spectrum[np.fft.rfftfreq(2 * len(values)) > 1 / layers] = 0
    return np.fft.irfft(spectrum, 2 * len(values))[: len(values)]


def test_a_long_chain_neither_shrinks_nor_bends():
    """Ten wavelengths of the prior: the truth is straight, and the stage is where it should be."""
    case = graphs.case(1500, 1, 1, drift=0.0, linear=0.0, points=12)
    options = Options(stage_wavelength_layers=150.0)
    placement = solved(case, options).placement
    scale = np.linalg.norm(placement[:, :, :2] / case.tiles.scale, axis=1)
    assert np.abs(scale - 1).max() < 3e-3
    error = errors(case, placement)[:, :, 2]
    free = errors(case, solved(case).placement)[:, :, 2]
    bend = [long_waves(error[:, axis], 600) for axis in (0, 1)]
    assert rms(np.array(bend)) < 0.1  # px; beyond four times the prior's wavelength
    # a chain without the prior does wander: the test can fail
    assert rms(np.array([long_waves(free[:, axis], 600) for axis in (0, 1)])) > 0.3


@pytest.mark.parametrize("model", ["translation", "rigid", "similarity", "affine"])
def test_steps_at_restarts_are_unknowns_and_come_out_as_they_were(model):
    """Steps of 3 px are within the drift, so none is found: they are known from the restarts.

    Errors of these matches do not grow with distance, so far pairs may count as they are.
    """
    case = graphs.case(240, 1, 2, drift=0.0, linear=0.0, jitter=0.2, noise=0.2)
    step = 3.0 * (case.tiles.z > 100) - 5.0 * (case.tiles.z > 180)
    truth = case.truth.copy()
    truth[:, 0, 2] += step
    stage = case.tiles.stage  # matches are the same when truth and stage move together
    tiles = replace(case.tiles, stage=stage - np.pad(step[:, None, None], ((0, 0), (0, 1), (2, 0))))
    case = replace(case, tiles=tiles)
    even = Weighting(dz_exponent=2, montage_weight=1)
    options = Options(model=model, stage_wavelength_layers=100.0, weighting=even)
    reported = solved(case, options, restarts=[101, 181])
    untold = solved(case, options)
    assert np.diff(reported.reference.offsets[:, 0]) == pytest.approx([3.0, -5.0], abs=0.15)
    assert np.diff(reported.reference.offsets[:, 1]) == pytest.approx([0.0, 0.0], abs=0.15)
    assert reported.reference.offsets.T @ np.bincount(reported.reference.groups) == pytest.approx(
        [0, 0], abs=1e-2
    )
    near = np.abs(case.tiles.z - 100.5) < 20
    assert rms(errors(case, reported.placement)[near, 0, 2]) < 0.5 * rms(
        errors(case, untold.placement)[near, 0, 2]
    )


def test_threads_of_the_linear_algebra_change_no_bit():
    case = graphs.case(40, 3, 3)
    with threadpool_limits(2):
        two = solved(case).placement
    with threadpool_limits(1):
        one = solved(case).placement
    assert np.array_equal(one, two)


def test_precision_of_the_solve_is_that_of_the_machine():
    case = graphs.case(500, 1, 2)
    assert solved(case).precision < 1e-4


def test_beside_the_band_of_the_matrix_a_solve_holds_each_pair_once():
    case = graphs.case(300, 2, 4, points=4)
    graph, options = graph_of(case.tiles, case.moments, Weighting()), Options()
    layout = layout_of(len(case.tiles), graph.p, graph.q, unknowns=3, max_band_gb=1)
    assert layout.banded
    band = 8 * 9 * len(case.tiles) * (layout.width + 1)  # bytes
    tracemalloc.start()
    solve(case.tiles, graph, options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # pulls of both ends, incidence, weights: 315 at 87,000 pairs; with a second array of pulls, or
    # all couplings and second moments at a time, more than 600
    assert (peak - band) / len(graph) < 550


def test_sums_are_of_the_placement_asked_for_whichever_was_asked_for_before():
    case = graphs.case(4, 2, 2)
    graph = graph_of(case.tiles, case.moments, Weighting())
    stage, truth = case.tiles.stage, case.tiles.placements(case.truth)
    sums, weight = Sums(len(case.tiles), graph), np.ones(len(graph))
    wanted = [Sums(len(case.tiles), graph).of(weight, one)[1] for one in (stage, truth)]
    np.testing.assert_array_equal(sums.residual(truth), residuals(graph, truth))
    for one, gradient in zip((stage, truth), wanted, strict=True):
        np.testing.assert_array_equal(sums.of(weight, one)[1], gradient)
    assert np.abs(wanted[0]).max() > np.abs(wanted[1]).max()
