"""Which parts of an overlap are compared pixel by pixel, and that they say what the whole says."""

import numpy as np
import pytest

from scripts.lib import geometry
from scripts.lib.numerics.correlation import Field
from scripts.match import refinement
from tests.match.conftest import texture

WINDOW = slice(6, 1106), slice(4, 2610)
SIDE = 64


def covered(groups):
    """How often each px of the window is in a group."""
    count = np.zeros((WINDOW[0].stop, WINDOW[1].stop), int)
    for rows, columns in groups:
        count[rows.slice(0), columns.slice(0)] += 1
    return count


def block(x, y, information):
    one = np.ones(1)
    tensor = np.array([[[information, 0], [0, 2 * information]]])
    return refinement.Blocks(np.array([[x, y]]), tensor, np.zeros((1, 2)), one, one, one)


def test_a_window_within_the_limit_is_compared_whole_and_once():
    count = covered(refinement.parts(WINDOW, SIDE, most_px=1e9))
    assert count.max() == 1
    inside = count[WINDOW]
    assert (inside == 1).mean() > 0.97  # equal blocks leave a few px at the border
    assert count.sum() == inside.sum()


@pytest.mark.parametrize("share", [0.7, 0.5, 0.25, 0.1])
def test_of_a_larger_one_parts_are_chosen_that_are_spread_evenly(share):
    area = np.prod([one.stop - one.start for one in WINDOW])
    count = covered(refinement.parts(WINDOW, SIDE, share * area))[WINDOW]
    assert count.max() == 1
    assert share / 3 < count.mean() < 1.4 * share  # groups at the border are few
    thirds = [part.mean() for part in np.array_split(count, 3, axis=1)]
    assert min(thirds) > 0.5 * max(thirds)


def test_the_parts_that_tell_most_are_chosen():
    rows = refinement.parts(WINDOW, SIDE, 1e9)
    told = rows[5]
    x, y = (one.first + one.extent / 2 for one in told[::-1])
    area = np.prod([one.stop - one.start for one in WINDOW])
    assert told in refinement.parts(WINDOW, SIDE, 0.25 * area, block(x, y, 5.0))
    assert told not in refinement.parts(WINDOW, SIDE, 0.25 * area)


@pytest.mark.parametrize("masked", [False, True])
def test_groups_say_what_one_group_says(masked):
    """A border between groups is none to the pixels: halo and crop hold what they look at."""
    image = np.asarray(texture((420, 420), seed=2) - 128, np.float32)
    valid = np.ones(image.shape, bool)
    valid[100:140, 90:300] = False
    field = Field(np.where(valid, image, np.float32(0)), valid) if masked else Field(image)
    affine = geometry.translation(3.3, -2.6)
    affine[0, 1] = 0.002
    window = slice(20, 404), slice(20, 404)
    whole = tuple(refinement._pieces(one, 32) for one in window)
    one = refinement.compare(field, field, affine, [whole])
    parts = refinement.compare(field, field, affine, refinement.parts(window, 32, 1e9))
    order = [np.lexsort(found.places.T) for found in (one, parts)]
    for name in ("places", "tensor", "push", "rho", "difference", "pixels"):
        a, b = (getattr(f, name)[k] for f, k in zip((one, parts), order, strict=True))
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(a).max(), err_msg=name)
