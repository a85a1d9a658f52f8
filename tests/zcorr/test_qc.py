"""Problem layers, their table, the page and Zcoords.txt."""

import numpy as np
import pytest
import yaml

from scripts.lib.pages import pictures
from scripts.zcorr import layer_lines, plot, qc, remedies, zcoords
from scripts.zcorr.methods import Result
from scripts.zcorr.pictures import Strip

LIMITS = {"problem_correlation": 0.3, "problem_deviations": 6.0}


def usual(n=80):
    slow = 0.9 + 0.03 * np.sin(np.arange(n) / 15)
    return slow + 0.004 * np.random.default_rng(1).standard_normal(n)


def test_a_local_drop_and_an_absolute_low_are_named_and_nothing_else():
    cc = usual()
    cc[20], cc[50], cc[-1] = 0.7, 0.1, np.nan
    found = qc.problems(cc, **LIMITS)
    assert [i for i, text in enumerate(found) if text] == [20, 50]
    assert "surroundings" in found[20]
    assert "below 0.3" in found[50]


def test_noise_free_and_empty_stacks_have_no_problem():
    assert qc.problems(np.full(30, 0.98), **LIMITS) == [None] * 30
    assert qc.problems(np.full(3, np.nan), **LIMITS) == [None] * 3


def rows():
    z = np.arange(1, 6)
    present = np.array([True, True, False, True, True])
    cc = np.array([0.9, np.nan, np.nan, 0.8, np.nan])
    corrected = np.array([1.0, 2.2, 3.1, 4.0, 5.0])
    lost = np.array([False, False, False, True, False])
    found = qc.rows(z, present, cc, corrected, [None, None, None, "low", None], lost)
    return found, qc.summary(z, present, cc, corrected)


def test_rows_name_missing_layers_and_measure_thickness_from_the_layer_before():
    found, figures = rows()
    assert found[2]["problem"] == "no image"
    assert found[0]["delta_z"] is None
    assert found[3]["delta_z"] == 1.8
    assert found[3]["problem"] == "low"
    assert figures["missing"] == 1
    assert figures["cc_next"]["min"] == 0.8
    assert figures["z_correction_layers"]["max"] == 0.2


def test_the_page_is_one_file_and_the_same_twice():
    found, _ = rows()
    curve = [(np.arange(4.0), np.linspace(1, 0.2, 4))]
    result = Result(np.arange(5.0), np.ones(5), np.zeros(5, bool), curve, {"inference": "x"})
    small = pictures.shown(np.zeros((2, 3), np.uint8), "z 4")
    shown = [Strip("z 4: low <b>", (small, small))]
    regional = np.random.default_rng(0).random((5, 2, 3))
    made = [plot.page("v", found, result, regional, shown) for _ in range(2)]
    assert made[0] == made[1]
    assert "<script src=" not in made[0]
    for words in ("correlation with the next layer", "low &lt;b&gt;", small.uri, "region"):
        assert words in made[0]


def test_zcoords_lines_carry_true_z():
    assert zcoords.to_text(np.array([3, 5]), np.array([3.0, 5.25])) == "3 3.000000\n5 5.250000\n"


@pytest.mark.parametrize("wrong", [[3.0, np.nan], [3.0, 2.9], [np.inf, 4.0]])
def test_a_coordinate_that_is_no_number_or_does_not_rise_is_refused_by_its_layer(wrong):
    with pytest.raises(ValueError, match="layer z [35] "):
        zcoords.to_text(np.array([3, 5]), np.array(wrong))


def layer(z, problem=None):
    return {"z": z, "cc_next": 0.9, "delta_z": 1.0, "lost_before": False, "problem": problem}


def test_a_layer_that_fits_neither_neighbour_is_the_culprit_and_a_gap_is_none():
    layers = [layer(z) for z in range(10)]
    for i in (3, 4, 7):  # 4 fits neither 3 nor 5; between 7 and 8 there is a gap
        layers[i]["problem"] = "low"
    assert qc.culprits(layers) == [4]


