"""Peaks between samples: polynomials of second order are found exactly."""

import numpy as np
import pytest

from scripts.lib.numerics import peaks


@pytest.mark.parametrize("at", [0.0, 0.3, -0.49])
def test_the_top_of_a_parabola_is_found(at):
    values = 5 - 2 * (np.arange(-3, 4) - at) ** 2
    assert peaks.parabola(values, 3) == pytest.approx(at)


def test_at_an_end_and_where_values_make_no_peak_the_sample_stands():
    assert peaks.parabola(np.array([3.0, 2.0, 1.0]), 0) == 0
    assert peaks.parabola(np.array([1.0, 2.0, 3.0]), 2) == 0
    assert peaks.parabola(np.ones(3), 1) == 0


def surface(x0, y0, xx=2.0, yy=1.0, xy=0.5):
    y, x = np.mgrid[-1:2, -1:2]
    u, v = x - x0, y - y0
    return 3 - (xx * u * u + 2 * xy * u * v + yy * v * v) / 2


def test_the_peak_of_a_paraboloid_is_found_with_height_and_curvature():
    values = np.stack([surface(0.3, -0.4), surface(0.0, 0.0)])
    shift, height, curvature = peaks.paraboloid(values)
    np.testing.assert_allclose(shift, [[0.3, -0.4], [0, 0]], atol=1e-12)
    np.testing.assert_allclose(height, 3)
    least = np.linalg.eigvalsh([[2.0, 0.5], [0.5, 1.0]])[0]
    np.testing.assert_allclose(curvature, least)


def test_a_shift_stops_at_the_most():
    shift, _, _ = peaks.paraboloid(surface(0.9, 0.2, xy=0.0)[None], 0.5)
    np.testing.assert_allclose(shift, [[0.5, 0.2]])


@pytest.mark.parametrize("values", [surface(0.3, 0.3, xx=-1.0), np.ones((3, 3))])
def test_a_saddle_and_a_plain_have_no_peak(values):
    shift, height, curvature = peaks.paraboloid(values[None])
    np.testing.assert_array_equal(shift, [[0, 0]])
    assert height[0] == values[1, 1]
    assert curvature[0] <= 0
