"""The chance of an even stack is a chance, whatever its error is like."""

import numpy as np
import pytest
from scipy import ndimage, stats

from scripts.zcorr import evenness
from scripts.zcorr.evenness import Cells, Contributions

N = 24


def contributions(change, own):
    """Stack of (n, B) cells that err by `own` each, of layers that are thicker by `change`."""
    cells = own.shape[1]
    log = change + own.mean(axis=1)
    share = np.full(own.shape, 1 / cells)
    influence = (own - own.mean(axis=1, keepdims=True)) / cells
    each = Cells(influence, share, np.ones(len(own)))
    return Contributions.of(log, np.ones(len(own), bool), each)


def errors(rng, cells=16, touching=0.0):
    """Draw heavy-tailed errors that go on along z, and from each cell to those beside it."""
    side = int(np.sqrt(cells))
    own = ndimage.gaussian_filter1d(rng.standard_t(4, (N, cells)), 1.5, axis=0)
    size = rng.uniform(0.5, 2, cells)
    mixed = ndimage.gaussian_filter((own * size).reshape(N, side, side), (0, touching, touching))
    return 0.1 * mixed.reshape(N, cells)


def chances(count, *how):
    rng = np.random.default_rng(7)
    stacks = (contributions(np.zeros(N), errors(rng, *how)) for _ in range(count))
    return np.array([evenness.chance(one) for one in stacks])


def test_chances_of_even_stacks_are_evenly_spread():
    assert stats.kstest(chances(60, 16, 0.4), "uniform").pvalue > 0.01


def test_chances_where_cells_are_independent_err_to_the_safe_side():
    found = chances(60, 9)
    for p in (0.1, 0.3, 0.6):  # within three standard deviations of a binomial
        assert np.mean(found <= p) < p + 3 * np.sqrt(p * (1 - p) / len(found))
    assert (found < 0.5).sum() > 10


def test_touching_cells_that_share_structures_are_not_taken_for_thickness():
    rng = np.random.default_rng(1)
    stacks = [contributions(np.zeros(N), errors(rng, 16, 0.5)) for _ in range(40)]
    assert np.median([one.touching for one in stacks]) > 0.3
    apart = [contributions(np.zeros(N), errors(rng, 16)) for _ in range(40)]
    assert np.median([one.touching for one in apart]) < 0.15


def test_what_all_cells_say_is_hardly_chance():
    rng = np.random.default_rng(2)
    change = 0.3 * np.sin(np.arange(N) / 2)
    assert evenness.chance(contributions(change, errors(rng))) < 0.005


def test_four_cells_never_show_a_chance_below_one_in_eight():
    rng = np.random.default_rng(3)
    change = 3 * np.sin(np.arange(N) / 2)
    assert evenness.chance(contributions(change, errors(rng, 4))) == pytest.approx(1 / 8, abs=0.04)


def test_one_cell_or_two_steps_tell_nothing():
    rng = np.random.default_rng(4)
    assert evenness.chance(contributions(np.arange(N), errors(rng, 1))) == 1
    each = Cells(np.zeros((3, 4)), np.full((3, 4), 0.25), np.ones(3))
    few = Contributions.of(np.array([1.0, 2.0, 9.0]), np.array([True, True, False]), each)
    assert evenness.chance(few) == 1


def test_drawing_in_parts_is_drawing_at_once(monkeypatch):
    each = contributions(np.zeros(N), errors(np.random.default_rng(5)))
    whole = evenness.chance(each)
    monkeypatch.setattr(evenness, "_LEAST_DRAWS", evenness._DRAWS)
    monkeypatch.setattr(evenness, "_MOST_DRAWN", 50 * N)
    assert evenness.chance(each) == pytest.approx(whole)
