"""The pages for users name what is there, and nothing that is not."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
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
