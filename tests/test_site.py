"""The documents as a site: built strictly, loading nothing from elsewhere, every message on it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from docs.site import hooks, messages
from scripts.terminal import ending

ROOT = Path(__file__).resolve().parents[1]
LOADED = re.compile(
    r"<(?:script|img|iframe)[^>]* src=\"(https?:[^\"]+)|<link[^>]* href=\"(https?:[^\"]+)"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_built_and_in_the_navigation(site):
    pages = {f"{path.stem}.html" for path in (ROOT / "docs").glob("*.md")}
    pages |= {name.replace(".md", ".html") for name in hooks.ELSEWHERE}
    assert {path.name for path in site.glob("*.html")} == pages | {"404.html"}
    shown = (site / "index.html").read_text()
    assert [name for name in sorted(pages) if f'href="{name}' not in shown] == []


def test_nothing_is_loaded_from_elsewhere(site):
    for page in site.glob("*.html"):
        assert [found[0] for found in LOADED.finditer(page.read_text())] == [], page.name
    sources = [each for each in site.rglob("*") if each.suffix in {".css", ".js"}]
    assert not any("@import url(http" in each.read_text(errors="replace") for each in sources)


def test_the_search_finds_keys_targets_and_messages(site):
    index = json.loads((site / "search/search_index.json").read_text())
    words = " ".join(entry["text"] for entry in index["docs"])
    for word in ("chunks.layers", "cleanup_listing", "no such folder", "voxels, expected"):
        assert word in words, word


def test_every_message_that_stops_a_run_is_on_the_page(site):
    page = (site / "messages.html").read_text()
    found = messages.found()
    assert len(found) > 100
    assert [m for m in found if f"<code>{m.file}</code>" not in page] == []
    rows = page.count("<small><code>")
    assert rows == len(found) + len(messages.CHECKS)


def test_messages_are_found_wherever_they_are_raised(tmp_path, monkeypatch):
    """Each way to put a text together is read; what the run alone knows is an ellipsis."""
    monkeypatch.setattr(messages, "ROOT", tmp_path)
    (tmp_path / "scripts/ingest").mkdir(parents=True)
    (tmp_path / "rules").mkdir()
    (tmp_path / "Snakefile").write_text(
        "rule a:\n    input: 'b'\nraise WorkflowError(\n    f'no {x} (at {y})'\n)\n"
    )
    (tmp_path / "scripts/ingest/a.py").write_text(
        "_CURE = 'mend it'\nraise UserError(f'found {n}; ' + _CURE)\nraise UserError(str(error))\n"
        "yield Finding(ERROR, 'key', f'{n} GB', 'more', 'Free some')\n"
    )
    assert [m.text for m in messages.found()] == [
        "found …; mend it",
        "key: found … GB; expected more. Free some",
        "no … (at …)",
    ]


def test_explanations_are_of_messages_that_are_there():
    """A few may outlive theirs for a while: whoever mends a message need not come here."""
    entries, found = messages.explained(), messages.found()
    used = [messages.explanation(message, entries) for message in found]
    assert len([entry for entry in entries if entry not in used]) <= len(entries) / 20
    assert len([entry for entry in used if entry is None]) <= len(found) / 4
    assert all(entry.keys() <= {"file", "says", "shown", "cause", "cure"} for entry in entries)


def test_a_message_that_the_code_only_passes_on_has_words_all_the_same(site):
    page = (site / "messages.html").read_text()
    assert re.findall(r"<td>[…: ]*<br><small>", page) == []


def test_the_page_of_targets_names_every_target():
    page = (ROOT / "docs/targets.md").read_text()
    named = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    rules = set(re.findall(r"^rule (\w+):", (ROOT / "Snakefile").read_text(), re.MULTILINE))
    assert named >= rules | set(ending.MADE)


def test_links_that_leave_the_documents_lead_to_pages_or_are_names():
    moved = hooks.moved(
        "[a](../config/README.md#x) [b](../scripts/new.py) [c](d.md) `[e](f)`", "docs/x.md"
    )
    assert moved == "[a](config.md#x) b (`scripts/new.py`) [c](d.md) `[e](f)`"
    assert hooks.moved("[a](docs/x.md)", "CHANGELOG.md") == "[a](x.md)"


def test_the_navigation_names_no_page_that_is_never_there():
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    named = set(re.findall(r"'([\w-]+\.md)'", str(nav)))
    there = {path.name for path in (ROOT / "docs").glob("*.md")} | hooks.ELSEWHERE.keys()
    assert named - there <= {"coming-from-scripts.md"}
