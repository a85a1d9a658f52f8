"""Parts of the solve by themselves: phases, votes, strengths of the priors, what is named."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from scripts.lib.job import UserError
from scripts.solve import restraints, robust, solver
from scripts.solve.graph import Weighting, graph_of, tiles_of
from scripts.solve.models import MODELS
from scripts.solve.moments import of_matches
from scripts.solve.solver import Options
from scripts.solve.steps import Runs
from scripts.solve.system import layout_of
from tests.solve import synthetic

NOISE = 0.041302  # px^2; no multiple of what it is divided by
WEIGHT = 0.25  # of the one tile that hangs on little


@pytest.fixture
def terms():
    """Layers of two tiles, each matched with those after it, with noise."""
    tile_set = synthetic.grid(range(1, 71), 1, 2)
    truth = synthetic.shaken(tile_set, np.random.default_rng(0))
    pairs = synthetic.matches(tile_set, truth, np.random.default_rng(1), noise=0.3)
    tiles = tiles_of([tile_set])
    options = Options(shape_sd=2e-3, rotation_sd=5e-3, step_sd=0.02, rigid_lambda=0.2)
    graph = graph_of(tiles, of_matches(pairs), options.weighting)
    sums = solver.Sums(len(tiles), graph)
    return solver._Terms(tiles, graph, sums, options, graph.weight, 500.0)


@pytest.fixture
def start(terms):
    return solver._start(terms, Runs.none(len(terms.tiles)))


@pytest.mark.parametrize(
    ("model", "robust_by", "expected"),
    [
        ("affine", "cauchy",
         ["translation huber", "rigid huber", "affine cauchy", "affine cauchy!"]),
        ("similarity", "huber",
         ["translation huber", "rigid huber", "similarity huber", "similarity huber!"]),
        ("rigid", "geman_mcclure",
         ["translation huber", "rigid geman_mcclure", "rigid geman_mcclure!"]),
        ("translation", "cauchy", ["translation cauchy", "translation cauchy!"]),
        ("affine", "none", ["translation none", "rigid none", "affine none!"]),
        ("translation", "none", ["translation none!"]),
    ],
)  # fmt: skip
def test_models_go_from_stiff_to_free_and_wrong_pairs_leave_before_the_last(
    model, robust_by, expected
):
    # a name as a file gives it is equal to the program's, and another object
    options = Options(model="".join(list(model)), robust="".join(list(robust_by)))
    found = [f"{m.name} {kind}{'!' * last}" for m, kind, last in solver._phases(options)]
    assert found == expected


def test_votes_are_inverse_variances_of_the_class_once_there_is_a_solution(terms, start):
    graph = terms.graph
    rng = np.random.default_rng(3)
    at = replace(start, residual=np.abs(rng.normal(0, 1 + graph.apart, len(graph))))
    assert np.array_equal(solver._votes(graph, at, False), graph.point_weight)
    typical = robust.scales(at.residual, graph.apart)
    assert len(np.unique(typical)) > 2
    voted = solver._votes(graph, at, True)
    # weight times variance is the same of every class, and the median class keeps its weight
    share = voted * typical**2 / graph.point_weight
    assert share == pytest.approx(np.full(len(graph), np.median(typical) ** 2))


def test_the_priors_are_as_strong_as_the_noise_over_what_is_expected(terms, start, monkeypatch):
    seen = []
    ties = restraints.ties

    def kept(tiles, reference, placement, held, strength):
        seen.append(strength)
        return ties(tiles, reference, placement, held, strength)

    monkeypatch.setattr(solver.restraints, "ties", kept)
    solver._sums(replace(terms, noise=NOISE), start, np.ones(len(terms.graph)))
    (found,) = seen
    assert found.mu == pytest.approx(0.2 / 0.8)
    assert found.shape == pytest.approx(NOISE / 2e-3**2)
    assert found.turn == pytest.approx(NOISE / 5e-3**2)


def test_a_step_is_held_by_the_noise_over_the_step_that_is_expected(terms, start, monkeypatch):
    seen = []
    fields = solver.Reference.fields

    def kept(self, weight, *, prior, shapes):
        seen.append(prior)
        return fields(self, weight, prior=prior, shapes=shapes)

    monkeypatch.setattr(solver.Reference, "fields", kept)
    terms, model, factor = replace(terms, noise=NOISE), MODELS["affine"], np.ones(len(terms.graph))
    layout = layout_of(
        len(terms.tiles), terms.graph.p, terms.graph.q, unknowns=model.unknowns, max_band_gb=1.0
    )
    solver._border(terms, layout, model, start, factor, solver._sums(terms, start, factor))
    assert seen == [pytest.approx(NOISE / 0.02**2)]


def test_the_noise_of_copies_counts_for_nothing(terms, start):
    weight = np.ones(len(terms.graph))
    copied = np.zeros(len(weight), bool)
    copied[::2] = True
    residual = np.where(copied, 0.0, 2.0)
    terms = replace(terms, graph=replace(terms.graph, copied=copied))
    found = solver._noise(terms, replace(start, residual=residual), weight)
    assert found == pytest.approx(restraints.noise(weight[~copied], residual[~copied]))
    assert solver._noise(replace(terms, noise=7.0), start, weight) == 7.0


def test_what_is_not_determined_names_the_tiles_that_hang_on_least(terms, start, monkeypatch):
    graph, weak = terms.graph, terms.tiles.ids[4]
    touches = (graph.p == 4) | (graph.q == 4)
    terms = replace(terms, weight=np.where(touches, WEIGHT, 1.0))
    factor = np.ones(len(graph))
    assert f"least weight are {weak}, " in solver._undetermined(terms, factor)
    # the factor counts as the weight does
    touches = (graph.p == 7) | (graph.q == 7)
    factor = np.where(touches, WEIGHT / 100, 1.0)
    assert f"least weight are {terms.tiles.ids[7]}, " in solver._undetermined(terms, factor)

    def singular(*_):
        raise solver.LinAlgError("singular")

    monkeypatch.setattr(solver, "factorise", singular)
    with pytest.raises(UserError, match=f"not determined.*{terms.tiles.ids[7]}"):
        solver._step(terms, None, MODELS["affine"], start, factor)


def test_a_placement_that_is_no_number_is_refused(terms, start, monkeypatch):
    def lost(model, border, at, sums):
        return at.reference, np.full_like(at.placement, np.nan)

    monkeypatch.setattr(solver, "_border", lambda *_: None)
    monkeypatch.setattr(solver, "_moved", lost)
    with pytest.raises(UserError, match="the solve is not determined"):
        solver._step(terms, None, MODELS["affine"], start, np.ones(len(terms.graph)))


def test_the_defaults_are_those_of_the_config():
    schema = yaml.safe_load((Path(__file__).parents[2] / "config/schema.yaml").read_text())
    known = {
        key: value["default"]
        for key, value in schema["properties"]["solve"]["properties"].items()
        if key in {each.name for kind in (Options, Weighting) for each in fields(kind)}
    }
    assert Options.of_config(known) == Options()
    assert len(known) == len(fields(Options)) + len(fields(Weighting)) - 1


def test_nothing_is_wrong_where_no_pair_is_to_be_judged(terms, start):
    residual = np.where(np.arange(len(terms.graph)) == 5, 500.0, 0.3)
    out, torn = solver._wrong(terms, "none", residual)
    assert (out.any(), torn) == (False, [])
    for kind in ("huber", "cauchy", "geman_mcclure"):
        out, torn = solver._wrong(terms, kind, residual)
        assert (np.flatnonzero(out).tolist(), torn) == ([5], [])


def moved_by_layer(tiles, steps):
    """The stage's placement, each layer moved on by its step (px) beyond the one before it."""
    placement = tiles.stage.copy()
    placement[:, 0, 2] += np.repeat(np.cumsum(steps), 2)
    return placement


