"""The page for the person at the microscope, made of the figures of `imaging`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scripts.ingest.imaging import Series
from scripts.lib.pages import page as pages
from scripts.lib.pages import plots
from scripts.lib.pages.page import Facts, Items, Part, Plots, Section, Table, Text
from scripts.lib.pages.text import duration, number

Figures = Mapping[str, Any]


def page(figures: Figures, series: Mapping[str, Series], *, volume: str, here: str) -> str:
    """Return the page.

    Parameters
    ----------
    figures
        As `imaging.summarise` gives them.
    series
        What is plotted over z, by title.
    volume
        Name of the volume.
    here
        Path of the page in the working directory.

    Returns
    -------
    str
        HTML.
    """
    drawn = {
        title: plots.lines(title, "z", one.unit or title, {title: (one.z, one.values)}, dots=2)
        for title, one in series.items()
    }
    missing: list[Part] = [
        Items(figures["missing"][:50], "warn") if figures["missing"] else Text("Nothing.")
    ]
    told = [*figures["jumps"], *figures["changed"]]
    return pages.render(
        f"{volume} · imaging",
        [
            Section("What came", [_days(figures)]),
            Section("What is missing", missing, id="missing"),
            Section("Drift", [_drift(figures), Plots(list(drawn))], id="drift"),
            Section("Jumps and settings that changed", [Items(told) if told else Text("None.")]),
            Section("Aligned so far", _aligned(figures)),
        ],
        here=here,
        volume=volume,
        lead=[Facts(_cards(figures), cards=True)],
        figures=drawn,
    )


def _cards(figures: Figures) -> list[tuple[str, str]]:
    left = figures["to_go"]
    disk = "disk lasts for"
    return [
        ("layers", number(figures["layers"])),
        ("of them in the last 24 hours", number(figures["last"]["layers"])),
        ("milled in a day", number(left["um_per_day"], 2, "µm")),
        ("layers to go", number(left["layers_left"])),
        ("days to go", number(left["days_left"], 1)),
        ("free on the disk", number(left["disk_left_gb"], 0, "GB")),
        ("disk that is still needed", number(left["disk_needed_gb"], 0, "GB")),
        (disk, number(left["disk_days_left"], 1, "days")),
    ]


def _days(figures: Figures) -> Table:
    header = ["day", "layers", "z", "to", "tiles missing", "longest stop"]
    rows = [
        [one["day"], one["layers"], one["z_first"], one["z_last"], one["tiles_missing"],
         duration(one["longest_stop_s"])]
        for one in reversed(figures["days"])
    ]  # fmt: skip
    marked = [k for k, one in enumerate(reversed(figures["days"])) if one["tiles_missing"]]
    return Table("", header, rows, marked=marked)


def _drift(figures: Figures) -> Table:
    header = ["", "before", "last 24 h", "range of them", "per 1000 layers", "unit", "jumps at z"]
    rows, marked = [], []
    for k, (title, one) in enumerate(figures["drift"].items()):
        cells = [_digits(one[name]) for name in ("before", "last", "range", "per_1000_layers")]
        rows.append([title, *cells, one["unit"], ", ".join(map(str, one["jumps"]))])
        if one["jumps"]:
            marked.append(k)
    return Table("", header, rows, marked=marked)


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _aligned(figures: Figures) -> list[Part]:
    """Return what the last run of the later stages has found, as far as it went."""
    rows: list[tuple[str, str]] = []
    found, thickness = figures["misalignment"], figures["thickness"]
    for name, title in (("steps", "left over between layers"), ("seams", "left over at seams")):
        if found.get(name):
            rows.append((title, number(found[name]["rms_px"], 2, "px")))
    if found.get("state"):
        rows.append(("verdict", found["state"]))
    if thickness:
        rows += [
            ("thickness of the last 24 hours", number(thickness["last"], 2, "layers")),
            ("sd of the thickness", number(thickness["sd"], 2, "layers")),
            ("measured to z", number(thickness["to_z"])),
            ("layers that do not fit", number(thickness["problems"])),
        ]
    return [Facts(rows) if rows else Text("Nothing is aligned yet.")]
