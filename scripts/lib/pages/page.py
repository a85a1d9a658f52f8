"""Pages: one template, one style sheet and one navigation; what a page holds is given as data.

A page is a list of sections, a section a list of parts. Every page is one file that needs no
network, and says the same in light and dark, on a phone and on a desk.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import jinja2
from markupsafe import Markup, escape

from scripts.lib.pages import embedded, text
from scripts.lib.pages.pictures import Shown
from scripts.lib.verdicts import ABSENT, GOOD, LOOK, NOT_GOOD

# pages that every run makes, in the order of its stages: known without a look into the folder, so
# that a page is the same whatever was made before it
PAGES = {
    "report/index.html": "Report",
    "ingest/validation.html": "Ingest",
    "ingest/metadata.html": "Header fields",
    "review/index.html": "Review",
    "solve/solve.html": "Solve",
    "zcorr/thickness.html": "Thickness",
}
# pages made on demand stand in their own navigation alone
ON_DEMAND = {
    "report/so_far.html": "Report so far",
    "match/trial/index.html": "Match trial",
    "solve/compare.html": "Two solves",
    "solve/refinement.html": "Fields of tiles",
    "correct/destreak_proposal.html": "Destreak",
}
# a preview is made before all others, and of it there are these
PREVIEW = {
    "preview/imaging.html": "Imaging",
    "preview/validation.html": "Preview: ingest",
    "preview/metadata.html": "Preview: header fields",
}
MARKS = {GOOD: "✓", LOOK: "!", NOT_GOOD: "✕", ABSENT: "–"}
WORDS = {GOOD: "good", LOOK: "look here", NOT_GOOD: "not good", ABSENT: "not reached"}
_FOLDER = Path(__file__).parent
_NUMBER = re.compile(r"[−+-]?[\d,.]+(e[+-]?\d+)?( (%|px|nm|MB|s|min|h)( \d+ (s|min))?)?")


@dataclass(frozen=True)
class Text:
    """A paragraph; `kind` is ``""``, ``"note"`` or ``"warn"``."""

    text: str
    kind: str = ""
    part: ClassVar[str] = "text"


@dataclass(frozen=True)
class Items:
    """A list of sentences."""

    items: Sequence[str]
    kind: str = ""
    part: ClassVar[str] = "items"


@dataclass(frozen=True)
class Facts:
    """Names with their values; as `cards` they stand large. `help` explains names."""

    rows: Sequence[tuple[str, Any]]
    cards: bool = False
    help: Mapping[str, str] = field(default_factory=dict)
    part: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Code:
    """Lines to copy."""

    text: str
    part: ClassVar[str] = "code"


@dataclass(frozen=True)
class Pictures:
    """Pictures beside each other; a picture narrower than a column keeps its size."""

    shown: Sequence[Shown]
    part: ClassVar[str] = "pictures"


@dataclass(frozen=True)
class Plots:
    """Plots by name, of those the page is given; what is absent is left out. `help` explains."""

    names: Sequence[str]
    help: Mapping[str, str] = field(default_factory=dict)
    part: ClassVar[str] = "plots"


@dataclass(frozen=True)
class Verdict:
    """How good it is, in a word and a sentence; each reason leads to a place of the page."""

    state: str
    sentence: str
    reasons: Sequence[tuple[str, str]] = ()  # text, anchor
    eased: Sequence[str] = ()  # limits that were made wider for it
    part: ClassVar[str] = "verdict"


@dataclass(frozen=True)
class Copied:
    """A path or a command with a button that copies it."""

    name: str
    text: str
    note: Any = ""
    part: ClassVar[str] = "copied"


@dataclass(frozen=True)
class Compared:
    """Two pictures of equal size over one another, with a slider between them."""

    before: Shown
    after: Shown
    names: tuple[str, str] = ("before", "after")
    part: ClassVar[str] = "compared"


@dataclass(frozen=True)
class Beside:
    """Parts beside one another, as many as the width has room for."""

    parts: Sequence[Any]
    part: ClassVar[str] = "beside"


@dataclass(frozen=True)
class Fold:
    """Parts that are opened by a click on a line."""

    title: str
    parts: Sequence[Any]
    id: str = ""
    part: ClassVar[str] = "fold"


@dataclass(frozen=True)
class Html:
    """What has no part of its own."""

    html: Markup
    part: ClassVar[str] = "html"


@dataclass(frozen=True)
class Table:
    """A table that can be sorted; columns of numbers are set to the right. Without rows: nothing.

    `marked` are the numbers of rows that stand out; `where` says where more than `most` rows are.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    marked: Collection[int] = ()
    most: int = 200
    where: str = ""
    part: ClassVar[str] = "table"

    @property
    def cells(self) -> list[list[Any]]:
        """Return the rows that are shown, as text.

        Returns
        -------
        list of list
            At most `most` rows.
        """
        return [[text.cell(value) for value in row] for row in self.rows[: self.most]]

    @property
    def numeric(self) -> list[bool]:
        """Tell of each column whether it holds numbers.

        Returns
        -------
        list of bool
            True where every cell that holds anything holds a number, perhaps with its unit.
        """
        columns = zip(*self.cells, strict=True)
        return [
            all(_NUMBER.fullmatch(c) for c in map(_words, column) if c not in ("", text.NONE))
            for column in columns
        ]


