"""Fields: lattices, what bends told from what tissue does, and the solve, on arrays with truth."""

import dataclasses

import numpy as np
import pytest

from scripts.lib import geometry
from scripts.lib.array_files import read_columns, write_columns
from scripts.lib.geometry import Box
from scripts.lib.nonlinear import thin_plate_data
from scripts.lib.transforms import parse
from scripts.solve import displacements, field_solve, spectra
from scripts.solve.aligned import FIELD
from scripts.solve.displacements import SEAM, Displacements, windows_of
from scripts.solve.field_solve import TileLattice
from scripts.solve.lattice import Lattice, energies, spline_through
from scripts.solve.spectra import Prior

BOX = Box(0, 0, 420, 420)
LATTICE = Lattice.over(BOX, 128)
SIDE = 96
LAYERS = 40


# ---- lattices --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("box", "cells"),
    [(BOX, (3, 3)), (Box(0, 0, 100, 300), (1, 2)), (Box(5, 0, 4105, 2048), (16, 7))],
)
def test_cells_are_no_smaller_than_asked_for_and_no_more_than_sixteen(box, cells):
    assert Lattice.over(box, 128).cells == cells


def test_splines_sum_to_one_and_a_plane_has_no_bending():
    at = np.random.default_rng(0).uniform(0, 420, (200, 2))
    np.testing.assert_allclose(LATTICE.design(at).sum(axis=1), 1.0)
    bending, size = energies(LATTICE.cells)
    # coefficients of a cubic B-spline that are a plane of their numbers give a plane
    x, y = np.meshgrid(np.arange(6.0), np.arange(6.0))
    plane = (2 * x - y + 1).ravel()
    assert plane @ bending @ plane == pytest.approx(0, abs=1e-9)
    assert np.ones(36) @ size @ np.ones(36) == pytest.approx(9)  # cells


def test_bending_energy_is_the_integral_of_second_derivatives():
    bending, _ = energies((2, 1))
    terms = np.random.default_rng(1).normal(size=20)
    lattice, step = Lattice(Box(0, 0, 2, 1), (2, 1)), 1e-3
    x, y = (np.arange(0.01, n, 0.02) for n in (2, 1))
    at = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)

    def value(dx, dy):
        return lattice.design(at + [dx * step, dy * step]) @ terms

    xx = (value(1, 0) - 2 * value(0, 0) + value(-1, 0)) / step**2
    yy = (value(0, 1) - 2 * value(0, 0) + value(0, -1)) / step**2
    xy = (value(1, 1) - value(1, -1) - value(-1, 1) + value(-1, -1)) / (4 * step**2)
    integral = (xx**2 + 2 * xy**2 + yy**2).sum() * 0.02**2
    assert terms @ bending @ terms == pytest.approx(integral, rel=2e-3)


def test_a_spline_goes_through_its_nodes_and_is_what_its_text_says():
    nodes, rng = LATTICE.nodes(), np.random.default_rng(2)
    moves = rng.normal(size=nodes.shape)
    spline = spline_through(nodes, moves)
    np.testing.assert_allclose(spline.apply(nodes) - nodes, moves, atol=1e-8)
    read = parse(FIELD, thin_plate_data(spline))
    at = rng.uniform(-20, 440, (50, 2))
    np.testing.assert_allclose(read.apply(at), spline.apply(at), rtol=1e-13)
    np.testing.assert_allclose(read.invert(spline.apply(at)), at, atol=1e-6)


def test_a_spline_of_affine_moves_is_affine():
    nodes = LATTICE.nodes()
    moves = nodes @ [[0.01, 0.02], [-0.02, 0.03]] + [4.0, 5.0]
    far = np.array([[-300.0, 900.0]])
    expected = far + far @ [[0.01, 0.02], [-0.02, 0.03]] + [4.0, 5.0]
    np.testing.assert_allclose(spline_through(nodes, moves).apply(far), expected, atol=1e-6)


# ---- worlds ----------------------------------------------------------------------------------


def smooth(rng, sd, layers):
    """White noise over the first axis, smoothed with a Gaussian, of standard deviation one."""
    lags = np.arange(-12, 13)
    kernel = np.exp(-(lags**2) / (2 * sd**2)) if sd else (lags == 0).astype(float)
    white = rng.standard_normal((layers + 24, *rng_shape))
    out = np.apply_along_axis(np.convolve, 0, white, kernel, "valid")
    return out / np.sqrt((kernel**2).sum())


