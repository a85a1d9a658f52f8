"""New volume, the text: a line of YAML and a comment for each thing that the files say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from scripts.lib import commands
from scripts.transfer.acquired import Acquired
from scripts.transfer.microscopes import Microscope

STILL_IMAGING = timedelta(days=1)  # restarts and refills take hours
DEPTH_DIFFERS = 0.2  # share by which the milled depth may differ from the pixel size unsaid
_AT = 44  # column of the comments


@dataclass(frozen=True)
class Choices:
    """What a person chose, or what stands for it."""

    volume: str
    dat_root: str
    work_dir: str
    owner: str


def identifier(text: str) -> str:
    """Return a name that render-ws takes.

    Parameters
    ----------
    text
        Any.

    Returns
    -------
    str
        Letters and digits with single underscores inside; perhaps empty.
    """
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")


def text(found: Acquired, chosen: Microscope | None, choices: Choices, now: datetime) -> str:
    """Return the YAML of a volume.

    Parameters
    ----------
    found
        What was acquired.
    chosen
        What is known of the microscope, or None.
    choices
        Names and folders.
    now
        Local time, by which imaging is over or not.

    Returns
    -------
    str
        Some ten keys, each with a comment; all others have their defaults.
    """
    lines = [
        *_head(found),
        *names(choices, f"{_size(found)} of .dat files"),
        "acquisition:",
        *_acquisition(found, now),
        "",
        "transfer:",
        line("  dat_root", choices.dat_root, "the .dat files, in it or below"),
        *_channel(found),
        "",
        "ingest:",
        *_ingest(found, chosen),
    ]
    return "\n".join(lines) + "\n"


def _head(found: Acquired) -> list[str]:
    said = found.samples[0] if found.samples else found.texts.get("Notes", "").split(",")[0]
    machine = found.texts.get("MachineID") or found.scope
    return [
        f"# {plain(said) or 'No sample name in the headers'}; {plain(machine)},"
        f" {found.layers:,} layers, {found.tiles:,} tiles of {found.width_px} x"
        f" {found.height_px} px, {found.bits} bit.",
        f"# Written from all file names and {found.read} headers; every other key has its default"
        " (config/README.md).",
        *(f"# LOOK: {one}" for one in doubts(found)),
        "",
    ]


def names(choices: Choices, size: str) -> list[str]:
    """Return the lines that name a volume, its folder and its place in the service.

    Parameters
    ----------
    choices
        What a person chose.
    size
        What there is to process, in words.

    Returns
    -------
    list of str
        An empty line after each section.
    """
    return [
        line("volume", choices.volume, "names the result"),
        line("work_dir", choices.work_dir, f"needs several times {size}"),
        "",
        "render:",
        line("  owner", choices.owner, "who the stacks belong to"),
        line("  project", identifier(choices.volume), "names the matches"),
        "",
    ]


def doubts(found: Acquired) -> list[str]:
    """Say what a person should look at before a run.

    Parameters
    ----------
    found
        What was acquired.

    Returns
    -------
    list of str
        A sentence each.
    """
    out = []
    for cell, count in found.odd_cells.items():
        out.append(
            f"only {count:,} of {found.layers:,} layers have tile {cell}: is it of the grid?"
        )
    if len(found.samples) > 1:
        listed = ", ".join(map(plain, found.samples[:5]))
        out.append(f"headers name several samples ({listed}): list those of the volume under")
        out[-1] += " ingest.sample_ids, or bound it by first_dat and last_dat"
    out += [found.twice] if found.twice else []
    depth = found.depth_nm
    if depth is not None and abs(depth / found.pixel_nm - 1) > DEPTH_DIFFERS:
        out.append(f"the working distance grows by about {depth:.0f} nm a layer: is z_nm right?")
    if found.unreadable:
        text = f"{len(found.unreadable)} of {found.read + len(found.unreadable)} files looked at"
        out.append(f"{text} cannot be read, e.g. {plain(found.unreadable[0])}")
    return out


def _acquisition(found: Acquired, now: datetime) -> Iterator[str]:
    over = now - found.last_time > STILL_IMAGING
    depth = (
        f"the working distance says about {found.depth_nm:.0f}"
        if found.depth_nm
        else "not in headers"
    )
    yield line("  rows", found.rows, "of tiles in a layer, from the file names")
    yield line("  columns", found.columns, _overlap(found))
    yield line("  pixel_nm", short(found.pixel_nm), "PixelSize of the headers, median")
    yield line("  z_nm", short(found.pixel_nm), f"thickness of a layer; as pixel_nm, {depth}")
    yield line("  scope", found.scope, "files of other microscopes are left out")
    yield line("  first_dat", found.first, "first file, inclusive")
    yield line(
        "  last_dat",
        found.last if over else None,
        "last file, inclusive; null while imaging goes on"
        if over
        else f"imaging goes on ({found.last} so far)",
    )


def _overlap(found: Acquired) -> str:
    if found.overlap_px is None:
        return "of tiles in a layer"
    um = found.overlap_px * found.pixel_nm / 1000
    return f"tiles overlap by {found.overlap_px} px ({um:.2g} um)"


def _channel(found: Acquired) -> Iterator[str]:
    if found.channels > 1:
        names = ", ".join(map(plain, found.detectors[: found.channels]))
        yield line("  channel", 0, f"of {found.channels}: {names or 'detectors without a name'}")


def _ingest(found: Acquired, chosen: Microscope | None) -> Iterator[str]:
    if chosen is None:
        what = (
            f"{found.scope} with tiles {found.width_px} px wide is not in config/microscopes.yaml"
        )
        yield line("  scan_correction", None, what)
        yield line("  mask", None, "no strip at the edges is left out")
    else:
        yield line("  scan_correction", chosen.scan_correction, chosen.what)
        yield line("  mask", mask(found, chosen) or None, "strips at the edges that are not used")
    if not found.has_positions and found.rows * found.columns > 1:
        yield line("  tile_overlap_um", 2, "headers before version 9 have no stage position")


def mask(found: Acquired, chosen: Microscope) -> Mapping[str, int]:
    """Return the strips that a microscope spoils, where tiles overlap by more.

    Parameters
    ----------
    found
        What was acquired.
    chosen
        What is known of the microscope.

    Returns
    -------
    mapping
        Section ``ingest.mask``; empty for none.
    """
    strips = {"left_px": chosen.mask.get("left_px", 0)}
    if found.rows > 1:
        strips["top_px"] = chosen.mask.get("top_px_of_several_rows", 0)
    least = found.overlap_px if found.overlap_px is not None else found.width_px
    return {name: px for name, px in strips.items() if 0 < px < least}


def summary(found: Acquired, chosen: Microscope | None, target: Path) -> str:
    """Return what the command prints: what was written, doubts, the next commands.

    Parameters
    ----------
    found
        What was acquired.
    chosen
        What is known of the microscope.
    target
        The file that was written.

    Returns
    -------
    str
        Some lines.
    """
    grid = f"{found.rows} x {found.columns} tiles of {found.width_px} x {found.height_px} px"
    known = f"microscope: {chosen.name} ({chosen.what})" if chosen else "microscope: not known"
    first = f"{target}: {found.layers:,} layers of {grid}, {short(found.pixel_nm)} nm, {known}"
    return "\n".join([first, *next_steps(doubts(found), target)])


def next_steps(doubtful: Sequence[str], target: Path) -> list[str]:
    """Return what to look at in a new config, and the commands that follow.

    Parameters
    ----------
    doubtful
        What a person should look at.
    target
        The file that was written.

    Returns
    -------
    list of str
        Lines.
    """
    commands.remember(["--profile", "profiles/local", "--configfile", str(target)])
    return [
        *(f"look: {one}" for one in doubtful),
        "next: look at the file, then",
        f"  {commands.run('doctor')}",
        f"  {commands.run('estimate')}",
    ]


def line(key: str, value: Any, comment: str) -> str:  # noqa: ANN401 - any YAML value
    """Return a line of YAML.

    Parameters
    ----------
    key
        With the blanks before it.
    value
        Any value of YAML.
    comment
        Where it is from.

    Returns
    -------
    str
        Without a line break.
    """
    return f"{f'{key}: {_value(value)}':<{_AT}}  # {plain(comment)}"


def _value(value: Any) -> str:  # noqa: ANN401 - any YAML value
    """Return YAML: names as they are, all else as JSON, which YAML takes."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z][\w.-]*(/[\w.-]+)*", value, re.ASCII):
        return value if value.lower() not in _WORDS else json.dumps(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_value(one)}" for key, one in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}  # of YAML 1.1


def plain(text: str) -> str:
    """Keep a text of a header in its line: it may hold anything.

    Parameters
    ----------
    text
        Any.

    Returns
    -------
    str
        Letters that print.
    """
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()


def short(number: float) -> int | float:
    """Return a whole number as such.

    Parameters
    ----------
    number
        Any.

    Returns
    -------
    int or float
        Of the same value.
    """
    return int(number) if number == int(number) else number


def _size(found: Acquired) -> str:
    return f"{found.bytes / 1e9:.3g} GB"
