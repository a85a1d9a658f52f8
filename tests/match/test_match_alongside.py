"""Seams too narrow for a pair of one layer are joined where many layers agree, and only there."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from scripts.match import alongside, presets, stages, wide
from scripts.match.alongside import Peak
from scripts.match.canvases import Canvases
from scripts.match.levels import BlockParams
from scripts.match.pairs import derive

HOW = BlockParams(search_px=20)
TABLE = yaml.safe_load(
    (Path(__file__).parents[2] / "config/match_stages/small_tiles.yaml").read_text()
)
RUNS = {
    name: replace(run, stages=run.stages[:1])
    for name in ("montage_left_right", "cross")
    for run in [presets.read_run(TABLE, name, 2)]
}


def peaks_of(errors, chances):
    pairs = enumerate(zip(errors, chances, strict=True), start=1)
    return [Peak(float(z), np.asarray(e, float), float(c)) for z, (e, c) in pairs]


def test_weak_peaks_at_one_place_tell_it():
    rng = np.random.default_rng(1)
    errors = [-3, 1] + 0.5 * rng.standard_normal((24, 2))
    errors[::4] = rng.uniform(-20, 20, (6, 2))  # and some layers show nothing
    found = alongside.agreed(peaks_of(errors, np.full(24, -3.0)), HOW, 6)
    assert found == pytest.approx([-3, 1], abs=0.5)


@pytest.mark.parametrize("persistence", [1, 6])
def test_chance_agrees_nowhere(persistence):
    """Of 300 seams of unrelated strips, which stay the same for some layers, none agrees."""
    rng = np.random.default_rng(2)
    for _ in range(300):
        pieces = -(-48 // persistence)
        errors = rng.uniform(-20, 20, (pieces, 2)).repeat(persistence, 0)[:48]
        chances = np.log10(rng.uniform(size=pieces)).repeat(persistence)[:48]
        assert alongside.agreed(peaks_of(errors, chances), HOW, persistence) is None


def test_what_lasts_for_some_layers_counts_once():
    errors, chances = np.full((6, 2), 15.0), np.full(6, -3.0)
    assert alongside.agreed(peaks_of(errors, chances), HOW, 6) is None
    assert alongside.agreed(peaks_of(errors, chances), HOW, 1) is not None


def test_without_peaks_or_reach_nothing_agrees():
    assert alongside.agreed([], HOW, 6) is None
    one = peaks_of(np.zeros((9, 2)), np.full(9, -5.0))
    assert alongside.agreed(one, replace(HOW, search_px=None), 1) is None


def searched(specimen, most=200):
    def canvases(some):
        return Canvases(some, budget_mb=50, source=specimen.source)

    tiles = specimen.tiles
    z = [tile.z for tile in tiles.tiles]
    joined = [
        (pair.p_id, pair.q_id)
        for run in RUNS.values()
        for pair in derive(tiles.tiles, run.rules, min(z), max(z))
        if stages.match_pair(pair, run.stages, canvases(tiles)).matches is not None
    ]
    search = wide.Search(tiles, RUNS, z_distance=2, most=most, budget_mb=50, canvases=canvases)
    return joined, list(search.run(joined)), search


def narrow(specimen):
    """Two columns whose strips of 13 x 90 px show little beside noise; the stage is 3 px off."""
    specimen.noise, specimen.h = 30.0, 90
    for z in range(1, 10):
        for column in range(2):
            specimen.cut(z, 0, column, step=(187, 120), error=(3.0 * column, -2.0 * column))
    return specimen


def test_columns_whose_strips_fail_one_by_one_are_joined(specimen):
    joined, found, search = searched(narrow(specimen))
    column = {tile.tile_id: tile.column for tile in specimen.tiles.tiles}
    assert all(column[p] == column[q] for p, q in joined)
    (one,) = found
    assert (one.row()["dx_px"], one.row()["dy_px"]) == (0, 0)
    assert search.left < 200
    right = [(a.pair, a.matches) for a in one.attempts if a.matches is not None]
    assert len(right) >= 5
    for pair, matches in right:
        true = specimen.map(pair.p_id, pair.q_id)
        moved = matches.p @ true[:, :2].T + true[:, 2]
        assert np.abs(np.median(matches.q - moved, axis=0)).max() < 1.5


def test_columns_of_unrelated_tissue_stay_apart(specimen):
    narrow(specimen)
    rng = np.random.default_rng(3)
    for name, image in specimen.images.items():
        if "-1." in name:  # the right column, upside down
            specimen.images[name] = np.roll(image[::-1], int(rng.integers(20, 70)), axis=0)
    _, found, _ = searched(specimen)
    assert found == []
