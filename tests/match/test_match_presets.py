"""Stage tables: the shipped ones, and what is refused by name."""

import copy
import json
import re
from pathlib import Path

import pytest
import yaml

from scripts.lib.job import UserError
from scripts.lib.numerics.models import MODELS
from scripts.match import presets, ransac, stage_files, stages

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
        assert presets.read_run(content, run).stages
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


STAGE = ("stages", 0)
COMMON = ("common", "featureMatchDerivation")
GEOMETRIC = {
    "gdEnabled": True,
    "renderScale": 0.5,
    "renderWithFilter": False,
    "geometricDescriptorParameters": {"lookForMinima": True},
    "matchDerivationParameters": {"matchMaxEpsilonFullScale": 5},
}


@pytest.mark.parametrize(
    ("path", "value", "expected", "found"),
    [
        ((*STAGE, "featureRender", "renderScal"), 1, "nearest known key is .*renderScale", ""),
        ((*STAGE, "featureRender", "renderScale"), 0, "above 0", "0"),
        (
            (*STAGE, "featureRender", "renderFilterListName"),
            "x",
            "null.*live in a render server",
            "'x'",
        ),
        ((*STAGE, "method"), "sfit", "one of 'sift', 'block', 'start_position'", "'sfit'"),
        ((*STAGE, "maxNeighborDistance"), "two", r"integer.*\(layers\)", "'two'"),
        ((*STAGE, "maxNeighborDistance"), -1, "at least 0", "-1"),
        ((*STAGE, "maxNeighborDistance"), 2.5, "integer", "2.5"),
        ((*STAGE, "startPositionMatchWeight"), -1, "above 0", "-1"),
        ((*STAGE, "geometricDescriptorAndMatch"), {"gdEnabled": "false"}, "boolean", "'false'"),
        ((*STAGE, "featureRender", "renderWithFilter"), "no", "boolean", "'no'"),
        ((*STAGE, "blockMatch"), {"maxChance": "1e-6"}, "number, at most 1, above 0", "'1e-6'"),
        (("common", "featureExtraction", "fdSize"), 8, "one of 4", "8"),
        (("common", "featureExtraction", "steps"), 2.5, "integer", "2.5"),
        ((*COMMON, "matchModelType"), "HOMOGRAPHY", "'AFFINE'", "'HOMOGRAPHY'"),
        (
            (*COMMON, "matchFilter"),
            "CONSENSUS_SETS",
            "'AGGREGATED_CONSENSUS_SETS'",
            "'CONSENSUS_SETS'",
        ),
        ((*COMMON, "matchRod"), 1.5, "at most 1", "1.5"),
        ((*COMMON, "matchMaxTrust"), "4", "number", "'4'"),
        (("pairs", "layerShift"), [], "null.*stage positions", r"\[\]"),
        (("pairs", "excludeSameLayerPairsWithPosition"), "UP", "'TOP'", "'UP'"),
        (("pairs",), 3, "object", "3"),
        (("stages",), [], "at least 1", r"\[\]"),
    ],
)
def test_a_wrong_value_is_refused_with_file_key_found_and_expected(
    tmp_path, path, value, expected, found
):
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump(changed(path, value)))
    with pytest.raises(UserError) as caught:
        stage_files.read_table(file)
    first, line = str(caught.value).splitlines()
    assert first == f"{file}:"
    key = ".".join(["runs.cross", *(str(part) for part in path)]).replace(".0", "[0]")
    assert line.startswith(f"  {key}")
    assert re.search(expected, line)
    assert re.search(f"found {found}" if found else "unknown key", line)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ((*COMMON, "matchRegularizerModelType"), "RIGID", r"Lambda: missing.*RegularizerModelType"),
        ((*COMMON, "matchInterpolatedModelLambda"), 0.5, r"RegularizerModelType: missing.*Lambda"),
        ((*COMMON, "matchMaxEpsilonFullScale"), None, r"matchMaxEpsilonFullScale: missing"),
        (("stages", 3, "maxNeighborDistance"), 6, r"stages\[3\].*at most the 3 .*found 6"),
        (("stages", 3, "maxNeighborDistance"), None, r"stages\[3\].*at most the 3 .*found None"),
        (("stages", 1, "stageName"), None, r"stages\[1\].stageName: missing"),
        ((*STAGE, "geometricDescriptorAndMatch"), {"renderScale": None}, r"renderScale: missing"),
        ((*STAGE, "geometricDescriptorAndMatch"), {"minCombinedInliers": 3}, r"together with"),
        (
            (*STAGE, "geometricDescriptorAndMatch"),
            {"geometricDescriptorParameters": {}},
            "lookForMinima or lookForMaxima",
        ),
        (
            (*STAGE, "geometricDescriptorAndMatch"),
            {"matchDerivationParameters": {}},
            r"matchDerivationParameters.matchMaxEpsilonFullScale: missing",
        ),
    ],
)
def test_fields_that_do_not_go_together_are_named(path, value, words):
    value = GEOMETRIC | value if isinstance(value, dict) else value
    with pytest.raises(UserError, match=words):
        presets.read_run(changed(path, value), "cross")


