"""The commands that pages, comments and messages show, as text: what a person would copy."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIRST = r"(?:snakemake|make|python -m scripts[\w.]*)"
_COMMAND = re.compile(rf"^{FIRST}(?: |$)")
_SPAN = re.compile(r"(?<!`)(`{1,2})([^`]+)\1(?!`)")
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SHELL = {"", "bash", "sh", "console"}
_INDENTED = re.compile(r"^(?: {2,}|# +|usage: )(\S.*)$", re.MULTILINE)
PAGES = ["README.md", "CONTRIBUTING.md", "docs/*.md", "config/README.md"]
COMMENTED = [
    "profiles/*/config.yaml",
    "config/*.yaml",
    "config/*/*.yaml",
    "Snakefile",
    "rules/*.smk",
]


def _found(patterns):
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern))


def _commands(candidates):
    for each in candidates:
        line = re.split(r"\s{2,}|\s#\s", " ".join(each.split()) if "\n" in each else each)[0]
        line = re.sub(r"\s+", " ", line).strip().rstrip(".,;")
        if _COMMAND.match(line):
            yield line


def of_text(text):
    """Commands in fenced and indented lines, and in spans between backticks."""
    blocks = [lines for kind, lines in _BLOCK.findall(text) if kind in _SHELL]
    fenced = [line for lines in blocks for line in lines.splitlines()]
    spans = [span for _, span in _SPAN.findall(_BLOCK.sub("", text))]
    return list(_commands([*fenced, *_INDENTED.findall(text), *spans]))


def texts_of_code(path):
    """Docstrings and texts of a module; what a formatted text takes from variables is left out."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def texts():
    """(file, text) of all pages, comments and texts of the code."""
    for path in _found([*PAGES, *COMMENTED]):
        yield path.relative_to(ROOT).as_posix(), path.read_text()
    for path in _found(["scripts/**/*.py"]):
        for text in texts_of_code(path):
            yield path.relative_to(ROOT).as_posix(), text


def shown():
    """Command -> the files that show it."""
    found = {}
    for path, text in texts():
        for command in of_text(text):
            found.setdefault(command, set()).add(path)
    return found
