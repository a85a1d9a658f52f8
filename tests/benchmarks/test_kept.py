"""What a benchmark has measured is not measured again by the same code."""

import pytest

from tests.benchmarks import conftest


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.setattr(conftest, "ROOT", tmp_path)
    return conftest.Bench(measuring=True, say=lambda _: None)


def test_what_was_stopped_goes_on_where_it_was(table, tmp_path):
    done = []

    def work(key):
        if key == 3:
            raise KeyboardInterrupt
        done.append(key)
        return {"of": key}

    with pytest.raises(KeyboardInterrupt):
        list(table.each("some", range(5), work, "code"))
    with (tmp_path / "build/bench/some.jsonl").open("a") as stream:
        stream.write('["code", "4", {"o')  # torn
    found = list(table.each("some", [0, 2, 4], lambda key: {"new": key}, "code"))
    assert found == [{"of": 0}, {"of": 2}, {"new": 4}]
    assert list(table.each("some", [0, 4], lambda key: key, "other code")) == [0, 4]


def test_a_digest_tells_files_of_tests_apart():
    one, other = "tests/bad_volumes/spoil.py", "tests/bad_volumes/matched.py"
    assert conftest.code_of(one) == conftest.code_of(one)
    assert len({conftest.code_of(one), conftest.code_of(other), conftest.code_of(one, other)}) == 3
