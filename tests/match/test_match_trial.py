"""The trial: its sample, its judgement, and what it would choose."""

import numpy as np
import pytest
import yaml

from scripts.lib.job import UserError
from scripts.match import presets, tables, trial, trial_page
from scripts.match.pairs import Rules, derive
from scripts.match.trial_run import Trial
from tests.match.test_match_jobs import TABLES

SWEEP = {"method": ["block", "sift"], "featureRender.renderScale": [1.0, 0.25]}


def planned(specimen, z_distance=2):
    rules = Rules(0.1, z_distance=z_distance, exclude_same_layer=True)
    found = derive(specimen.tiles.tiles, rules, 1, 99)
    return [{k: str(v) for k, v in tables.pair_row(pair).items()} for pair in found]


def test_the_sample_is_spread_over_z_cells_and_distances_and_repeats(specimen):
    for z in range(1, 13):
        for column in range(2):
            specimen.cut(z, 0, column)
    cells = {s.tile_id: f"0,{s.column}" for s in specimen.specs}
    rows = [
        {**r, "p_cell": cells[r["p_id"]], "q_cell": cells[r["q_id"]]} for r in planned(specimen)
    ]
    chosen = trial.sample(rows, 12)
    assert chosen == trial.sample(rows[::-1], 12)
    assert len({row["p_id"] + row["q_id"] for row in chosen}) == 12
    for name, values in (("p_cell", 2), ("dz", 2)):
        count = [sum(row[name] == value for row in chosen) for value in {r[name] for r in rows}]
        assert count == [6] * values
    assert np.ptp([float(row["p_group"]) for row in chosen]) > 6
    assert len(trial.sample(rows, 10**6)) == len(rows)


def test_the_trial_judges_every_variant_and_its_preset_is_a_table(specimen):
    for z in range(1, 5):
        specimen.cut(z, 0, 0, error=(1.3 * z, 0.4 * z))
    found = Trial(specimen.tiles, TABLES, 50, pairs_per_run=4, sweep=SWEEP, source=specimen.source)
    found.run("cross", planned(specimen))
    assert [row["pairs"] for row in found.rows] == [4] * 4
    by_name = {row["variant"]: row for row in found.rows}
    full, small = (by_name[f"method block, renderScale {s}"] for s in (1.0, 0.25))
    assert full["saved_pct"] == 100
    assert full["false_pct"] == 0
    assert full["apart_px"] < 1.5
    assert small["saved_pct"] <= 100
    assert [row["chosen"] for row in found.rows].count(True) == 1
    again = yaml.safe_load(yaml.safe_dump(found.table, sort_keys=False))
    run = presets.read_run(again, "cross")
    assert run.stages[0].name == "crossTrial"
    assert [s.name for s in run.stages[1:]] == [
        s["stageName"] for s in TABLES[0]["runs"]["cross"]["stages"]
    ]
    assert len(found.pictures) == 4
    assert all(one.uri.startswith("data:image/png") for one in found.pictures)
    text = trial_page.page(found.rows, found.pictures, "a: 1")
    assert text.count("<figure>") == 4
    assert 'class="marked"' in text


def test_a_variant_that_is_false_is_not_chosen_though_it_saves_more(specimen):
    row = {"apart_px": 0.1, "coverage_pct": 90.0}
    sound = row | {"saved_pct": 80.0, "false_pct": 0.0}
    assert trial._merit(sound) > trial._merit(row | {"saved_pct": 100.0, "false_pct": 10.0})


def test_an_unknown_field_of_a_sweep_is_refused_by_name():
    with pytest.raises(UserError, match="renderScal"):
        trial.variants(TABLES[0], "cross", {"featureRender.renderScal": [0.5]})
