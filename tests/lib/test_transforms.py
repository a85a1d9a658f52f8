"""Transforms: each class against hand-computed values, and back again."""

import numpy as np
import pytest

from scripts.lib import transforms as t
from scripts.lib.geometry import tile_bounds

CASES = [
    ("mpicbg.trakem2.transform.AffineModel2D", "1 2 3 4 5 6", (1 + 3 * 2 + 5, 2 + 4 * 2 + 6)),
    ("mpicbg.trakem2.transform.TranslationModel2D", "10 -2", (11, 0)),
    ("mpicbg.trakem2.transform.RigidModel2D", "0 10 -2", (11, 0)),
    ("mpicbg.trakem2.transform.SimilarityModel2D", "2 1 0 0", (2 - 2, 1 + 4)),
    ("org.janelia.alignment.transform.ExponentialFunctionOffsetTransform", "3,0,1,0", (-3, 2)),
    ("org.janelia.alignment.transform.ExponentialRecoveryOffsetTransform", "3 0 1 1", (1, 1)),
]


@pytest.mark.parametrize(("name", "data", "expected"), CASES)
def test_point_1_2_goes_where_the_formula_says(name, data, expected):
    found = t.parse(name, data).apply(np.array([[1.0, 2.0]]))
    np.testing.assert_allclose(found, [expected], atol=1e-6)


@pytest.mark.parametrize(
    ("x", "moved"), [(0, 43.8), (100, 26.16), (500, 14.60), (1000, 8.72), (5000, 0.14)]
)
def test_the_default_scan_correction_moves_columns_by_the_published_amounts(x, moved):
    scan = t.parse(t.SEM_DISTORTION_A, "19.4 64.8 24.4 972.0 0")
    assert scan.apply(np.array([[float(x), 3.0]]))[0, 0] - x == pytest.approx(moved, abs=0.005)


def test_scan_correction_and_its_inverse_cancel():
    scan = t.parse(t.SEM_DISTORTION_A, "19.4 64.8 24.4 972.0 0")
    xy = np.random.default_rng(1).uniform(0, 6000, (500, 2))
    np.testing.assert_allclose(scan.invert(scan.apply(xy)), xy, atol=1e-8)


def test_bounds_of_the_scan_corrected_example_tile():
    chain = t.Chain(
        (
            t.parse(t.SEM_DISTORTION_A, "19.4 64.8 24.4 972.0 0"),
            t.parse(t.AFFINE, "1 0 0 1 -2625 -1326"),
        )
    )
    assert tile_bounds(100, 100, chain.apply) == (-2581, -1326, -2498, -1226)


def test_only_a_chain_of_affines_has_an_affine():
    shift = t.parse(t.AFFINE, "1 0 0 1 5 6")
    scan = t.parse(t.SEM_DISTORTION_A, "1 10 1 10 0")
    np.testing.assert_allclose(t.Chain((shift, shift)).as_affine(), [[1.0, 0, 10], [0, 1, 12]])
    assert t.Chain((scan, shift)).as_affine() is None


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("mpicbg.trakem2.transform.AffineModel2D", "1 0 0 1 5", "takes 6 numbers, found 5"),
        ("mpicbg.trakem2.transform.AffineModel2D", "1 0 0 1 5 x", "no number"),
        ("no.such.Class", "1", "is not known"),
        (t.SEM_DISTORTION_A, "1 2 3 4 2", "dimension"),
    ],
)
def test_bad_specs_are_refused_in_words(name, data, message):
    with pytest.raises(ValueError, match=message):
        t.parse(name, data)
