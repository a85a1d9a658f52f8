"""Say of each volume what it does, how far it is, and what it waits for: a row each.

``python -m scripts.status config/volumes/*.yaml`` reads the folder of each volume, runs nothing and
takes no lock. With ``--html FILE`` it writes a page too, with ``--every S`` again and again.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from scripts.lib import files, flow, running, yaml_files
from scripts.lib.files import read_table
from scripts.lib.gates import GATES
from scripts.lib.job import UserError
from scripts.lib.pages import page as pages
from scripts.lib.pages.page import Code, Facts, Part, Section, Table, Text
from scripts.lib.running import Run
from scripts.report import gather, progress, refused, volumes, watched, waves
from scripts.report.watched import Stage

HEADER = ("volume", "state", "stage", "done", "left", "waits for, or last error")
AT_WORK, STOPPED, WAITS, FINISHED, NEW = "at work", "stopped", "waits", "finished", "not begun"
REFUSED = refused.REFUSED
_ORDER = (WAITS, REFUSED, STOPPED, AT_WORK, NEW, FINISHED)
SO_FAR = "report/so_far.html"
_NARROWEST = 40  # characters that the last column keeps on a terminal
_CUT = "… is cut: name one volume to read all of it, or add: | cat"
_QUIET_S = 900.0  # a run that reported nothing for so long is worth a look
_LOOKS = {"examine_volume", "estimate_volume"}  # jobs that begin nothing


@dataclass(frozen=True)
class Status:
    """A row: what a volume does, how far it is, what it waits for."""

    name: str
    state: str
    stage: str = ""
    done: str = ""
    left: str = ""
    waits: str = ""
    imaging: Path | None = None  # the page for the person at the microscope
    stages: Sequence[Stage] = ()
    cost: str = ""
    folder: Path | None = None
    message: str = ""  # of what stopped it, as a whole
    new: str = ""  # layers that have come since the last report, and what the export has

    @property
    def cells(self) -> list[str]:
        """Return the row in the order of `HEADER`.

        Returns
        -------
        list of str
            Empty where there is nothing to say.
        """
        waits = "; ".join(filter(None, [self.new if self.state == FINISHED else "", self.waits]))
        return [self.name, self.state, self.stage, self.done, self.left, waits]


def read(config: Path, now: float) -> Status:
    """Look at a volume.

    Parameters
    ----------
    config
        Its YAML file.
    now
        Seconds since 1970.

    Returns
    -------
    Status
        Whatever there is; a config that cannot be read is what it waits for.
    """
    try:
        content = yaml_files.read(config)
        folder = Path(flow.resolved(volumes.ROOT, content["work_dir"]) or "")
        name = str(content["volume"])
    except (UserError, KeyError, TypeError) as error:
        text = str(error).partition("\n")[0].removeprefix(f"{config}: cannot be read ")
        return Status(config.stem, REFUSED, waits=f"{refused.UNREAD}: {text}")
    imaging = folder / "preview/imaging.html"
    row = replace(_row(name, folder, now), imaging=imaging if imaging.is_file() else None)
    return _refused(
        replace(row, new=waves.since(folder, content.get("acquisition", {}))), config, folder
    )


def _refused(row: Status, config: Path, folder: Path) -> Status:
    """Say that the last start was refused, unless a run is at work or the volume is finished."""
    if row.state.startswith((AT_WORK, FINISHED)):
        return row
    message = refused.refusal(config, folder)
    if not message:
        return row
    line = refused.line(message).removeprefix(f"{REFUSED}: ")
    return replace(row, state=REFUSED, waits=line, message=message)


def _row(name: str, folder: Path, now: float) -> Status:
    runs = running.read(folder)
    if any(run.at_work for run in runs):
        return _at_work(name, folder, runs, now)
    stopped = progress.stops(folder)
    if stopped:
        state = WAITS if stopped[0].rule in GATES else STOPPED
        return Status(name, state, *_reached(folder), waits=stopped[0].headline)
    if (folder / volumes.SUMMARIES[0]).exists():
        return Status(name, FINISHED, "report", "all", waits=_verdict(folder))
    killed = next((run for run in runs if run.claim or (run.news and not run.news.said)), None)
    stage, done = _reached(folder)
    if killed:
        return Status(name, STOPPED, stage, done, waits=f"the run of {killed.part} was killed")
    waits = f"no run is at work; {stage} comes next" if stage else ""
    return Status(name, STOPPED if stage else NEW, stage, done, waits=waits)


def watched_closely(config: Path, row: Status) -> Status:
    """Add to a row the stages of the volume and what it has cost.

    Parameters
    ----------
    config
        Its YAML file.
    row
        Of `read`.

    Returns
    -------
    Status
        As it was for a volume that has not begun, or whose config cannot be read.
    """
    if row.state == NEW or row.waits.startswith(refused.UNREAD):
        return row
    content = yaml_files.read(config)
    folder = Path(flow.resolved(volumes.ROOT, content["work_dir"]) or "")
    runs = {run.part: run for run in running.read(folder)}
    run = runs.get("volume") or next(iter(runs.values()), None)
    since = running.began(folder, run) if run and run.at_work else 0.0
    stops = progress.stops(folder, since)
    stages = watched.stages(run.news if run else None, stops, at_work=bool(run and run.at_work))
    message = stops[0].message if stops and row.state in (WAITS, STOPPED) else row.message
    cost, acquisition = watched.cost(folder), content.get("acquisition", {})
    root = flow.resolved(volumes.ROOT, content.get("transfer", {}).get("dat_root"))
    new = waves.since(folder, acquisition, Path(root) if root else None)
    if new and run and run.news and run.news.command:
        new += f"; they go in by: {run.news.command}"
    return replace(row, stages=stages, cost=cost, folder=folder, message=message, new=new)


def _at_work(name: str, folder: Path, runs: Sequence[Run], now: float) -> Status:
    """Return the row of a volume with runs at work: the rest of a volume before its transfer."""
    mine = sorted((r for r in runs if r.at_work), key=lambda r: r.part != "volume")
    first, reached = mine[0], _reached(folder)
    parts = ", ".join(run.part for run in mine)
    state = AT_WORK if parts == "volume" else f"{AT_WORK} ({parts})"
    failed = progress.stops(folder, running.began(folder, first))
    error = failed[0].headline if failed else ""
    news = first.news
    if news is None or news.said:  # of the run before; this one has not ended a job yet
        return Status(name, state, *reached, waits=error)
    quiet_s = now - news.at
    quiet = f"no news for {_time(quiet_s)}" if quiet_s > _QUIET_S else ""
    done = f"{news.done} of {news.planned}, {news.share:.0%}"
    left = "" if news.left_s is None else _time(max(0.0, news.left_s - quiet_s))
    return Status(name, state, news.stage, done, left, "; ".join(filter(None, [quiet, error])))


def _reached(folder: Path) -> tuple[str, str]:
    """Return the stage that comes next, and how many of its chunks are done."""
    rest = [stage for stage, last in gather.LAST.items() if not (folder / last).exists()]
    begun = any((folder / last).exists() for last in gather.LAST.values())
    if not begun and not {path.name for path in (folder / "logs").glob("*")} - _LOOKS:
        return "", ""
    table = folder / "ingest/chunks.tsv"
    chunks = len(read_table(table)) if table.exists() else 0
    runs = len(list((folder / "match/results").glob("*/"))) or 1
    done = progress.chunks_done(folder, chunks, runs).get(rest[0]) if rest else None
    return rest[0] if rest else "report", "" if done is None else f"{done[0]} of {done[1]} chunks"


def _verdict(folder: Path) -> str:
    try:
        verdict = files.read_json(folder / volumes.SUMMARIES[0])["verdict"]
        return ": ".join(filter(None, [verdict["state"], "; ".join(verdict.get("reasons", []))]))
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _time(seconds: float) -> str:
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def lines(rows: Sequence[Status], width: int | None = None) -> list[str]:
    """Return the table as text, what needs a person first.

    Parameters
    ----------
    rows
        Volumes.
    width
        Characters in a line of the terminal; None: nothing is cut.

    Returns
    -------
    list of str
        Columns aligned; the last one cut where the terminal ends, unless there is one volume, and
        then the last line says so. Several volumes that have not begun beside others share a line.
    """
    new = [row.name for row in ordered(rows) if row.state == NEW]
    # many that have not begun, like examples, would hide the others
    shown = [row for row in rows if row.state != NEW] if 1 < len(new) < len(rows) else rows
    table = [list(HEADER), *(row.cells for row in ordered(shown))]
    widths = [max(len(row[k]) for row in table) for k in range(len(HEADER) - 1)]
    longest = max(len(row[-1]) for row in table)
    room = longest if width is None else max(width - sum(widths) - 2 * len(widths), _NARROWEST)
    most = room if len(shown) > 1 else longest
    cut = [row[-1] if len(row[-1]) <= most else f"{row[-1][: most - 1]}…" for row in table]
    text = [
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), last]).rstrip()
        for row, last in zip(table, cut, strict=True)
    ]
    text += [] if len(shown) == len(rows) else [f"{NEW}: {', '.join(new)}"]
    return text if most >= longest else [*text, _CUT]


def ordered(rows: Sequence[Status]) -> list[Status]:
    """Return the rows in the order in which they need somebody.

    Parameters
    ----------
    rows
        Volumes.

    Returns
    -------
    list of Status
        Those that wait first, finished ones last.
    """
    return sorted(rows, key=lambda row: (_ORDER.index(row.state.partition(" (")[0]), row.name))


def page(
    rows: Sequence[Status], now: float, every_s: float | None, place: Path | None = None
) -> str:
    """Return the table as a page, and a section for each volume that has begun.

    Parameters
    ----------
    rows
        Volumes.
    now
        Seconds since 1970, shown.
    every_s
        Time after which a browser loads it again; None: never.
    place
        Folder of the page, absolute: links start there; None: no links.

    Returns
    -------
    str
        One file that loads nothing else.
    """
    shown: list[list[Any]] = [
        [_named(row), *row.cells[1:], _link(row.imaging)] for row in ordered(rows)
    ]
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
    table = Table("Volumes", [*HEADER, "imaging"], shown, most=len(shown))
    note = f"As of {at}{f'; this page loads itself again every {every_s:g} s' if every_s else ''}."
    each = [_section(row, place) for row in ordered(rows) if row.folder]
    text = pages.render("Status", [Section("Volumes", [table], note), *each], here="")
    again = "" if every_s is None else f'<meta http-equiv="refresh" content="{every_s:.0f}">'
    return text.replace("<head>", f"<head>{again}", 1)


def _link(page: Path | None) -> Any:  # noqa: ANN401 - a cell of a table
    if page is None:
        return ""
    return Markup('<a href="{}">page</a>').format(page.resolve().as_uri())


def _named(row: Status) -> Markup | str:
    if row.folder is None:
        return row.name
    return Markup('<a href="#{}">{}</a>').format(_anchor(row), row.name)


def _anchor(row: Status) -> str:
    return f"volume-{row.name}"


def _section(row: Status, place: Path | None) -> Section:
    """Show a volume stage by stage, with what it waits for and its pages."""
    facts: list[tuple[str, Any]] = [("state", row.state)]
    facts += [("time left", row.left)] if row.left else []
    facts += [("layers", row.new)] if row.new else []
    facts += [("cost", row.cost)] if row.cost else []
    facts += [("pages", links)] if (links := _links(row, place)) else []
    parts: list[Part] = [Facts(facts)]
    if row.message:
        parts += [Text(row.waits, "warn"), Code(row.message)]
    table = Table("Stages", watched.HEADER, [one.cells for one in row.stages])
    return Section(row.name, [*parts, table], id=_anchor(row))


def _links(row: Status, place: Path | None) -> Markup:
    """Lead to the pages of a volume that are there."""
    folder = row.folder
    if folder is None or place is None:
        return Markup()
    known = [*pages.PAGES.items(), *pages.PREVIEW.items(), (SO_FAR, "Report so far")]
    shown = [
        Markup('<a href="{}">{}</a>').format(os.path.relpath(folder / path, place), name)
        for path, name in known
        if (folder / path).exists()
    ]
    return Markup(" · ").join(shown)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; give its exit status: 1 when a config could not be read.

    Parameters
    ----------
    argv
        Arguments; default: those of the process.

    Returns
    -------
    int
        0 or 1.
    """
    args = _arguments(argv)
    while True:
        now = time.time()
        rows = [read(path, now) for path in args.configs]
        if args.html or len(rows) == 1:
            both = zip(args.configs, rows, strict=True)
            rows = [watched_closely(path, row) for path, row in both]
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print("\n".join(lines(rows, width)), flush=True)
        if len(rows) == 1:
            new = [f"  {rows[0].new}"] if rows[0].new and rows[0].state != FINISHED else []
            told = [*new, *watched.lines(rows[0].stages)]
            print("".join(f"{line}\n" for line in told), end="", flush=True)
        if args.html:
            text = page(rows, now, args.every, args.html.resolve().parent)
            files.write_text(args.html, text)
        if args.every is None:
            return int(any(row.waits.startswith(refused.UNREAD) for row in rows))
        time.sleep(args.every)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.status", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("configs", nargs="+", type=Path, metavar="CONFIG", help="YAML of volumes")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page too")
    parser.add_argument("--every", type=float, metavar="S", help="again after so many seconds")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