def test_the_bad_cell_of_a_bad_layer_is_proposed_in_the_form_of_the_review():
    layers = [layer(z) for z in range(40)]
    for i in (19, 20):
        layers[i]["problem"] = "low"
    rng = np.random.default_rng(1)
    regional = 0.9 + 0.005 * rng.standard_normal((40, 4, 4))
    regional[19:21, :2, 2:] = 0.1  # row 0, column 1 of a grid of 2 x 2 tiles
    (entry,) = qc.proposals(layers, regional, (2, 2), 6.0)
    assert entry["cells"] == ["0,1"]
    assert (entry["z_first"], entry["z_last"]) == (20, 20)
    parsed = yaml.safe_load(qc.as_yaml([entry]))
    assert parsed["exclude"] == [entry]
    assert yaml.safe_load(qc.as_yaml([])) == {"exclude": []}


def test_the_gate_names_the_layers_and_the_lines_to_change():
    layers = [layer(z, "low" if z in (5, 6) else None) for z in range(20)]
    layers.append(layer(20, qc.NO_IMAGE))
    judged = qc.gate({"layers": layers}, accepted=[], limit_pct=5)
    assert judged["status"] == "failed"
    words = remedies.refusal(judged, qc.as_yaml([]))
    for part in ("z 5, 6.", "accept_layers: [5, 6]", "zcorr.gate_problem_pct", "at most 5 %"):
        assert part in words
    # the first lines of a message are what is pasted: an empty list would change nothing
    assert yaml.safe_load(words[words.index("\n\n") :].split("\n\nor ")[0]) == {
        "zcorr": {"accept_layers": [5, 6]}
    }
    entry = {"cells": ["0,1"], "z_first": 5, "z_last": 6, "reason": "zcorr: low"}
    offered = remedies.refusal(judged, qc.as_yaml([entry])).split("\n\n")[1]
    assert yaml.safe_load(offered) == {"review": {"exclude": [entry]}}
    assert qc.gate({"layers": layers}, accepted=[5], limit_pct=5)["status"] == "passed"


def gapped(missing=(), lost=(), low=()):
    """Ten layers; a file is missing or a slice lost before some, some fit the next badly."""
    layers = [layer(z) | {"missing_before": int(z in missing)} for z in range(10)]
    for z in range(10):
        layers[z]["lost_before"] = z in lost
        if z in low:
            layers[z] |= {"problem": "low", "cc_next": 0.8}
    return layers


def test_a_good_layer_between_two_gaps_is_no_culprit_and_the_gate_does_not_count_known_ones():
    layers = gapped(missing=(5,), lost=(4,), low=(3, 4))
    assert qc.gaps(layers) == [(3, 4), (4, 5)]
    assert qc.culprits(layers) == []
    assert qc.gate({"layers": layers}, accepted=[], limit_pct=0)["status"] == "passed"
    assert qc.culprits(gapped(missing=(5,), low=(3, 4))) == []


def test_a_layer_that_joins_its_neighbours_is_no_culprit():
    """Two slices lost that no one knows of: without the layer the gap would be longer still."""
    layers, corr = gapped(low=(3, 4)), np.full((10, 3), 0.85)
    assert qc.culprits(layers, corr) == [4]  # its neighbours are more alike to each other
    corr[3, 1] = 0.6
    assert qc.culprits(layers, corr) == []
    corr[3, 1] = np.nan
    assert qc.culprits(layers, corr) == [4]
    assert qc.culprits(layers, corr[:, :1]) == [4]


def test_a_damaged_spot_is_proposed_though_the_layer_joins_its_neighbours():
    """Of the whole layer so little is bad that its neighbours are less alike to each other."""
    layers = [layer(z) for z in range(40)]
    for i in (19, 20):
        layers[i] |= {"problem": "low", "cc_next": 0.8}
    corr = np.full((40, 2), 0.6)
    regional = 0.9 + 0.005 * np.random.default_rng(1).standard_normal((40, 4, 4))
    everywhere = regional.copy()
    regional[19:21, :2, 2:] = 0.1
    (entry,) = qc.proposals(layers, regional, (2, 2), 6.0, corr)
    assert (entry["cells"], entry["z_first"]) == (["0,1"], 20)
    everywhere[19:21] -= 0.2
    assert qc.proposals(layers, everywhere, (2, 2), 6.0, corr) == []
    corr[19, 1] = 0.85
    assert len(qc.proposals(layers, everywhere, (2, 2), 6.0, corr)) == 4


def test_nothing_is_proposed_where_most_layers_would_leave():
    layers = [layer(z, "low") for z in range(10)]
    assert qc.proposals(layers, np.full((10, 2, 2), 0.2), (2, 2), 6.0) == []


