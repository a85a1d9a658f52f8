"""First screen: is it good, what needs a person, where is the volume, how was it made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from scripts.lib.pages import page as pages
from scripts.lib.pages.page import Code, Copied, Facts, Fold, Html, Part, Section, Text, Verdict
from scripts.lib.verdicts import ABSENT, GOOD
from scripts.report.finding import Finding
from scripts.report.origin import Origin

MOST_REASONS = 3
FORMS = {"n5": "N5", "zarr": "OME-Zarr", "zarr3": "OME-Zarr 0.5"}
# pages that show more of what a stage found than the report does
DETAILS = {
    "ingest": "ingest/validation.html",
    "match": "review/index.html",
    "review": "review/index.html",
    "solve": "solve/solve.html",
    "zcorr": "zcorr/thickness.html",
}


@dataclass(frozen=True)
class Volume:
    """An exported volume: its absolute folder, its form, and the link that opens it."""

    path: str
    form: str
    link: str = ""


@dataclass(frozen=True)
class Where:
    """Where the volume lies, and how others see it."""

    folder: str
    volumes: Sequence[Volume] = ()
    serve: str = ""  # the command that a link to this computer needs
    origin: Origin = field(default_factory=Origin)


def verdict(figures: Mapping[str, Any], placed: str) -> Verdict:
    """Return how good the volume is, with the reasons.

    Parameters
    ----------
    figures
        What `summary.judge` returns.
    placed
        A sentence on how far the run came.

    Returns
    -------
    Verdict
        Its reasons lead to their stages.
    """
    state, eased = figures["verdict"]["state"], figures["verdict"].get("eased", ())
    reasons = figures["verdict"]["reasons"]
    reasons = reasons[: len(reasons) - len(eased)]  # what is eased stands below all of them
    word = pages.WORDS[state].capitalize() if state != ABSENT else "Nothing has been done yet"
    shown = [(text, text.partition(":")[0]) for text in reasons[:MOST_REASONS]]
    if more := len(reasons) - MOST_REASONS:
        shown += [(f"{more} more", "next")] if more > 0 else []
    return Verdict(state, f"{word}. {placed}", shown, eased)


def sections(
    figures: Mapping[str, Any],
    findings: Sequence[Finding],
    where: Where,
    here: str,
    changed: Sequence[Part] = (),
) -> list[Section]:
    """Return what stands first: what needs a person, and where the volume is.

    Parameters
    ----------
    figures
        What `summary.judge` returns.
    findings
        All of them.
    where
        Places.
    here
        The page, for its links.
    changed
        What says which tiles are not as imaged.

    Returns
    -------
    list of Section
        What changes no verdict is folded away.
    """
    needed = [one for one in findings if one.state != GOOD]
    notes = [one for one in findings if one.state == GOOD]
    parts = _listed(needed, here) or [Text("Nothing is beyond its limit.")]
    if notes:
        more = "more " if needed else ""
        count = f"{len(notes)} {more}thing{'s' if len(notes) > 1 else ''} noticed"
        parts.append(Fold(f"{count}; none changes the verdict", _listed(notes, here), id="notes"))
    parts += changed
    state = figures["verdict"]["state"]
    return [
        Section("What needs you", parts, status=state, id="next"),
        Section("Where the volume is", [*_places(where), *_made(figures, where)], id="where"),
    ]


def _listed(findings: Sequence[Finding], here: str) -> list[Part]:
    """List findings, each with its place, what to do, and the lines to copy."""
    if not findings:
        return []
    items = Markup("").join(Markup("<li>{}</li>").format(_finding(one, here)) for one in findings)
    return [Html(Markup('<ul class="findings">{}</ul>').format(items))]


def _finding(one: Finding, here: str) -> Markup:
    stage = Markup('<a class="stage" href="#{0}">{0}</a> ').format(one.stage)
    badge = Markup('<span class="badge {}">{}</span> ')
    mark = (
        ""
        if one.state == GOOD
        else badge.format(one.state.replace(" ", "-"), pages.WORDS[one.state])
    )
    advice = Markup('<br><span class="advice">{}{}</span>').format(one.advice, _details(one, here))
    copied = Markup("").join(
        Markup("<pre>{}</pre>").format(text) for text in (one.command, one.lines) if text
    )
    return Markup("{}{}<b>{}</b> {}{}{}").format(stage, mark, one.where, one.what, advice, copied)


def _details(one: Finding, here: str) -> str:
    path = DETAILS.get(one.stage)
    link = pages.link(path, here, "its pictures and tables") if path else ""
    return Markup(" · {}").format(link) if "<a" in link else ""


def _places(where: Where) -> list[Part]:
    parts: list[Part] = [
        Copied(FORMS.get(one.form, one.form), one.path, _opened(one, where))
        for one in where.volumes
    ]
    if where.serve:
        note = (
            "in a terminal of the computer that holds the volume; the links work while it runs, and"
            " it gives this report, too, at the address that it prints. When its port is in use:"
            " add --port 0, and open that address, whose links are right for any port"
        )
        parts.append(Copied("to open it", where.serve, note))
    if not where.volumes:
        parts.append(Text("There is no volume yet: the run has not come to the export.", "note"))
    return [*parts, Copied("folder", where.folder)]


def _opened(volume: Volume, where: Where) -> Markup | str:
    if not volume.link:
        return ""
    words = (
        "on the computer that holds it, while the command below runs"
        if where.serve
        else "for everybody who has the link"
    )
    link = Markup('<a href="{}" rel="noopener" target="_blank">open in neuroglancer</a> ({})')
    return link.format(volume.link, words)


def _made(figures: Mapping[str, Any], where: Where) -> list[Part]:
    """Say how the volume was made; folded away."""
    origin = where.origin
    rows = [
        ("volume finished", origin.finished or "not yet"),
        ("version of the code", figures["code_version"]),
        ("commit", origin.commit or "not known"),
        ("config", origin.config or "not known"),
    ]
    parts: list[Part] = [Facts(rows)]
    parts += [Copied("command", origin.command)] if origin.command else []
    parts += [Code(origin.text)] if origin.text else []
    return [Fold("How it was made: date, version, command, config", parts, id="made")]
