"""Every message with which the workflow stops, out of the code, with cause and cure."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scripts.ingest.validation import CHECKS

ROOT = Path(__file__).resolve().parents[2]
EXPLAINED = Path(__file__).with_name("explained.yaml")
RAISED = {"UserError", "WorkflowError"}
# folder of scripts/ -> heading; what is in none of them stands under the last
HEADINGS = {
    "transfer": "transfer, doctor and new volumes",
    "ingest": "ingest",
    "match": "match",
    "review": "review",
    "solve": "solve",
    "zcorr": "zcorr",
    "correct": "correct",
    "export": "export, promote and cleanup",
    "report": "report and status",
    "render_ws": "the embedded render-ws",
    "terminal": "the start and the end of a run",
    "lib": "config, service and files",
    "rules": "the config of a volume, before anything starts",
}


@dataclass(frozen=True)
class Message:
    """A place in the code that stops a run, and what it says; … is what only the run knows."""

    file: str
    line: int
    text: str

    @property
    def words(self) -> str:
        """Return the letters of the text that the code holds."""
        return re.sub(r"[^A-Za-z]+", "", self.text)

    @property
    def known(self) -> str:
        """Return what the module is for, where the text holds no word of its own."""
        if self.words:
            return ""
        about = ast.get_docstring(ast.parse((ROOT / self.file).read_text(encoding="utf-8"))) or ""
        return f"… ({about.partition(chr(10))[0]})"

    @property
    def heading(self) -> str:
        """Return the heading under which it stands."""
        parts = Path(self.file).parts
        folder = parts[1] if parts[0] == "scripts" and len(parts) > 2 else "rules"
        return HEADINGS.get(folder, HEADINGS["lib"])


def found() -> list[Message]:
    """Return all messages, by file and line."""
    paths = sorted(ROOT.glob("scripts/**/*.py"))
    raised = raising(paths)
    rules = [*sorted(ROOT.glob("rules/*.smk")), ROOT / "Snakefile"]
    return [
        *(m for p in paths for m in _of_module(p, raised)),
        *(m for p in rules for m in _of_rules(p)),
    ]


def raising(paths: list[Path]) -> set[str]:
    """Return the names of the errors that people read, with those that are made of them."""
    classes = {
        node.name: {ast.unparse(base) for base in node.bases}
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    }
    names = set(RAISED)
    while more := {name for name, bases in classes.items() if bases & names} - names:
        names |= more
    return names


def _of_module(path: Path, raised: set[str]) -> Iterator[Message]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    texts |= {
        node.name: node.body[-1].value
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and isinstance(node.body[-1], ast.Return)
        and isinstance(node.body[-1].value, ast.Constant | ast.JoinedStr | ast.BinOp)
    }
    for node in ast.walk(tree):
        if text := _said(node, texts, raised):
            yield Message(path.relative_to(ROOT).as_posix(), node.lineno, text)


def _of_rules(path: Path) -> Iterator[Message]:
    """Rules are no Python: the calls are cut out by their brackets."""
    source = path.read_text(encoding="utf-8")
    for start in re.finditer(r"\bWorkflowError\(", source):
        end = next(k for k in range(start.end(), len(source)) if _closed(source[start.start() : k]))
        call = ast.parse(source[start.start() : end], mode="eval").body
        if text := _said(call, {}, RAISED):
            line = source.count("\n", 0, start.start()) + 1
            yield Message(path.relative_to(ROOT).as_posix(), line, text)


def _closed(text: str) -> bool:
    if not text.endswith(")"):
        return False
    try:
        ast.parse(text, mode="eval")
    except SyntaxError:
        return False
    return True


def _said(node: ast.AST, texts: Mapping[str, ast.expr], raised: set[str]) -> str:
    """Return the text of a call that stops a run; of a finding of the doctor, all of its words."""
    if not isinstance(node, ast.Call) or not node.args:
        return ""
    name = ast.unparse(node.func)
    if name in raised:
        text = _text(node.args[0], texts)
        return "" if text == "…" and _passed_on(node.args[0]) else text
    if name == "Finding" and len(node.args) >= 5 and ast.unparse(node.args[0]) in {"ERROR", "NOTE"}:
        key, was, expected, change = (_text(each, texts) for each in node.args[1:5])
        return f"{key}: found {was}; expected {expected}. {change}"
    return ""


def _passed_on(node: ast.expr) -> bool:
    """Whether the text is that of another error, which stands in the list itself."""
    return ast.unparse(node) in {"str(error)", "error"}


def _text(node: ast.expr, texts: Mapping[str, ast.expr]) -> str:
    if isinstance(node, ast.Constant):
        return " ".join(str(node.value).split("\n")) if isinstance(node.value, str) else "…"
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(each, texts) for each in node.values)
    if isinstance(node, ast.FormattedValue):
        return _text(node.value, texts)
    if isinstance(node, ast.Name) and node.id in texts:
        return _text(texts[node.id], {})
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left, texts) + _text(node.right, texts)
    if isinstance(node, ast.Call) and ast.unparse(node.func) in texts:
        return _text(texts[ast.unparse(node.func)], {})
    if isinstance(node, ast.Call) and ast.unparse(node.func) in {"commands.run", "commands.again"}:
        words = [each.value for each in node.args if isinstance(each, ast.Constant)]
        again = f"--forcerun {words[0]}" if node.func.attr == "again" and words else ""  # type: ignore[union-attr]
        return f"the target {words[-1]}{f' with {again}' if again else ''}" if words else "…"
    return "…"


def explained() -> list[dict[str, Any]]:
    """Return cause and cure, by file and a part of the message."""
    return list(yaml.safe_load(EXPLAINED.read_text(encoding="utf-8")))


def explanation(message: Message, entries: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the first entry whose file and words are those of a message."""
    for entry in entries:
        if message.file == entry["file"] and entry.get("says", "") in message.text:
            return entry
    return None


def tables() -> str:
    """Return the messages as Markdown, a table for each part of the workflow."""
    entries = explained()
    rows: dict[str, list[str]] = {heading: [] for heading in HEADINGS.values()}
    for message in found():
        entry = explanation(message, entries)
        rows[message.heading].append(_row(message, entry or {}))
    rows[HEADINGS["ingest"]] += [_check(*each) for each in CHECKS.values()]
    return "\n\n".join(
        f"## {heading}\n\n| message | cause | what to do |\n|---|---|---|\n" + "\n".join(lines)
        for heading, lines in rows.items()
        if lines
    )


def _check(title: str, remedy: str) -> str:
    """Return the row of a kind of problem of `ingest/validation.html`."""
    told = f"{_plain(title)} <br><small>`ingest/validation.html`</small>"
    return f"| {told} | Named there tile by tile. | {_plain(remedy)} |"


def _row(message: Message, entry: Mapping[str, Any]) -> str:
    shown = (
        entry.get("shown")
        or message.known
        or re.sub(r"\s+", " ", re.sub(r"(?:…[\s;,:]*)+…", "…", message.text))
    )
    cells = [
        shown.strip(),
        entry.get("cause", "What the message names."),
        entry.get("cure", "As the message says."),
    ]
    text = [cells[0].replace("`", "'"), *cells[1:]]
    one, *others = (each.replace("|", "\\|").replace("\n", " ") for each in text)
    return f"| {_plain(one)} <br><small>`{message.file}`</small> | {' | '.join(others)} |"


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is."""
    return re.sub(
        r"([<>*_\[\]{}])", lambda m: {"<": "&lt;", ">": "&gt;"}.get(m[1], f"\\{m[1]}"), text
    )
