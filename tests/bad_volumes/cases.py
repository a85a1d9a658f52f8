"""The register of bad volumes: ``python -m tests.bad_volumes.cases`` rewrites table and page.

A case makes something that is wrong and gives what a person is told of it: how the run ends, and
the words. The table is table.tsv beside this file; the list in docs/trust.md is made of it.
"""

import contextlib
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scripts.lib.files import read_table, write_table
from scripts.lib.verdicts import GOOD

ROOT = Path(__file__).resolve().parents[2]
PAGE, TABLE = ROOT / "docs/trust.md", ROOT / "tests/bad_volumes/table.tsv"
MARKS = ("<!-- bad volumes: written by python -m tests.bad_volumes.cases -->\n", "<!-- end -->\n")
COLUMNS = ("name", "made", "stage", "ends", "line", "run")
REFUSED = "refused"  # the run ends with the message, nothing is exported

CASES = []


@dataclass(frozen=True)
class Told:
    """How a run ends, and what a person reads of it, the first line first."""

    ends: str
    text: str


@dataclass(frozen=True)
class Case:
    """Something bad; `line` is a pattern of what has to be said, by `stage`."""

    name: str
    stage: str
    ends: str
    line: str
    make: Callable  # (folder) -> Told
    whole: bool = False  # takes long: `make bench` alone runs it

    @property
    def run(self):
        return "make bench" if self.whole else "always"

    @property
    def made(self):
        return " ".join((self.make.__doc__ or "").split()).rstrip(".")

    @property
    def row(self):
        """The row of the table, as it is read back."""
        return {name: getattr(self, name) for name in COLUMNS}


def bad(name, stage, ends, line, *, whole=False):
    """Register a function as a case; its docstring says how the volume is made."""

    def register(make):
        CASES.append(Case(name, stage, ends, line, make, whole))
        return make

    return register


def refused(error, work, *arguments, **named):
    """Told what an error of a kind says; good when there is none."""
    try:
        work(*arguments, **named)
    except error as found:
        return Told(REFUSED, str(found))
    return Told(GOOD, "")


def fault(case, told):
    """What is wrong with what is told of a case; nothing when all is right."""
    if told.ends != case.ends:
        return f"ends as {told.ends!r}, expected {case.ends!r}: {told.text[:300]}"
    if not re.search(case.line, told.text):
        return f"expected {case.line!r} in {told.text[:600]!r}"
    return ""


@contextlib.contextmanager
def inside(folder):
    """Work in a folder of its own, with an embedded service there."""
    before = Path.cwd(), os.environ.get("RENDER_WS_URL")
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    os.environ["RENDER_WS_URL"] = f"sqlite:///{folder}/r.db"
    try:
        yield folder
    finally:
        os.chdir(before[0])
        if before[1] is None:
            del os.environ["RENDER_WS_URL"]
        else:
            os.environ["RENDER_WS_URL"] = before[1]


def listed(rows):
    """The list of the page, made of the table."""
    lines = ["| what is bad | how it is made | who says it | ends as | line (pattern) | tried |"]
    lines += ["|---|---|---|---|---|---|"]
    for row in rows:
        line = row["line"].replace("|", "\\|")
        cells = [row["name"], row["made"], row["stage"], row["ends"], f"`{line}`", row["run"]]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def page(text, rows):
    """The page with the list between its marks."""
    before, _, rest = text.partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    return before + MARKS[0] + listed(rows) + MARKS[1] + after


def all_cases():
    """Every case, in the order of the stages that speak."""
    from tests.bad_volumes import (  # noqa: F401 - they register
        acquired,
        early,
        late,
        spoilt_cases,
        whole,
    )

    order = (
        "config", "doctor", "transfer", "ingest", "match", "review", "solve", "zcorr", "export",
        "render-ws",
    )  # fmt: skip
    return sorted(CASES, key=lambda case: order.index(case.stage))


def main():
    rows = [case.row for case in all_cases()]
    write_table(TABLE, COLUMNS, rows)
    PAGE.write_text(page(PAGE.read_text(), read_table(TABLE)))
    sys.stdout.write(f"{len(rows)} bad volumes\n")


if __name__ == "__main__":
    from tests.bad_volumes import cases  # the module that the others register with

    cases.main()
