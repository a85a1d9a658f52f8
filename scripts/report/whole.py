"""Whole: everything of a report from what was gathered, whether the run is done or not."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.lib.pages.page import Part, Section
from scripts.lib.service.errors import RenderError
from scripts.report import (
    album,
    compared,
    findings,
    meeting,
    not_imaged,
    page,
    places,
    plots,
    searched,
    summary,
)
from scripts.report.album import Album, Stacks
from scripts.report.finding import Finding
from scripts.report.gather import Evidence
from scripts.report.judged import Rules

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """Figures with their verdict, findings, and the page."""

    figures: Mapping[str, Any]
    findings: Sequence[Finding]
    page: str
    section: bytes  # PNG: the same section before and after


def report(
    evidence: Evidence,
    service: Stacks,
    *,
    names: Mapping[str, Any],
    limits: Mapping[str, Any],
    first: Sequence[Section] = (),
    so_far: bool = False,
    wave: str = "",
) -> Report:
    """Judge, draw and write the page.

    Parameters
    ----------
    evidence
        What a run left.
    service
        Holds the stacks.
    names
        Names and sizes of the volume.
    limits
        Section ``report.limits`` of the config.
    first
        Sections that stand before all others.
    so_far
        The run is not done: pictures that cannot be drawn are left out.
    wave
        Which layers the volume holds, of one that grows.

    Returns
    -------
    Report
        Nothing is written.
    """
    figures = summary.summarise(evidence, volume=names["volume"])
    rules = Rules.of(limits, names)
    found = findings.findings(evidence, figures, rules)
    figures = summary.judge(figures, found, names.get("eased", ()))
    draw = _what_can_be_drawn if so_far else _drawn
    drawn, places_compared = draw(evidence, service, figures, names)
    here = page.SO_FAR if so_far else page.HERE
    text = page.page(
        figures,
        findings=found,
        album=drawn,
        compared=places_compared,
        tiles=searched.index(evidence),
        plots=plots.all_plots(evidence),
        where=places.where(evidence, Path.cwd()),
        first=first,
        changed=not_imaged.parts(evidence, here),
        here=here,
        limits=rules.limits,
        left_px=names.get("left_px"),
        wave=wave,
    )
    return Report(figures, found, text, album.before_and_after(drawn))


def _drawn(
    evidence: Evidence, service: Stacks, figures: Mapping[str, Any], names: Mapping[str, Any]
) -> tuple[Album, list[Part]]:
    holes = [hole["z"] for hole in figures["ingest"].get("holes", [])]
    level = places.level(evidence)
    named = places.album_names(names)
    drawn = album.draw(service, named, holes=holes, volume=level)
    met = meeting.draw(service, names["align"], meeting.places(evidence))
    parts = compared.draw(service, named, evidence, places.full_level(evidence))
    return album.of_stages(evidence.documents, drawn, met), parts


def _what_can_be_drawn(
    evidence: Evidence, service: Stacks, figures: Mapping[str, Any], names: Mapping[str, Any]
) -> tuple[Album, list[Part]]:
    """Draw, or show none but the pictures of stages where stacks are not there or not reached."""
    try:
        return _drawn(evidence, service, figures, names)
    except (RenderError, OSError) as error:
        log.warning("without pictures of stacks and volume: %s", error)
        return album.of_stages(evidence.documents, {}), []
