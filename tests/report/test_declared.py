"""What a person declared is answered: it is named, and no reason to look; a wrong pixel size is."""

import dataclasses

import numpy as np
import pytest
import yaml

from scripts.lib.verdicts import GOOD, LOOK
from scripts.report import declared, waves
from scripts.report.gather import Table
from tests.report.conftest import NAMES, judge

DIP = "correlation with next 0.857, 6.3 standard deviations below the 0.915 of its surroundings"
LOW = "correlation with next 0.2 is below 0.3"


def changed(evidence, documents=None, **tables):
    return dataclasses.replace(
        evidence,
        tables=dict(evidence.tables) | tables,
        documents=dict(evidence.documents) | (documents or {}),
    )


def with_problem(evidence, z, problem, **documents):
    rows = [dict(one) for one in evidence.documents["qc"]["layers"]]
    rows[next(i for i, one in enumerate(rows) if one["z"] == z)]["problem"] = problem
    return changed(evidence, {"qc": {"layers": rows}, **documents})


def with_columns(table, change):
    made = {name: np.array(column, object) for name, column in table.columns.items()}
    change(made)
    return Table(made, found=True)


def about(evidence, words, names=NAMES):
    return [one for one in judge(evidence, names)[1] if words in one.what]


@pytest.mark.parametrize(("nm", "state"), [(8.0, None), (8.05, None), (8.5, LOOK), (7.5, LOOK)])
@pytest.mark.parametrize("kind", ["varying", "constants"])
def test_a_pixel_size_that_the_headers_do_not_say_is_a_reason_to_look(good, nm, state, kind):
    field = {"field": "PixelSize", "median": 8.0, "values": ["8"]}
    evidence = changed(good, {"metadata": {"varying": [], "changed": [], kind: [field]}})
    found = about(evidence, "acquisition.pixel_nm is", NAMES | {"pixel_nm": nm})
    assert [one.state for one in found] == [state] * (state is not None)
    for one in found:
        assert f"is {nm:g}, headers say 8" in one.what
        assert yaml.safe_load(one.lines) == {"acquisition": {"pixel_nm": 8}}


def gap(evidence, z):
    """The layer z has no image: its row says so, no tile of it was placed."""

    def declare(columns):
        columns["status"][columns["z"] == z] = columns["declared"][columns["z"] == z] = "gap"

    solved = evidence["solved"]
    layers = with_columns(evidence["layers"], declare)
    made = changed(evidence, layers=layers, solved=solved.where(solved["z"] != z))
    return with_problem(made, z, declared.NO_IMAGE)


def test_a_declared_gap_is_named_and_no_reason_to_look(good):
    evidence = gap(good, 5)
    names = NAMES | {"fill_gaps": "interpolate"}
    assert about(evidence, declared.NO_IMAGE, names) == []
    (one,) = about(evidence, "filled from", names)
    assert one.state == GOOD
    assert one.reason == "z 5: 1 layer(s) without an image are filled from z 4, 6 in the volume"
    (left,) = about(evidence, "are empty", NAMES | {"fill_gaps": "leave"})
    assert left.state == GOOD


def test_a_layer_that_a_person_left_out_is_no_reason_to_look_one_left_out_by_itself_is(good):
    def left_out(reason):
        def leave(columns):
            columns["state"][columns["z"] == 5] = "excluded"
            columns["reason"][columns["z"] == 5] = reason

        evidence = with_problem(good, 5, declared.NO_IMAGE)
        return changed(evidence, review=with_columns(good["review"], leave))

    assert [one.state for one in about(left_out("knife mark"), "no image")] == [GOOD]
    assert LOOK in [one.state for one in about(left_out("auto: damaged"), "no image")]


@pytest.mark.parametrize(("problem", "state"), [(DIP, GOOD), (LOW, LOOK)])
def test_a_dip_where_the_contrast_is_said_to_turn_is_answered_a_break_is_not(good, problem, state):
    evidence = with_problem(good, 6, problem)
    ids = dict(zip(good["layers"]["z"], good["layers"]["layer_id"], strict=True))
    names = NAMES | {"keep_contrast": [{"first_dat": f"{ids[7]}_0-0-0.dat", "reason": "flip"}]}
    assert [one.state for one in about(evidence, problem)] == [LOOK]
    assert [one.state for one in about(evidence, problem, names)] == [state]
    until = NAMES | {"keep_contrast": [{"last_dat": ids[6], "reason": "flip"}]}
    assert [one.state for one in about(evidence, problem, until)] == [state]


def test_lines_are_promised_only_where_there_are_some(good):
    (one,) = about(with_problem(good, 6, LOW, thickness=[]), LOW)
    assert "proposals.yaml" not in one.advice
    (one,) = about(with_problem(good, 6, LOW, thickness=[{"cells": ["0,0"]}]), LOW)
    assert "proposals.yaml" in one.advice


def test_a_gap_that_was_declared_makes_no_layer_new():
    before = waves.Wave(1, 13, 13, 13, "2026-01-01 10:00")
    after = waves.Wave(1, 14, 13, 13, "2026-01-02 10:00")
    assert "new" not in waves.sentence([before, after], imaging=False)


@pytest.mark.parametrize("at", [0, -1])
def test_a_layer_of_which_a_person_left_out_one_tile_alone_is_no_gap(good, at):
    def leave(columns):
        of_layer = np.flatnonzero(columns["z"] == 5)
        assert len(of_layer) > 1
        columns["state"][of_layer[at]] = "excluded"
        columns["reason"][of_layer[at]] = "knife mark"

    evidence = changed(good, review=with_columns(good["review"], leave))
    assert 5 not in declared.gap_layers(evidence)
