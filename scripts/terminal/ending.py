"""The last lines of a run that went well: the verdict, where things are, and what comes next."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib import commands
from scripts.lib.verdicts import ABSENT, GOOD, LOOK, NOT_GOOD

# target -> (what it made, target that comes next); no next: nothing is left to do
MADE = {
    "transfer": ("transfer/layers.tsv", "ingest"),
    "ingest": ("ingest/layers.tsv", "match"),
    "match": ("match/summary.tsv", "review"),
    "review": ("review/index.html", "solve"),
    "solve": ("solve/solve.html", "zcorr"),
    "zcorr": ("zcorr/Zcoords.txt", "correct"),
    "correct": ("correct", "export"),
    "export": ("export/volume.json", "report"),
    "report": ("report/index.html", "all"),
    "preview": ("preview/imaging.html", ""),
    "region": ("exports", "promote_region"),
    "stacks": ("exports", ""),
    "tiff": ("tiff/tiff.json", ""),
    "promote": ("export/promoted.json", "cleanup_listing"),
    "promote_region": ("exports", ""),
    "cleanup_listing": ("cleanup/listing.tsv", ""),
    "cleanup": ("cleanup/removed.tsv", ""),
    "doctor": ("doctor/doctor.json", "estimate"),
    "estimate": ("estimate/estimate.json", "all"),
    "publish_issue": ("report/published.json", ""),
    "report_so_far": ("report/so_far.html", ""),
    "match_trial": ("match/trial/index.html", ""),
    "solve_compare": ("solve/compare.html", ""),
    "destreak_proposal": ("correct/destreak_proposal.html", ""),
}
SHOWN = {
    "estimate": "estimate/estimate.txt",
    "publish_issue": "report/published.txt",
}  # target -> text of which all lines are shown
MOST_REASONS = 3  # of a verdict that are reported here
_SIGN = {GOOD: "✓", LOOK: "!", NOT_GOOD: "✗"}


def lines(work: Path, targets: Sequence[str], finished: str | None = None) -> list[str]:
    """Return the last lines of a run that went well.

    Parameters
    ----------
    work
        Working directory.
    targets
        What was asked for; empty is the whole.
    finished
        Folder of finished volumes, if the config names one.

    Returns
    -------
    list of str
        The first is the verdict, or what was made.
    """
    if not targets or "all" in targets:
        return [*verdict(_read(work / "report/summary.json")), *_whole(work, finished)]
    found: list[str] = []
    for target in targets:
        made, _ = MADE.get(target, (target, ""))
        found.append(f"✓ {target} is done: {work / made}")
        found += _text(work / SHOWN[target]) if target in SHOWN else []
    following = MADE.get(targets[-1], ("", ""))[1]
    if targets[-1] == "report":
        found[-1:] = verdict(_read(work / "report/summary.json"))
        found.append(f"report: {work / 'report/index.html'}")
    if following:
        found.append(f"next: {commands.run(following)}")
    return found


def verdict(summary: Mapping[str, Any]) -> list[str]:
    """Return the verdict of a report, a line for each of its first reasons.

    Parameters
    ----------
    summary
        Content of ``report/summary.json``.

    Returns
    -------
    list of str
        Its state with the first reason, where it is not good; others below it, tiles that are not
        as imaged, and limits that the config has made wider.
    """
    found = summary.get("verdict", {})
    state = found.get("state", ABSENT)
    if state == ABSENT:
        return [f"! {LOOK}: there is no verdict in report/summary.json"]
    line, eased = f"{_SIGN[state]} {state}", [f"  {each}" for each in found.get("eased", ())]
    reasons = found["reasons"][: len(found["reasons"]) - len(eased)]
    eased = [*_not_imaged(summary), *eased]
    if state == GOOD or not reasons:
        return [line, *eased]
    first, *others = reasons
    rest = len(others) + 1 - MOST_REASONS
    more = [f"  and {rest} more reason{'s' if rest > 1 else ''}: in the report"] if rest > 0 else []
    told = [f"{line}: {first}", *(f"  {each}" for each in others[: MOST_REASONS - 1]), *more]
    return [*told, *eased]


def _not_imaged(summary: Mapping[str, Any]) -> list[str]:
    """Return how many tiles are not as imaged, in a line, if there are any."""
    counts = summary.get("solve", {}).get("counts") or {}
    told = [
        f"{count:,} {name.replace('_', ' ')}"
        for name, count in counts.items()
        if count and name != "placed"
    ]
    if not told:
        return []
    where = "which, where and why is on the first screen of the report"
    return [f"  tiles: {counts.get('placed', 0):,} placed, {', '.join(told)}: {where}"]


def _whole(work: Path, finished: str | None) -> list[str]:
    volumes = _read(work / "export/volume.json").get("targets", [])
    place = "set export.promote_root; then this renames the volume into that folder"
    if finished:
        place = f"this renames the volume into {finished}"
    return [
        f"report: {work / 'report/index.html'}",
        *(f"volume: {work / each['path']}" for each in volumes),
        f"next, once you have looked: {place}, for good:",
        f"  {commands.run('promote')}",
    ]


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def _text(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []
