"""Stage tables: the shipped ones, and what is refused by name."""

import copy
from pathlib import Path

import pytest
import yaml

from scripts.lib.job import UserError
from scripts.match import presets, stages

FOLDER = Path(__file__).parents[2] / "config" / "match_stages"
RUNS = {
    "single_row": ["montage", "cross"],
    "multi_row": ["montage_top_bottom", "montage_left_right", "cross"],
    "flyem": ["montage", "cross"],
    "leaf": ["cross"],
    "small_cell": ["cross"],
    "block": ["montage", "montage_top_bottom", "montage_left_right", "cross"],
    "small_tiles": ["montage", "montage_top_bottom", "montage_left_right", "cross"],
}


def table(name="multi_row"):
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text())


@pytest.mark.parametrize("name", RUNS)
def test_every_shipped_table_reads_for_each_of_its_runs(name):
    content = table(name)
    assert content["name"] == name
    assert sorted(content["runs"]) == sorted(RUNS[name])
    for run in RUNS[name]:
        stages.check(presets.read_run(content, run).stages)
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(RUNS)


def test_multi_row_cross_is_the_reference_table():
    run = presets.read_run(table(), "cross")
    assert [s.render.scale for s in run.stages] == [0.05, 0.1, 0.2, 0.3]
    assert [s.consensus.min_inliers for s in run.stages] == [20, 20, 20, 10]
    assert [s.max_neighbor_distance for s in run.stages] == [6, 6, 3, 2]
    first = run.stages[0]
    assert (first.consensus.model, first.consensus.epsilon_px) == ("RIGID", 10.0)
    assert (first.extraction.min_scale, first.extraction.steps, first.rod) == (0.125, 5, 0.92)
    assert not first.render.with_filter
    assert not first.render.without_mask
    assert run.rules.z_distance == 6
    assert run.rules.exclude_same_layer


def test_flyem_cross_is_the_reference_table():
    run = presets.read_run(table("flyem"), "cross")
    assert [s.render.scale for s in run.stages] == [0.05, 0.1, 0.15, 0.25, 0.25, 0.25]
    assert [s.consensus.min_inliers for s in run.stages] == [20, 20, 20, 150, 20, 20]
    assert [s.min_coverage for s in run.stages] == [50, 50, 50, 30, 50, None]
    assert [s.max_neighbor_distance for s in run.stages] == [6, 6, 6, 3, 2, 1]
    assert [s.descriptors and s.descriptors.weight for s in run.stages] == [
        0.40,
        0.39,
        0.38,
        None,
        0.37,
        None,
    ]
    fifth = run.stages[4].descriptors
    assert fifth.regardless_of_sift
    assert (fifth.render.scale, fifth.blobs.sigma, fifth.blobs.apart_px) == (0.5, 4.04, 25.0)
    assert (fifth.block_radius_px, fifth.consensus.min_inliers) == (500.0, 20)
    assert (fifth.neighborhood.neighbors, fifth.neighborhood.redundancy) == (3, 1)


def test_single_row_montage_is_the_reference_table():
    run = presets.read_run(table("single_row"), "montage")
    assert [s.render.scale for s in run.stages] == [0.4, 0.5, 0.6, 0.6, 0.6, 1.0]
    assert [s.consensus.min_inliers for s in run.stages] == [25, 25, 25, 25, 12, 12]
    assert [s.min_coverage for s in run.stages] == [70, 70, 70, 70, 50, 0]
    assert [s.descriptors is not None for s in run.stages] == [False, True, True, True, True, False]
    assert {s.filter for s in run.stages} == {"AGGREGATED_CONSENSUS_SETS"}
    assert run.stages[0].clip.width == 500
    limits = run.stages[1].descriptors
    assert (limits.min_combined_inliers, limits.min_combined_coverage) == (25, 70)


def test_the_distance_of_the_config_replaces_that_of_runs_over_layers_alone():
    assert presets.read_run(table(), "cross", 3).rules.z_distance == 3
    assert presets.read_run(table(), "montage_left_right", 3).rules.z_distance == 0


def test_the_table_is_chosen_by_tile_size():
    both = [table("small_tiles"), table()]
    assert presets.choose(both, 240)["name"] == "small_tiles"
    assert presets.choose(both, 6250)["name"] == "multi_row"
    assert presets.choose(both[:1], 6250)["name"] == "small_tiles"


def changed(path, value):
    content = copy.deepcopy(table())
    *parts, last = path
    at = content["runs"]["cross"]
    for part in parts:
        at = at[part]
    at[last] = value
    return content


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("stages", 0, "featureRender", "renderScal"), 1, "did you mean 'renderScale'"),
        (("stages", 0, "featureRender", "renderScale"), 0, "renderScale.*above 0"),
        (("stages", 0, "featureRender", "renderFilterListName"), "x", "renderFilterListName"),
        (("common", "featureExtraction", "fdSize"), 8, "fdSize: 4"),
        (("common", "featureExtraction", "steps"), 2.5, "steps.*whole"),
        (("common", "featureMatchDerivation", "matchModelType"), "HOMOGRAPHY", "AFFINE"),
        (("common", "featureMatchDerivation", "matchFilter"), "CONSENSUS_SETS", "AGGREGATED"),
        (("common", "featureMatchDerivation", "matchRegularizerModelType"), "RIGID", "Lambda"),
        (("common", "featureMatchDerivation", "matchMaxEpsilonFullScale"), None, "required"),
        (("stages", 3, "maxNeighborDistance"), 6, "earlier stage"),
        (("stages", 1, "stageName"), None, "stageName"),
        (("pairs", "layerShift"), [], "layerShift"),
        (("pairs", "excludeSameLayerPairsWithPosition"), "UP", "TOP"),
        (("pairs",), 3, "mapping"),
        (("stages",), [], "no stages"),
    ],
)
def test_a_wrong_field_is_refused_by_name(path, value, words):
    with pytest.raises(UserError, match=words):
        presets.read_run(changed(path, value), "cross")


def test_a_missing_run_names_the_table_and_its_runs():
    with pytest.raises(UserError, match=r"leaf.*montage.*cross"):
        presets.read_run(table("leaf"), "montage")


def test_an_unknown_method_is_refused():
    run = presets.read_run(changed(("stages", 0, "method"), "guess"), "cross")
    with pytest.raises(UserError, match=r"guess.*sift"):
        stages.check(run.stages)


def test_the_legacy_error_limit_is_in_canvas_pixels():
    content = changed(("common", "featureMatchDerivation", "matchMaxEpsilonFullScale"), None)
    content["runs"]["cross"]["common"]["featureMatchDerivation"]["matchMaxEpsilon"] = 0.5
    stage = presets.read_run(content, "cross").stages[1]
    assert stage.consensus.epsilon_px == pytest.approx(5.0)
