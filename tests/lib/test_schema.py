"""Config validation: every fault is named, with the way out."""

import difflib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from scripts.lib.job import UserError
from scripts.lib.schema import expectation, fill_defaults, known_keys, validate
from scripts.lib.schema_doc import PAGE, SCHEMA, render

EXAMPLE = yaml.safe_load("""
type: object
required: [volume]
properties:
  volume: {type: string, description: name of the volume}
  acquisition:
    type: object
    required: [rows]
    properties:
      rows: {type: integer, minimum: 1, unit: tiles}
      pixel_nm: {type: number, exclusiveMinimum: 0, unit: nm, default: 8}
  solve:
    type: object
    description: the solve
    properties:
      robust_px: {type: number, minimum: 0, unit: px, default: 3, description: "a | b"}
      model: {type: string, enum: [rigid, affine], default: affine}
      priors:
        type: object
        properties: {stage_px: {type: number, default: 10}}
  ingest:
    type: object
    properties:
      mask:
        type: [object, "null"]
        default: null
        properties: {left_px: {type: integer, default: 0}}
  review:
    type: object
    properties:
      exclude:
        type: array
        default: []
        uniqueItems: true
        items:
          type: object
          required: [tiles]
          properties:
            tiles: {type: array, items: {type: string}}
            reason: {type: string, default: ""}
""")


def config(**sections):
    return {"volume": "v", "acquisition": {"rows": 2}, **sections}


def faults(value):
    with pytest.raises(UserError) as caught:
        validate(value, EXAMPLE)
    return str(caught.value).splitlines()[1:]


def test_defaults_are_filled_at_every_depth():
    value = config(review={"exclude": [{"tiles": ["a"]}]})
    validate(value, EXAMPLE)
    assert value["solve"] == {"robust_px": 3, "model": "affine", "priors": {"stage_px": 10}}
    assert value["acquisition"] == {"rows": 2, "pixel_nm": 8}
    assert value["ingest"] == {"mask": None}
    assert value["review"]["exclude"] == [{"tiles": ["a"], "reason": ""}]


def test_a_default_is_copied_not_shared():
    one, two = config(), config()
    validate(one, EXAMPLE)
    one["review"]["exclude"].append({"tiles": []})
    validate(two, EXAMPLE)
    assert two["review"]["exclude"] == []


def test_a_section_without_any_key_is_the_section_of_all_defaults():
    value = config(solve=None)
    validate(value, EXAMPLE)
    assert value["solve"]["robust_px"] == 3


def test_given_values_stay():
    value = config(solve={"robust_px": 1}, ingest={"mask": {"left_px": 4}})
    validate(value, EXAMPLE)
    assert value["solve"]["robust_px"] == 1
    assert value["ingest"]["mask"] == {"left_px": 4}


def test_numbers_given_as_text_on_the_command_line_become_numbers():
    value = config(solve={"robust_px": "0.5"}, ingest={"mask": "null"})
    value["acquisition"]["rows"] = "3"
    validate(value, EXAMPLE)
    assert value["solve"]["robust_px"] == 0.5
    assert value["acquisition"]["rows"] == 3
    assert value["ingest"]["mask"] is None


@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
def test_what_is_no_finite_number_is_refused_wherever_it_stands(text):
    value = config(solve={"robust_px": float(text)})
    line, *_ = faults(value)
    assert line.startswith("  solve.robust_px: expected a finite number, found ")


def test_a_number_has_one_form_however_it_is_written():
    one, two = (
        config(solve={"robust_px": n(3), "priors": {"stage_px": n(8)}}) for n in (int, float)
    )
    one["acquisition"], two["acquisition"] = {"rows": 2}, {"rows": 2.0, "pixel_nm": 8.0}
    validate(one, EXAMPLE)
    validate(two, EXAMPLE)
    assert repr(one) == repr(two)


def test_a_number_equal_to_its_default_has_the_form_of_the_default():
    schema = {"properties": {"a": {"type": "number", "default": 2.0}}}
    for value in ({"a": 2}, {"a": 2.0}, {"a": "2"}, {}):
        validate(value, schema)
        assert repr(value) == "{'a': 2.0}"


def test_halves_and_truth_values_stay_as_they_are():
    value = config(solve={"robust_px": 0.5})
    validate(value, EXAMPLE)
    assert value["solve"]["robust_px"] == 0.5
    (line,) = faults(config(acquisition={"rows": 1.5}))
    assert "acquisition.rows: expected integer" in line
    schema = {"properties": {"a": {"type": "boolean", "default": True}}}
    given = {"a": False}
    validate(given, schema)
    assert given["a"] is False


def test_text_stays_text_where_text_is_expected():
    value = config(volume="0012", review={"exclude": [{"tiles": ["1", "2"]}]})
    validate(value, EXAMPLE)
    assert value["volume"] == "0012"
    assert value["review"]["exclude"][0]["tiles"] == ["1", "2"]


