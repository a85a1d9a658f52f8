"""Nonlinear transforms: values by hand and by a foreign client, and back again."""

import warnings

import numpy as np
import pytest

from scripts.lib import nonlinear, transforms
from scripts.lib.geometry import tile_bounds
from scripts.lib.nonlinear import ThinPlateSpline

WIDTH, HEIGHT = 400, 300
MPICBG = "mpicbg.trakem2.transform."
GRID = np.stack(np.meshgrid(np.arange(0, 400, 50.0), np.arange(0, 300, 50.0)), -1).reshape(-1, 2)


def _spline(affine=None, size=2e-5):
    weights = np.random.default_rng(3).normal(0, size, GRID.shape)
    return ThinPlateSpline(GRID, weights - weights.mean(axis=0), affine)


def _moving(model, alpha="1"):
    q = GRID + np.random.default_rng(4).normal(0, 2, GRID.shape)
    rows = np.column_stack([GRID, q, np.ones(len(GRID))])
    return f"{model} 2 {alpha} " + " ".join(map(str, rows.ravel()))


def _lens(size=1e-3):
    # x and y themselves with a little of x^2 and xy, as a fit of normalised powers gives them
    mean, deviation = np.array([200.0, 150, 5e4, 3e4, 3e4]), np.array([115.0, 87, 4e4, 3e4, 3e4])
    bx = np.array([115.0, 0, 1, 2, 0, 2.0])
    by = np.array([0.0, 87, 0, 1, 1, 1.5])
    pairs = np.column_stack([bx, by]).ravel()
    values = [*pairs, *mean, 0.0, *deviation, 0.0]
    return f"2 6 {' '.join(map(str, values))} {WIDTH} {HEIGHT} "


def _field(encoding):
    a = np.random.default_rng(5).normal(0, 1e-3, (6, 2, 3))
    a[[0, 3]] += 1
    a[[4, 5]] *= 1e3
    values = " ".join(map(str, a.ravel())) if encoding == "none" else nonlinear.packed(a.ravel())
    kind = "net.imglib2.interpolation.randomaccess.NLinearInterpolatorFactory"
    return f"0 0 {WIDTH} {HEIGHT} 2 3 {kind} {encoding} {values}"


CASES = {
    "polynomial": (MPICBG + "PolynomialTransform2D", "5 1 .02 1e-5 0 2e-5 -3 .01 1 0 1e-5 1e-5"),
    "lens": (MPICBG + "NonLinearCoordinateTransform", _lens()),
    "old lens": ("lenscorrection.NonLinearTransform", _lens()),
    "spline": (MPICBG + "ThinPlateSplineTransform", nonlinear.thin_plate_data(_spline())),
    "spline and affine": (
        MPICBG + "ThinPlateSplineTransform",
        nonlinear.thin_plate_data(_spline(np.array([[0.1, 0.02, 900], [-0.05, 0.1, -70]]))),
    ),
    **{
        f"moving {model}": (MPICBG + "MovingLeastSquaresTransform2", _moving(model))
        for model in ("translation", "rigid", "similarity", "affine")
    },
    "field": ("org.janelia.alignment.transform.AffineWarpFieldTransform", _field("base64")),
    "homography": (MPICBG + "HomographyModel2D", "1 .1 5 -.1 1 7 1e-5 -2e-5 1"),
}


def _points():
    return np.random.default_rng(1).uniform(0, 1, (300, 2)) * [WIDTH - 1, HEIGHT - 1]


@pytest.mark.parametrize("name", CASES)
def test_the_way_back_leads_to_where_it_began(name):
    chain = transforms.Chain(
        (transforms.parse(*CASES[name]), transforms.parse(transforms.AFFINE, "0 1 -1 0 5000 20"))
    )
    xy = _points()
    within = np.full(2, -1.0), np.array([WIDTH, HEIGHT], float)
    np.testing.assert_allclose(chain.undo(chain.apply(xy), within), xy, atol=1e-5)


def test_what_lies_outside_stays_outside():
    # x + x^2 / 500 folds at x = -250
    bend = transforms.parse(MPICBG + "PolynomialTransform2D", "0 1 0 .002 0 0 0 0 1 0 0 0")
    within = np.full(2, -1.0), np.array([WIDTH, HEIGHT], float)
    found = bend.undo(np.array([[-900.0, 5], [2000, 5]]), within)
    assert found[0, 0] < -1
    assert found[1, 0] > WIDTH


def test_a_map_that_folds_is_refused():
    fold = transforms.parse(MPICBG + "PolynomialTransform2D", "0 -1 0 .01 0 0 0 0 1 0 0 0")
    with pytest.raises(ValueError, match="folds"):
        fold.undo(_points(), (np.zeros(2), np.array([WIDTH, HEIGHT], float)))


def test_polynomial_has_its_terms_by_degree():
    data = " ".join(map(str, range(1, 21)))
    x, y = 2.0, 3.0
    terms = [1, x, y, x * x, x * y, y * y, x**3, x * x * y, x * y * y, y**3]
    found = transforms.parse(MPICBG + "PolynomialTransform2D", data).apply(np.array([[x, y]]))
    np.testing.assert_allclose(found, [[np.dot(range(1, 11), terms), np.dot(range(11, 21), terms)]])


