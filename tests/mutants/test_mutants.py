"""The kept mutation tester: what it takes, what it leaves out, that its lists are up to date."""

import tomllib
from types import SimpleNamespace

import pytest
from cosmic_ray import work_item
from cosmic_ray.work_db import WorkDB, use_db

from tests.mutants import run

MODULES = tomllib.loads((run.HERE / "modules.toml").read_text())


@pytest.mark.parametrize("key", MODULES)
def test_modules_and_their_tests_exist(key):
    for path in (MODULES[key]["module"], *MODULES[key]["tests"]):
        assert (run.ROOT / path).is_file()


def test_what_is_explained_still_stands_in_its_module_and_has_a_reason():
    for row in run.table(run.HERE / "equivalent.tsv"):
        lines = (run.ROOT / row["module"]).read_text().splitlines()
        assert row["line"] in [line.strip() for line in lines]
        assert row["reason"]


SOURCE = "def f(a: int | None, *, b: str) -> int | float:\n    c: int | str = a | 1\n    return c\n"


def mutant(line, column, occurrence=0):
    spot = SimpleNamespace(start_pos=(line, column), operator_name="core/Or", occurrence=occurrence)
    return SimpleNamespace(mutations=[spot])


def test_annotations_are_left_out():
    items = [mutant(1, SOURCE.index("|")), mutant(1, 39), mutant(2, 11), mutant(2, 21)]
    assert run.chosen(items, SOURCE, sample=0, seed=0) == ([items[3]], 1)


def test_stars_that_multiply_nothing_are_left_out():
    source = "def f(a, *, b):\n    c = [*a, (b) * 2, a[0] ** b]\n    return f(*c, **b) * 3\n"
    lines = source.splitlines()
    kept = {(2, lines[1].index("* 2")), (2, lines[1].index("**")), (3, lines[2].index("* 3"))}
    every = {
        (i, j)
        for i, line in enumerate(lines, 1)
        for j, sign in enumerate(line)
        if sign == "*" and line[j - 1] != "*"
    }
    assert every - set(run.stars(source)) == kept
    items = [mutant(*place) for place in sorted(every)]
    assert {
        item.mutations[0].start_pos for item in run.chosen(items, source, sample=0, seed=0)[0]
    } == kept


def test_a_sample_is_the_same_for_a_seed_whatever_the_order():
    items = [mutant(2, 21, k) for k in range(40)]
    one, total = run.chosen(items, SOURCE, sample=5, seed=1)
    assert (len(one), total) == (5, 40)
    assert run.chosen(items[::-1], SOURCE, sample=5, seed=1)[0] == one
    assert run.chosen(items, SOURCE, sample=5, seed=2)[0] != one


def test_a_difference_is_told_by_the_lines_that_changed():
    head = "--- mutation diff ---\n--- a/x.py\n+++ b/x.py\n@@ -1,2 +1,2 @@\n x\n"
    diff = f"{head}-    a = b + 1\n+    a = b - 1"
    assert run.difference(diff) == ("a = b + 1", "a = b - 1")
    survivor = {"module": "m", "line": "a = b + 1", "mutated": "a = b - 1"}
    known = [survivor | {"mutated": "a = b * 1", "reason": "no"}, survivor | {"reason": "yes"}]
    assert run.explained(survivor, known) == "yes"
    assert run.explained(survivor, known[:1]) == ""


def test_survivors_are_read_from_the_session_and_what_was_not_tried_is_said(tmp_path, capsys):
    spec = {
        "module_path": "m.py",
        "operator_name": "core/Or",
        "start_pos": (7, 0),
        "end_pos": (7, 9),
    }
    items = [
        work_item.WorkItem(str(k), [work_item.MutationSpec(occurrence=k, **spec)])  # type: ignore[arg-type]
        for k in range(4)
    ]
    diff = "--- mutation diff ---\n--- a/x.py\n+++ b/x.py\n-a = 1\n+a = 2"
    with use_db(tmp_path / "s.sqlite", mode=WorkDB.Mode.create) as work:
        work.add_work_items(items)
        for k, outcome in enumerate(
            [work_item.TestOutcome.SURVIVED, work_item.TestOutcome.KILLED, None]
        ):
            work.set_result(
                str(k), work_item.WorkResult(work_item.WorkerOutcome.NORMAL, "", outcome, diff)
            )
    (found,) = run.survivors(tmp_path / "s.sqlite", "m.py", {str(k) for k in range(4)})
    assert (found["where"], found["line"], found["mutated"]) == ("m.py:7", "a = 1", "a = 2")
    assert "2 mutants that could not be tried" in capsys.readouterr().out


def test_a_command_that_fails_says_why(tmp_path):
    with pytest.raises(SystemExit, match=r"(?s)ended with .*no.toml"):
        run.cosmic_ray("init", "no.toml", "s.sqlite", cwd=tmp_path)
