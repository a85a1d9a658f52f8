"""Show many volumes on one page, a row for each.

``python -m scripts.overview config/volumes/*.yaml`` reads the folder of each volume, runs nothing,
and writes overview.html: how far it is, verdict with its reasons, what it waits for, figures with
those that stand out of the others marked, a picture, and a link to its report.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from scripts.lib import files
from scripts.lib.pages import page as pages
from scripts.lib.pages.page import Facts, Fold, Part, Section, Table, Text
from scripts.lib.pages.text import NONE, number
from scripts.lib.verdicts import ABSENT, GOOD, LOOK, NOT_GOOD
from scripts.report import status, volumes
from scripts.report.volumes import FIGURES, Volume

_ORDER = (NOT_GOOD, LOOK, ABSENT, GOOD)
_HEADER = ("layer", "volume", "done up to", "state", "why", *(one.title for one in FIGURES))
WORK, STOPPED = status.AT_WORK, status.STOPPED
_MOST = 4  # findings of a volume that are reported
SHOWN_PX = 75  # of a picture: half of what it has, for sharp screens
_NOTE = (
    "Marked figures stand out of those of the other volumes, on the bad side: more than five robust"
    " standard deviations from the median, from eight volumes on."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; give its exit status: 1 when a config could not be read."""
    args = _arguments(argv)
    found = [read(path, time.time()) for path in args.configs]
    files.write_text(args.out, page(found, args.out.resolve().parent))
    unread = [one for one in found if one.folder is None]
    for one in unread:
        print(f"{one.config}: {one.waits}", file=sys.stderr)
    waiting = sum(needs_somebody(one) for one in found)
    print(f"{args.out}: {len(found)} volume(s), waiting for somebody: {waiting}")
    return 1 if unread else 0


def read(config: Path, now: float) -> Volume:
    """Look at a volume, and at the run that is at work on it.

    Parameters
    ----------
    config
        Its YAML file.
    now
        Seconds since 1970.

    Returns
    -------
    Volume
        Of a run that was ended before its end, that it was.
    """
    found = volumes.read(config)
    if found.folder is None:
        return found
    row = status.read(config, now)
    if row.state.startswith(WORK):
        left = f"{row.left} left" if row.left else ""
        work = ", ".join(filter(None, [row.stage, row.done, left])) or "begun"
        return replace(found, work=f"{row.state}: {work}")
    if row.state == STOPPED and not found.waits:
        return replace(found, waits=row.waits)
    return found


def needs_somebody(one: Volume) -> bool:
    """Tell whether a volume waits for a person, or its report has lines for one to copy.

    Parameters
    ----------
    one
        The volume.

    Returns
    -------
    bool
        True too of every volume that is not good.
    """
    return bool(one.waits or one.verdict == NOT_GOOD or any(map(_can_be_done, one.needs)))


def _can_be_done(need: Mapping[str, str]) -> bool:
    return bool(need.get("lines") or need.get("command"))


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
    ordered = sorted(
        found, key=lambda one: (_ORDER.index(one.verdict), not needs_somebody(one), one.name)
    )
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
    words = Counter(word for one in begun for _, _, word in _states(one))
    order = [*(pages.WORDS[state] for state in _ORDER), status.REFUSED, STOPPED, WORK]
    return [("volumes", number(len(found))), *((w, number(words[w])) for w in order if words[w])]


def _waiting(shown: Sequence[Volume], folder: Path) -> list[Part]:
    rows = [
        [_link(one.name, one.decide or one.report, folder), _folded(one)]
        for one in shown
        if needs_somebody(one)
    ]
    table = Table("Volumes that wait", ["volume", "for"], rows, most=len(rows))
    return [table] if rows else [Text("Nothing waits.")]


def _folded(one: Volume) -> Markup | str:
    """Show what a volume waits for in a sentence, and the whole message when one asks for it."""
    if not one.waits:
        return _to_do(one)
    if not one.message.strip() or one.message.strip() in one.waits:
        return one.waits
    return _fold(one.waits, "the whole message", one.message)


def _fold(said: str, title: str, message: str) -> Markup:
    fold = "{}<details><summary>{}</summary><pre>{}</pre></details>"
    return Markup(fold).format(said, title, message)


def _to_do(one: Volume) -> Markup | str:
    """Show the reasons of a verdict, and the advice and lines of the report when one asks."""
    lines = "\n\n".join(map(_advice, one.needs[:_MOST]))
    if len(one.needs) > _MOST:
        lines += f"\n\n{len(one.needs) - _MOST} more in the report"
    return _fold(_reasons(one.reasons), "what to do", lines) if lines else _reasons(one.reasons)


def _advice(need: Mapping[str, str]) -> str:
    place = f"{need['where']}: " if need["where"] else ""
    told = (f"{need['stage']}: {place}{need['what']}", need["advice"], need["command"])
    return "\n".join(filter(None, [*told, need["lines"].rstrip()]))


def _reasons(reasons: Sequence[str]) -> str:
    first = reasons[0] if reasons else ""
    return f"{first} (and {len(reasons) - 1} more)" if reasons[1:] else first


def _why(one: Volume) -> Markup:
    """Say in a few words how a volume came to its state."""
    said: Iterable[str] = filter(None, [one.work, one.waits or _reasons(one.reasons)])
    return Markup('<div class="why">{}</div>').format("; ".join(said))


def _row(one: Volume, odd: Collection[str], folder: Path) -> list[Any]:
    return [
        _picture(one),
        _link(one.name, one.report or one.decide, folder),
        one.stage,
        _state(one),
        _why(one),
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


def _states(one: Volume) -> list[tuple[str, str, str]]:
    """Return kind, mark and word of the verdict, and of a run at work, refused, or ended early."""
    state = one.verdict
    judged = [(state.replace(" ", "-"), pages.MARKS[state], pages.WORDS[state])]
    if one.work:
        return [*(judged if state != ABSENT else []), ("", "…", WORK)]
    if one.waits.startswith(status.REFUSED):
        return [("look", pages.MARKS[LOOK], status.REFUSED)]
    return [("", pages.MARKS[ABSENT], STOPPED)] if state == ABSENT and one.waits else judged


def _state(one: Volume) -> Markup:
    badge = Markup('<span class="badge {}">{} {}</span>')
    return Markup(" ").join(badge.format(*each) for each in _states(one))


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
