"""Files: nothing half-written, equal content gives equal bytes."""

import gzip

import pytest

from scripts.lib import files, packed


def write_half(path):
    with files.atomic_path(path) as partial:
        partial.write_text("half")
        raise RuntimeError


def test_an_error_while_writing_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")
    with pytest.raises(RuntimeError):
        write_half(path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("name", ["t.tsv", "t.tsv.gz"])
def test_a_table_comes_back_as_text(tmp_path, name):
    rows = [
        {"z": 1, "ok": True, "why": None, "v": 0.1},
        {"z": 2, "ok": False, "why": "a", "v": 2.0},
    ]
    assert files.write_table(tmp_path / name, ["z", "ok", "why", "v"], rows) == 2
    assert files.read_table(tmp_path / name) == [
        {"z": "1", "ok": "1", "why": "", "v": "0.1"},
        {"z": "2", "ok": "0", "why": "a", "v": "2.0"},
    ]
    with files.open_table(tmp_path / name) as stream:
        assert [*stream][1:] == ["1\t1\t\t0.1\n", "2\t0\ta\t2.0\n"]


def test_the_same_json_gives_the_same_compressed_bytes(tmp_path):
    for name in ("a.json.gz", "b.json.gz"):
        files.write_json(tmp_path / name, {"x": [1, 2.5]})
    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "b.json.gz").read_bytes()


def test_digest_does_not_depend_on_key_order():
    assert files.digest({"a": 1, "b": 2}) == files.digest({"b": 2, "a": 1})


def test_broken_json_is_named(tmp_path):
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(ValueError, match=r"x\.json: not readable as JSON"):
        files.read_json(tmp_path / "x.json")


def test_nan_is_never_written_as_json(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(tmp_path / "x.json", {"v": float("nan")})
    assert not list(tmp_path.iterdir())


def test_what_a_killed_run_left_of_one_file_is_removed_and_nothing_else(tmp_path):
    left = tmp_path / ".a[1].dat.0f.partial"
    others = [tmp_path / name for name in ("a[1].dat", ".a1.dat.0f.partial", ".b.dat.0f.partial")]
    for path in (left, *others):
        path.touch()
    files.remove_partials(tmp_path / "a[1].dat")
    assert sorted(tmp_path.iterdir()) == sorted(others)
    files.remove_partials(tmp_path / "absent" / "a.dat")


def test_rows_are_grouped_by_a_column_in_the_order_given():
    rows = [{"layer": layer, "tile": tile} for layer, tile in ("b1", "a2", "b0")]
    assert list(files.grouped(rows, "layer").items()) == [
        ("b", [rows[0], rows[2]]),
        ("a", [rows[1]]),
    ]


@pytest.mark.parametrize("odd", ["", 'a"b\\\n\t', "\x7f", "µm", "\x01"])
def test_the_quick_digest_of_rows_is_that_of_their_canonical_json(odd):
    rows = [{"b": "2", "a": odd}, {"b": "", "a": "3"}]
    assert files.digest_of_rows(rows) == files.digest(rows)


def test_cells_are_read_in_the_order_asked_for_and_a_missing_column_is_named(tmp_path):
    path = tmp_path / "t.tsv.gz"
    files.write_table(path, ("a", "b", "c"), [{"a": 1, "b": "x\ty", "c": None}])
    assert list(files.read_cells(path, ("c", "b"))) == [("", "x\ty")]
    with pytest.raises(ValueError, match=r"t\.tsv\.gz: no column d; found a, b, c"):
        list(files.read_cells(path, ("a", "d")))


@pytest.mark.parametrize("odd", ["x", "a\n0001\tb", 'a"b', "µ"])
def test_rows_of_a_first_cell_are_those_of_the_whole_table(tmp_path, odd):
    path = tmp_path / "t.tsv"
    rows = [{"chunk": f"{k % 3:04d}", "b": odd, "c": k} for k in range(9)]
    rows.append({"chunk": "00011", "b": "longer name", "c": 10})
    files.write_table(path, ("chunk", "b", "c"), rows)
    found = files.read_rows_of(path, "0001")
    assert found == [row for row in files.read_table(path) if row["chunk"] == "0001"]
    assert [row["c"] for row in found] == ["1", "4", "7"]
    assert files.read_rows_of(path, "0009") == []


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_rows_of_a_first_cell_need_no_end_of_the_last_line(tmp_path, end):
    path = tmp_path / "t.tsv"
    path.write_bytes(end.join(["chunk\tb", "01\tx", "0\t01", "01\ty"]).encode())
    assert [row["b"] for row in files.read_rows_of(path, "01")] == ["x", "y"]
    for empty in ("", "chunk\tb", "chunk\tb\n"):
        path.write_text(empty)
        assert files.read_rows_of(path, "01") == []


@pytest.mark.parametrize("rows", [0, 3, 50])
def test_a_table_written_in_parts_has_the_bytes_of_one_written_at_once(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(packed, "ROWS_AT_ONCE", 7)
    table = [{"a": k, "b": "é" * k} for k in range(rows)]
    for name in ("t.tsv", "t.tsv.gz"):
        files.write_table(tmp_path / name, ("a", "b"), table)
    text = (tmp_path / "t.tsv").read_bytes()
    assert text.decode() == "a\tb\n" + "".join(f"{k}\t{'é' * k}\n" for k in range(rows))
    assert (tmp_path / "t.tsv.gz").read_bytes() == gzip.compress(text, 6, mtime=0)
