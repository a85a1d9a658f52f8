import dataclasses

import numpy as np
import pytest

from scripts.lib.verdicts import GOOD, LOOK, NOT_GOOD
from scripts.report import meeting, page
from tests.report.conftest import NAMES, judge
from tests.report.test_judged import damaged, told, wrong


def with_measure(evidence, **changes):
    document = dict(evidence.documents["misalignment"]) | changes
    documents = dict(evidence.documents) | {"misalignment": document}
    return dataclasses.replace(evidence, documents=documents)


def test_what_is_left_over_is_the_first_figure(good):
    cards = page.cards(judge(good)[0])
    assert cards[0] == ("misalignment between neighbouring layers", "0.21 ± 0.01 px (1.7 nm)")
    assert cards[1] == ("misalignment at seams", "0.24 px (1.7 nm)")


@pytest.mark.parametrize(
    ("nm", "text"), [(0.06, "0.1 nm"), (0.04, "0.04 nm"), (0.002, "below 0.01 nm"), (0.0, "0.0 nm")]
)
def test_a_distance_is_not_rounded_to_none(nm, text):
    assert meeting.with_error(nm / 8, 0.01, nm).endswith(f" px ({text})")


def test_volumes_without_the_measure_have_no_such_figure(good):
    made = dataclasses.replace(good, documents=dict(good.documents) | {"misalignment": None})
    figures, found = judge(made)
    assert page.cards(figures)[0][0] == "layers"
    assert figures["solve"]["status"] == GOOD
    assert list(meeting.findings(made)) == []


def test_the_correlation_of_grey_levels_across_seams_stands_beside_the_shifts(good):
    seams = good.documents["misalignment"]["seams"] | {"alike": 0.91234, "alike_p05": 0.8}
    rows = dict(meeting.rows(good.documents["misalignment"] | {"seams": seams}))
    found = rows["correlation of grey levels at seams"]
    assert found == "0.912 · 5 % of the places below 0.800"


def test_what_corners_may_be_off_unseen_stands_beside_the_shifts(good):
    steps = good.documents["misalignment"]["steps"] | {"corners_px": 0.31, "corners_p95_px": 2.0}
    rows = dict(meeting.rows(good.documents["misalignment"] | {"steps": steps}))
    found = rows["corners between neighbouring layers may be off unseen by"]
    assert found == "0.31 px · more than 2.00 px at 5 % of the places"


def test_corners_that_no_place_tells_of_are_not_known_rather_than_left_out(good):
    steps = {k: v for k, v in good.documents["misalignment"]["steps"].items() if "corners" not in k}
    key = "corners between neighbouring layers may be off unseen by"
    for measured, said in ((9, True), (0, False)):
        made = good.documents["misalignment"] | {"steps": steps | {"measured": measured}}
        assert dict(meeting.rows(made)).get(key, "").startswith("not known: too few") == said


@pytest.mark.parametrize("state", [LOOK, NOT_GOOD])
def test_the_state_of_the_measure_is_the_state_of_the_solve(good, state):
    reasons = ["z 3: layers do not meet, 5.0 px", "z 9: tiles of a layer do not meet, 1.0 px"]
    figures, found = judge(with_measure(good, state=state, reasons=reasons))
    assert figures["solve"]["status"] == state
    assert figures["verdict"]["state"] == state
    assert figures["verdict"]["reasons"][0] == f"solve: {reasons[0]}"
    assert found[0].what == reasons[0]


def test_the_worst_seam_and_step_are_drawn(run):
    _, service, evidence = run
    step, seam = meeting.places(evidence)
    assert step.title.startswith("worst place between neighbouring layers, z ")
    assert seam.z == seam.other_z == 5
    assert "0.50 ± 0.05 px" in seam.caption
    drawn = meeting.draw(service, NAMES["align"], [step, seam])
    assert len(drawn) == 2
    side = meeting.SIDE_PX * meeting.ENLARGED
    assert all(one.height_px == side and one.width_px > 3 * side for one in drawn)


def test_a_run_of_pairs_left_out_is_drawn_where_its_tiles_overlap(run):
    _, service, evidence = run
    made = wrong(evidence, [2, 3])
    *_, place = meeting.places(made)
    assert place.title.startswith("tiles 0-0 and 0-1, z ")
    assert place.middle is None
    (shown,) = meeting.draw(service, NAMES["align"], [place])
    assert shown.width_px > 3 * shown.height_px


def test_pairs_left_out_whose_pixels_meet_are_a_note(good):
    made = wrong(good, [2, 3])
    assert told(made, "solve", "left out") == (GOOD, [])
    off = damaged(made, "misalignment", px=lambda px: np.where(px > 0, 0.7, px))
    assert told(off, "solve", "left out")[0] == LOOK
    unknown = damaged(made, "misalignment", used=lambda used: used * 0)
    assert told(unknown, "solve", "left out")[0] == LOOK


def test_the_plot_has_rms_and_worst_of_every_layer(good):
    assert meeting.plot(good["misalignment"]) is not None
    none = good["misalignment"]
    assert meeting.plot(none.where(none["z"] < 0)) is None
