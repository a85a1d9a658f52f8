"""Show many volumes on one page, a row for each.

``python -m scripts.overview config/volumes/*.yaml`` reads the folder of each volume, runs nothing,
and writes overview.html: stage, verdict, what it waits for, figures with those that stand out of
the others marked, a picture, and a link to its report.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from scripts.lib import files
from scripts.lib.pages import page as pages
from scripts.lib.pages.page import Facts, Fold, Part, Section, Table, Text
from scripts.lib.pages.text import NONE, number
from scripts.lib.verdicts import ABSENT, GOOD, LOOK, NOT_GOOD
from scripts.report import volumes
from scripts.report.volumes import FIGURES, Volume

_ORDER = (NOT_GOOD, LOOK, ABSENT, GOOD)
_HEADER = ("layer", "volume", "done up to", "verdict", "waits", *(one.title for one in FIGURES))
SHOWN_PX = 75  # of a picture: half of what it has, for sharp screens
_NOTE = (
    "Marked figures stand out of those of the other volumes, on the bad side: more than five robust"
    " standard deviations from the median, from eight volumes on."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; give its exit status: 1 when a config could not be read."""
    args = _arguments(argv)
    found = [volumes.read(path) for path in args.configs]
    files.write_text(args.out, page(found, args.out.resolve().parent))
    unread = [one for one in found if one.folder is None]
    for one in unread:
        print(f"{one.config}: {one.waits}", file=sys.stderr)
    waiting = sum(bool(one.waits) for one in found)
    print(f"{args.out}: {len(found)} volume(s), waiting for somebody: {waiting}")
    return 1 if unread else 0


def page(found: Sequence[Volume], folder: Path) -> str:
    """Return the page.

    Parameters
    ----------
    found
        Volumes.
    folder
        Folder of the page, absolute: links start there.

    Returns
    -------
    str
        One file that loads nothing.
    """
    ordered = sorted(found, key=lambda one: (_ORDER.index(one.verdict), not one.waits, one.name))
    shown = [one for one in ordered if one.begun]
    rest = [one for one in ordered if not one.begun]
    odd = volumes.odd(shown)
    rows = [
        _row(one, {t for t, at in odd.items() if k in at}, folder) for k, one in enumerate(shown)
    ]
    parts: list[Part] = [Table("Volumes", _HEADER, rows, most=len(rows))]
    if not rows:
        parts = [Text("None of these volumes has begun.")]
    if rest:
        names = Facts([(one.name, str(one.config)) for one in rest])
        parts.append(Fold(f"{len(rest)} not begun", [names]))
    sections = [
        Section("What waits for somebody", _waiting(shown, folder), id="waiting"),
        Section("All volumes", parts, _NOTE, id="volumes"),
    ]
    lead = [Facts(_counts(found), cards=True)]
    return pages.render("Volumes", sections, here="", lead=lead)


def _counts(found: Sequence[Volume]) -> list[tuple[str, str]]:
    begun = [one for one in found if one.begun]
    words = {state: sum(one.verdict == state for one in begun) for state in _ORDER}
    named = [(pages.WORDS[state], number(count)) for state, count in words.items() if count]
    return [("volumes", number(len(found))), *named]


def _waiting(shown: Sequence[Volume], folder: Path) -> list[Part]:
    rows = [
        [_link(one.name, one.decide or one.report, folder), _folded(one)]
        for one in shown
        if one.waits
    ]
    table = Table("Volumes that wait", ["volume", "for"], rows, most=len(rows))
    return [table] if rows else [Text("Nothing waits.")]


def _folded(one: Volume) -> Markup | str:
    """Show what a volume waits for in a sentence, and the whole message when one asks for it."""
    if not one.message.strip() or one.message.strip() in one.waits:
        return one.waits
    fold = "{}<details><summary>the whole message</summary><pre>{}</pre></details>"
    return Markup(fold).format(one.waits, one.message)


def _row(one: Volume, odd: Collection[str], folder: Path) -> list[Any]:
    return [
        _picture(one),
        _link(one.name, one.report or one.decide, folder),
        one.stage,
        _badge(one.verdict),
        "yes" if one.waits else "",
        *(_figure(figure, one.values, odd) for figure in FIGURES),
    ]


def _picture(one: Volume) -> Markup | str:
    if one.thumbnail is None:
        return ""
    image = Markup(
        '<img src="{}" width="{}" height="{}" loading="lazy" alt="{}, the middle layer">'
    )
    scale = SHOWN_PX / max(one.thumbnail.width_px, one.thumbnail.height_px)
    size = (round(scale * px) for px in (one.thumbnail.width_px, one.thumbnail.height_px))
    return image.format(one.thumbnail.uri, *size, one.name)


def _link(name: str, page: Path | None, folder: Path) -> Markup | str:
    if page is None:
        return name
    target = Path(os.path.relpath(page, folder)).as_posix()
    return Markup('<a href="{}">{}</a>').format(target, name)


def _badge(state: str) -> Markup:
    badge = Markup('<span class="badge {}">{} {}</span>')
    return badge.format(state.replace(" ", "-"), pages.MARKS[state], pages.WORDS[state])


def _figure(
    figure: volumes.Figure, values: Mapping[str, float | None], odd: Collection[str]
) -> Markup | str:
    value = values.get(figure.title)
    text = number(value, figure.digits, figure.unit) if value is not None else NONE
    if figure.title not in odd:
        return text
    return Markup('<mark title="stands out of the other volumes">{}</mark>').format(text)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.overview", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("configs", nargs="+", type=Path, metavar="CONFIG", help="YAML of volumes")
    parser.add_argument("--out", type=Path, default=Path("overview.html"), help="the page")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
