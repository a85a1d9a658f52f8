"""What a person writes twice, or in another encoding, is told; what Snakemake reads is checked."""

import pytest

from scripts.lib import yaml_files
from scripts.lib.job import UserError

TWICE = """volume: v
review:
  auto: true
  exclude:
  - {cells: ["0,0"], reason: a}
solve: {model: rigid, model: affine}
review:
  exclude: []
"""


def refused(path):
    with pytest.raises(UserError) as caught:
        yaml_files.check([path])
    return str(caught.value)


def write(folder, content):
    path = folder / "my volume.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_keys_given_twice_are_named_with_both_lines_at_every_depth(tmp_path):
    message = refused(write(tmp_path, TWICE))
    assert message.splitlines()[0].startswith(f"{tmp_path}/my volume.yaml: ")
    assert message.splitlines()[1:] == [
        "  solve.model: line 6 and line 6",
        "  review: line 2 and line 7",
    ]


def test_keys_twice_inside_of_a_list_are_found():
    with pytest.raises(UserError, match=r"exclude\[1\]\.reason: line 3 and line 4"):
        yaml_files.parse("exclude:\n- reason: a\n- reason: b\n  reason: c\n", "x")


def test_the_same_key_of_two_entries_and_an_alias_are_no_duplicates():
    text = "a: &one {reason: x}\nb: [*one, *one, {reason: y}]\n1: int\n'1': text\n"
    assert yaml_files.parse(text, "x")["b"] == [{"reason": "x"}] * 2 + [{"reason": "y"}]


def test_keys_twice_in_json_are_found_though_it_is_indented_by_tabs():
    assert yaml_files.parse('{\n\t"a": 1,\n\t"b": [1]}', "x") == {"a": 1, "b": [1]}
    with pytest.raises(UserError, match="a: line 2 and line 3"):
        yaml_files.parse('{\n\t"a": 1,\n\t"a": 2}', "x")


def test_a_fault_of_syntax_has_file_line_and_column(tmp_path):
    message = refused(write(tmp_path, "volume: v\nreview:\n  exclude: [1, 2\nsolve: 3\n"))
    assert "my volume.yaml, line 4, column 6: this is no YAML" in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("volume: v\n".encode("utf-16"), "expected UTF-8, found UTF-16"),
        ("volume: v\nx: \u00fc\n".encode("cp1252"), "line 2: expected UTF-8, found the byte 0xfc"),
        (b"", "expected the keys of a volume at the top level, found nothing"),
        (b"- 1\n", "at the top level, found list"),
    ],
)
def test_other_encodings_and_other_files_are_named(tmp_path, content, said):
    message = refused(write(tmp_path, content))
    assert "my volume.yaml" in message
    assert said in message


def test_a_file_that_is_not_there_is_named(tmp_path):
    assert "nowhere.yaml: cannot be read" in refused(tmp_path / "nowhere.yaml")


def test_a_byte_order_mark_of_utf_8_is_no_fault(tmp_path):
    yaml_files.check([write(tmp_path, "volume: \u00fc\n".encode("utf-8-sig"))])