def test_lens_has_normalised_powers_and_a_constant():
    x, y = 30.0, 7.0
    data = "1 3 2 3 5 7 11 13 17 19 0 23 29 0 100 100"
    u, v = (x - 17) / 23, (y - 19) / 29
    found = transforms.parse(MPICBG + "NonLinearCoordinateTransform", data)
    expected = [[2 * u + 5 * v + 1100, 3 * u + 7 * v + 1300]]
    np.testing.assert_allclose(found.apply(np.array([[x, y]])), expected)


def test_a_spline_moves_by_r_squared_log_r():
    spline = ThinPlateSpline(np.array([[10.0, 20]]), np.array([[0.5, -0.25]]))
    r2 = 3.0**2 + 4.0**2
    found = spline.apply(np.array([[13.0, 24], [10, 20]]))
    moved = r2 * np.log(5.0)
    np.testing.assert_allclose(found, [[13 + 0.5 * moved, 24 - 0.25 * moved], [10, 20]])


@pytest.mark.parametrize("model", ["rigid", "similarity", "affine"])
def test_moving_least_squares_follow_what_all_points_say(model):
    c, s = np.cos(0.1), np.sin(0.1)
    turn = np.array([[c, -s], [s, c]]) * (1 if model == "rigid" else 1.2)
    rows = np.column_stack([GRID, GRID @ turn.T + [5, -3], np.ones(len(GRID))])
    data = f"{model} 2 2 " + " ".join(map(str, rows.ravel()))
    moved = transforms.parse(MPICBG + "MovingLeastSquaresTransform2", data)
    xy = np.concatenate([_points(), GRID[:2]])
    # numbers are read at 32 bits
    np.testing.assert_allclose(moved.apply(xy), xy @ turn.T + [5, -3], atol=1e-3)


def test_a_field_holds_the_affine_of_a_cell_at_its_centre():
    affines = np.zeros((6, 1, 2))
    affines[[0, 3]] = 1
    affines[4] = [[10, 30]]
    values = " ".join(map(str, affines.ravel()))
    data = f"5 0 100 50 1 2 NLinearInterpolatorFactory none {values}"
    found = transforms.parse("org.janelia.alignment.transform.AffineWarpFieldTransform", data)
    xy = np.array([[30.0, 9], [55, 9], [80, 9], [-500, 9]])
    np.testing.assert_allclose(found.apply(xy)[:, 0] - xy[:, 0], [10, 20, 30, 10])
    assert _field("none").split()[:7] == _field("base64").split()[:7]


def test_numbers_of_three_dimensions_are_those_of_the_plane():
    found = transforms.parse(MPICBG + "AffineModel3D", "1 2 9 3 4 5 9 6 0 0 1 0")
    np.testing.assert_allclose(found.apply(np.array([[1.0, 2]])), [[8, 20]])


@pytest.mark.parametrize("name", ["polynomial", "lens", "spline", "spline and affine"])
def test_a_foreign_client_moves_points_alike(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        renderapi = pytest.importorskip("renderapi")
        class_name, data = CASES[name]
        leaf = {"type": "leaf", "className": class_name, "dataString": data}
        theirs = renderapi.transform.load_transform_json(leaf).tform(_points())
    np.testing.assert_allclose(transforms.parse(class_name, data).apply(_points()), theirs)


def test_a_spline_is_written_as_the_foreign_client_reads_and_writes_it():
    found = transforms.parse(*CASES["spline and affine"])
    assert nonlinear.thin_plate_data(found) == CASES["spline and affine"][1]
    raw = np.random.default_rng(0).random(3)  # does not get shorter
    assert nonlinear.packed(raw).startswith("@")
    assert (nonlinear.unpacked(nonlinear.packed(raw), 3) == raw).all()
    assert (nonlinear.unpacked(nonlinear.packed(np.zeros(99)), 99) == 0).all()


def test_box_holds_the_bent_border():
    bend = transforms.parse(MPICBG + "PolynomialTransform2D", "0 1 0 0 0 0 0 0 1 0 0 1e-4")
    assert tile_bounds(100, 200, bend.apply) == (0, 0, 100, 204)


@pytest.mark.parametrize(
    ("kind", "data", "message"),
    [
        ("PolynomialTransform2D", "1 2 3", "as many numbers"),
        ("NonLinearCoordinateTransform", "2 6 1", "expected 28 fields"),
        ("NonLinearCoordinateTransform", "1 1 1 1 0 nan 1 1", "not finite"),
        ("ThinPlateSplineTransform", "T 2 1 null @AAAA", "expected 4 packed numbers"),
        ("ThinPlateSplineTransform", "T 2 1 null AAAA", "no packed numbers"),
        ("ThinPlateSplineTransform", "T 3 1 null AAAA", "2 dimensions"),
        ("ThinPlateSplineTransform", "T 2 x null AAAA", "count of landmarks"),
        ("MovingLeastSquaresTransform2", "linear 2 1 1 2 3 4 5", "model"),
        ("MovingLeastSquaresTransform2", "rigid 2 1 1 2 3 4", "5 numbers"),
        ("HomographyModel2D", "0 0 0 0 0 0 0 0 0", "determinant"),
    ],
)
def test_wrong_data_are_refused_in_words(kind, data, message):
    with pytest.raises(ValueError, match=message):
        transforms.parse(MPICBG + kind, data)
