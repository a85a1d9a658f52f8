"""Errors of what windows share, against draws whose truth is known."""

import numpy as np
import pytest

from scripts.lib.geometry import Box
from scripts.lib.numerics import window_fit
from scripts.solve import misalignment_summary

PLACE = Box(0.0, 0.0, 160.0, 128.0)
# middles and sizes of windows: four that share most of their pixels, sixteen that share little
LAYOUTS = {
    "four": ([(48, 112), (48, 80)], 96.0),
    "sixteen": ([(20, 60, 100, 140), (16, 48, 80, 112)], 44.0),
}
SD = 0.3


def windows(layout):
    (x, y), side = LAYOUTS[layout]
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(float), (side, side)


def drawn(layout, count, seed=0):
    """Shifts (count, n, 2) of windows that err alike where they overlap."""
    at, size = windows(layout)
    alike = np.linalg.cholesky(window_fit.common(at, size) + 1e-9 * np.eye(len(at)))
    rng = np.random.default_rng(seed)
    return SD * np.einsum("ij,kjc->kic", alike, rng.standard_normal((count, len(at), 2)))


def fits(layout, shifts):
    at, size = windows(layout)
    return [window_fit.fitted(at, one, size, len(at), PLACE, 1.0) for one in shifts]


def test_windows_have_in_common_what_they_share():
    at = np.array([[0.0, 0.0], [5.0, 0.0], [5.0, 5.0], [20.0, 0.0]])
    found = window_fit.common(at, (10.0, 10.0))
    assert found[0].tolist() == [1.0, 0.5, 0.25, 0.0]
    assert (found == found.T).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_of_noise_alone_nothing_is_left_and_the_stated_error_is_the_true_one(layout):
    found = fits(layout, drawn(layout, 800))
    square = np.array([fit.square_px2 for fit in found])
    assert abs(square.mean()) < 3 * square.std() / np.sqrt(len(square))
    stated = np.mean([fit.error_px**2 for fit in found])
    assert stated == pytest.approx(np.mean([fit.mean_xy @ fit.mean_xy for fit in found]), rel=0.1)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("followed", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("moved_px", [0.0, 0.5])
def test_the_error_of_the_figure_covers_the_truth_also_where_the_solve_followed_the_tissue(
    layout, followed, moved_px
):
    """The matches saw the same tissue: a share of what the windows see is solved away."""
    at, size = windows(layout)
    rng, places = np.random.default_rng(1), []
    for tissue in drawn(layout, 200, seed=2):
        mean = window_fit.fitted(at, tissue, size, len(at), PLACE, 1.0).mean_xy
        move = rng.normal(0, moved_px / np.sqrt(2), 2) - followed * mean
        (fit,) = fits(layout, [tissue + move])
        places.append((fit.square_px2, fit.noise_px2, move @ move))
    square, noise, true = np.array(places).T
    rms, error = misalignment_summary.root(square, noise)
    assert abs(rms - np.sqrt(true.mean())) < error
    assert error < 3 * SD


def test_a_turn_is_told_from_noise_by_windows_that_overlap():
    at, size = windows("four")
    turn = 0.01 * np.column_stack([-(at[:, 1] - 64), at[:, 0] - 80])
    found = [window_fit.fitted(at, turn + one, size, 4, PLACE, 1.0) for one in drawn("four", 800)]
    expected = 1e-4 * ((window_fit.CONTROL * [160, 128]) ** 2).sum(axis=1).mean()
    square = np.array([fit.square_px2 for fit in found])
    assert abs(square.mean() - expected) < 3 * square.std() / np.sqrt(len(square))
