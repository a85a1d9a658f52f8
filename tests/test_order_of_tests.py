"""The order in which workers get test files: long ones first, each file whole."""

from pathlib import Path
from types import SimpleNamespace

from tests.conftest import ONE_VOLUME, SLOWEST, slowest_first

ROOT = Path(__file__).resolve().parents[1]


def test_slow_files_come_first_and_files_stay_whole():
    missing = [file for file in (*SLOWEST, *ONE_VOLUME) if not (ROOT / file).is_file()]
    assert not missing
    files = ["tests/a.py", SLOWEST[2], "tests/b.py", "tests/b.py", ONE_VOLUME[1], ONE_VOLUME[0]]
    items = [SimpleNamespace(nodeid=f"{file}::test_{k}") for k, file in enumerate(files)]
    found = [item.nodeid.partition("::") for item in slowest_first(items)]
    assert [file for file, _, _ in found] == [
        *(ONE_VOLUME[0], ONE_VOLUME[1], SLOWEST[2]),
        *("tests/b.py", "tests/b.py", "tests/a.py"),
    ]
    assert [name for file, _, name in found if file == "tests/b.py"] == ["test_2", "test_3"]
