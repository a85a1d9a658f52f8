"""Few points that say what all of a pair say."""

import numpy as np
import pytest
import yaml

from scripts.lib.numerics import models
from scripts.lib.service.records import CanvasMatches
from scripts.match import thinning
from scripts.match.outcomes import Outcome
from scripts.match.thinning import thinned
from scripts.solve import graph, moments
from tests.benchmarks.conftest import ROOT

KINDS = ("even", "strip", "corner", "crowded")


def found(kind, n=1863, seed=0, weighted=True):
    """Points of a pair as a stage leaves them: an affine, noise, and the specimen's own motion."""
    rng = np.random.default_rng(seed)
    p = rng.uniform(0, (8875, 3500), (n, 2))
    if kind == "strip":
        p[:, 0] = rng.uniform(8300, 8875, n)
    elif kind == "corner":  # resin elsewhere
        p = p[(p[:, 0] < 3000) | (p[:, 1] < 800)]
    elif kind == "crowded":
        p[: n // 2] = rng.normal((2000, 1500), 150, (n // 2, 2))
    linear = np.array([[1.002, 0.001], [-0.0008, 0.999]])
    q = p @ linear.T + (12.5, -3.25) + rng.normal(0, 0.4, p.shape)
    q += 0.3 * np.sin(p[:, ::-1] / 900)
    w = rng.uniform(0.2, 1, len(p)) if weighted else 1.0
    return Outcome("", p, q, w, 0.5, 100.0)


def of(outcome):
    """Moments, no point mistrusted."""
    weight = np.array(np.broadcast_to(outcome.weight, len(outcome.p)), float)
    pair = CanvasMatches("1.0", "a", "2.0", "b", outcome.p, outcome.q, weight)
    return moments.of_matches([pair], cutoff=1e9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [True, False])
def test_a_hundred_points_have_the_moments_of_all(kind, weighted):
    full = found(kind, weighted=weighted)
    few = thinned(full, 100)
    assert len(few.p) == len(few.weight) == 100
    assert min(few.weight) > 0
    one, other = of(full), of(few)
    for name in ("p", "q"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), abs=0.02)
    for name in ("pp", "qq", "pq"):
        a, b = getattr(one, name)[0], getattr(other, name)[0]
        assert b == pytest.approx(a, abs=2e-4 * np.trace(a)), name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", ["TRANSLATION", "RIGID", "AFFINE"])
def test_whoever_fits_a_model_finds_that_of_all(kind, model):
    full = found(kind)
    few = thinned(full, 100)
    fit = models.MODELS[model].fit
    a, b = (fit(one.p, one.q, one.weight) for one in (full, few))
    corners = np.array([(full.p[:, 0].min(), 0), (8875, 3500)])
    shift = [c @ m[:, :2].T + m[:, 2] for m in (a, b) for c in (corners,)]
    assert np.abs(shift[0] - shift[1]).max() < 1e-3


def test_the_error_that_the_points_show_is_that_of_all():
    full = found("even")
    few = thinned(full, 100)

    def rms(one):
        model = models.fit_affine(one.p, one.q, one.weight)
        left = one.p @ model[:, :2].T + model[:, 2] - one.q
        return np.sqrt(np.average((left**2).sum(axis=1), weights=one.weight))

    assert rms(few) == pytest.approx(rms(full), rel=1e-4)
    assert few.rms_px == full.rms_px


def test_the_kept_places_are_measured_ones_and_spread():
    full = found("even")
    few = thinned(full, 100)
    assert {tuple(xy) for xy in few.p} <= {tuple(xy) for xy in full.p.round(4)}
    count, _, _ = np.histogram2d(*few.p.T, bins=(5, 4), range=((0, 8875), (0, 3500)))
    assert count.min() >= 2


def test_a_pair_weighs_in_a_solve_what_it_weighed():
    weighting = graph.Weighting()
    for n in (150, 1863):
        full = found("even", n)
        few = thinned(full, 100)
        assert weighting.by_points(of(few)) == pytest.approx(
            weighting.by_points(of(full)), rel=0.01
        )


def test_the_worth_of_points_is_that_of_the_solve():
    solve = yaml.safe_load((ROOT / "config/schema.yaml").read_text())["properties"]["solve"]
    assert solve["properties"]["saturation_points"]["default"] == thinning.SATURATION_POINTS


def test_few_points_or_points_on_a_line_stay_what_they_are():
    few = found("even", 100)
    assert thinned(few, 100) is few
    line = Outcome("", np.column_stack([np.arange(300.0), np.zeros(300)]), np.ones((300, 2)))
    kept = thinned(line, 100)
    assert np.isfinite(kept.q).all()
    assert np.average(kept.p, axis=0, weights=kept.weight) == pytest.approx([149.5, 0], abs=1e-6)