def _words(cell: Any) -> str:  # noqa: ANN401 - a cell of a table
    return cell.striptags() if isinstance(cell, Markup) else str(cell)


Plain = Text | Items | Facts | Code | Pictures | Plots | Html | Table
Part = Plain | Verdict | Copied | Compared | Beside | Fold


@dataclass(frozen=True)
class Section:
    """A part of a page under a heading, with the `status` of what it is about, if it has one."""

    title: str
    parts: Sequence[Part]
    note: str = ""
    status: str = ""
    id: str = field(default="")

    @property
    def anchor(self) -> str:
        """Return the id of the section.

        Returns
        -------
        str
            As given, or made of the title.
        """
        return self.id or re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


def render(
    title: str,
    sections: Sequence[Section],
    *,
    here: str,
    volume: str = "",
    lead: Sequence[Part] = (),
    figures: Mapping[str, Any] | None = None,
    footer: str = "",
    tiles: Mapping[str, Any] | None = None,
) -> str:
    """Return a page as HTML; equal content gives equal bytes.

    Parameters
    ----------
    title
        Heading and title of the window.
    sections
        What it holds; those without any part are left out.
    here
        Path of the page in the volume's folder, which is the working directory: the navigation
        leads from it to the other pages. Empty for a page of no volume.
    volume
        Name above the navigation.
    lead
        Parts between the heading and the first section.
    figures
        Bokeh figures by name, shown by `Plots`; None = there is no data for it.
    footer
        Last line.
    tiles
        What the search knows of tiles, see `search.js`; None = it finds what stands on the page.

    Returns
    -------
    str
        One file that loads nothing.
    """
    script, elements = embedded.embed(figures or {})
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=title,
            volume=volume,
            lead=lead,
            sections=[one for one in sections if one.parts],
            pages=navigation(here) if here else [],
            footer=footer,
            script=Markup(script),  # noqa: S704 - Bokeh's
            plots={name: Markup(one) for name, one in elements.items()},  # noqa: S704 - Bokeh's
            style=_file("style.css"),
            tiles=_json(tiles or {}),
            searched=tiles is not None,
            report=report_of(here) if tiles is None else "",
            tools=_file("sort.js") + _file("tools.js"),
            search=_file("search.js"),
            marks=MARKS,
            words=WORDS,
        )
    )


def report_of(here: str) -> str:
    """Return the link to the report, which knows all tiles.

    Parameters
    ----------
    here
        Path of the page in the working directory.

    Returns
    -------
    str
        Empty of pages that are there before a report, or of no volume.
    """
    if here not in PAGES and here not in ON_DEMAND:
        return ""
    return Path(os.path.relpath(next(iter(PAGES)), Path(here).parent)).as_posix()


def fragment(parts: Sequence[Part]) -> str:
    """Return parts as HTML, to be put into a page.

    Parameters
    ----------
    parts
        Any but plots.

    Returns
    -------
    str
        Elements without a page around them.
    """
    return _environment().get_template("parts.html.j2").module.all(parts, {})  # type: ignore[attr-defined,no-any-return]


def navigation(here: str) -> list[tuple[str, str | None]]:
    """Return name and link of the pages of a volume.

    A page that every run makes has the same ones whatever has been made so far; one that is made on
    demand, of a volume that is stopped, too, leads to pages that are there.

    Parameters
    ----------
    here
        Path of the page in the working directory.

    Returns
    -------
    list of tuple
        In the order of the stages, a page made on demand last; the link of the page itself is None.
    """
    start = Path(here).parent
    shown = PREVIEW if here in PREVIEW else PAGES
    own = {here: ON_DEMAND[here]} if here in ON_DEMAND else {}
    if own:
        shown = {path: name for path, name in shown.items() if Path(path).exists()}
    return [
        (name, None if path == here else Path(os.path.relpath(path, start)).as_posix())
        for path, name in (shown | own).items()
    ]


def link(path: str, here: str, words: str = "") -> Markup:
    """Return a link to a file of the volume's folder, or its name where it is not there.

    Parameters
    ----------
    path
        The file, from the working directory.
    here
        The page that links, likewise.
    words
        What the link says; without them the path.

    Returns
    -------
    Markup
        An element.
    """
    if not Path(path).exists():
        return escape(words or path)
    target = Path(os.path.relpath(path, Path(here).parent)).as_posix()
    return Markup('<a href="{}">{}</a>').format(target, words or path)


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def _json(value: Mapping[str, Any]) -> Markup:
    """Return JSON that can stand in a script element, whatever texts are in it."""
    text = json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
    return Markup(text)  # noqa: S704 - no element can begin in it


@functools.cache
def _file(name: str) -> Markup:
    return Markup((_FOLDER / name).read_text())  # noqa: S704 - our own file
