import numpy as np
import pytest

from scripts.lib import files
from scripts.report import gather


def test_an_absent_table_is_empty_and_says_so(empty):
    assert not empty["solved"].found
    assert len(empty["solved"]) == 0
    assert empty.documents["qc"] is None


def test_results_of_all_runs_are_joined(run):
    _, _, evidence = run
    names = set(evidence.results["run"])
    assert names == {"montage_top_bottom", "montage_left_right", "cross"}
    assert set(evidence.results["saved"]) <= {0, 1}


def test_empty_cells_are_nan_or_absent(tmp_path):
    rows = [{"a": 3, "b": None}, {"a": None, "b": 1.5}]
    files.write_table(tmp_path / "t.tsv.gz", ["a", "b"], rows)
    table = gather.read_columns(tmp_path / "t.tsv.gz", {"a": int, "b": float})
    assert table["a"].tolist() == [3, gather.ABSENT]
    assert np.isnan(table["b"][0])


def test_a_missing_column_names_file_and_column(tmp_path):
    files.write_table(tmp_path / "t.tsv", ["a"], [{"a": 1}])
    with pytest.raises(ValueError, match=r"t\.tsv: no column b; found a"):
        gather.read_columns(tmp_path / "t.tsv", {"b": int})


def test_a_cell_that_is_no_number_names_the_column(tmp_path):
    files.write_table(tmp_path / "t.tsv", ["a"], [{"a": "x"}])
    with pytest.raises(ValueError, match=r"column a"):
        gather.read_columns(tmp_path / "t.tsv", {"a": int})


def test_costs_are_read_per_rule_and_unmeasured_memory_is_nan(tmp_path):
    columns = ["s", "h:m:s", "max_rss", "cpu_time"]
    for name, rss in (("match_pairs/cross/0000", 120.5), ("match_pairs/cross/0001", "-")):
        row = dict(zip(columns, (2.5, "0:00:02", rss, "NA"), strict=True))
        files.write_table(tmp_path / f"{name}.tsv", columns, [row])
    costs = gather.read_costs(tmp_path)
    assert [job["s"] for job in costs["match_pairs"]] == [2.5, 2.5]
    assert costs["match_pairs"][0]["max_rss"] == 120.5
    assert np.isnan(costs["match_pairs"][1]["max_rss"])


def test_a_truth_of_other_tiles_gives_no_score(run, acquisition, tmp_path, caplog):
    root, _, _ = run
    folder, _ = acquisition
    other = files.read_json(folder / "truth.json")
    for tile in other["tiles"]:
        tile["tile_id"] = "x" + tile["tile_id"]
    files.write_json(tmp_path / "truth.json", other)
    evidence = gather.gather(root, results=[], truth_path=tmp_path / "truth.json")
    assert evidence.score is None
    assert "no score" in caplog.text


@pytest.mark.parametrize("rows", [0, 7, 14, 20])
def test_a_long_table_is_read_in_parts_and_keeps_each_text_once(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(gather, "ROWS_AT_ONCE", 7)
    table = [{"a": k, "b": k / 8, "c": f"tile {k % 3}"} for k in range(rows)]
    files.write_table(tmp_path / "t.tsv.gz", ("a", "b", "c"), table)
    texts = {}
    kinds = {"a": int, "b": float, "c": str}
    found = gather.read_columns(tmp_path / "t.tsv.gz", kinds, texts)
    assert found.rows() == table
    assert {id(each) for each in found["c"]} == {id(each) for each in texts.values()}
