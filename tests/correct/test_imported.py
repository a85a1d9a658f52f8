"""Destreak and shading JSON of render's clients become lines of the config."""

import json
from pathlib import Path

import pytest
import yaml

from scripts.correct import imported
from scripts.lib import schema
from scripts.lib.job import UserError

ROOT = Path(__file__).resolve().parents[2]
CLASS = "org.janelia.alignment.destreak."


def listed(kind, text):
    return {"jrc_demo": [{"className": CLASS + kind, "parameters": {"dataString": text}}]}


def section(value, **how):
    return imported.section(value, "f.json", **{"pixel_nm": 8, **how})


def test_the_example_of_the_scripts_gives_the_defaults():
    found = section(listed(imported.LOCAL, "4621,8190,35,8,0.0,10,10.0,0.05"))["destreak"]
    known = yaml.safe_load((ROOT / "config/schema.yaml").read_text())
    known = known["properties"]["correct"]["properties"]["destreak"]["properties"]
    for key, value in found.items():
        if key != "variant":
            assert value == pytest.approx(known[key]["default"], rel=2e-3), key
    assert found["variant"] == "local"


def test_horizontal_streaks_swap_the_axes_and_16_bit_scales_the_threshold():
    text = "501,2000,10,4,90,6,2570,0.05"
    found = section(listed(imported.LOCAL, text), bits=16, pixel_nm=4)["destreak"]
    assert found["cutoff_cycles_per_um"] == pytest.approx(10 / 2000 * 250)
    assert found["band_cycles_per_um"] == pytest.approx(4 / 1000 * 250)
    assert (found["initial_threshold_grey"], found["blur_nm"]) == (10, 24)


MODELS = [
    {"fromZ": 1, "modelType": "quadratic", "coefficients": [0, 1, 2, 3, 4, 5]},
    {"z": 900, "modelType": "none"},
]


def test_shading_models_are_those_of_the_key(tmp_path, capsys):
    path = tmp_path / "shading.json"
    path.write_text(json.dumps(MODELS))
    assert imported.main([str(path), "--pixel-nm", "8"]) == 0
    found = yaml.safe_load(capsys.readouterr().out)["correct"]
    rules = yaml.safe_load((ROOT / "config/schema.yaml").read_text())
    assert schema.faults(found, rules["properties"]["correct"]) == []
    assert [model["z"] for model in found["shading"]["given"]] == [1, 900]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([{"z": 1, "modelType": "quadratic", "coefficients": [1, 2]}], "found 2 of quadratic"),
        (listed("ConfigurableMaskStreakCorrector", "1,2,3"), "found Configurable"),
        (listed(imported.SMOOTH, "1,2,3"), "with 3 numbers"),
        (listed(imported.SMOOTH, "501,2000,10,4,30"), "angle 30: expected 0 or 90"),
        ({}, "found 0 filters"),
    ],
)
def test_what_has_no_counterpart_is_refused(value, said):
    with pytest.raises(UserError) as error:
        section(value)
    assert said in str(error.value)


def test_a_file_that_is_no_json_is_told(tmp_path, capsys):
    (tmp_path / "x.json").write_text("{")
    assert imported.main([str(tmp_path / "x.json"), "--pixel-nm", "8"]) == 1
    assert capsys.readouterr().err
