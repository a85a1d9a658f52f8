import math

import pytest

from scripts.lib import verdicts
from scripts.lib.verdicts import ABSENT, GOOD, LOOK, NOT_GOOD, Limit


@pytest.mark.parametrize(
    ("limit", "value", "state"),
    [
        (Limit(1, 4), 0.99, GOOD),
        (Limit(1, 4), 1, LOOK),
        (Limit(1, 4), 3.99, LOOK),
        (Limit(1, 4), 4, NOT_GOOD),
        (Limit(85, 50), 85.1, GOOD),
        (Limit(85, 50), 85, LOOK),
        (Limit(85, 50), 50, NOT_GOOD),
        (Limit(1, 4), None, LOOK),
        (Limit(85, 50), math.nan, LOOK),
        (Limit(1, 4), math.inf, NOT_GOOD),
    ],
)
def test_a_figure_at_its_limit_is_beyond_it(limit, value, state):
    assert limit.state(value) == state


def test_the_worst_state_counts():
    assert verdicts.worst([GOOD, NOT_GOOD, LOOK]) == NOT_GOOD
    assert verdicts.worst([GOOD, ABSENT]) == GOOD
    assert verdicts.worst([]) == ABSENT


def test_limits_are_read_by_name_and_other_entries_are_left_out():
    found = verdicts.limits({"a": {"look": 1, "not_good": 2}, "least": 3})
    assert found == {"a": Limit(1.0, 2.0)}
