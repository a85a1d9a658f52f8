"""Geometry: affines, boxes and bounds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.lib import geometry as g

POINTS = np.array([[0.0, 0.0], [100.0, 3.0], [7.0, 80.0], [60.0, 55.0]])
small = st.floats(-0.2, 0.2)
shift = st.floats(-1e4, 1e4)


@given(small, small, small, small, shift, shift)
def test_an_affine_and_its_inverse_compose_to_the_identity(a, b, c, d, x, y):
    affine = np.array([[1 + a, b, x], [c, 1 + d, y]])
    np.testing.assert_allclose(g.compose(affine, g.invert(affine)), g.identity(), atol=1e-8)


def test_compose_applies_the_inner_affine_first():
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]])
    both = g.compose(turn, g.translation(10, 0))
    np.testing.assert_allclose(g.apply(both, [[1.0, 2.0]]), [[-2.0, 11.0]])


def test_wire_order_is_column_order_and_comes_back():
    affine = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert g.to_wire(affine) == [1, 4, 2, 5, 3, 6]
    np.testing.assert_array_equal(g.from_wire(g.to_wire(affine)), affine)


def test_a_singular_affine_is_refused():
    with pytest.raises(ValueError, match="no inverse"):
        g.invert(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]))


def test_bounds_follow_renders_rule_on_its_own_example():
    bounds = g.tile_bounds(2560, 2160, lambda p: p + [10.5, -3.5])
    assert bounds == (10.0, -3.0, 2570.0, 2157.0)


def test_section_id_has_one_decimal():
    assert g.section_id(1066) == "1066.0"


def test_half_open_boxes_that_only_touch_do_not_intersect():
    assert not g.Box(0, 0, 10, 10).intersects(g.Box(10, 0, 20, 10))
    assert g.Box(0, 0, 10, 10).intersects(g.Box(9.5, 0, 20, 10))