@pytest.mark.parametrize(
    ("usual", "jump", "found"),
    [
        (1.0, 8.5, True),  # 8 times the median
        (1.0, 7.5, False),
        (2.0, 17.0, True),
        (0.1, 5.5, True),  # at least 5 px
        (0.1, 4.5, False),
    ],
)
def test_a_jump_is_far_beyond_the_usual_step_and_beyond_pixels(terms, usual, jump, found):
    steps = np.full(70, usual)
    steps[[0, 30]] = 0.0, jump
    groups = solver._groups(terms.tiles, moved_by_layer(terms.tiles, steps), [], Runs.none(140))
    assert groups.tolist() == [0] * 60 + [int(found)] * 80


def test_a_jump_that_the_stage_reports_begins_no_group(terms):
    stage = terms.tiles.stage.copy()
    stage[60:, 0, 2] += 500.0
    tiles = replace(terms.tiles, stage=stage)
    groups = solver._groups(tiles, moved_by_layer(tiles, np.ones(70)), [], Runs.none(140))
    assert groups.tolist() == [0] * 140


def test_restarts_steps_and_jumps_each_begin_a_group(terms):
    tiles = terms.tiles
    steps = np.zeros(70)
    steps[[0, 10]] = 50.0, 50.0  # the first layer begins nothing
    runs = replace(Runs.none(140), run=np.repeat([0, 1], [80, 60]))
    groups = solver._groups(tiles, moved_by_layer(tiles, steps), [1.0, 21.0], runs)
    assert groups.tolist() == np.repeat([0, 1, 2, 3], [20, 20, 40, 60]).tolist()