@pytest.mark.parametrize(
    ("bad", "few", "status"),
    [(1, 2, "passed"), (2, 2, "passed"), (3, 2, "failed"), (1, 0, "failed")],
)
def test_a_few_layers_are_no_share(bad, few, status):
    layers = [layer(z, "low" if z < bad else None) for z in range(8)]
    judged = qc.gate({"layers": layers}, accepted=[], limit_pct=10, few=few)
    assert judged["status"] == status


def test_two_of_three_layers_are_no_few():
    layers = [layer(z, "low" if z < 2 else None) for z in range(3)]
    assert qc.gate({"layers": layers}, accepted=[], limit_pct=10, few=2)["status"] == "failed"


def test_the_gate_names_known_gaps_and_prints_no_empty_list():
    layers = gapped(missing=(8,), lost=(3,), low=(2, 4, 5, 6, 7))
    judged = qc.gate({"layers": layers}, accepted=[], limit_pct=10, few=2)
    assert judged["layers"] == [4, 5, 6]
    missing = [{"z": "8", "layers": "1", "evidence": "80 s between them, where 40 s are usual"}]
    names = {z: f"scope_21-07-31_00000{z}" for z in range(10)}
    words = remedies.refusal(judged, qc.as_yaml([]), layers, names, missing)
    assert "[]" not in words
    assert "review:" not in words
    for part in (
        "z 4, 5, 6. ", "z 2 to 3: a slice was lost",
        "z 7 to 8: 1 layer(s) without any file: 80 s between them, where 40 s are usual",
        "No tile is proposed to be left out", "accept_layers: [4, 5, 6]",
    ):  # fmt: skip
        assert part in words
    block = words[words.index("ingest:") : words.index("No tile")]
    assert [one["after"] for one in yaml.safe_load(block)["ingest"]["layers"]] == [
        names[2],
        names[7],
    ]


def test_an_image_that_correlates_with_nothing_is_named():
    corr = np.full((4, 2), 0.9)
    corr[2], corr[1, 0], corr[0, 1] = np.nan, np.nan, np.nan
    found = qc.uncompared(np.ones(4, bool), corr)
    assert [i for i, words in enumerate(found) if words] == [2]
    assert qc.uncompared(np.ones(1, bool), np.full((1, 2), np.nan)) == [None]


def test_shading_that_changes_is_no_problem_of_the_tissue():
    """As where a detector's contrast flips: the level differs, fine structure is as alike."""
    cc_next, band = usual(), usual() - 0.1
    cc_next[[20, 50]] -= 0.15
    band[50] -= 0.1
    found = qc.problems(cc_next, band=band, **LIMITS)
    assert [i for i, text in enumerate(found) if text] == [50]
    band[20] = np.nan  # not known
    assert qc.problems(cc_next, band=band, **LIMITS)[20]
    cc_next[20] = 0.2  # below what is good for anything
    band[20] = band[19]
    assert qc.problems(cc_next, band=band, **LIMITS)[20]


def test_a_layer_that_is_shown_twice_is_named():
    cc_next = np.full(30, 0.8)
    cc_next[4], cc_next[9], cc_next[20] = 0.999, np.nan, 0.97
    found = qc.repeats(cc_next, repeated_correlation=0.98)
    assert [i for i, text in enumerate(found) if text] == [4]
    assert "0.999" in found[4]


def test_layers_that_hardly_change_are_not_shown_twice():
    cc_next = np.full(30, 0.985)
    assert not any(qc.repeats(cc_next, repeated_correlation=0.98))
    cc_next[7] = 0.9995
    assert [i for i, text in enumerate(qc.repeats(cc_next, repeated_correlation=0.98)) if text] == [
        7
    ]


def test_lines_drop_what_is_shown_twice_and_make_room_for_what_was_lost():
    rows = [{"z": z, "problem": None, "lost_before": z == 4} for z in range(1, 7)]
    rows[1]["problem"] = f"{qc.TWICE}, correlation 0.999"
    names = {z: f"scope_21-07-31_00000{z}" for z in range(1, 7)}
    told = yaml.safe_load(layer_lines.of(rows, names))["ingest"]["layers"]
    drop, gap = told
    assert (drop["drop"], drop["keep_z"]) == (names[2], False)
    assert (gap["gap"], gap["after"]) == (1, names[3])
    assert layer_lines.of(rows[4:], names) == ""
