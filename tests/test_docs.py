"""The pages for users name what is there, and nothing that is not."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from scripts.transfer import issue_form
from tests.test_layers import FLOORS

ROOT = Path(__file__).resolve().parents[1]
DESIGN = ROOT / "docs/design.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SHARED = {"common", "functions"}  # names and functions, no rules
STAGES = sorted(path for path in ROOT.glob("rules/*.smk") if path.stem not in SHARED)
SCHEMA = ROOT / "config/schema.yaml"


def name(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("rules", STAGES, ids=name)
def test_the_page_of_a_stage_lists_its_rules(rules):
    page = (ROOT / f"docs/{rules.stem}.md").read_text()
    named = re.findall(r"^(?:rule|checkpoint) (\w+):$", rules.read_text(), re.MULTILINE)
    assert named
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) >= set(named)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{name(page)}: {target}"


@pytest.mark.skipif(not SCHEMA.exists(), reason="config/schema.yaml is not there yet")
@pytest.mark.parametrize("page", PAGES, ids=name)
def test_config_keys_that_a_page_names_exist(page):
    schema = yaml.safe_load(SCHEMA.read_text())
    files = {"md", "yaml", "tsv", "json", "html", "smk", "txt", "yml"}
    for section, key in re.findall(r"`(\w+)\.(\w+)(?:: [^`]*)?`", page.read_text()):
        if section in schema["properties"] and key not in files:
            known = schema["properties"][section].get("properties", {})
            assert key in known, f"{name(page)}: {section}.{key}"


def test_targets_that_the_readme_names_are_in_the_makefile():
    made = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    wanted = set(
        re.findall(r"(?:`|^)make ([a-z]+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    )
    assert wanted <= made
    assert {"demo", "test", "lint", "bench", "clean"} <= made


def test_modules_that_lint_excepts_from_full_docstrings_are_there():
    excepted = (ROOT / "tests/undocumented.txt").read_text().split()
    assert [path for path in excepted if not (ROOT / path).is_file()] == []
    assert excepted == sorted(set(excepted))


def rows_of(page, heading):
    """First cells of the table under a heading."""
    body = page.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [line.split("|")[1].strip() for line in body.splitlines() if line.startswith("| ")]


def test_the_design_names_every_stage_and_no_other():
    cells = [re.sub(r"\[(\w+)\]\(\1\.md\)", r"\1", cell) for cell in rows_of(DESIGN, "Stages")]
    folders = {path.name for path in ROOT.glob("scripts/*") if any(path.glob("*.py"))}
    assert cells[0] == "stage"
    assert set(cells[1:]) == folders - {"lib", "render_ws", "demo", "terminal"}
    drawn = set(re.findall(r"\b[A-Z]{5,}\b", DESIGN.read_text()))
    assert {stage.upper() for stage in cells[1:]} <= drawn


def test_the_design_names_every_floor_and_no_other():
    drawn = re.findall(r"│ lib/(\w+) {2,}", DESIGN.read_text())
    assert drawn == FLOORS[:0:-1]


def test_the_design_names_every_top_folder_and_no_other():
    there = {p.name for p in ROOT.iterdir() if p.is_dir() and not p.is_symlink()}
    cells = " ".join(rows_of(DESIGN, "Layout")[1:])
    named = set(re.findall(r"`(\w+)/`", cells))
    assert named == {name for name in there if not name.startswith(".")} - {"build"}


def test_the_citation_is_of_this_version():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()
    assert (str(cited["version"]), cited["license"]) == (project["version"], "BSD-3-Clause")
    assert project["license"]["text"] == cited["license"]


@pytest.mark.parametrize("page", [*PAGES, *sorted(ROOT.glob("profiles/*/*.yaml"))], ids=name)
def test_no_command_gives_its_target_as_one_more_config_file(page):
    """Snakemake takes every word behind --configfile, until the next option, for a config."""
    for words in re.findall(r"snakemake [^\n`#]*?--configfile +([^\n`#]+)", page.read_text()):
        files = re.split(r" +-", words.strip())[0].split()
        assert len(files) == 1, f"{name(page)}: --configfile {words}"


@pytest.mark.parametrize("form", sorted(ROOT.glob(".github/ISSUE_TEMPLATE/*.yml")), ids=name)
def test_forms_of_issues_are_forms(form):
    found = yaml.safe_load(form.read_text())
    assert {"name", "description", "body"} <= found.keys()
    ids = [each["id"] for each in found["body"]]
    assert len(ids) == len(set(ids))
    assert all(each["attributes"]["label"] for each in found["body"])


def test_the_form_of_an_acquisition_asks_what_the_command_reads():
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/acquisition.yml").read_text())
    asked = {each["id"]: each["attributes"]["label"] for each in form["body"]}
    assert asked == issue_form.HEADINGS


def test_the_changelog_begins_with_this_version():
    text = (ROOT / "CHANGELOG.md").read_text()
    releases = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] in releases[:2]
    assert releases == sorted(releases, reverse=True)
    assert f'VERSION = "{project["version"]}"' in (ROOT / "scripts/report/summary.py").read_text()
    assert not re.search("^[<=>]{7}", text, re.MULTILINE), "a conflict was not resolved"
