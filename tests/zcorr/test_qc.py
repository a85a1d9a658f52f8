"""Problem layers, their table, the page and Zcoords.txt."""

import numpy as np

from scripts.zcorr import plot, qc, zcoords

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
    found = qc.rows(z, present, cc, corrected, [None, None, None, "low", None])
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
    made = [plot.page("v", found, np.zeros(5), np.ones((1, 4))) for _ in range(2)]
    assert made[0] == made[1]
    assert "<script src=" not in made[0]
    assert "correlation with the next layer" in made[0]


def test_zcoords_lines_carry_true_z():
    assert zcoords.to_text(np.array([3, 5]), np.array([3.0, 5.25])) == "3 3.000000\n5 5.250000\n"