def test_everything_wrong_in_a_file_is_named_at_once(tmp_path):
    content = changed((*STAGE, "method"), "sfit")
    content["runs"]["cross"]["stages"][2]["stageName"] = ""
    content["runs"]["cross"]["common"]["featureMatchDerivation"]["matchRod"] = "0.9"
    content["runs"]["montage_left_right"]["pair"] = {}
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError) as caught:
        stage_files.read_table(file)
    text = str(caught.value)
    for part in ("method", "stages[2].stageName", "matchRod", "montage_left_right.pair:"):
        assert part in text


def test_a_table_of_json_reads_as_one_of_yaml_and_null_is_as_absent(tmp_path):
    content = changed((*STAGE, "startPositionMatchWeight"), None)
    content["runs"]["cross"]["stages"][0]["blockMatch"] = {"maxChance": 1e-06}
    file = tmp_path / "own.json"
    file.write_text(json.dumps(content))
    assert "1e-06" in file.read_text()
    read = presets.read_run(stage_files.read_table(file), "cross")
    assert read.stages[0].block.max_chance == 1e-6
    assert read.stages[1:] == presets.read_run(table(), "cross").stages[1:]


def test_the_schema_describes_every_field_and_knows_every_method():
    kinds = stage_files.SCHEMA["$defs"]
    for kind, content in kinds.items():
        assert content["description"], kind
        for key, field in content["properties"].items():
            assert "$ref" in field or (field["type"] and field["description"]), key
            if field.get("type") in ("number", "integer"):
                assert {"minimum", "exclusiveMinimum", "enum"} & set(field), key
    assert set(kinds["stage"]["properties"]["method"]["enum"]) == set(stages.METHODS)
    assert set(kinds["match"]["properties"]["matchModelType"]["enum"]) == set(MODELS)
    known = set(kinds["match"]["properties"]["matchFilter"]["enum"])
    assert known == set(ransac.FILTERS) - {"CONSENSUS_SETS"}


def test_whole_numbers_are_read_as_the_type_of_their_field():
    read = presets.read_run(changed((*COMMON, "matchMaxTrust"), 4), "cross").stages[0]
    assert isinstance(read.consensus.max_trust, float)
    read = presets.read_run(changed((*COMMON, "matchIterations"), 50.0), "cross").stages[0]
    assert isinstance(read.consensus.iterations, int)


def test_a_missing_run_names_the_table_and_its_runs():
    with pytest.raises(UserError, match=r"(?s)leaf.*montage.*cross"):
        presets.read_run(table("leaf"), "montage")


def test_the_legacy_error_limit_is_in_canvas_pixels():
    content = changed(("common", "featureMatchDerivation", "matchMaxEpsilonFullScale"), None)
    content["runs"]["cross"]["common"]["featureMatchDerivation"]["matchMaxEpsilon"] = 0.5
    stage = presets.read_run(content, "cross").stages[1]
    assert stage.consensus.epsilon_px == pytest.approx(5.0)
