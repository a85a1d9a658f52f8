"""What the pairs of a chunk are made of: chunks without a change are not gathered again."""

from pathlib import Path

import numpy as np
import pytest

from scripts.lib.files import read_table, write_table
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import CollectionReceipt
from scripts.lib.service.records import CanvasMatches
from scripts.solve import list_pairs

CHUNKS = [("0000", 1, 5), ("0001", 6, 9), ("0002", 10, 12)]
KEYS = ("p_group", "p_id", "q_group", "q_id")
RENDER = {"owner": "o", "project": "p"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Results and receipts of three chunks, and an empty wide search."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RENDER_WS_URL", f"sqlite:///{tmp_path}/r.db")
    names = ("chunk", "z_first", "z_last")
    write_table("chunks.tsv", names, [dict(zip(names, row, strict=True)) for row in CHUNKS])
    for chunk, first, _ in CHUNKS:
        for kind in ("results", "timing"):
            path = f"match/{kind}/cross/{chunk}.tsv.gz"
            write_table(path, ("z", "count"), [{"z": first, "count": 7}])
    write_table("wide.tsv.gz", KEYS, [])
    for name in ("p_v1", "p_v1_review"):
        CollectionReceipt("o", name, 0, 0, 0, "d", {}, {}).write(f"{name}.json")
    return tmp_path


def listed():
    list_pairs.main(
        matches=["p_v1.json", "p_v1_review.json"],
        chunks="chunks.tsv",
        results=sorted(Path().glob("match/results/*/*.tsv.gz")),
        wide="wide.tsv.gz",
        out="listed.tsv",
        render=RENDER,
    )
    return {row["chunk"]: row["pairs"] for row in read_table("listed.tsv")}


def changed(before):
    return [chunk for chunk, digest in listed().items() if digest != before[chunk]]


def reviewed(p_group, q_group, shift=0.0):
    points = np.array([[1.0, 2.0], [5.0, 9.0], [7.0, 3.0]])
    pair = CanvasMatches(p_group, "p", q_group, "q", points, points + shift, np.ones(3))
    RenderClient(**RENDER).put_matches("p_v1_review", [pair])
    CollectionReceipt("o", "p_v1_review", 1, 1, 0, "d", {}, {}).write("p_v1_review.json")


@pytest.mark.usefixtures("folder")
def test_the_same_is_the_same_and_each_kind_of_change_names_its_chunk():
    before = listed()
    assert changed(before) == []
    write_table("match/results/cross/0001.tsv.gz", ("z", "count"), [{"z": 6, "count": 8}])
    assert changed(before) == ["0001"]
    before = listed()
    # matched anew to the same figures: the points may be others
    write_table("match/timing/cross/0000.tsv.gz", ("z", "count"), [{"z": 1, "count": 7.5}])
    assert changed(before) == ["0000"]


@pytest.mark.usefixtures("folder")
def test_pairs_of_the_wide_search_and_of_the_review_belong_to_their_lower_layer():
    before = listed()
    # "10.0" comes before "9.0" in the order of texts: p is the higher layer here
    write_table("wide.tsv.gz", KEYS, [dict(zip(KEYS, ("10.0", "a", "9.0", "b"), strict=True))])
    assert changed(before) == ["0001"]
    before = listed()
    reviewed("10.0", "4.0")
    assert changed(before) == ["0000"]
    before = listed()
    reviewed("10.0", "4.0", shift=0.5)  # of the same count
    assert changed(before) == ["0000"]


@pytest.mark.usefixtures("folder")
def test_what_people_decided_is_of_all_chunks():
    before = listed()
    write_table("match/decisions.tsv", KEYS, [dict.fromkeys(KEYS, "1")])
    assert changed(before) == ["0000", "0001", "0002"]
    before = listed()
    CollectionReceipt("o", "p_v1", 0, 0, 0, "d", {}, {"reach_layers": 40}).write("p_v1.json")
    assert changed(before) == ["0000", "0001", "0002"]


def test_what_lies_in_no_chunk_belongs_to_none_and_order_is_kept():
    bounds = [(1, 5), (6, 9), (12, 14)]
    items = [(5.0, "e"), (1.0, "a"), (0.0, "x"), (10.0, "y"), (14.0, "z"), (15.0, "w"), (6.0, "f")]
    assert list_pairs._by_chunk(items, bounds) == [["e", "a"], ["f"], ["z"]]
    assert list_pairs._by_chunk(items, []) == []
