"""z interpolation: bracketing layers, pinned ends, missing layers, masks."""

import numpy as np
import pytest

from scripts.export import interpolation
from scripts.export.interpolation import Mixture, interpolate, mix, mixtures, read_coordinates
from scripts.lib.drawing import spans
from scripts.lib.drawing.mosaic import Drawn
from scripts.lib.job import UserError


def picture(value, mask=None, shape=(2, 3), dtype="uint8"):
    mask = np.ones(shape, bool) if mask is None else np.asarray(mask)
    return Drawn(np.where(mask, value, 0).astype(dtype), spans.spans_of(mask))


def copied(one):
    """`interpolate` may write into what it gets."""
    return Drawn(one.pixels.copy(), one.spans)


def mixed(a, b, share):
    out = np.empty_like(a.pixels)
    mix(a, b, share, out)
    return out.tolist()


def woven(found, render, shape, dtype):
    out = np.full((len(found), *shape), 77, dtype)
    interpolate(found, render, out)
    return out


def test_ends_are_pinned_to_nominal_z():
    assert read_coordinates("3 3.4\n4 4.1\n5 4.9\n", "f") == {3: 3.0, 4: 4.1, 5: 5.0}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 1.6\n2 2\n", "first layer 1 has corrected z 1.6"),
        ("1 1\n2 2.6\n", "last layer 2"),
        ("1 1\n2 2.5\n3 2.5\n4 4\n", r"line 3 \(layer 3, corrected 2.5\)"),
        ("1 1\n3 3\n2 3.4\n4 4\n", "line 3"),
    ],
)
def test_coordinates_that_do_not_rise_or_miss_the_ends_are_refused(text, words):
    with pytest.raises(UserError, match=words):
        read_coordinates(text, "Zcoords.txt")


def test_even_layers_are_shown_as_they_are():
    found = mixtures({z: float(z) for z in (4, 5, 6)}, range(3, 8), fill_gaps=True)
    assert found == [None, Mixture(4, 4, 1.0), Mixture(5, 5, 1.0), Mixture(6, 6, 1.0), None]


def test_between_layers_the_nearer_has_the_greater_share():
    found = mixtures({1: 1.0, 2: 2.25, 3: 2.75, 4: 4.0}, range(1, 5), fill_gaps=True)
    assert found[1] == Mixture(1, 2, pytest.approx(0.2))
    assert found[2] == Mixture(3, 4, pytest.approx(0.8))


def test_missing_layers_are_filled_or_left_by_policy():
    corrected = {1: 1.0, 2: 2.0, 5: 5.0}
    filled = mixtures(corrected, range(1, 6), fill_gaps=True)
    left = mixtures(corrected, range(1, 6), fill_gaps=False)
    assert filled[2] == Mixture(2, 5, pytest.approx(2 / 3))
    assert left[2:4] == [None, None]
    assert left[1] == Mixture(2, 2, 1.0)
    shifted = mixtures({1: 1.0, 3: 2.2, 4: 4.0}, range(1, 5), fill_gaps=False)
    assert shifted[1] == Mixture(3, 3, 1.0)  # nearest to layer 3, not to the missing one


def test_one_layer_is_enough():
    assert mixtures({7: 7.0}, [6, 7, 8], fill_gaps=True) == [None, Mixture(7, 7, 1.0), None]


def test_a_linear_stack_is_reproduced_at_any_corrected_z():
    corrected = {1: 1.0, 2: 2.3, 3: 2.9, 4: 3.6, 5: 5.0}
    found = mixtures(corrected, range(1, 6), fill_gaps=True)
    values = {z: round(20 * at) for z, at in corrected.items()}
    out = woven(found, lambda z: picture(values[z]), (2, 3), "uint8")
    assert out[:, 0, 0].tolist() == [20, 40, 60, 80, 100]


def test_each_layer_is_rendered_once_in_order():
    seen = []

    def render(z):
        seen.append(z)
        return picture(z)

    corrected = {z: z + 0.3 * (z not in (1, 9)) for z in range(1, 10)}
    woven(mixtures(corrected, range(1, 10), fill_gaps=True), render, (2, 3), "uint8")
    assert seen == sorted(set(seen)) == list(range(1, 10))


def test_where_one_layer_has_no_data_the_other_stands_in():
    a = picture(100, [[True, True, False]], (1, 3))
    b = picture(200, [[True, False, True]], (1, 3))
    assert mixed(a, b, 0.5) == [[150, 100, 200]]
    nothing = picture(0, [[False, False, False]], (1, 3))
    assert mixed(nothing, picture(0, [[False, False, False]], (1, 3)), 0.5) == [[0, 0, 0]]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_any_masks_mix_as_the_rule_says_pixel_by_pixel(dtype, seed):
    rng = np.random.default_rng(seed)
    masks = [rng.random((9, 40)) < share for share in (0.1 + 0.25 * seed, 0.6)]
    masks[0][3], masks[1][4], masks[0][5], masks[1][6] = True, True, False, False
    a, b = (
        Drawn(np.where(m, rng.integers(1, 255, m.shape), 0).astype(dtype), spans.spans_of(m))
        for m in masks
    )
    assert np.array_equal(a.mask, masks[0])
    out = np.full(a.pixels.shape, 77, dtype)
    mix(a, b, 0.25, out)
    p, q = a.pixels.astype(float), b.pixels.astype(float)
    both = masks[0] & masks[1]
    assert np.array_equal(out, np.rint(np.where(both, 0.25 * p + 0.75 * q, p + q)))


def test_every_pattern_of_mixtures_gives_each_output_its_own(monkeypatch):
    """A layer mixed in bands takes the place of the one before only when that is done with."""
    monkeypatch.setattr(interpolation, "_BAND_ROWS", 4)
    rng = np.random.default_rng(8)
    masks = [rng.random((11, 7)) < 0.7 for _ in range(4)]
    layers = [
        Drawn(np.where(m, rng.integers(1, 255, m.shape), 0).astype("uint8"), spans.spans_of(m))
        for m in masks
    ]
    pairs = [(0, 0), (0, 1), (0, 1), None, (1, 1), (1, 2), (2, 3), None, (2, 3), (3, 3)]
    made_of = [pair and Mixture(*pair, 0.25 if pair[0] < pair[1] else 1.0) for pair in pairs]
    out = woven(made_of, lambda z: copied(layers[z]), (11, 7), "uint8")
    for one, plane in zip(made_of, out, strict=True):
        expected = np.zeros_like(plane)
        if one is not None:
            mix(layers[one.a], layers[one.b], one.share, expected)
        assert np.array_equal(plane, expected)


@pytest.mark.parametrize(("dtype", "values"), [("uint8", (250, 255)), ("uint16", (65000, 65535))])
def test_mixtures_are_rounded_to_the_nearest_value(dtype, values):
    a, b = (picture(value, dtype=dtype) for value in values)
    layers = {1: a, 2: b}
    for share in (0.1, 0.3, 0.5, 0.77):
        exact = share * values[0] + (1 - share) * values[1]
        out = woven([Mixture(1, 2, share)], lambda z: copied(layers[z]), (2, 3), dtype)
        assert out.dtype == dtype
        assert np.abs(out - exact).max() <= 0.5 + 0.01
