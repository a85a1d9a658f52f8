"""Members missing in a sequence: by a counter, by time, and what is a pause."""

import numpy as np
import pytest

from scripts.lib.numerics import cadence


def times(*gaps, n=40, sd=0.8, usual=40.0, seed=3):
    """Gaps of a steady rhythm in whole seconds, some of them replaced: (place, seconds)."""
    gap = np.rint(usual + sd * np.random.default_rng(seed).standard_normal(n))
    gap[0] = 0
    for at, seconds in gaps:
        gap[at] = seconds
    return gap


def told(gap, most_s=900.0):
    missing, _ = cadence.by_time(gap, most_s)
    return {int(i): int(missing[i]) for i in np.flatnonzero(missing)}


@pytest.mark.parametrize(("seconds", "layers"), [(80, 1), (120, 2), (160, 3), (81, 1)])
def test_a_gap_of_so_many_periods_lacks_one_less(seconds, layers):
    assert told(times((17, seconds))) == {17: layers}


@pytest.mark.parametrize("seconds", [55, 62, 97, 140, 1200, 86_400, -30])
def test_a_pause_is_no_missing_layer(seconds):
    assert told(times((17, seconds))) == {}


def test_a_long_gap_of_a_rough_rhythm_says_nothing():
    assert told(times((17, 400), sd=3.0)) == {}
    assert told(times((17, 80), sd=8.0)) == {}


def test_a_rhythm_that_changes_is_followed():
    slow = np.concatenate([times(n=60), times((20, 124), usual=62.0, n=60)[1:]])
    assert told(slow) == {79: 1}


def test_seven_layers_of_an_exact_clock_are_enough_and_three_are_not():
    assert told(np.array([0, 40, 40, 40, 80, 40, 40.0])) == {4: 1}
    assert told(np.array([0, 40, 80.0])) == {}


def test_a_counter_is_sure_of_what_is_missing():
    number = np.array([7, 8, 9, 12, 13, np.nan, 15, 17, 1, 2, 3, 4.0])
    found = cadence.by_counter(number)
    assert np.isnan(found[[0, 5, 8]]).all()  # the first, one without a number, and a new start
    assert found[[3, 6, 7, 9]].tolist() == [2, 0, 1, 0]


@pytest.mark.parametrize("number", [np.zeros(30), np.arange(30.0) ** 2, np.full(30, np.nan)])
def test_what_counts_no_layers_says_nothing(number):
    assert np.isnan(cadence.by_counter(number)).all()


def test_every_second_slice_may_be_imaged():
    number = np.arange(0, 60, 2.0)
    number[20:] += 2
    assert np.flatnonzero(cadence.by_counter(number) > 0).tolist() == [20]
    assert cadence.by_counter(number)[20] == 1
