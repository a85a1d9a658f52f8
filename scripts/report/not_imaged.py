"""Not as imaged: tiles that the volume shows as a copy of another layer, or not at all, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from scripts.lib.pages import page as pages
from scripts.lib.pages.page import Fold, Html, Part, Table
from scripts.report.finding import spans
from scripts.report.gather import Evidence
from scripts.report.summary import holes_of

HEADER = ("tiles", "what", "row, column", "z", "why")
PATCHED, MISSING, EXCLUDED, NOT_PLACED = "patched", "missing", "excluded", "not placed"
_MOST = 50  # rows
_NO_FILE = "no file of it, or none that can be read"
_LOOSE = "nothing holds it: no matches, or none that count"
_PAGE = "review/index.html"


@dataclass(frozen=True)
class Tile:
    """A tile that is not as imaged."""

    what: str
    z: int
    row: int
    column: int
    why: str


def tiles(evidence: Evidence) -> list[Tile]:
    """Return the tiles that are not placed as they were imaged, each once.

    Parameters
    ----------
    evidence
        What the run left.

    Returns
    -------
    list of Tile
        As many as `summary.headline` counts; nothing before the solve.
    """
    return list(_tiles(evidence)) if evidence["solved"].found else []


def _tiles(evidence: Evidence) -> Iterator[Tile]:
    solved = evidence["solved"]
    ids = set(solved["tile_id"].tolist())
    there = set(zip(*(solved[name].tolist() for name in ("z", "row", "column")), strict=True))
    for hole in holes_of(evidence["layers"]):
        for key in hole["missing"]:
            row, column = map(int, key.split("-")[1:])
            if (hole["z"], row, column) not in there:
                yield Tile(MISSING, hole["z"], row, column, _NO_FILE)
    for one in evidence["review"].rows():
        placed, what = one["tile_id"] in ids, one["state"]
        if placed and what != PATCHED:
            continue
        if not placed and what != EXCLUDED:
            what = NOT_PLACED
        why = one["reason"] or (_LOOSE if what == NOT_PLACED else "")
        yield Tile(what, one["z"], one["row"], one["column"], why)


def parts(evidence: Evidence, here: str) -> list[Part]:
    """Return a line that says how many tiles are not as imaged, with their places below it.

    Parameters
    ----------
    evidence
        What the run left.
    here
        The page, for its links.

    Returns
    -------
    list of Part
        None where every tile is as imaged.
    """
    found = tiles(evidence)
    if not found:
        return []
    words = [PATCHED, MISSING, EXCLUDED, NOT_PLACED]
    counts = [(sum(one.what == word for one in found), word) for word in words]
    told = ", ".join(f"{count:,} {word}" for count, word in counts if count)
    table = Table("Tiles that are not as imaged", HEADER, _rows(found), most=_MOST, where=_PAGE)
    link = pages.link(_PAGE, here, "their pictures and those around them")
    shown = [Html(Markup("<p>{}</p>").format(link))] if "<a" in link else []
    title = f"Tiles that are not as imaged: {told}; where and why"
    return [Fold(title, [table, *shown], id="not-imaged")]


def _rows(found: Sequence[Tile]) -> list[list[object]]:
    """Join the tiles of one place and reason; z leads to what the search knows of the layer."""
    groups: dict[tuple[str, int, int, str], list[int]] = {}
    for one in found:
        groups.setdefault((one.what, one.row, one.column, one.why), []).append(one.z)
    link = Markup('<a href="#find=z%20{}">{}</a>')
    return [
        [len(z), what, f"{row}, {column}", link.format(min(z), spans(z)), why]
        for (what, row, column, why), z in groups.items()
    ]