rng_shape = (LATTICE.terms, 2)


def world(seed, *, bent=0.0, flow=0.0, lean=0.0, noise=0.05):
    """Displacements of a stack of one tile a layer, and the bends (layer, terms, 2) in them, px.

    Bends are fields that come and go within some layers; flow differs from window to window and
    goes on over many; a lean is the same in all layers.
    """
    rng = np.random.default_rng(seed)
    at, _ = windows_of(LATTICE, SIDE)
    design = LATTICE.design(at).toarray()
    fields = bent * smooth(rng, 1.2, LAYERS)
    drift = rng.standard_normal((len(at), 2))
    shifts = []
    for k in range(LAYERS - 1):
        drift = 0.8 * drift + 0.6 * rng.standard_normal((len(at), 2))
        shifts.append(design @ (fields[k] - fields[k + 1]) + flow * drift)
    shifts = np.array(shifts) + noise * rng.standard_normal((LAYERS - 1, len(at), 2))
    shifts += lean * rng.standard_normal((len(at), 2))
    ids = np.array([f"t{k}" for k in range(LAYERS)])
    n = len(at)
    return Displacements(
        ids[:-1], ids[1:], np.arange(LAYERS - 1), np.arange(1, LAYERS),
        np.repeat(np.arange(LAYERS - 1), n), np.tile(np.arange(n), LAYERS - 1),
        np.tile(at, (LAYERS - 1, 1)), np.tile(at, (LAYERS - 1, 1)), shifts.reshape(-1, 2),
    ), fields  # fmt: skip


CELLS = {f"t{k}": "0-0" for k in range(LAYERS)}
TILES = [TileLattice(f"t{k}", "0-0", LATTICE) for k in range(LAYERS)]


def relative(fields, solved):
    """Rms of what bends leave from layer to layer over the tile, without and with the fields."""
    at, _ = windows_of(LATTICE, SIDE)
    design = LATTICE.design(at).toarray()
    found = np.array([solved[f"t{k}"].terms for k in range(LAYERS)])
    errors = np.array([np.diff(each, axis=0) for each in (fields, fields - found)])
    left = np.einsum("pt,ekti->ekpi", design, errors)
    return np.sqrt((left**2).sum(axis=-1).mean(axis=(1, 2)))


# ---- what bends, what flows ------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_tissue_that_goes_on_obliquely_is_no_reason_for_fields(seed):
    found, _ = world(seed, flow=0.2, lean=0.3)
    choice = spectra.chosen([found], CELLS, LATTICE, SIDE)
    assert choice.prior is None
    assert choice.figures["px"] > 0.25


@pytest.mark.parametrize("seed", range(4))
def test_bends_are_told_from_tissue_and_halve_what_is_left(seed):
    found, fields = world(seed, bent=2.0, flow=0.15, lean=0.3)
    choice = spectra.chosen([found], CELLS, LATTICE, SIDE)
    assert choice.prior is not None
    before, after = relative(fields, field_solve.solve(TILES, found, choice.prior))
    assert before > 0.5
    assert after < 0.5 * before


def test_a_few_modes_that_bend_are_not_hidden_by_those_that_do_not():
    """A band counts by what it moves: where a tile sways as a whole, its affine modes."""
    found, _ = world(3, flow=0.05)
    rng, at = np.random.default_rng(4), windows_of(LATTICE, SIDE)[0] / 420 - 0.5
    sway = smooth(rng, 1.2, LAYERS)[:, :2]  # (layer, 2 terms, 2)
    shift = np.concatenate([at @ step for step in -np.diff(sway, axis=0)])
    swaying = dataclasses.replace(found, shift=found.shift + shift)
    assert spectra.chosen([swaying], CELLS, LATTICE, SIDE).prior is not None


def test_too_few_layers_say_nothing():
    found, _ = world(0, bent=1.0)
    some = found.z < spectra.LEAST_LAYERS - 2
    use = some[found.pair]
    short = dataclasses.replace(
        found, p_id=found.p_id[some], q_id=found.q_id[some], z=found.z[some],
        other_z=found.other_z[some], pair=found.pair[use], window=found.window[use],
        p_xy=found.p_xy[use], q_xy=found.q_xy[use], shift=found.shift[use],
    )  # fmt: skip
    choice = spectra.chosen([short], CELLS, LATTICE, SIDE)
    assert choice.prior is None
    assert "layers" in choice.figures["reason"]


