"""Rows of large tables: dicts to their readers, and of every text one."""

import pytest

from scripts.lib import compact, files


def test_rows_are_what_dicts_would_be_and_share_their_texts(tmp_path):
    made = [{"a": "x\ty", "b": 0.5, "c": None}, {"a": "z", "b": 0.5, "c": "z"}]
    paths = [tmp_path / "one.tsv.gz", tmp_path / "two.tsv"]
    for path in paths:
        files.write_table(path, ("a", "b", "c"), made)
    texts = compact.Texts()
    rows = [row for path in paths for row in texts.rows(path)]
    assert [dict(row) for row in rows] == 2 * files.read_table(paths[0])
    assert rows[0].get("d", "none") == "none"
    assert "d" not in rows[0]
    assert len({id(row["b"]) for row in rows}) == 1
    assert rows[0] != rows[2]  # objects, so that sets and searches of them are cheap
    files.write_table(tmp_path / "again.tsv", ("a", "b", "c"), rows[:2])
    assert (tmp_path / "again.tsv").read_bytes() == paths[1].read_bytes()


def test_a_line_that_lacks_columns_is_named(tmp_path):
    (tmp_path / "t.tsv").write_text("a\tb\n1\n")
    with pytest.raises(ValueError, match="t.tsv: a line has other columns"):
        compact.Texts().rows(tmp_path / "t.tsv")
