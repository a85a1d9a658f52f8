"""A message on a page: its sentences, its items, and the lines to copy without any other word."""

from scripts.lib.pages import message
from scripts.lib.pages.page import Code, Items, Text

TOLD = """The gate does not open: spoilt tiles
- spoilt: 2 tiles look damaged: a
- pairs: 3 of 9

Section review as it should stand;
python -m scripts.review.decide mine.yaml --write puts it there:

review:
  patch:
  - {cell: "0,0", z: 5}

Only at a price:

  # 2 tiles leave:
  max_auto_share: 1
"""


def test_lines_to_copy_stand_alone():
    found = message.parts(TOLD, "warn")
    assert found == [
        Text("The gate does not open: spoilt tiles", "warn"),
        Items(["spoilt: 2 tiles look damaged: a", "pairs: 3 of 9"], "warn"),
        Text("Section review as it should stand;", "warn"),
        Text("python -m scripts.review.decide mine.yaml --write puts it there:", "warn"),
        Code('review:\n  patch:\n  - {cell: "0,0", z: 5}'),
        Text("Only at a price:", "warn"),
        Code("  # 2 tiles leave:\n  max_auto_share: 1"),
    ]


def test_one_sentence_is_one_paragraph():
    assert message.parts("z: expected 3, found 4") == [Text("z: expected 3, found 4")]
