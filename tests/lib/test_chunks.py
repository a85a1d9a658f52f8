import pytest

from scripts.lib.chunks import chunk_range
from scripts.lib.files import write_table

COLUMNS = ("chunk", "z_first", "z_last")


def table(path, *rows):
    write_table(path, COLUMNS, [dict(zip(COLUMNS, row, strict=True)) for row in rows])
    return path


def test_the_range_is_that_of_the_chunk_named(tmp_path):
    path = table(tmp_path / "chunks.tsv", ("0000", 1, 40), ("0001", 41, 57))
    assert chunk_range(path, "0001") == (41, 57)


@pytest.mark.parametrize("rows", [[], [("0001", 1, 2)] * 2])
def test_a_chunk_that_is_not_there_once_is_named_with_its_table(tmp_path, rows):
    path = table(tmp_path / "chunks.tsv", ("0000", 1, 40), *rows)
    with pytest.raises(ValueError, match=rf"chunks.tsv: .*row of chunk 0001, found {len(rows)}"):
        chunk_range(path, "0001")
