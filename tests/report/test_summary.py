import dataclasses
import json

import numpy as np
import pytest

from scripts.report import finding, findings, plots, summary
from scripts.report.gather import RESULTS, Table
from tests.report.conftest import judge


@pytest.fixture(scope="module")
def figures(run):
    return judge(run[2])[0]


def test_every_stage_has_a_status(figures):
    assert all(figures[stage]["status"] in ("good", "look") for stage in summary.STAGES)


def test_a_run_that_has_not_begun_is_absent_everywhere(empty):
    figures, _ = judge(empty)
    assert {figures[stage]["status"] for stage in summary.STAGES} == {"absent"}


def test_figures_are_strict_json(figures):
    json.dumps(figures, allow_nan=False)


def test_the_quarantined_tile_is_named(figures):
    (bad,) = figures["transfer"]["quarantined"]
    assert bad["tile_key"] == "0-1-1"
    assert figures["transfer"]["tiles"] == figures["transfer"]["tiles_expected"] - 1


def test_the_hole_is_declared_with_its_z(figures):
    assert figures["ingest"]["holes"] == [
        {
            "z": 7,
            "layer_id": "Merlin-6284_24-03-07_101724",
            "status": "partial",
            "missing": ["0-1-1"],
        }
    ]


def test_pairs_tried_and_saved_add_up_over_runs_and_distances(figures):
    match = figures["match"]
    assert sum(run["pairs_tried"] for run in match["runs"].values()) == match["pairs_tried"]
    for run in match["runs"].values():
        assert sum(d["saved"] for d in run["dz"].values()) == run["pairs_saved"]


def test_a_stage_processes_what_the_one_before_left():
    rows = [
        ("a", 1, ""),
        ("b", 1, "a:few_inliers(7<20)"),
        ("b", 0, "a:few_inliers(3<20); b:low_coverage(20<50)"),
        ("a", 0, "a:few_inliers(3<20); b:unlike(0 of 59 at scale 0.0625)"),
        ("a", 0, "a:few_inliers(4<20); b:beyond_distance(3>2)"),
        *[("a", 1, "")] * 2,
        ("a", 0, "a:few_inliers(4<20); b:beyond_distance(3>2)"),
    ]
    columns = {name: np.zeros(len(rows), object) for name in RESULTS}
    columns |= {
        "stage": np.array([r[0] for r in rows], object),
        "saved": np.array([r[1] for r in rows]),
        "reason": np.array([r[2] for r in rows], object),
    }
    counts = summary.stage_counts(Table(columns))
    assert counts["a"] == {"processed": 8, "saved": 3, "failed": {"few_inliers": 5}}
    stopped = {"unlike": 1, "beyond_distance": 2}
    assert counts["b"] == {"processed": 2, "saved": 1, "failed": {"low_coverage": 1} | stopped}


@pytest.mark.parametrize("count", [0, 1, 7, 400])
def test_medians_of_layers_are_those_that_numpy_finds_for_each(count):
    rng = np.random.default_rng(count)
    z, values = rng.integers(0, 90, count), rng.normal(size=count)
    values[:3] = np.nan
    found, medians = plots._median_by(z, values)
    assert found.tolist() == sorted(set(z.tolist()))
    np.testing.assert_array_equal(medians, [np.median(values[z == one]) for one in found])


def test_excluded_resin_is_no_reason_to_look(figures):
    assert figures["review"]["excluded_tiles"] >= 3
    assert figures["review"]["status"] == "good"
    assert figures["review"]["clusters"] == 1


def test_the_score_beats_the_stage_positions(figures):
    score = figures["score"]
    assert score["relative"]["rms_px"] < score["nominal"]["relative"]["rms_px"]
    assert score["absolute"]["rms_px"] < score["nominal"]["absolute"]["rms_px"]
    assert score["z"]["rms_layers"] < 1e-9


def test_all_that_time_changes_is_under_costs(run, figures):
    again, _ = judge(run[2])
    assert {k: v for k, v in again.items() if k != "costs"} == {
        k: v for k, v in figures.items() if k != "costs"
    }
    timed = [k for k in _keys(figures) if k.endswith("_s") or "seconds" in k or k == "peak_mb"]
    assert timed
    assert not [k for k in _keys({**figures, "costs": {}}) if "seconds" in k or k == "peak_mb"]


def _keys(value):
    if isinstance(value, dict):
        for key, part in value.items():
            yield key
            yield from _keys(part)


def test_rules_are_listed_from_the_dearest(figures):
    seconds = [rule["seconds"] for rule in figures["costs"]["rules"].values()]
    assert seconds == sorted(seconds, reverse=True)
    assert figures["costs"]["rules"]["number_layers"]["peak_mb"] is None


def test_quantiles_of_nothing_are_a_count_of_zero():
    assert summary.quantiles(np.array([np.nan])) == {"count": 0}


def test_findings_name_the_tile_the_residual_and_the_layer(run):
    _, found = judge(run[2])
    by_stage = {one.stage: one for one in found}
    assert "0-1-1" in by_stage["transfer"].what
    assert "2.90 px" in by_stage["solve"].what
    assert by_stage["zcorr"].where == "z 11"


def test_an_outlier_is_found_and_plain_noise_is_not():
    rng = np.random.default_rng(2)
    values = rng.normal(1.0, 0.05, 200)
    assert len(findings.outliers(values, high=True)) == 0
    values[17] = 2.0
    assert findings.outliers(values, high=True).tolist() == [17]
    assert len(findings.outliers(values, high=False)) == 0


def test_spans_join_neighbors():
    assert finding.spans([1, 2, 3, 7, 9, 10]) == "1-3, 7, 9-10"
    assert finding.spans(list(range(0, 40, 2))).endswith("…")


def test_a_pair_that_was_tried_twice_counts_once(good):
    table = good.results
    before = summary.match(good)
    columns = {name: np.concatenate([c, c[:1], c[:1]]) for name, c in table.columns.items()}
    columns["run"] = np.array([*table["run"], "montage_left_right", "wide"])
    for name, values in {"p_id": ("x", "x"), "q_id": ("y", "y"), "saved": (0, 1)}.items():
        columns[name] = np.array([*table[name], *values])
    after = summary.match(dataclasses.replace(good, results=Table(columns, found=True)))
    assert after["pairs_tried"] == before["pairs_tried"] + 1
    assert after["pairs_saved"] == before["pairs_saved"] + 1
