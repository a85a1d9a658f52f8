"""Every name of this project on the page for people who come from the scripts exists."""

import re
from pathlib import Path

import pytest
import yaml

from scripts.lib.schema import known_keys

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/coming-from-scripts.md").read_text()
RULES = "\n".join(path.read_text() for path in [ROOT / "Snakefile", *ROOT.glob("rules/*.smk")])
CODE = RULES + "".join(path.read_text() for path in ROOT.glob("scripts/**/*.py"))


def names(kind):
    return sorted(set(re.findall(rf"\b{kind} `([^`]+)`", PAGE)))


def schema_of(name):
    return yaml.safe_load((ROOT / "config" / name).read_text())


KEYS = {path for path, _ in known_keys(schema_of("schema.yaml"))}


def rows():
    return [line for line in PAGE.splitlines() if line.startswith("| ") and "|---" not in line]


@pytest.mark.parametrize("name", [*names("target"), *names("rule")])
def test_a_target_or_rule_exists(name):
    assert re.search(rf"^(?:use )?(?:rule|checkpoint) (?:\w+ as )?{name}\b", RULES, re.MULTILINE)


def test_targets_are_those_a_person_types():
    index = (ROOT / "Snakefile").read_text()
    typed = {name for name in names("target") if f"rule {name}:" in index}
    assert set(names("target")) - typed <= {"match_trial"}


@pytest.mark.parametrize("name", names("key"))
def test_a_key_exists(name):
    assert name in KEYS or name in {key.partition(".")[0] for key in KEYS}


@pytest.mark.parametrize("name", names("command"))
def test_a_command_exists(name):
    module = name.removeprefix("python -m ").split()[0]
    path = ROOT / module.replace(".", "/")
    assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


@pytest.mark.parametrize("name", names("file"))
def test_a_file_is_an_output_of_a_rule(name):
    if name.startswith(("stacks/", "matches/")):
        folder, _, rest = name.partition("/")
        assert re.search(rf'"{folder}/\{{', RULES), folder
        stem = rest.removesuffix(".json").replace("v1_acquire", "")
        assert all(part in CODE for part in stem.split("_") if part and "<" not in part)
    elif "<volume>" in name:
        assert f".{name.rpartition('.')[2]}" in CODE
    else:
        assert f'"{name}' in CODE


def test_every_field_of_the_json_is_on_the_page():
    section = PAGE.partition("## volume_transfer_info JSON")[2].partition("\n## ")[0]
    words = set(re.findall(r"[A-Za-z0-9_]+", section))
    fields = {path.replace("[]", "").split(".")[-1] for path, _ in known_keys(
        schema_of("volume_transfer_info.schema.yaml")
    )}  # fmt: skip
    assert fields - words == set()


@pytest.mark.parametrize("line", rows())
def test_a_row_says_what_stands_for_it(line):
    cells = line.strip("|").split(" | ")
    assert len(cells) == 2
    assert all(cell.strip() for cell in cells)
