"""What one stage left and the next one did not take is told, with its place."""

import dataclasses

import numpy as np
import pytest

from scripts.lib.verdicts import GOOD, LOOK, NOT_GOOD
from scripts.report import agreeing
from tests.report.conftest import NAMES, judge
from tests.report.test_judged import damaged

STACKS = {"align": NAMES["align"], "final": NAMES["final"]}


def told(evidence, **more):
    return list(agreeing.findings(evidence, **STACKS | {"least": 3} | more))


def without(evidence, table, keep):
    rows = evidence[table].where(keep)
    return dataclasses.replace(evidence, tables=dict(evidence.tables) | {table: rows})


def test_stages_that_agree_are_no_finding(good):
    assert told(good) == []


def test_a_run_that_has_not_begun_has_nothing_to_agree_on(empty):
    assert told(empty) == []


def test_a_tile_that_the_solve_has_lost_is_named_with_its_layer(good):
    solved = good["solved"]
    made = without(good, "solved", np.arange(len(solved)) != 5)
    (found,) = told(made)
    assert found.state == LOOK
    assert found.where == f"z {solved['z'][5]}"
    assert f"of cell {solved['row'][5]}-{solved['column'][5]}" in found.what
    # part of a volume was solved: the rest is not asked for
    assert told(made, z_range=[solved["z"][5] + 1, 99]) == []


def test_a_tile_that_nothing_was_measured_against_is_named(good):
    name = good["solved"]["tile_id"][5]
    table = good["misalignment"]
    keep = (table["p_id"] != name) & (table["q_id"] != name)
    (found,) = told(without(good, "misalignment", keep))
    assert found.state == LOOK
    assert found.where == f"z {good['solved']['z'][5]}"


def test_a_stack_with_fewer_tiles_than_were_placed_is_not_good(good):
    count = len(good["solved"])
    for tiles, states in ((count, []), (count - 1, [NOT_GOOD])):
        made = dataclasses.replace(good, stacks={NAMES["align"]: {"tile_count": tiles}})
        assert [one.state for one in told(made)] == states


def test_a_layer_without_a_line_in_zcoords_is_not_good(good):
    z_coords = {z: v for z, v in good.z_coords.items() if z != max(good.z_coords)}
    (found,) = told(dataclasses.replace(good, z_coords=z_coords))
    assert (found.state, found.where) == (NOT_GOOD, f"z {max(good.z_coords)}")


@pytest.mark.parametrize("by", [0.01, -0.01, 1.5, -3.0])
def test_a_z_that_was_not_inferred_is_told_between_its_neighbors(good, by):
    made = dataclasses.replace(good, z_coords=dict(good.z_coords) | {7: good.z_coords[7] + by})
    assert [one.where for one in told(made)] == ["z 6-7", "z 7-8"]
    assert {one.state for one in told(made)} == {NOT_GOOD}


def test_steps_of_z_that_are_held_while_a_volume_grows_or_scaled_are_none_to_tell(good):
    def told_of(by, **names):
        moved = dict(good.z_coords) | {7: good.z_coords[7] + by}
        return judge(dataclasses.replace(good, z_coords=moved), NAMES | names)[1]

    held = {"held_layers": 0.08}
    assert not [one for one in told_of(0.1, **held) if "Zcoords" in one.what]
    assert [one.where for one in told_of(0.2, **held) if "Zcoords" in one.what] == [
        "z 6-7",
        "z 7-8",
    ]
    qc = dict(good.documents["qc"]) | {"figures": {"thickness_sd": 0.3, "thickness_error_sd": 0.15}}
    good = dataclasses.replace(good, documents=dict(good.documents) | {"qc": qc})
    assert not [one for one in told_of(0.2, **held) if "Zcoords" in one.what]  # as much as it errs
    assert [one for one in told_of(0.4, **held) if "Zcoords" in one.what]
    scaled = {"held_layers": None}
    assert not [one for one in told_of(0.4, **scaled) if "Zcoords" in one.what]
    assert [one for one in told_of(-3.0, **scaled) if "z goes back" in one.what]


@pytest.mark.parametrize(
    ("layers", "reason", "count"),
    [
        ((5, 6, 7), "auto: resin (no match to any tile)", 1),
        ((5, 6), "auto: resin (no match to any tile)", 0),  # fewer are chance
        ((5, 6, 7), "a person said so", 0),
        ((10, 11, 12), "auto: resin (no match to any tile)", 0),  # the specimen ends
    ],
)
def test_tiles_that_left_amid_tissue_are_told(good, layers, reason, count):
    def here(table):
        return (table["column"] == 0) & (table["row"] == 1) & np.isin(table["z"], layers)

    made = without(good, "solved", ~here(good["solved"]))
    gone = here(good["review"])
    made = damaged(
        made,
        "review",
        state=lambda v: np.where(gone, "excluded", v),
        reason=lambda v: np.where(gone, reason, v),
    )
    found = [one for one in told(made) if "amid tissue" in one.what]
    assert len(found) == count
    if count:
        assert (found[0].stage, found[0].where, found[0].state) == ("review", "z 5-7", LOOK)
    assert GOOD not in {one.state for one in told(made)}
