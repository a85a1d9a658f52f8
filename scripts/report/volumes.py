"""Volumes: what the folder of a volume says of it at a glance; nothing is run and no lock taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scripts.lib import files, gates, running, yaml_files
from scripts.lib.arrays import Array
from scripts.lib.job import UserError
from scripts.lib.pages import pictures as shapes
from scripts.lib.pages.pictures import Shown
from scripts.lib.verdicts import ABSENT, LOOK, NOT_GOOD
from scripts.lib.volumes import multiscale
from scripts.lib.volumes.multiscale import Target
from scripts.report import gather, known, pictures, progress, refused
from scripts.report.findings import outliers

_GATE = "gate before the solve"  # of a run that was stopped before it came to it
ROOT = Path(__file__).resolve().parents[2]
THUMBNAIL_PX = 150
SUMMARIES = ("report/summary.json", "report/so_far.json")
Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """A figure that is compared among volumes; `bad` tells which side is worse, None neither."""

    title: str
    of: Callable[[Figures], Any]
    digits: int = 0
    unit: str = ""
    bad: str | None = None


FIGURES = (
    Figure("layers", lambda f: f["ingest"].get("layers")),
    Figure("tiles", lambda f: f["ingest"].get("tiles")),
    Figure("tiles missing", lambda f: f["solve"]["counts"]["missing"], bad="high"),
    Figure("pairs saved", lambda f: f["match"]["saved_pct"], 1, "%", "low"),
    Figure("residual", lambda f: f["solve"]["residual_px"]["p50"], 2, "px", "high"),
    Figure(
        "misalignment, layers",
        lambda f: f["solve"]["misalignment"]["steps"]["rms_px"],
        2,
        "px",
        "high",
    ),
    Figure(
        "misalignment, seams",
        lambda f: f["solve"]["misalignment"]["seams"]["rms_px"],
        2,
        "px",
        "high",
    ),
    Figure("correlation", lambda f: f["zcorr"]["correlation_next"]["p50"], 3, "", "low"),
    Figure("core-hours", lambda f: f["costs"]["core_hours"], 1, "h"),
)


@dataclass(frozen=True)
class Volume:
    """A volume at a glance."""

    name: str
    config: Path
    folder: Path | None = None
    stage: str = ""  # the last that is done
    verdict: str = ABSENT
    waits: str = ""  # for what
    values: Mapping[str, float | None] = field(default_factory=dict)
    thumbnail: Shown | None = None
    report: Path | None = None
    decide: Path | None = None  # the page to look at before one decides, of a volume at a gate
    message: str = ""  # of what stopped it, as a whole
    work: str = ""  # how far the run at work on it has come
    reasons: Sequence[str] = ()  # of the verdict of its report
    needs: Sequence[Mapping[str, str]] = ()  # findings of its report, as `Finding.record`

    @property
    def begun(self) -> bool:
        """Tell whether there is anything of it.

        Returns
        -------
        bool
            True also where its config cannot be read.
        """
        return bool(self.stage or self.waits or self.work)


def read(config: Path) -> Volume:
    """Look at a volume.

    Parameters
    ----------
    config
        Its YAML file.

    Returns
    -------
    Volume
        Whatever there is; what cannot be read is what it waits for.
    """
    try:
        content = yaml_files.read(config)
        folder = ROOT / Path(content["work_dir"]).expanduser()
        name = str(content["volume"])
    except (UserError, KeyError, TypeError) as error:
        text = f"{refused.REFUSED}: {refused.UNREAD}: {_one_line(error)}"
        return Volume(config.stem, config, verdict=LOOK, waits=text)
    figures, report = _summary(folder)
    at_work = [run for run in running.read(folder) if run.at_work]
    since = min((running.began(folder, run) for run in at_work), default=0.0)
    stops = progress.stops(folder, since)
    stage, message = _reached(folder), stops[0].message if stops else ""
    stopped = _waits(folder, stops, at_work=bool(at_work))
    done = at_work or (folder / SUMMARIES[0]).exists()
    if refusal := "" if done else refused.refusal(config, folder):
        stopped, message = refused.line(refusal), refusal
    return Volume(
        name,
        config,
        folder,
        stage,
        _verdict(figures, stopped),
        stopped,
        {one.title: _value(one, figures) for one in FIGURES},
        _thumbnail(folder),
        report,
        _page_of_gate(folder, stops),
        message,
        reasons=figures.get("verdict", {}).get("reasons", ()),
        needs=figures.get("needs", ()),
    )


def _one_line(error: Exception) -> str:
    missing = f"no key {error}" if isinstance(error, KeyError) else str(error)
    return missing.partition("\n")[0]


def _summary(folder: Path) -> tuple[Figures, Path | None]:
    """Return the figures of the report, or of the one made on the way, and what is known since."""
    for name in SUMMARIES:
        path = folder / name
        page = path.with_name("index.html" if name == SUMMARIES[0] else "so_far.html")
        if path.is_file():
            try:
                figures = files.read_json(path)
            except ValueError:
                continue  # half of it: the other one may be whole
            later = known.figures(folder) if known.changed(folder) > path.stat().st_mtime else {}
            return known.added(figures, later), page if page.is_file() else None
    return known.figures(folder), None


def _reached(folder: Path) -> str:
    done = [stage for stage, last in gather.LAST.items() if (folder / last).exists()]
    if done and (folder / SUMMARIES[0]).exists():
        return "report"
    return done[-1] if done else ""


def _waits(folder: Path, stops: Sequence[progress.Stop], *, at_work: bool) -> str:
    """Say what a volume waits for: a person at the gate, or whoever mends an error."""
    if stops:
        return stops[0].headline
    tables = (folder / "review/tiles.tsv").exists()
    if tables and not at_work and not (folder / "review/gate.json").exists():
        return f"{_GATE}: a person decides"
    return ""


def _page_of_gate(folder: Path, stops: Sequence[progress.Stop]) -> Path | None:
    return next(iter(gates.to_look_at(stops[0].rule, folder)), None) if stops else None


def _verdict(figures: Figures, stopped: str) -> str:
    if stopped:
        decides = (_GATE, refused.REFUSED, *gates.GATES.values())  # nothing is wrong with a volume
        return LOOK if stopped.startswith(decides) else NOT_GOOD
    return str(figures.get("verdict", {}).get("state", ABSENT))


def _value(one: Figure, figures: Figures) -> float | None:
    """Return a figure; None where the run has not come so far, or the report is of older code."""
    try:
        value = one.of(figures)
    except (KeyError, TypeError):
        return None
    return float(value) if isinstance(value, int | float) else None


def _thumbnail(folder: Path) -> Shown | None:
    """Draw the middle layer of the export, from its lowest level that is large enough."""
    path = folder / "export/volume.json"
    if not path.is_file():
        return None
    try:
        document = files.read_json(path)
        sizes = [max(one["shape_zyx"][1:]) for one in document["levels"]]
        k = max([k for k, size in enumerate(sizes) if size >= THUMBNAIL_PX], default=0)
        first = document["targets"][0]
        target = Target(first["format"], str(folder / first["path"]), "", first["codec"], 1)
        level = multiscale.open_level(target, k)
        depth, height, width = level.shape_zyx
        values = level.read((slice(depth // 2, depth // 2 + 1), slice(0, height), slice(0, width)))
    except (OSError, ValueError, KeyError):
        return None  # moved away or cleaned up: the row stays
    layer = pictures.plane(values[0])
    small = shapes.shrink(pictures.stretched(layer, *pictures.contrast([layer])), THUMBNAIL_PX)
    return shapes.shown(small, document["volume"], "the middle layer", form="WEBP")


def odd(volumes: list[Volume]) -> dict[str, set[int]]:
    """Find the figures in which a volume stands out of the others, on the bad side.

    Parameters
    ----------
    volumes
        All that are shown.

    Returns
    -------
    dict of set
        Indices of volumes by title of the figure: robust outliers, none among fewer than eight.
    """
    found = {}
    for one in FIGURES:
        values: Array = np.array([v.values.get(one.title) for v in volumes], float)
        there = outliers(values, high=one.bad == "high") if one.bad else np.empty(0, np.intp)
        found[one.title] = set(there.tolist())
    return found