# ---- the solve -------------------------------------------------------------------------------

PRIOR = Prior(0.01, 0.03)


def test_wrong_windows_do_not_move_a_field():
    found, fields = world(5, bent=1.0)
    rng = np.random.default_rng(6)
    shift = found.shift.copy()
    wrong = rng.random(len(shift)) < 0.05
    shift[wrong] += rng.uniform(-10, 10, (int(wrong.sum()), 2))
    spoilt = dataclasses.replace(found, shift=shift)
    right, robust = (
        relative(fields, field_solve.solve(TILES, each, PRIOR))[1] for each in (found, spoilt)
    )
    assert robust < 1.5 * right


def test_a_lean_of_the_tissue_moves_nothing():
    found, _ = world(7, lean=1.0, noise=0.0)
    solved = field_solve.solve(TILES, found, PRIOR)
    assert max(field.px for field in solved.values()) < 1e-6


def test_only_fields_that_stand_out_of_their_error_are_written():
    affine = geometry.translation(3.0, 4.0)
    affines = {f"t{k}": affine for k in range(LAYERS)}
    for bent, low, high in ((0.0, 0, 2), (2.0, LAYERS, LAYERS)):  # 5 % of pure noise
        found, _ = world(8, bent=bent, noise=0.2)
        solved = field_solve.solve(TILES, found, PRIOR)
        assert low <= len(field_solve.splines(solved, affines, 2.0)) <= high


def test_a_spline_moves_the_world_as_the_field_does_whatever_the_affine():
    found, _ = world(9, bent=1.0)
    field = field_solve.solve(TILES, found, PRIOR)["t20"]
    turned = np.array([[0.0, -1.1, 70.0], [1.1, 0.0, -20.0]])
    nodes = LATTICE.nodes()
    moved = geometry.apply(turned, field.spline(turned).apply(nodes))
    expected = geometry.apply(turned, nodes) + LATTICE.design(nodes) @ field.terms
    np.testing.assert_allclose(moved, expected, atol=1e-7)


def test_overlaps_hold_the_tiles_of_a_layer_together():
    """A window of a seam alone: both tiles go half the way."""
    at = np.array([[400.0, 200.0]])
    found = Displacements(
        np.array(["a"]), np.array(["b"]), np.array([1]), np.array([1]), np.zeros(1, np.intp),
        np.array([SEAM]), at, at - [380.0, 0.0], np.array([[1.0, 0.0]]),
    )  # fmt: skip
    tiles = [TileLattice("a", "0-0", LATTICE), TileLattice("b", "0-1", LATTICE)]
    solved = field_solve.solve(tiles, found, Prior(1e-4, 1e-3))
    a, b = (
        (LATTICE.design(xy) @ solved[name].terms)[0]
        for name, xy in (("a", found.p_xy), ("b", found.q_xy))
    )
    np.testing.assert_allclose(a - b, [1.0, 0.0], atol=0.05)
    np.testing.assert_allclose(a, -b, atol=0.05)


def nothing():
    found, _ = world(11)
    ids, numbers, at = found.p_id[:0], found.z[:0], found.shift[:0]
    return Displacements(ids, ids, numbers, numbers, numbers, numbers, at, at, at)


def test_layers_without_any_window_have_no_field():
    solved = field_solve.solve(TILES[:2], nothing(), PRIOR)
    assert {field.px for field in solved.values()} == {0.0}
    assert field_solve.splines(solved, {"t0": geometry.identity()}, 2.0) == {}
    choice = spectra.chosen([nothing()], CELLS, LATTICE, SIDE)
    assert choice.prior is None


def test_displacements_are_written_and_read_and_joined(tmp_path):
    found, _ = world(10)
    paths = [tmp_path / "a.npz", tmp_path / "b.npz"]
    for path in paths:
        write_columns(path, found)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    both = displacements.joined([read_columns(path, Displacements) for path in paths])
    assert len(both) == 2 * len(found)
    assert both.p_id[both.pair[-1]] == found.p_id[found.pair[-1]]
