"""Every bad volume of the table is told, by the stage and with the line that the table says."""

import pytest

from scripts.lib.files import read_table
from tests.bad_volumes import cases
from tests.bad_volumes.cases import PAGE, TABLE

ALL = cases.all_cases()
pytestmark = pytest.mark.xdist_group("finished")  # one volume for all that spoil it


QUICK = [case for case in ALL if not case.whole]


@pytest.mark.parametrize("case", QUICK, ids=[case.name for case in QUICK])
def test_a_bad_volume_is_told(case, tmp_path):
    assert cases.fault(case, case.make(tmp_path / "volume")) == ""


def test_table_and_page_hold_the_cases_that_are_tried_and_no_other():
    assert len(ALL) >= 60
    assert len({case.name for case in ALL}) == len(ALL)
    rows = read_table(TABLE)
    assert rows == [case.row for case in ALL], "run python -m tests.bad_volumes.cases"
    assert PAGE.read_text() == cases.page(PAGE.read_text(), rows)