def run_phase(terms, start, monkeypatch, residuals, **options):
    """Let a phase see these residuals (px, of all pairs or of each), one set a solve."""
    shown = iter(residuals)

    def step(terms, layout, model, at, factor):
        return replace(at, residual=np.broadcast_to(next(shown), len(terms.graph)).copy())

    monkeypatch.setattr(solver, "_step", step)
    terms = replace(terms, options=replace(terms.options, **options))
    ones = np.ones(len(terms.graph))
    return solver._phase(terms, None, MODELS["affine"], "cauchy", start, ones)[2]


def test_a_phase_ends_when_residual_and_factors_stand_still(terms, start, monkeypatch):
    assert run_phase(terms, start, monkeypatch, [1.0, 1.0]) == 2
    assert run_phase(terms, start, monkeypatch, [2.0, 1.0, 1.0 + 5e-4]) == 3
    assert run_phase(terms, start, monkeypatch, [1.0, 1.002, 1.004, 1.004]) == 4
    assert run_phase(terms, start, monkeypatch, [1.0] * 3, max_iterations=1) == 1
    falling = [0.9**n for n in range(30)]
    assert run_phase(terms, start, monkeypatch, falling) == 25


def test_a_phase_goes_on_while_factors_move_though_the_typical_residual_stands(
    terms, start, monkeypatch
):
    still, off, more = (np.ones(len(terms.graph)) for _ in range(3))
    off[7], more[7] = 60.0, 61.0
    weight = terms.weight.copy()
    weight[7] = 0.0  # so that the weighted residual does not tell
    terms = replace(terms, weight=weight)
    assert run_phase(terms, start, monkeypatch, [still, off, off, off]) == 3
    assert run_phase(terms, start, monkeypatch, [off, still, still, still]) == 3
    # a factor that changes from little to little has not moved
    assert run_phase(terms, start, monkeypatch, [off, more, more]) == 2


def test_polishing_ends_when_nothing_moves(terms, monkeypatch):
    tiles, graph = terms.tiles, terms.graph
    seen = []
    moved = solver._moved

    def counted(*args):
        seen.append(1)
        return moved(*args)

    monkeypatch.setattr(solver, "_moved", counted)
    layout = layout_of(len(tiles), graph.p, graph.q, unknowns=6, max_band_gb=1.0)
    at = solver._start(terms, Runs.none(len(tiles)))
    passes = []
    for _ in range(4):
        at, terms = solver._polish(terms, layout, MODELS["affine"], at, np.ones(len(graph)))
        passes.append(len(seen))
        seen.clear()
    assert passes[0] > 1
    assert passes[-1] == 1


def test_the_precision_at_the_stage_itself_is_one_however_little_pairs_weigh(terms, start):
    light = replace(terms, weight=terms.weight * 1e-9, noise=0.0)
    factor = np.ones(len(terms.graph))
    assert solver._precision(light, MODELS["affine"], start, factor) == pytest.approx(1.0)
