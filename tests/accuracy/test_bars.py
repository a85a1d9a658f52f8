"""What `make bars` measures and writes, without any acquisition."""

import h5py
import numpy as np
import pytest
import yaml

from tests.accuracy import bars

ENTRY = {"axis": "x", "layers": 4, "grid": [1, 1], "tile": 20, "seed": 1}
ROW = {"relative": 0.1, "absolute": 0.2, "seams": None, "pystackreg": None, "code": "abcdef1"}
PEER = {"name": "another", "relative": 0.5, "absolute": 0.6}
BEFORE, AFTER = ({"relative": one, "absolute": 2 * one, "tiles": 4} for one in (0.5, 0.2))


@pytest.mark.parametrize(("axis", "at"), [("x", (2, 1, 0)), ("y", (1, 0, 2))])
def test_a_volume_is_folded_so_that_z_is_another_axis_of_it(tmp_path, axis, at):
    values = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["volume"] = values
    with h5py.File(bars.folded(tmp_path / "v.h5", axis, tmp_path / "out/v.h5")) as file:
        assert (file["volume"][:] == values.transpose(at)).all()


@pytest.fixture
def pages(tmp_path):
    for name, marks in (("accuracy", bars.PEERS), ("solve", bars.BENT)):
        (tmp_path / f"{name}.md").write_text(f"before\n{marks[0]}\n{marks[1]}\nafter\n")
    return tmp_path


def test_tables_hold_theirs_and_ours_and_what_did_not_run_here_stays(pages):
    table = {
        "one": ENTRY | {"peer": PEER},
        "two": ENTRY | {"peer": PEER | {"name": "a third"}},
        "bent": ENTRY | {"warp": [1, 110, 1.2]},
        "unrun": ENTRY | {"warp": [0, 110, 1.2]},
    }
    bent = {"affine": BEFORE, "field": AFTER, "code": "abcdef2"}
    bars.write(pages, table, {"one": ROW, "bent": bent})
    bars.write(pages, table, {"two": ROW | {"code": "abcdef3", "pystackreg": ROW}})
    text = (pages / "accuracy.md").read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "another | 0.500 | 0.600 | - |" in text
    assert "this workflow (`abcdef1`) | 0.100 | 0.200 | - |" in text
    assert "this workflow (`abcdef3`)" in text
    assert "pystackreg | 0.100" in text
    assert "| 1 | 0.500 | 0.200 (0.40) | 1.000 | 0.400 (0.40) |" in (pages / "solve.md").read_text()
    assert "unrun" not in (pages / "solve.md").read_text()


def test_the_pages_have_the_marks_of_the_tables():
    table = yaml.safe_load(bars.TABLE.read_text())
    assert all("peer" in entry or "warp" in entry for entry in table.values())
    for name, marks in (("accuracy", bars.PEERS), ("solve", bars.BENT)):
        text = (bars.run.ROOT / f"docs/{name}.md").read_text()
        assert all(text.count(mark) == 1 for mark in marks)
