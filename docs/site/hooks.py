"""What the site has beyond docs/: pages of the schema, the changelog and the code's messages."""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from docs.site import messages  # noqa: E402 - mkdocs starts anywhere

# page of the site -> file of the project that it shows
ELSEWHERE = {
    "config.md": "config/README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
}
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#\s]+)(#[^)\s]*)?\)")
MARKER = "<!-- messages -->"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leave out pages of the navigation that are not there; put others under More."""
    there = {path.name for path in (ROOT / "docs").glob("*.md")} | ELSEWHERE.keys()
    config.nav, named = [], set()
    for group in _nav():
        for title, pages in group.items():
            inside = pages if isinstance(pages, list) else [{title: pages}]
            kept = [each for each in inside if next(iter(each.values())) in there]
            named |= {next(iter(each.values())) for each in kept}
            config.nav += [{title: kept}] if isinstance(pages, list) else kept
    if rest := sorted(there - named):
        config.nav.append({"More": rest})
    return config


def _nav() -> list[dict[str, Any]]:
    return list(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are kept elsewhere in the project."""
    for name, source in ELSEWHERE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=moved(text, source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links that leave docs/ to the pages of the site, and put the messages in."""
    if page.file.src_uri not in ELSEWHERE:
        markdown = moved(markdown, f"docs/{page.file.src_uri}")
    return markdown.replace(MARKER, messages.tables()) if MARKER in markdown else markdown


def moved(text: str, source: str) -> str:
    """Return the text with links as the site has them; files that are no pages keep their name."""
    shown = {path: name for name, path in ELSEWHERE.items()}

    def link(found: re.Match[str]) -> str:
        words, target, anchor = found[1], found[2], found[3] or ""
        if "://" in target or target.startswith("mailto:"):
            return found[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if path in shown:
            return f"[{words}]({shown[path]}{anchor})"
        if path.startswith("docs/"):
            return f"[{words}]({path.removeprefix('docs/')}{anchor})"
        return f"{words} (`{path}`)"

    parts = re.split(r"(^```.*?^```|`[^`\n]+`)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if k % 2 else _LINK.sub(link, part) for k, part in enumerate(parts))