def test_all_unknown_keys_are_named_with_the_nearest_known_one():
    lines = faults(config(slove={}, solve={"robust_pix": 1, "priors": {"stage": 1}}))
    assert lines == [
        "  slove: unknown key; the nearest known key is solve",
        "  solve.robust_pix: unknown key; the nearest known key is solve.robust_px",
        "  solve.priors.stage: unknown key; the nearest known key is solve.priors.stage_px",
    ]


def test_a_key_in_the_wrong_section_is_sent_to_the_right_one():
    assert faults(config(pixel_nm=4)) == [
        "  pixel_nm: unknown key; the nearest known key is acquisition.pixel_nm"
    ]


def test_a_key_like_no_other_still_gets_a_nearest_known_one():
    (line,) = faults(config(solve={"qqqqqqq": 1}))
    assert "the nearest known key is solve." in line


def test_wrong_type_and_range_say_key_expectation_unit_and_finding():
    lines = faults(config(acquisition={"rows": 0, "pixel_nm": "8nm"}, solve={"model": "spline"}))
    assert lines == [
        "  acquisition.pixel_nm: expected number, above 0 (nm), found '8nm'",
        "  acquisition.rows: expected integer, at least 1 (tiles), found 0 (integer)",
        "  solve.model: expected one of 'rigid', 'affine', found 'spline'",
    ]


def test_missing_keys_are_named_with_their_meaning():
    assert faults({}) == [
        "  volume: missing; expected string; name of the volume",
        "  acquisition.rows: missing; expected integer, at least 1 (tiles)",
    ]


def test_a_fault_inside_a_list_names_the_entry():
    (line,) = faults(config(review={"exclude": [{"tiles": ["a"]}, {"tiles": "b"}]}))
    assert line == "  review.exclude[1].tiles: expected array, found 'b'"


def test_a_rule_without_words_of_ours_is_told_in_those_of_the_validator():
    (line,) = faults(config(review={"exclude": [{"tiles": []}, {"tiles": []}]}))
    assert line.startswith("  review.exclude: ")
    assert "non-unique" in line


@given(st.text(min_size=1).filter(lambda key: key not in EXAMPLE["properties"]))
def test_any_unknown_key_is_refused(key):
    with pytest.raises(UserError):
        validate(config(**{key: 1}), EXAMPLE)


def test_filling_twice_changes_nothing():
    once = config()
    fill_defaults(once, EXAMPLE)
    twice = yaml.safe_load(yaml.safe_dump(once))
    fill_defaults(twice, EXAMPLE)
    assert once == twice


def test_page_lists_every_key_with_unit_and_default():
    page = render(EXAMPLE)
    for key, _ in known_keys(EXAMPLE):
        assert key in page
    assert "| `solve.robust_px` | number, at least 0 (px) | `3` | a \\| b |" in page
    assert "`review.exclude[].reason`" in page


def test_expectation_of_alternatives_reads_as_a_choice():
    assert expectation({"type": ["object", "null"]}) == "object or null"


@pytest.mark.skipif(not SCHEMA.exists(), reason="config/schema.yaml is not there yet")
class TestProjectSchema:
    def test_config_page_is_not_stale(self):
        wanted = render(yaml.safe_load(SCHEMA.read_text()))
        found = PAGE.read_text() if PAGE.exists() else ""
        diff = "\n".join(difflib.unified_diff(found.splitlines(), wanted.splitlines(), lineterm=""))
        assert found == wanted, f"run `python -m scripts.lib.schema_doc`:\n{diff}"

    def test_every_key_has_type_description_and_default_or_is_required(self):
        schema = yaml.safe_load(SCHEMA.read_text())
        required = {"": schema.get("required", [])}
        required |= {path: sub.get("required", []) for path, sub in known_keys(schema)}
        bare = []
        for path, sub in known_keys(schema):
            parent, _, key = path.rpartition(".")
            # an object of any keys may be left out: it has nothing to be filled in
            has_value = "properties" in sub or sub.get("type") == "object"
            # a key of a later version has none where jobs of finished volumes would see a change
            has_value = has_value or "none when absent" in sub.get("description", "")
            has_value = has_value or "default" in sub or key in required[parent]
            if not ({"type", "enum", "anyOf", "oneOf"} & sub.keys()) or not has_value:
                bare.append(path)
            elif "description" not in sub:
                bare.append(f"{path} (description)")
        assert bare == []

    def test_every_example_volume_is_valid(self):
        schema = yaml.safe_load(SCHEMA.read_text())
        for path in [*PAGE.parent.glob("volumes/*.yaml"), PAGE.parent / "config.yaml"]:
            validate(yaml.safe_load(path.read_text()), schema)
